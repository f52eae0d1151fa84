//! Every overlay is what an API server takes, without a warning.

use std::io::Write as _;
use std::process::Stdio;

use deploy_tests::{kubectl, kustomize, namespace, objects, overlay, overlays, title};
use serde_json::{Value, json};
use testbed::kube::ApiServer;

/// Applies as a user would; what kubectl said if it failed.
fn apply(server: &ApiServer, arguments: &[&str], yaml: &str) -> Result<String, String> {
    let mut command = kubectl(server).unwrap();
    command.args(arguments).args(["-f", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(stdout.into_owned()) } else { Err(stderr.into_owned()) }
}

/// A pod as the Deployment's controller would make it.
fn pod(deployment: &Value, namespace: &str) -> Value {
    let template = &deployment["spec"]["template"];
    let name = &deployment["metadata"]["name"];
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "labels": template["metadata"]["labels"] },
        "spec": template["spec"],
    })
}

// One server of its own and one test: the overlays have the same names, and are applied over each other as a user would who
// goes from one to the other.
#[test]
fn every_overlay_is_taken_without_a_warning_and_so_are_its_pods() {
    let server = ApiServer::start().unwrap();
    let strict = ["apply", "--server-side", "--force-conflicts", "--validate=strict"];
    for name in overlays().unwrap() {
        let yaml = kustomize(&overlay(&name)).unwrap();
        apply(&server, &strict, &yaml).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Nothing would change: what is stored is what was meant.
        let mut diff = kubectl(&server).unwrap();
        let file = server.dir().join("diff.yaml");
        std::fs::write(&file, &yaml).unwrap();
        let status = diff.args(["diff", "--server-side", "--force-conflicts", "-f"]).arg(&file).output().unwrap();
        assert!(status.status.success(), "{name}: {}", String::from_utf8_lossy(&status.stdout));
        for deployment in objects(&yaml).unwrap().iter().filter(|object| object["kind"] == "Deployment") {
            let pod = pod(deployment, namespace(&name)).to_string();
            apply(&server, &["create", "--dry-run=server"], &pod)
                .unwrap_or_else(|error| panic!("{name}: {}: {error}", title(deployment)));
        }
    }
}

#[test]
fn only_the_directory_of_a_node_needs_more_than_the_restricted_standard() {
    let server = ApiServer::shared().unwrap();
    let namespace = "restricted-standard";
    let restricted = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": namespace, "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
    }});
    apply(server, &["apply"], &restricted.to_string()).unwrap();
    for name in overlays().unwrap() {
        for deployment in objects(&kustomize(&overlay(&name)).unwrap()).unwrap() {
            if deployment["kind"] != "Deployment" {
                continue;
            }
            let result = apply(server, &["create", "--dry-run=server"], &pod(&deployment, namespace).to_string());
            if name == "original" && deployment["metadata"]["name"] == "rbd-rest-api" {
                let error = result.unwrap_err();
                assert!(error.contains("restricted volume types") && error.contains("runAsNonRoot"), "{error}");
            } else {
                result.unwrap_or_else(|error| panic!("{name}: {}: {error}", title(&deployment)));
            }
        }
    }
}

#[test]
fn manifest_with_an_unknown_field_is_rejected() {
    let server = ApiServer::shared().unwrap();
    let yaml = kustomize(&overlay("base")).unwrap().replace("automountServiceAccountToken", "mountServiceAccountToken");
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "sparrow" } });
    apply(server, &["apply"], &namespace.to_string()).unwrap();
    let error = apply(server, &["apply", "--dry-run=server", "--validate=strict"], &yaml).unwrap_err();
    assert!(error.contains("unknown field"), "{error}");
}
