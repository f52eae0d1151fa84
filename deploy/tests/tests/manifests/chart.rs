//! The chart gives the same objects as the overlays, with each release of helm.

use std::collections::{BTreeMap, BTreeSet};

use deploy_tests::{
    HELM_3, HELM_4, deploy, helm, kubectl, kustomize, namespace, objects, overlay, overlays, run, title,
};
use entry_model::Key;
use serde_json::{Value, json};
use testbed::kube::ApiServer;

/// Rendering, which asks no cluster for its version; a helm that is built from its module knows of none.
const TEMPLATE: [&str; 3] = ["template", "sparrow", "--kube-version=1.36.3"];

/// What the API server makes of objects, by title, without what differs between any two applications. A namespace is not
/// among them: helm makes it by itself.
fn stored(server: &ApiServer, mut objects: Vec<Value>) -> BTreeMap<String, Value> {
    objects.retain(|object| object["kind"] != "Namespace");
    let file = server.dir().join("objects.json");
    std::fs::write(&file, json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string()).unwrap();
    let mut command = kubectl(server).unwrap();
    let answer = run(command
        .args(["apply", "--server-side", "--dry-run=server", "--validate=strict", "--output=json", "--filename"])
        .arg(&file))
    .unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let mut all = BTreeMap::new();
    for object in answer["items"].as_array().unwrap() {
        let mut object = object.clone();
        // The name of settings ends with a hash of them where kustomize made it.
        let hashed = object["kind"] == "ConfigMap";
        let metadata = object["metadata"].as_object_mut().unwrap();
        for field in ["creationTimestamp", "uid", "resourceVersion", "managedFields", "generation"] {
            metadata.remove(field);
        }
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove("app.kubernetes.io/managed-by");
            labels.remove("helm.sh/chart");
        }
        if hashed {
            metadata.insert("name".to_owned(), json!(unhashed(metadata["name"].as_str().unwrap())));
        }
        match object["kind"].as_str().unwrap() {
            "Service" => {
                // Given out by chance.
                for field in ["clusterIP", "clusterIPs", "healthCheckNodePort"] {
                    object["spec"].as_object_mut().unwrap().remove(field);
                }
            }
            "Deployment" => {
                let template = &mut object["spec"]["template"];
                if let Some(annotations) = template["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
                    annotations.remove("checksum/settings");
                }
                if template["metadata"]["annotations"] == json!({}) {
                    template["metadata"].as_object_mut().unwrap().remove("annotations");
                }
                for list in ["initContainers", "containers"] {
                    for container in template["spec"][list].as_array_mut().into_iter().flatten() {
                        let name = &mut container["envFrom"][0]["configMapRef"]["name"];
                        *name = json!(unhashed(name.as_str().unwrap()));
                    }
                }
            }
            "ClusterRole" | "Role" => {
                object["rules"].as_array_mut().unwrap().sort_by_key(Value::to_string);
            }
            _ => {}
        }
        all.insert(title(&object), object);
    }
    all
}

/// `nginx-kit` of `nginx-kit-t4ffdtd7h7`.
fn unhashed(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((start, hash)) if hash.len() == 10 => start,
        _ => name,
    }
}

/// Where two values differ, with the first before the second.
fn differences(one: &Value, other: &Value) -> Vec<String> {
    let children: Vec<(String, &Value, &Value)> = match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            names.into_iter().map(|name| (name.clone(), &one[name], &other[name])).collect()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().map(|(index, (a, b))| (index.to_string(), a, b)).collect()
        }
        _ if one == other => return Vec::new(),
        _ => return vec![format!(": {one} / {other}")],
    };
    let below = |(name, a, b): (String, &Value, &Value)| {
        differences(a, b).into_iter().map(move |text| format!(".{name}{text}"))
    };
    children.into_iter().flat_map(below).collect()
}

/// Compares for all overlays.
fn gives_the_same_objects(release: &str) {
    let server = ApiServer::start().unwrap();
    for namespace in ["sparrow", "sparrow-internal"] {
        server.create_service_account(namespace, "unused").unwrap();
    }
    for name in overlays().unwrap() {
        let wanted = stored(&server, objects(&kustomize(&overlay(&name)).unwrap()).unwrap());
        let mut command = helm(release, server.dir()).unwrap();
        command.args(TEMPLATE).arg(deploy().join("helm/sparrow"));
        command.args(["--namespace", namespace(&name)]);
        if name != "base" {
            command.arg("--values").arg(deploy().join("helm/values").join(format!("{name}.yaml")));
        }
        let rendered = stored(&server, objects(&run(&mut command).unwrap()).unwrap());
        let titles = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
        assert_eq!(titles(&rendered), titles(&wanted), "{name}");
        for (title, object) in &wanted {
            let differences = differences(&rendered[title], object);
            assert!(differences.is_empty(), "{name}: {title}: {differences:#?}");
        }
    }
}

