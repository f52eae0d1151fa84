//! Services with the label.

use entry_model::{Acceptance, Action, Kind, Reason, ServiceKind};

use crate::support::{Objects, assert_routes, assert_verdict, exposed, object, port, service};

#[test]
fn service_is_served_at_its_name_by_default() {
    let built = Objects::new().service(exposed("volume", [])).service(service("hidden")).translate();
    assert_routes(&built, &["* prefix /volume -> 10.0.0.1:80 http strip (Service shop/volume)"]);
    assert_verdict(&built, &object(Kind::Service, "volume"), Acceptance::Accepted, &[]);
    assert_eq!(built.verdicts.len(), 1, "nothing is said of a Service without the label");
}

#[test]
fn annotations_set_path_host_port_and_policy() {
    let mut all = exposed(
        "volume",
        [
            ("sparrow/backend-protocol", "GRPC"),
            ("sparrow/connect-timeout", "500ms"),
            ("sparrow/host", "Bücher.Example"),
            ("sparrow/keep-alive", "false"),
            ("sparrow/max-body-size", "10m"),
            ("sparrow/path", "/a%20b/"),
            ("sparrow/port", "api"),
            ("sparrow/read-timeout", "2m"),
            ("sparrow/send-timeout", "24h"),
            ("sparrow/ssl-redirect", "false"),
            ("sparrow/strip-prefix", "false"),
            ("sparrowhawk/port", "not ours"),
        ],
    );
    all.ports = vec![port("web", 80), port("api", 8080)];
    let built = Objects::new().service(all).translate();
    assert_routes(
        &built,
        &[
            "xn--bcher-kva.example prefix \"/a b\" -> 10.0.0.1:8080 h2c once connect=500ms read=120s send=86400s body=10485760 \
           (Service shop/volume)",
        ],
    );
    assert_verdict(&built, &object(Kind::Service, "volume"), Acceptance::Accepted, &[]);
}

#[test]
fn invalid_annotation_leaves_the_default_or_closes() {
    let service = exposed(
        "volume",
        [
            ("sparrow/backend-protocol", "gopher"),
            ("sparrow/connect-timeout", "5"),
            ("sparrow/keep-alive", "off"),
            ("sparrow/max-body-size", "9223372036854775808"),
            ("sparrow/read-timeout", "0s"),
            ("sparrow/retries", "3"),
            ("sparrow/send-timeout", "25h"),
            ("sparrow/ssl-redirect", "False"),
            ("sparrow/strip-prefix", "yes"),
        ],
    );
    let built = Objects::new().service(service).translate();
    assert_routes(&built, &["* prefix /volume -> unavailable redirect (Service shop/volume)"]);
    let field = |name: &str| format!("metadata.annotations[sparrow/{name}]");
    let fields = [
        (
            field("backend-protocol"),
            Reason::Invalid,
            "\"gopher\" cannot be used, so requests are answered 503: write `http`",
        ),
        (
            field("connect-timeout"),
            Reason::Invalid,
            "the default stays in force: write a whole number with `ms`, `s`, `m` or `h`",
        ),
        (field("keep-alive"), Reason::Invalid, "so it counts as `false`: write `true` or `false`"),
        (field("max-body-size"), Reason::Invalid, "`0` is without limit"),
        (field("read-timeout"), Reason::Invalid, "from `1ms` to `24h`"),
        (field("retries"), Reason::Unsupported, "there is none of this name"),
        (field("send-timeout"), Reason::Invalid, "from `1ms` to `24h`"),
        (field("ssl-redirect"), Reason::Invalid, "so it counts as `always`: write `true`, `false` or `always`"),
        (field("strip-prefix"), Reason::Invalid, "write `true` or `false`"),
    ];
    let findings: Vec<_> = fields.iter().map(|(field, reason, part)| (field.as_str(), *reason, *part)).collect();
    assert_verdict(&built, &object(Kind::Service, "volume"), Acceptance::Partial, &findings);
}

#[test]
fn service_with_invalid_path_or_host_is_served_nowhere() {
    let built = Objects::new()
        .service(exposed("good", []))
        .service(exposed("host", [("sparrow/host", "a.example.com:8080")]))
        .service(exposed("path", [("sparrow/path", "no-slash")]))
        .translate();
    assert_routes(&built, &["* prefix /good -> 10.0.0.1:80 http strip (Service shop/good)"]);
    let rejected =
        |name, finding| assert_verdict(&built, &object(Kind::Service, name), Acceptance::Rejected, &[finding]);
    rejected(
        "host",
        ("metadata.annotations[sparrow/host]", Reason::Invalid, "without a port. The Service is not served"),
    );
    rejected("path", ("metadata.annotations[sparrow/path]", Reason::Invalid, "write it with a `/` at the front"));
}

#[test]
fn service_without_an_address_is_rejected() {
    let mut headless = exposed("headless", []);
    headless.kind = ServiceKind::Headless;
    headless.cluster_ips.clear();
    let mut external = exposed("external", []);
    external.kind = ServiceKind::ExternalName("metadata.internal".to_owned());
    let mut udp = exposed("udp", []);
    udp.ports[0].protocol = "UDP".to_owned();
    let mut named = exposed("named-udp", [("sparrow/port", "dns")]);
    named.ports.push(port("dns", 53));
    named.ports[1].protocol = "UDP".to_owned();
    let mut zero = exposed("zero", []);
    zero.ports[0].port = 0;
    let built = [headless, external, udp, named, zero].into_iter().fold(Objects::new(), Objects::service).translate();
    assert_routes(&built, &[]);
    let rejected =
        |name, finding| assert_verdict(&built, &object(Kind::Service, name), Acceptance::Rejected, &[finding]);
    rejected("headless", ("spec.type", Reason::Unsupported, "use a Service with a cluster IP"));
    rejected("external", ("spec.type", Reason::Unsupported, "ExternalName is rejected, since"));
    rejected("udp", ("spec.ports", Reason::Unsupported, "no TCP port"));
    rejected("named-udp", ("metadata.annotations[sparrow/port]", Reason::InvalidRef, "53 is no TCP port"));
    rejected("zero", ("spec.ports[0].port", Reason::InvalidRef, "from 1 to 65535"));
}

