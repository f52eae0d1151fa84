//! Requests that go to the endpoints of Services.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use entry_model::EndpointState::{Draining, Ready};
use entry_model::{
    Acceptance, BackendMode, EndpointState, EndpointsId, IpFamily, Key, Kind, ObjectRef, Reason, Service, ServiceKind,
    SlicePort, Snapshot,
};
use entry_translate::{PolicyDefaults, TranslateSettings, Translation, Translator, translate};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::properties::{any_service, any_slice};
use crate::support::{
    Objects, assert_routes, assert_verdict, exposed, key, object, port, prefix, rule, service, settings, slice, texts,
    to, with_rule,
};

const ENDPOINTS: [(&str, &str); 1] = [("sparrow/backends", "endpoints")];

/// As with `--backends endpoints`.
fn to_endpoints() -> TranslateSettings {
    let defaults = PolicyDefaults { backends: BackendMode::Endpoints, ..PolicyDefaults::default() };
    TranslateSettings { defaults, ..settings() }
}

/// The endpoints of a port of a Service.
fn found<'a>(built: &'a Translation, service: &str, port: u16) -> &'a [SocketAddr] {
    let id = EndpointsId { service: Arc::new(key("shop", service)), port };
    built.routes.endpoints.get(&id).expect("endpoints")
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

#[test]
fn annotation_of_ingress_decides_before_that_of_service_and_the_flag() {
    let with = |name: &str, annotations| Service { meta: exposed(name, annotations).meta, ..service(name) };
    let mut asking = with("asking", ENDPOINTS);
    let mut refusing = with("refusing", [("sparrow/backends", "cluster-ip")]);
    for service in [&mut asking, &mut refusing] {
        service.meta.labels.clear();
    }
    let paths = || {
        ["asking", "plain", "refusing"]
            .map(|name| to(prefix(&format!("/{name}")), name))
            .into_iter()
            .collect::<Vec<_>>()
    };
    let silent = with_rule("silent", Some("silent.example.com"), paths());
    let mut insisting = with_rule("insisting", Some("insisting.example.com"), paths());
    insisting.meta.annotations = texts(ENDPOINTS);
    let objects = Objects::new().service(asking).service(refusing).service(service("plain"));
    let objects = objects.ingress(silent).ingress(insisting);
    let backends = |built: &Translation, host: &str| -> Vec<bool> {
        let text = built.routes.to_string();
        let lines = text.lines().filter(|line| line.starts_with(host));
        lines.map(|line| line.contains("-> endpoints of shop/")).collect()
    };
    // In the order of their paths: refusing, asking, plain.
    let built = objects.translate();
    assert_eq!(backends(&built, "silent"), [false, true, false], "{}", built.routes);
    assert_eq!(backends(&built, "insisting"), [true, true, true], "{}", built.routes);
    let built = objects.translate_with(&to_endpoints());
    assert_eq!(backends(&built, "silent"), [false, true, true], "{}", built.routes);
}

#[test]
fn ready_endpoints_of_all_slices_get_requests() {
    let objects = Objects::new()
        .service(exposed("web", ENDPOINTS))
        .slice(slice("web-1", "web", [("10.1.0.2", Ready), ("10.1.0.3", Draining)]))
        .slice(slice("web-2", "web", [("10.1.0.1", Ready), ("10.1.0.2", Ready)]))
        .slice(slice("other-1", "other", [("10.1.0.9", Ready)]));
    let built = objects.translate();
    assert_routes(
        &built,
        &[
            "* prefix /web -> endpoints of shop/web:80 http strip (Service shop/web)",
            "endpoints of shop/web:80: 10.1.0.1:8080 10.1.0.2:8080",
        ],
    );
    assert_verdict(&built, &object(Kind::Service, "web"), Acceptance::Accepted, &[]);
}

#[test]
fn draining_endpoints_get_requests_only_while_none_is_ready() {
    let objects = |state| {
        Objects::new().service(exposed("web", ENDPOINTS)).slice(slice(
            "web-1",
            "web",
            [("10.1.0.1", Draining), ("10.1.0.2", state)],
        ))
    };
    assert_eq!(found(&objects(Ready).translate(), "web", 80), addresses(&["10.1.0.2:8080"]));
    assert_eq!(found(&objects(Draining).translate(), "web", 80), addresses(&["10.1.0.1:8080", "10.1.0.2:8080"]));
}

#[test]
fn service_without_a_ready_endpoint_is_answered_503_and_reported() {
    let built = Objects::new()
        .service(exposed("web", ENDPOINTS))
        .ingress(with_rule("shop", Some("a.example.com"), vec![prefix("/")]))
        .translate();
    assert_routes(
        &built,
        &[
            "a.example.com prefix / -> endpoints of shop/web:80 http (Ingress shop/shop)",
            "* prefix /web -> endpoints of shop/web:80 http strip (Service shop/web)",
            "endpoints of shop/web:80: none",
        ],
    );
    let finding = ("spec", Reason::RefNotFound, "Service shop/web has no endpoint for its port 80 that is ready");
    assert_verdict(&built, &object(Kind::Service, "web"), Acceptance::Accepted, &[finding]);
    assert_verdict(&built, &object(Kind::Ingress, "shop"), Acceptance::Accepted, &[finding]);
}