#[test]
fn chart_gives_the_same_objects_as_the_overlays_with_helm_3() {
    gives_the_same_objects(HELM_3);
}

#[test]
fn chart_gives_the_same_objects_as_the_overlays_with_helm_4() {
    gives_the_same_objects(HELM_4);
}

#[test]
fn every_file_of_values_belongs_to_an_overlay() {
    for entry in deploy().join("helm/values").read_dir().unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(overlays().unwrap().contains(&name), "{}", file.display());
    }
}

#[test]
fn chart_rejects_values_that_mean_nothing() {
    let server = ApiServer::shared().unwrap();
    for release in [HELM_3, HELM_4] {
        for (value, word) in [
            ("entry.replcas=3", "replcas"),
            ("entry.replicas=many", "replicas"),
            ("storage.authentication=basic", "authentication"),
            ("entry.settings.SPARROW_RBD_AUTH=none", "SPARROW_RBD_AUTH"),
            ("entry.service.nodePorts.http=99999", "http"),
        ] {
            let mut command = helm(release, server.dir()).unwrap();
            command.args(TEMPLATE).args(["--set", value]).arg(deploy().join("helm/sparrow"));
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && said.contains(word), "{release}: {value}: {said}");
        }
        let mut command = helm(release, server.dir()).unwrap();
        run(command.args(["lint", "--strict"]).arg(deploy().join("helm/sparrow"))).unwrap();
    }
}

#[test]
fn settings_that_are_named_may_be_read_in_their_namespace() {
    let server = ApiServer::shared().unwrap();
    for release in [HELM_3, HELM_4] {
        let mut command = helm(release, server.dir()).unwrap();
        command.args(TEMPLATE).args(["--namespace=sparrow", "--set=entry.config=ingress-nginx/controller"]);
        let objects = objects(&run(command.arg(deploy().join("helm/sparrow"))).unwrap()).unwrap();
        let settings = entry_kube::SourceOptions {
            config_maps: [Key { namespace: "ingress-nginx".to_owned(), name: "controller".to_owned() }].into(),
            ..entry_kube::SourceOptions::default()
        };
        let needed = entry_kube::roles("nginx-kit", "sparrow", &settings).namespaced;
        let needed = needed.iter().find(|role| role.metadata.namespace.as_deref() == Some("ingress-nginx")).unwrap();
        let role = objects.iter().find(|object| object["metadata"]["name"] == "nginx-kit-settings").unwrap();
        assert_eq!(role["metadata"]["namespace"], "ingress-nginx");
        assert_eq!(role["rules"], serde_json::to_value(&needed.rules).unwrap());
        let names = objects.iter().find(|object| object["data"]["SPARROW_ENTRY_CONFIG"] == "ingress-nginx/controller");
        assert!(names.is_some(), "{release}");
    }
}

/// Installs, changes, takes back and removes a release.
fn lives(release: &str) {
    let server = ApiServer::start().unwrap();
    let home = server.dir().join("helm");
    let exists = |what: &str| {
        let mut command = kubectl(&server).unwrap();
        let found = run(command.args(["get", what, "--ignore-not-found", "--output=name", "--namespace", "sparrow"]));
        !found.unwrap().is_empty()
    };
    let ports = || {
        let mut command = kubectl(&server).unwrap();
        command.args(["get", "service", "nginx-kit", "--namespace", "sparrow"]);
        run(command.arg("--output=jsonpath={.spec.ports[*].nodePort}")).unwrap()
    };
    let helm = |arguments: &[&str]| {
        let mut command = helm(release, &home).unwrap();
        command.args(arguments).args(["--namespace", "sparrow", "--kubeconfig"]).arg(server.admin_kubeconfig());
        run(&mut command).unwrap_or_else(|error| panic!("{error:#}"))
    };
    let chart = deploy().join("helm/sparrow").display().to_string();
    helm(&["install", "sparrow", &chart, "--create-namespace"]);
    assert!(exists("deployment/nginx-kit") && exists("deployment/rbd-rest-api"));
    assert_eq!(ports(), "30080 30443");
    let values = deploy().join("helm/values/node-port-28888.yaml").display().to_string();
    helm(&["upgrade", "sparrow", &chart, "--values", &values]);
    assert_eq!(ports(), "28888 28443");
    helm(&["rollback", "sparrow", "1"]);
    assert_eq!(ports(), "30080 30443");
    helm(&["uninstall", "sparrow"]);
    let namespaced = "deployment,service,configmap,networkpolicy,pdb,role,rolebinding";
    for what in [namespaced, "ingressclass/sparrow", "clusterrole/nginx-kit", "clusterrolebinding/nginx-kit"] {
        assert!(!exists(what), "{what} is left");
    }
}

#[test]
fn chart_is_installed_upgraded_and_uninstalled_with_helm_3() {
    lives(HELM_3);
}

#[test]
fn chart_is_installed_upgraded_and_uninstalled_with_helm_4() {
    lives(HELM_4);
}
