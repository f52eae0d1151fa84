//! Services of the type `ExternalName` behind an Ingress.

use crate::common::{Bench, CLASS, backend, eventually, ingress, programs};

/// A Service in a namespace, with the rest of its specification, and who may send requests to it.
fn service(name: &str, namespace: &str, spec: &str, from: &str) -> String {
    let annotations =
        if from.is_empty() { String::new() } else { format!(", annotations: {{ sparrow/requests-from: {from} }}") };
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: {namespace}{annotations} }}\nspec: {{ {spec} }}\n"
    )
}

#[test]
fn external_name_leads_to_a_service_that_agrees_and_nowhere_else() {
    let port = backend("auth");
    let (own, ports) =
        (format!("clusterIP: 127.0.0.1, ports: [{{ port: {port} }}]"), format!("ports: [{{ port: {port} }}]"));
    let external = |name: &str, to: &str| {
        service(name, "default", &format!("type: ExternalName, externalName: {to}, {ports}"), "")
    };
    let rejected = [
        "127.0.0.1",
        "127.0.0.2",
        "localhost",
        "10.1.2.3",
        "169.254.169.254",
        "closed.auth.svc",
        "localhost.",
        "\"[::1]\"",
        "www.example.com",
    ];
    let mut objects = vec![
        CLASS.to_owned(),
        service("open", "auth", &own, "default"),
        service("closed", "auth", &own, ""),
        external("to-open", "open.auth.svc.cluster.local"),
        service("without-port", "default", "type: ExternalName, externalName: open.auth.svc", ""),
        format!("---\n{}", ingress("open", "open.example", "to-open", port, None)),
        format!("---\n{}", ingress("without-port", "without-port.example", "without-port", port, None)),
    ];
    for (number, name) in rejected.iter().enumerate() {
        let (service, host) = (format!("to-{number}"), format!("rejected-{number}.example"));
        objects.push(external(&service, name));
        objects.push(format!("---\n{}", ingress(&service, &host, &service, port, None)));
    }
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("all.yaml", &objects.concat());
        let entry = bench.start(&["run"]);
        for host in ["open.example", "without-port.example"] {
            eventually("served", || bench.asks(host, "/x") == (200, "auth".to_owned()));
        }
        for (number, name) in rejected.iter().enumerate() {
            assert_eq!(bench.asks(&format!("rejected-{number}.example"), "/").0, 503, "{name}");
        }
        // Who no longer agrees gets nothing more.
        bench.write(
            "all.yaml",
            &objects.concat().replace("sparrow/requests-from: default", "sparrow/requests-from: other"),
        );
        eventually("closed", || bench.asks("open.example", "/x").0 == 503);
        entry.terminate();
    }
}
