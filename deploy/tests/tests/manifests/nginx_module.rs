//! nginx routes by the module that its image has, unless that is turned off.

use std::path::{Component, Path};

use deploy_tests::{HELM_3, HELM_4, deploy, helm, kustomize, objects, overlay, overlays, run};
use serde_json::{Value, json};

const VARIABLE: &str = "SPARROW_ENTRY_NGINX_MODULE";

/// The settings of the entry: the data of its one `ConfigMap`; none in objects without the entry.
fn entry_settings(objects: &[Value]) -> Option<&Value> {
    let is_entry = |object: &&Value| object["kind"] == "ConfigMap" && object["data"]["SPARROW_ENTRY_HTTP"].is_string();
    objects.iter().find(is_entry).map(|object| &object["data"])
}

/// What kustomize makes of the base with components.
fn base_with(components: &[&str]) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    // kustomize takes no absolute path.
    let root = directory.path().canonicalize().unwrap();
    let up = root.components().filter(|part| matches!(part, Component::Normal(_))).map(|_| "../").collect::<String>();
    let path = |directory: &Path| format!("{up}{}", directory.strip_prefix("/").unwrap().display());
    let components = components.iter().map(|name| {
        let component = deploy().join("kustomize/components").join(name).canonicalize().unwrap();
        path(&component)
    });
    let text = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": [path(&overlay("base").canonicalize().unwrap())],
        "components": components.collect::<Vec<_>>(),
    });
    std::fs::write(root.join("kustomization.yaml"), text.to_string()).unwrap();
    objects(&kustomize(&root).unwrap()).unwrap()
}

#[test]
fn every_overlay_loads_the_module_of_the_image() {
    let file = std::fs::read_to_string(deploy().join("images/entry/Containerfile")).unwrap();
    let line = file.lines().find(|line| line.contains("deploy/images/compile-module")).unwrap();
    let module = line.split(' ').next_back().and_then(|path| path.strip_prefix("/built")).unwrap();
    let mut entries = 0;
    for name in overlays().unwrap() {
        let objects = objects(&kustomize(&overlay(&name)).unwrap()).unwrap();
        if let Some(settings) = entry_settings(&objects) {
            assert_eq!(settings[VARIABLE], module, "{name}");
            entries += 1;
        }
    }
    assert!(entries > 1);
}

#[test]
fn component_turns_the_module_off_and_changes_nothing_else() {
    let with = base_with(&["load-balancer"]);
    let without = base_with(&["load-balancer", "without-nginx-module"]);
    let mut expected = entry_settings(&with).unwrap().clone();
    assert!(expected.as_object_mut().unwrap().remove(VARIABLE).is_some());
    assert_eq!(entry_settings(&without), Some(&expected));
    // A change of settings is a new name, which rolls the pods.
    let name = |objects: &[Value]| {
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
        deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"].clone()
    };
    assert_ne!(name(&with), name(&without));
}

#[test]
fn value_of_the_chart_turns_the_module_off() {
    let home = tempfile::tempdir().unwrap();
    for release in [HELM_3, HELM_4] {
        let settings = |value: &str| {
            let mut command = helm(release, home.path()).unwrap();
            command.args(["template", "sparrow", "--kube-version=1.36.3", "--set", value]);
            let objects = objects(&run(command.arg(deploy().join("helm/sparrow"))).unwrap()).unwrap();
            entry_settings(&objects).unwrap().clone()
        };
        let mut expected = settings("entry.nginxModule=true");
        assert!(expected.as_object_mut().unwrap().remove(VARIABLE).is_some());
        assert_eq!(settings("entry.nginxModule=false"), expected, "{release}");
    }
}
