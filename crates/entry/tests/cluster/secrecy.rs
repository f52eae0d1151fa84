//! Private keys are in no Event and in no status, however broken the Secret is that they are in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::common::secrecy::{Broken, Traces};
use crate::common::tls::Certificate;
use crate::common::{debian, eventually};
use crate::support::Tenant;

#[test]
fn no_event_shows_a_part_of_a_key() {
    let own = Certificate::new("any.example");
    let traces = Traces::of([&own]);
    let tenant = Tenant::shared();
    tenant.class();
    tenant.service("cart", 80);
    let contents = Broken::contents(&own);
    for (n, (crt, key)) in contents.iter().enumerate().step_by(5) {
        let name = format!("s{n}");
        let [crt, key] = [crt, key].map(|text| STANDARD.encode(text));
        tenant.apply(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": { "name": name },
            "data": { "tls.crt": crt, "tls.key": key },
        }));
        tenant.ingress_with(&name, &format!("{name}.example"), "cart", 80, Some(&name));
    }
    let mut bench = tenant.bench(&debian());
    bench.flag("--https", bench.https.to_string());
    let (out, _) = bench.ends(1, &["check"]);
    traces.assert_none("check", &out);
    let partial = out.lines().filter(|line| line.contains(": Partial: spec.tls[0].secretName: ")).count();
    assert!(partial > 20, "{out}");
    let entry = bench.start(&["watch"]);
    let warnings = || tenant.events().into_iter().filter(|(_, reason, _)| reason == "Partial").count();
    eventually("all events", || warnings() >= partial);
    let events = tenant.read("/apis/events.k8s.io/v1/namespaces/NS/events").to_string();
    traces.assert_none("Events", &events);
    let ingresses = tenant.read("/apis/networking.k8s.io/v1/namespaces/NS/ingresses").to_string();
    traces.assert_none("statuses", &ingresses);
    traces.assert_none("the log", &entry.log().replace(&bench.path("").display().to_string(), ""));
    entry.terminate();
}
