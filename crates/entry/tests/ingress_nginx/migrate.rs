//! `migrate`: what it tells of an installation that is written down in a directory.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

fn ingress(name: &str, class: &str, annotations: &Value) -> Value {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": "shop", "uid": "7", "annotations": annotations},
        "spec": {
            "ingressClassName": class,
            "rules": [{"host": format!("{name}.example"), "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": backend},
            ]}}],
        },
    })
}

/// A directory of manifests.
fn directory(objects: &[Value]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    std::fs::write(directory.path().join("all.json"), list.to_string()).expect("write manifests");
    directory
}

/// Runs the command, which must end with this status. What it prints.
fn migrate(directory: &Path, more: &[&str], status: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sparrow-entry"));
    command
        .env_clear()
        .arg("migrate")
        .arg("--from")
        .arg(directory)
        .arg("--nginx")
        .arg(testbed::nginx::debian())
        .args(more);
    let Output { status: found, stdout, stderr } = command.output().expect("run sparrow-entry");
    assert_eq!(found.code(), Some(status), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

fn installation() -> Vec<Value> {
    let theirs = "nginx.ingress.kubernetes.io";
    let controller = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "edge", "namespace": "ingress-nginx"},
        "spec": {"template": {"spec": {"containers": [{
            "image": "mirror.example/ingress-nginx/controller:v1.15.0",
            "args": ["/nginx-ingress-controller", "--publish-service=$(POD_NAMESPACE)/edge", "--maxmind-mirror=x", "--v=2"],
        }]}}},
    });
    vec![
        controller,
        ingress("plain", "nginx", &json!({format!("{theirs}/proxy-read-timeout"): "30"})),
        ingress("unknown", "nginx", &json!({format!("{theirs}/no-such-annotation"): "30"})),
        ingress("lost", "nginx", &json!({format!("{theirs}/stream-snippet"): "x"})),
        ingress("other", "traefik", &json!({})),
    ]
}

