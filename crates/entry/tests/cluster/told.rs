//! What the cluster is told, and what is said when rights are missing. Nothing is asked of nginx here: the addresses of
//! Services are nobody's.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::common::{Bench, debian, eventually, until};
use crate::support::Tenant;

#[test]
fn rejected_ingress_gets_an_event_and_no_address() {
    let tenant = Tenant::shared();
    tenant.class();
    tenant.node("1", "203.0.113.1", true);
    tenant.service("cart", 80);
    tenant.ingress("first", "web.example", "cart", 80);
    let bench = tenant.bench(&debian());
    let entry = bench.start(&["watch"]);
    eventually("its address", || tenant.addresses("first") == ["203.0.113.1"]);
    // A creation time has whole seconds: of one second, the first by name would win, which is the same one here.
    tenant.ingress("second", "web.example", "cart", 80);
    let (name, reason, note) = until("an event", || tenant.events().into_iter().find(|(name, ..)| name == "second"));
    assert_eq!((name.as_str(), reason.as_str()), ("second", "Rejected"));
    assert!(note.contains("first") && note.contains("Conflicted"), "{note}");
    assert_eq!(tenant.addresses("second"), Vec::<String>::new());
    // Only once.
    sleep(Duration::from_secs(3));
    assert_eq!(tenant.events().iter().filter(|(name, ..)| name == "second").count(), 1);
    assert_eq!(entry.count("events_written"), tenant.events().len() as u64);
    assert_eq!(entry.count("writes_failed"), 0, "the rights are enough");
    // Its turn.
    tenant.delete("/apis/networking.k8s.io/v1/namespaces/NS/ingresses/first");
    eventually("its address", || tenant.addresses("second") == ["203.0.113.1"]);
    eventually("an event", || tenant.events().iter().any(|(name, reason, _)| name == "second" && reason == "Accepted"));
    let (out, _) = bench.ends(0, &["check"]);
    assert!(out.ends_with(" 0 not served as asked for\n"), "{out}");
    entry.terminate();
}

#[test]
fn generate_reads_the_api_server() {
    let tenant = Tenant::shared();
    tenant.service("cart", 8081);
    tenant.apply(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "pods", "labels": { "sparrow/expose": "true" } },
        "spec": { "clusterIP": "None", "ports": [{ "port": 8082 }] },
    }));
    tenant.apply(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "hidden" }, "spec": { "ports": [{ "port": 8083 }] },
    }));
    let bench = tenant.bench(&debian());
    bench.ends(0, &["generate"]);
    assert!(bench.has_in_table(":8081"));
    assert!(!bench.has_in_table("hidden") && !bench.has_in_table(":8083"));
    let (out, _) = bench.ends(1, &["check"]);
    let name = format!("Service {}/pods: ", tenant.namespace);
    assert!(out.contains(&name) && out.ends_with("2 objects, 1 not served as asked for\n"), "{out}");
    // `generate` and `check` write nothing into the cluster.
    assert!(tenant.events().is_empty());
    let leases = tenant.read("/apis/coordination.k8s.io/v1/namespaces/NS/leases");
    assert_eq!(leases["items"], json!([]));
}

#[test]
fn missing_right_is_reported_with_its_rule() {
    let tenant = Tenant::shared();
    tenant.service("cart", 80);
    // Of another namespace it may read nothing.
    let mut bench = tenant.bench(&debian());
    bench.flag("--namespace", "default".to_owned());
    let (_, err) = bench.ends(2, &["generate"]);
    assert!(err.contains("cannot list") && err.contains("its role needs the rule"), "{err}");
    assert!(!bench.path("volume/offered").exists(), "half of the objects are no configuration");
    let entry = bench.start_unready(&["run"]);
    let body = until("told", || {
        let body = entry.admin("/readyz").map(|answer| answer.text());
        body.filter(|body| body.contains("Service: ") && body.contains("Ingress: "))
    });
    let rule = "its role needs the rule apiGroups [\"\"], resources [\"services\"], verbs [\"list\", \"watch\"]";
    assert!(body.starts_with("no configuration is served yet") && body.contains(rule), "{body}");
    // It is logged once, however often it is tried again.
    assert_eq!(entry.log().matches("resources [\\\"services\\\"]").count(), 1);
    assert!(entry.metric("source_failing{kind=\"Service\"}") > 0.0);
    entry.terminate();
}

#[test]
fn missing_kubeconfig_is_reported_with_the_flags_to_set() {
    let mut bench = Bench::without_source(&debian());
    let missing = bench.path("nowhere");
    bench.flag("--kubeconfig", missing.display().to_string());
    for command in ["generate", "run", "render", "check"] {
        let (_, err) = bench.ends(2, &[command]);
        assert!(err.contains("no API server is known") && err.contains("--from"), "{err}");
        assert!(err.contains(missing.to_str().unwrap()), "{err}");
    }
}