#[test]
fn each_slice_has_its_own_number_for_a_named_port() {
    let mut web = exposed("web", [("sparrow/backends", "endpoints"), ("sparrow/port", "http")]);
    web.ports = vec![port("http", 80), port("admin", 81)];
    let named = |name: &str, address: &str, number: u16| {
        let ports = [("admin", 9000), ("http", number)].map(|(name, port)| SlicePort { name: name.to_owned(), port });
        entry_model::EndpointSlice { ports: ports.into(), ..slice(name, "web", [(address, Ready)]) }
    };
    let built = Objects::new()
        .service(web)
        .slice(named("web-1", "10.1.0.1", 8080))
        .slice(named("web-2", "10.1.0.2", 8081))
        .translate();
    assert_eq!(found(&built, "web", 80), addresses(&["10.1.0.1:8080", "10.1.0.2:8081"]));
}

#[test]
fn first_family_of_a_dual_stack_service_is_used() {
    let web = |family| Service { family, ..exposed("web", ENDPOINTS) };
    let slices = |objects: Objects| {
        objects.slice(slice("web-4", "web", [("10.1.0.1", Ready)])).slice(slice("web-6", "web", [("fd01::1", Ready)]))
    };
    let built = slices(Objects::new().service(web(IpFamily::V6))).translate();
    assert_eq!(found(&built, "web", 80), addresses(&["[fd01::1]:8080"]));
    let built = slices(Objects::new().service(web(IpFamily::V4))).translate();
    assert_eq!(found(&built, "web", 80), addresses(&["10.1.0.1:8080"]));
}

#[test]
fn headless_service_is_served_at_its_endpoints() {
    let headless = Service { kind: ServiceKind::Headless, cluster_ips: Vec::new(), ..exposed("web", ENDPOINTS) };
    let built = Objects::new().service(headless).slice(slice("web-1", "web", [("10.1.0.1", Ready)])).translate();
    assert_routes(
        &built,
        &[
            "* prefix /web -> endpoints of shop/web:80 http strip (Service shop/web)",
            "endpoints of shop/web:80: 10.1.0.1:8080",
        ],
    );
    assert_verdict(&built, &object(Kind::Service, "web"), Acceptance::Accepted, &[]);
}

#[test]
fn service_of_another_name_is_never_served_at_its_endpoints() {
    let kind = ServiceKind::ExternalName("metadata.internal".to_owned());
    let external = Service { kind, ..exposed("web", ENDPOINTS) };
    let built = Objects::new().service(external).slice(slice("web-1", "web", [("10.1.0.1", Ready)])).translate();
    assert_routes(&built, &[]);
}

#[test]
fn name_in_dns_has_the_endpoints_that_were_found() {
    let external = |name: &str, ports| Service {
        kind: ServiceKind::ExternalName("www.example.com".to_owned()),
        cluster_ips: Vec::new(),
        ports,
        ..service(name)
    };
    let objects = || {
        let ports = service("named").ports;
        let paths = vec![to(prefix("/named"), "named"), to(prefix("/any"), "any")];
        Objects::new().service(external("named", ports)).service(external("any", Vec::new())).ingress(with_rule(
            "web",
            Some("a.example"),
            paths,
        ))
    };
    let built = objects().translate();
    assert_eq!(found(&built, "named", 80), []);
    assert_verdict(
        &built,
        &object(Kind::Ingress, "web"),
        Acceptance::Accepted,
        &[
            ("spec", Reason::RefNotFound, "leads to the name \"www.example.com\""),
            ("spec", Reason::RefNotFound, "leads to the name \"www.example.com\""),
        ],
    );
    let mut translator = Translator::default();
    let settings = settings();
    let looked_up = |address: &str| {
        objects().slice(slice("named in DNS", "named", [(address, Ready)])).slice(slice(
            "any in DNS",
            "any",
            [(address, Ready)],
        ))
    };
    // At the port of the Service, else at that of the Ingress, whatever a slice says; and so after each change.
    for address in ["192.0.2.1", "192.0.2.2"] {
        let built = translator.translate(&looked_up(address).0, &settings);
        for service in ["named", "any"] {
            assert_eq!(found(&built, service, 80), addresses(&[&format!("{address}:80")]), "{service}");
        }
        assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[]);
    }
}

