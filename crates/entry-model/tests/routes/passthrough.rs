//! TLS connections that go to a backend as they come.

use std::sync::Arc;

use entry_model::{Host, HostName, ListenerId, Match, Routes, TlsPassthrough};

use super::support::{backend, object, rule};

/// Routes in which some hosts are passed through, each to a port of its own, and some are not.
fn routes() -> Routes {
    let mut routes = Routes::default();
    let exact = |name: &str| HostName::Exact(name.to_owned());
    let wild = |parent: &str| HostName::OneLabel(parent.to_owned());
    for (name, port) in [
        (exact("a.example"), Some(1)),
        (wild("wild.example"), Some(2)),
        (exact("own.wild.example"), None),
        (exact("gone.example"), Some(0)),
        (HostName::Any, None),
    ] {
        let host = Host { rules: vec![rule("web", Match::any())].into(), ..Host::default() };
        routes.hosts.insert(name.clone(), Arc::new(host));
        if let Some(port) = port {
            let backend = (port > 0).then(|| backend(port).address);
            routes.tls_passthrough.insert(name, TlsPassthrough { backend, origin: object("web") });
        }
    }
    routes
}

#[test]
fn tls_connection_goes_where_the_best_host_of_its_name_is_passed_through() {
    let routes = routes();
    let found = |name: &str| {
        let backend = routes.find_passthrough(ListenerId(0), name)?;
        backend.cluster_ip().map(|address| address.port())
    };
    for (name, port) in [
        ("a.example", Some(1)),
        ("A.Example", Some(1)),
        ("a.example.", Some(1)),
        ("b.example", None),
        ("x.wild.example", Some(2)),
        ("own.wild.example", None),
        ("x.y.wild.example", None),
        ("wild.example", None),
        ("gone.example", None),
        ("", None),
        (".", None),
    ] {
        assert_eq!(found(name), port, "{name:?}");
    }
    let text = routes.to_string();
    assert!(text.contains("a.example tls passthrough -> 10.0.0.1:1 (Ingress shop/web)\n"), "{text}");
    assert!(text.contains("gone.example tls passthrough -> unavailable (Ingress shop/web)\n"), "{text}");
}

#[test]
fn routes_that_pass_other_hosts_through_are_others() {
    let mut other = routes();
    other.tls_passthrough.remove(&HostName::Exact("a.example".to_owned()));
    assert_ne!(routes(), other);
    assert_eq!(routes(), routes());
}
