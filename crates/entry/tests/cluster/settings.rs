//! Settings for all, of a `ConfigMap` in a cluster.

use serde_json::json;

use testbed::http;

use crate::common::{backend, debian, eventually, until};
use crate::support::Tenant;

impl Tenant<'_> {
    fn settings(&self, data: &serde_json::Value) {
        self.apply(
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": data }),
        );
    }
}

#[test]
fn config_map_of_settings_is_followed_with_the_rights_that_are_shipped() {
    let tenant = Tenant::with_settings();
    tenant.settings(&json!({ "server-tokens": "true" }));
    tenant.apply(
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "other" }, "data": { "a": "b" } }),
    );
    let bench = tenant.bench(&debian());
    let entry = bench.start(&["run"]);
    let tells_version = || bench.get("any.example", "/").is_some_and(|answer| answer.header("Server").contains('/'));
    eventually("the settings", tells_version);
    tenant.settings(&json!({ "server-tokens": "false", "keep-alive": "75s" }));
    eventually("other settings", || !tells_version());
    let (_, reason, note) = until("an event", || tenant.events().into_iter().find(|(name, ..)| name == "settings"));
    assert!(reason == "Partial" && note.contains("data[keep-alive]") && note.contains("75s"), "{reason}: {note}");
    assert_eq!(entry.count("writes_failed"), 0, "the rights are enough");
    let (out, _) = bench.ends(1, &["check"]);
    assert!(out.contains("/settings: Partial: data[keep-alive]") && !out.contains("other"), "{out}");
    tenant.delete("/api/v1/namespaces/NS/configmaps/settings");
    entry.says("There is no such ConfigMap");
    entry.terminate();
}

#[test]
fn config_map_that_an_annotation_names_is_followed_with_the_rights_that_are_shipped() {
    let tenant = Tenant::shared();
    let headers = |value: &str| {
        tenant.apply(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "headers" }, "data": { "X-Own": value },
        }));
    };
    tenant.class();
    let port = backend("web");
    tenant.service("web", port);
    let ingress = |config_map: String| {
        tenant.apply(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "name": "web", "annotations": { "nginx.ingress.kubernetes.io/custom-headers": config_map } },
            "spec": { "ingressClassName": tenant.namespace, "rules": [{ "host": "web.example", "http": { "paths": [{
                "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "web", "port": { "number": port } } },
            }]}}]},
        }));
    };
    headers("first-value");
    ingress(format!("{}/headers", tenant.namespace));
    let bench = tenant.bench(&debian());
    bench.ends(0, &["check"]);
    let entry = bench.start(&["run"]);
    let is_told =
        |value: &str| http::get(bench.http, "web.example", "/", "").is_ok_and(|answer| answer.header("X-Own") == value);
    eventually("the ConfigMap", || is_told("first-value"));
    headers("second-value");
    eventually("a change of it", || is_told("second-value"));
    // Of another namespace none is read, whatever is in it.
    ingress("kube-system/extension-apiserver-authentication".to_owned());
    eventually("none", || is_told(""));
    entry.says("the ConfigMap is of another namespace");
    assert_eq!(entry.count("writes_failed"), 0, "the rights are enough");
    entry.terminate();
}