#[test]
fn rule_answers_503_until_its_service_is_complete() {
    let mut pending = exposed("pending", []);
    pending.cluster_ips.clear();
    let mut port_less = exposed("port-less", [("sparrow/port", "8080")]);
    port_less.ports = vec![port("web", 80), port("admin", 81)];
    let mut nowhere = exposed("nowhere", []);
    nowhere.cluster_ips = vec![[0, 0, 0, 0].into()];
    let built = [pending, port_less, nowhere].into_iter().fold(Objects::new(), Objects::service).translate();
    assert_routes(
        &built,
        &[
            "* prefix /port-less -> unavailable (Service shop/port-less)",
            "* prefix /nowhere -> unavailable (Service shop/nowhere)",
            "* prefix /pending -> unavailable (Service shop/pending)",
        ],
    );
    let partial = |name, finding| assert_verdict(&built, &object(Kind::Service, name), Acceptance::Partial, &[finding]);
    partial("pending", ("spec.clusterIP", Reason::RefNotFound, "no cluster IP yet"));
    let port = "metadata.annotations[sparrow/port]";
    partial("port-less", (port, Reason::RefNotFound, "it has 80 (web), 81 (admin)"));
    partial("nowhere", ("spec.clusterIP", Reason::InvalidRef, "0.0.0.0"));
}

#[test]
fn port_named_http_is_used_else_the_first() {
    let mut http = exposed("http", []);
    http.ports = vec![port("admin", 81), port("http", 80)];
    let mut first = exposed("first", []);
    first.ports = vec![port("dns", 53), port("web", 8080), port("admin", 81)];
    first.ports[0].protocol = "UDP".to_owned();
    let built = Objects::new().service(http).service(first).translate();
    assert_routes(
        &built,
        &[
            "* prefix /first -> 10.0.0.1:8080 http strip (Service shop/first)",
            "* prefix /http -> 10.0.0.1:80 http strip (Service shop/http)",
        ],
    );
    assert_verdict(&built, &object(Kind::Service, "http"), Acceptance::Accepted, &[]);
    let finding = ("spec.ports", Reason::Unsupported, "one of them is served: 8080");
    assert_verdict(&built, &object(Kind::Service, "first"), Acceptance::Accepted, &[finding]);
}

#[test]
fn first_cluster_ip_of_a_dual_stack_service_is_used() {
    let mut dual = exposed("dual", []);
    dual.cluster_ips = vec!["fd00::7".parse().unwrap(), [10, 0, 0, 7].into()];
    let built = Objects::new().service(dual).translate();
    assert_routes(&built, &["* prefix /dual -> [fd00::7]:80 http strip (Service shop/dual)"]);
}

#[test]
fn app_protocol_of_the_port_decides_the_protocol() {
    let names = [
        ("a", Some("http"), "http"),
        ("b", Some("https"), "https"),
        ("c", Some("kubernetes.io/h2c"), "h2c"),
        ("d", Some("kubernetes.io/ws"), "http"),
        ("e", Some("kubernetes.io/wss"), "https"),
        ("f", Some("grpc"), "h2c"),
        ("g", Some("grpcs"), "h2"),
        ("h", Some(""), "http"),
        ("i", None, "http"),
        ("j", Some("redis"), "http"),
    ];
    let mut objects = Objects::new();
    for (name, protocol, _) in names {
        let mut service = exposed(name, []);
        service.ports[0].app_protocol = protocol.map(str::to_owned);
        objects = objects.service(service);
    }
    let built = objects.translate();
    for (rule, (name, _, expected)) in built.routes.hosts.values().flat_map(|host| &host.rules).zip(names) {
        let Action::Forward(forward) = &rule.action else { panic!("{rule:?}") };
        assert_eq!(forward.only_backend().expect("one").protocol.to_string(), expected, "{name}");
    }
    assert_verdict(&built, &object(Kind::Service, "i"), Acceptance::Accepted, &[]);
    let finding = ("spec.ports[0].appProtocol", Reason::Unsupported, "\"redis\" of the port is not known, so HTTP/1.1");
    assert_verdict(&built, &object(Kind::Service, "j"), Acceptance::Accepted, &[finding]);
}

#[test]
fn older_object_gets_a_contested_path() {
    let mut young = exposed("a", [("sparrow/path", "/same/")]);
    young.meta.created = 200;
    let mut old = exposed("b", [("sparrow/path", "/same")]);
    old.meta.created = 100;
    let mut twin = exposed("c", [("sparrow/path", "/same")]);
    twin.meta.created = 100;
    let built = [young, old, twin].into_iter().fold(Objects::new(), Objects::service).translate();
    assert_routes(&built, &["* prefix /same -> 10.0.0.1:80 http strip (Service shop/b)"]);
    let finding = |field| (field, Reason::Conflicted, "The path \"/same\" is taken by Service shop/b, which was first");
    let field = "metadata.annotations[sparrow/path]";
    assert_verdict(&built, &object(Kind::Service, "a"), Acceptance::Rejected, &[finding(field)]);
    assert_verdict(&built, &object(Kind::Service, "b"), Acceptance::Accepted, &[]);
    assert_verdict(&built, &object(Kind::Service, "c"), Acceptance::Rejected, &[finding(field)]);
}