#[test]
fn report_counts_what_is_served_the_same_and_names_the_rest() {
    let directory = directory(&installation());
    let text = migrate(directory.path(), &[], 1);
    for line in [
        "Ingress shop/lost: served in part\n  metadata.annotations[nginx.ingress.kubernetes.io/stream-snippet]: Unsupported: ",
        "Ingress shop/unknown: served, and something is worth knowing\n",
        "DaemonSet ingress-nginx/edge: --publish-service=ingress-nginx/edge: `--publish-service ingress-nginx/edge`\n",
        "DaemonSet ingress-nginx/edge: --maxmind-mirror=x: to do: ",
        "DaemonSet ingress-nginx/edge: --v=2: nothing to do: ",
        "Flags that do the same: --publish-service=ingress-nginx/edge\n",
        "Services that Ingresses name, are not in the directory, and are taken to be there: 1\n",
        "3 Ingresses of ingress-nginx: 1 served the same, 1 with something worth knowing, 1 in part, 0 not served; 1 of other classes\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("shop/plain"), "{text}");
}

#[test]
fn report_is_json_for_programs() {
    let mut objects = installation();
    objects.retain(|object| object["metadata"]["name"] != "lost");
    let directory = directory(&objects);
    let report: Value = serde_json::from_str(&migrate(directory.path(), &["--json"], 0)).expect("JSON");
    assert_eq!(
        report["counts"],
        json!({
            "same": 1, "differs": 1, "partial": 0, "rejected": 0, "of_other_classes": 1, "of_an_excerpt": 0,
        })
    );
    assert_eq!(report["ingresses"]["shop/plain"]["outcome"], "same");
    assert_eq!(report["our_flags"], json!(["--publish-service=ingress-nginx/edge"]));
}

#[test]
fn objects_are_printed_as_they_would_be_here() {
    let directory = directory(&installation());
    let text = migrate(directory.path(), &["--objects", "--class=sparrow", "--suffix", "-sparrow"], 1);
    let list: Value = serde_json::from_str(&text).expect("JSON");
    let items = list["items"].as_array().expect("items");
    let names: Vec<_> = items.iter().map(|item| item["metadata"]["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["sparrow", "plain-sparrow", "unknown-sparrow", "lost-sparrow"]);
    assert_eq!(items[1]["spec"]["ingressClassName"], "sparrow");
    let annotations = json!({"nginx.ingress.kubernetes.io/proxy-read-timeout": "30"});
    assert_eq!(items[1]["metadata"], json!({"name": "plain-sparrow", "namespace": "shop", "annotations": annotations}));
    assert_eq!(items[3]["metadata"].get("annotations"), None);
    // What is printed is served whole.
    let printed = tempfile::tempdir().expect("a directory");
    std::fs::write(printed.path().join("all.json"), text).expect("write manifests");
    let text = migrate(printed.path(), &[], 0);
    assert!(text.contains("\n0 Ingresses of ingress-nginx: 0 served the same"), "{text}");
    assert!(text.ends_with("; 3 of other classes\n"), "{text}");
}

#[test]
fn what_cannot_be_read_is_named_and_nothing_can_be_told_then() {
    let broken = "apiVersion: v1\nkind: List\nitems:\n  - {a: [\n";
    let odd =
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: odd, namespace: shop}\nspec: {rulez: []}\n";
    for (file, text, named) in [
        ("broken.yaml", broken, "Manifest broken.yaml"),
        ("odd.yaml", odd, "Ingress shop/odd cannot be read"),
        ("broken.json", "{", "Manifest broken.json"),
    ] {
        let directory = directory(&[ingress("plain", "nginx", &json!({}))]);
        std::fs::write(directory.path().join(file), text).expect("write a manifest");
        let report = migrate(directory.path(), &[], 2);
        assert!(report.contains(named), "{file}: {report}");
        assert!(report.contains("\n1 Ingresses of ingress-nginx: 1 served the same"), "{file}: {report}");
        assert!(
            report.ends_with("1 that cannot be read are not counted; correct them, and run this again\n"),
            "{report}"
        );
        let report: Value = serde_json::from_str(&migrate(directory.path(), &["--json"], 2)).expect("JSON");
        assert_eq!(report["unreadable"].as_object().expect("a map").len(), 1, "{file}");
    }
}

#[test]
fn export_of_a_large_cluster_is_read_whole() {
    // As `kubectl get ingress -A -o yaml` writes it: one document, longer than what is followed.
    let mut text = "apiVersion: v1\nkind: List\nitems:\n".to_owned();
    for number in 0..1500 {
        let mut object = ingress(&format!("n{number}"), "nginx", &json!({}));
        object["metadata"]["namespace"] = json!(format!("shop-{}", number % 3));
        object["metadata"]["annotations"] = json!({"note": "x".repeat(1000)});
        writeln!(text, "- {object}").expect("writing to a text");
    }
    assert!(text.len() > 1 << 20);
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("all.yaml"), text).expect("write a manifest");
    let report: Value = serde_json::from_str(&migrate(directory.path(), &["--json"], 0)).expect("JSON");
    assert_eq!(report["counts"]["same"], 1500, "{}", report["counts"]);
}

#[test]
fn settings_of_the_controller_are_judged_key_by_key() {
    let mut objects = installation();
    objects.retain(|object| object["metadata"]["name"] != "lost");
    let arguments = ["--configmap=$(POD_NAMESPACE)/edge", "--enable-ssl-passthrough", "--tcp-services-configmap=a/tcp"];
    objects[0]["spec"]["template"]["spec"]["containers"][0]["args"] = json!(arguments);
    let without = directory(&objects);
    let text = migrate(without.path(), &[], 1);
    assert!(
        text.contains("ConfigMap ingress-nginx/edge: in force in part\n  RefNotFound: It is not among the objects"),
        "{text}"
    );
    let data = json!({"proxy-read-timeout": "30", "enable-modsecurity": "true", "no-such-key": "x"});
    let metadata = json!({"name": "edge", "namespace": "ingress-nginx"});
    objects.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}));
    let with = directory(&objects);
    let text = migrate(with.path(), &[], 1);
    for line in [
        "ConfigMap ingress-nginx/edge: in force in part\n",
        "  data[enable-modsecurity]: Unsupported: ",
        "  data[no-such-key]: Unsupported: ",
        "--configmap=ingress-nginx/edge: `--config ingress-nginx/edge`\n",
        "--enable-ssl-passthrough=true: `--tls-passthrough all`\n",
        "Flags that do the same: --config=ingress-nginx/edge --tcp-services-configmap=a/tcp --tls-passthrough=all\n",
        "ConfigMap a/tcp: in force in part\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("data[proxy-read-timeout]"), "{text}");
}

#[test]
fn export_of_ingresses_alone_lacks_nothing_that_they_name() {
    let theirs = "nginx.ingress.kubernetes.io";
    let mut closed = ingress(
        "closed",
        "nginx",
        &json!({
            format!("{theirs}/auth-type"): "basic", format!("{theirs}/auth-secret"): "users",
            format!("{theirs}/default-backend"): "pages", format!("{theirs}/custom-http-errors"): "503",
        }),
    );
    closed["spec"]["tls"] = json!([{"hosts": ["closed.example"], "secretName": "closed-tls"}]);
    let unchanged = ingress(
        "unchanged",
        "nginx",
        &json!({
            format!("{theirs}/backend-protocol"): "HTTP", format!("{theirs}/enable-cors"): "false",
            format!("{theirs}/canary"): "false", format!("{theirs}/proxy-buffering"): "off",
        }),
    );
    let alone = directory(&[closed.clone(), unchanged]);
    let text = migrate(alone.path(), &[], 0);
    for line in [
        "Ingress shop/closed: served, and something is worth knowing\n",
        "which are not in the directory, and are taken to be there: 1\n",
        "2 Ingresses of ingress-nginx: 1 served the same, 1 with something worth knowing, 0 in part, 0 not served",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    // Whoever exports Secrets, too, lacks those that are not there.
    let other = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other", "namespace": "shop"}});
    let text = migrate(directory(&[closed, other]).path(), &[], 1);
    assert!(text.contains("Ingress shop/closed: served in part\n"), "{text}");
}
