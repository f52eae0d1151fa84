//! What containers and callers may not do.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::{NODE_PORT, site};
use serde_json::{Value, json};

#[test]
fn the_container_in_front_has_no_rights() {
    let site = site();
    let site = site.as_ref().unwrap();
    let pod = &site.pods("nginx-kit").unwrap()[0];
    let name = pod["metadata"]["name"].as_str().unwrap();

    // The same command reads the cluster in the sidecar, and knows of no cluster beside nginx.
    let render = |container| {
        let exec = ["exec", name, "--container", container, "--", "/usr/local/bin/sparrow-entry", "render", "--routes"];
        site.kubectl_here(&exec)
    };
    assert!(render("watch").unwrap().contains("/volume"));
    let refused = format!("{:#}", render("nginx").unwrap_err());
    assert!(refused.contains("no API server is known"), "{refused}");

    let watch = root(&id(pod, "initContainerStatuses", "watch"));
    let nginx = root(&id(pod, "containerStatuses", "nginx"));
    let token = "var/run/secrets/kubernetes.io/serviceaccount/token";
    assert!(fs::read_to_string(watch.join(token)).unwrap().starts_with("ey"));
    assert!(mounts(&watch).iter().any(|mount| mount.point.contains("serviceaccount")));
    for mount in mounts(&nginx) {
        assert!(!mount.point.contains("serviceaccount"), "{mount:?}");
    }
    assert!(!nginx.join(token).exists());
}

#[test]
fn nothing_is_writable_but_volumes() {
    let site = site();
    let site = site.as_ref().unwrap();
    let cases = [
        ("nginx-kit", "containerStatuses", "nginx", "10001", vec!["/run/sparrow-entry", "/var/lib/sparrow-entry"]),
        ("nginx-kit", "initContainerStatuses", "watch", "10001", vec!["/var/lib/sparrow-entry"]),
        ("rbd-rest-api", "containerStatuses", "sparrow-rbd", "10002", vec![]),
    ];
    for (deployment, kind, container, user, volumes) in cases {
        let pod = &site.pods(deployment).unwrap()[0];
        let root = root(&id(pod, kind, container));
        let mut writable: Vec<String> = mounts(&root)
            .into_iter()
            .filter(|mount| mount.writable)
            .map(|mount| mount.point)
            // What every container has: its devices, and what only root may write.
            .filter(|point| !["/dev", "/proc"].iter().any(|own| point == own || point.starts_with(&format!("{own}/"))))
            .filter(|point| {
                !["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/sys/fs/cgroup"].contains(&point.as_str())
            })
            .collect();
        writable.sort();
        assert_eq!(writable, volumes, "{container}");
        // Not even root of the machine can write there: the mount itself is read-only.
        let refused = fs::write(root.join("etc/probe"), "").unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{container}");

        let status = fs::read_to_string(root.with_file_name("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().to_owned()
        };
        assert_eq!(field("Uid:"), user, "{container}");
        assert_eq!(u64::from_str_radix(&field("CapBnd:"), 16).unwrap(), 0, "{container}");
        assert_eq!(u64::from_str_radix(&field("CapEff:"), 16).unwrap(), 0, "{container}");
        assert_eq!(field("NoNewPrivs:"), "1", "{container}");
        assert_eq!(field("Seccomp:"), "2", "{container}");
    }
}

#[test]
fn callers_may_what_their_role_allows() {
    let site = site();
    let site = site.as_ref().unwrap();
    let viewer = site.token("viewer", "sparrow-rbd-viewer").unwrap();
    let operator = site.token("operator", "sparrow-rbd-operator").unwrap();
    let nobody = site.client(NODE_PORT);
    let (viewer, operator) = (nobody.with_token(&viewer), nobody.with_token(&operator));
    let images = "/volume/api/v1/pools/rbd/images";
    let image = format!("{images}/rights");

    operator.post(images, &json!({ "name": "rights", "sizeBytes": 1 << 20 })).unwrap().expect(201);
    for path in ["/volume/api/v1/pools/", images] {
        let refused = nobody.get(path).unwrap().expect(401);
        assert_eq!(refused.header("www-authenticate").split(' ').next(), Some("Bearer"));
        viewer.get(path).unwrap().expect(200);
    }
    assert_eq!(viewer.get(&image).unwrap().expect(200).json()["sizeBytes"], 1 << 20);
    nobody.delete(&image).unwrap().expect(401);
    nobody.with_token("eyJhbGciOiJub25lIn0.e30.").get(images).unwrap().expect(401);
    assert_eq!(viewer.delete(&image).unwrap().expect(403).problem(), "forbidden");
    viewer.delete("/volume/api/v1/pools/kube").unwrap().expect(403);
    viewer.post(images, &json!({ "name": "more", "sizeBytes": 1 << 20 })).unwrap().expect(403);
    // A token that is good for the API server only is not good here: whoever gets it could use it there.
    let other = site.cluster.api_server().service_account_token("default", "viewer", &[]).unwrap();
    nobody.with_token(&other).get(images).unwrap().expect(401);

    viewer.get(&image).unwrap().expect(200);
    let deleted = operator.delete(&image).unwrap();
    assert!((200..300).contains(&deleted.status), "{}", deleted.text());
    viewer.get(&image).unwrap().expect(404);
}

#[derive(Debug)]
struct Mount {
    point: String,
    writable: bool,
}

/// The mounts of the process whose `/proc/PID/root` this is; a mount point is as the process sees it.
fn mounts(root: &Path) -> Vec<Mount> {
    let text = fs::read_to_string(root.with_file_name("mountinfo")).unwrap();
    text.lines()
        .map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let option = |options: &str| options.split(',').any(|option| option == "rw");
            // The mount's own options, and after the dash those of what is mounted.
            let inner = fields.last().copied().unwrap_or_default();
            Mount { point: fields[4].to_owned(), writable: option(fields[5]) && option(inner) }
        })
        .collect()
}

/// The id of a pod's container.
fn id(pod: &Value, kind: &str, container: &str) -> String {
    let all = pod["status"][kind].as_array().unwrap();
    let status = all.iter().find(|status| status["name"] == container).unwrap();
    status["containerID"].as_str().unwrap().trim_start_matches("containerd://").to_owned()
}

/// The root directory, as seen from the machine, of the first process of a container.
fn root(id: &str) -> PathBuf {
    let mut found: Vec<(u64, PathBuf)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let pid = path.file_name()?.to_str()?.parse().ok()?;
            fs::read_to_string(path.join("cgroup")).ok()?.contains(id).then(|| (pid, path.join("root")))
        })
        .collect();
    found.sort();
    found.into_iter().next().expect("a process of the container").1
}
