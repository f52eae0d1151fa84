//! Settings for all, of a `ConfigMap` in a cluster.

use serde_json::json;

use crate::common::{eventually, until};
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
    let bench = tenant.bench(testbed::nginx::debian());
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
