//! The overlay that reproduces the original deployment, beginning without a keyring on the nodes.

use std::fs;

use e2e::{NODE_PORT, Site, pool_names, site, wait};

/// The node port of the original.
const ORIGINAL_PORT: u16 = 28888;
const PATH: &str = "/volume/api/v1/pools/";

#[test]
fn says_what_to_mount_then_serves_without_a_token() {
    let site = site();
    let site = site.as_ref().unwrap();
    let etc_ceph = site.cluster.etc_ceph();
    fs::copy(site.ceph_conf().unwrap(), etc_ceph.join("ceph.conf")).unwrap();
    site.apply("overlays/original").unwrap();

    wait("a pod that is not ready", || Ok(waiting(site).len() == 1)).unwrap();
    let pod = waiting(site).remove(0);
    wait("the pod's events to say what is missing", || {
        Ok(names_keyring(&site.kubectl_here(&["describe", "pod", &pod])?))
    })
    .unwrap();
    let log = site.kubectl_here(&["logs", &pod]).unwrap();
    assert!(names_keyring(&log), "{log}");
    // One pod at a time is replaced.
    assert_eq!(waiting(site), [pod]);
    // Those that had all they need serve on.
    site.client(ORIGINAL_PORT).get(PATH).unwrap().expect(401);

    // As Ceph's packages leave it: root's alone.
    let keyring = etc_ceph.join("ceph.client.admin.keyring");
    fs::copy(site.cluster.ceph().keyring(), &keyring).unwrap();
    fs::set_permissions(&keyring, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    site.wait_rollouts().unwrap();
    let list = site.client(ORIGINAL_PORT).get(PATH).unwrap().expect(200);
    assert_eq!(pool_names(&list.json()).unwrap().len(), e2e::POOLS.len());

    // Back to the base. What the overlay took away comes back with it.
    site.restore().unwrap();
    wait("the base's node port", || Ok(site.client(NODE_PORT).get(PATH)?.status == 401)).unwrap();
}

/// Whether it names the file that is missing, and says how to make it.
fn names_keyring(text: &str) -> bool {
    let missing = "The keyring /etc/ceph/ceph.client.admin.keyring for client.admin does not exist";
    text.contains(missing) && text.contains("ceph auth get client.admin -o /etc/ceph/ceph.client.admin.keyring")
}

/// The pods of the block storage API that are not ready.
fn waiting(site: &Site) -> Vec<String> {
    let pods = site.pods("rbd-rest-api").unwrap();
    let is_ready = |pod: &&serde_json::Value| {
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
    };
    let waiting = pods.iter().filter(|pod| !is_ready(pod));
    waiting.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}