#[test]
fn endpoints_beyond_the_bound_are_left_out_and_reported() {
    let many = (0..1200_u32).map(|number| {
        let address = std::net::Ipv4Addr::from(0x0a01_0000 + number).into();
        entry_model::SliceEndpoint { address, state: Ready }
    });
    let many = entry_model::EndpointSlice { endpoints: many.collect(), ..slice("web-1", "web", []) };
    let built = Objects::new().service(exposed("web", ENDPOINTS)).slice(many).translate();
    assert_eq!(found(&built, "web", 80).len(), 1000);
    let finding = ("spec", Reason::BoundExceeded, "the 1000 to which requests are sent; 200 get none");
    assert_verdict(&built, &object(Kind::Service, "web"), Acceptance::Partial, &[finding]);
}

#[test]
fn unusable_annotation_of_a_service_is_reported_to_the_ingress_that_names_it() {
    let mut web = service("web");
    web.meta.annotations = texts([("sparrow/backends", "pods")]);
    let built =
        Objects::new().service(web).ingress(with_rule("shop", Some("a.example.com"), vec![prefix("/")])).translate();
    assert_routes(&built, &["a.example.com prefix / -> 10.0.0.1:80 http (Ingress shop/shop)"]);
    let field = "spec.rules[0].http.paths[0].backend.service.name";
    let finding = (field, Reason::Invalid, "\"pods\" of its annotation sparrow/backends cannot be used");
    assert_verdict(&built, &object(Kind::Ingress, "shop"), Acceptance::Accepted, &[finding]);
}

#[test]
fn change_of_endpoints_changes_no_host() {
    let mut snapshot = Snapshot::default();
    snapshot.put(crate::support::class("sparrow"));
    for name in ["web", "other"] {
        snapshot.put(service(name));
        snapshot.put(slice(&format!("{name}-1"), name, [("10.1.0.1", Ready)]));
    }
    for number in 0..100 {
        let paths = vec![prefix("/"), to(prefix("/other"), "other")];
        let rules = vec![rule(Some(&format!("host-{number}.example.com")), paths)];
        snapshot.put(entry_model::Ingress { rules, ..crate::support::ingress(&format!("web-{number}")) });
    }
    let (mut translator, settings) = (Translator::default(), to_endpoints());
    let before = translator.translate(&snapshot, &settings).routes;
    snapshot.put(slice("web-1", "web", [("10.1.0.1", Ready), ("10.1.0.2", Ready)]));
    let after = translator.translate(&snapshot, &settings).routes;
    assert!(after.hosts.changed_keys(&before.hosts, Arc::ptr_eq).is_empty());
    let changed: Vec<_> = after.endpoints.changed_keys(&before.endpoints, Arc::ptr_eq);
    assert_eq!(changed.into_iter().map(ToString::to_string).collect::<Vec<_>>(), ["shop/web:80"]);
    // One that gets no requests is nothing new.
    snapshot.put(slice("web-2", "web", [("10.1.0.3", Draining)]));
    let last = translator.translate(&snapshot, &settings).routes;
    assert!(last.endpoints.changed_keys(&after.endpoints, Arc::ptr_eq).is_empty());
}

/// What the endpoints of a port are by their definition, written down anew.
fn by_definition(snapshot: &Snapshot, service: &Service, number: u16) -> Vec<SocketAddr> {
    let name = service.ports.iter().find(|port| port.port == number && port.protocol == "TCP").map(|port| &port.name);
    let of_state = |wanted: EndpointState| {
        let mut all = BTreeSet::new();
        for slice in snapshot.endpoint_slices.values() {
            let is_own = slice.meta.namespace == service.meta.namespace && slice.service == service.meta.name;
            for port in slice.ports.iter().filter(|port| is_own && Some(&port.name) == name) {
                let endpoints = slice.endpoints.iter().filter(|endpoint| endpoint.state == wanted);
                let of_family = endpoints.filter(|endpoint| match service.family {
                    IpFamily::V4 => endpoint.address.is_ipv4(),
                    IpFamily::V6 => endpoint.address.is_ipv6(),
                });
                all.extend(of_family.map(|endpoint| SocketAddr::new(endpoint.address, port.port)));
            }
        }
        all
    };
    let ready = of_state(Ready);
    if ready.is_empty() { of_state(Draining) } else { ready }.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn endpoints_are_those_of_their_definition(services in vec(any_service(), 1..6), slices in vec(any_slice(), 0..8)) {
        let mut snapshot = Snapshot::default();
        for service in services {
            snapshot.put(service);
        }
        for slice in slices {
            snapshot.put(slice);
        }
        let built = translate(&snapshot, &to_endpoints());
        for (id, found) in &built.routes.endpoints {
            let Key { namespace, name } = &*id.service;
            let service = &snapshot.services[&key(namespace, name)];
            prop_assert_eq!(&**found, by_definition(&snapshot, service, id.port));
            let service = ObjectRef { kind: Kind::Service, key: Arc::clone(&id.service) };
            prop_assert!(built.verdicts.contains_key(&service));
        }
    }
}
