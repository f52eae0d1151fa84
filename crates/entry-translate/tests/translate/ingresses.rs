//! Ingresses.

use entry_model::{
    Acceptance, Ingress, IngressBackend, IngressPath, Kind, PathType, PortRef, Reason, Request, RoutingDecision,
    Scheme, Service, ServiceKind,
};
use entry_translate::TranslateSettings;

use crate::support::{
    Objects, assert_routes, assert_verdict, backend, class, exact, exposed, ingress, object, port, prefix, rule,
    service, to, with_rule,
};

#[test]
fn hosts_and_paths_lead_to_services() {
    let mut web = ingress("web");
    web.rules = vec![
        rule(Some("a.example.com"), vec![prefix("/"), exact("/x/"), prefix("/longer/")]),
        rule(Some("*.Example.com"), vec![IngressPath { path_type: PathType::ImplementationSpecific, ..prefix("/i") }]),
        rule(None, vec![IngressPath { path: None, ..prefix("") }]),
    ];
    let built = Objects::new().service(service("web")).ingress(web).translate();
    assert_routes(
        &built,
        &[
            "a.example.com exact /x/ -> 10.0.0.1:80 http (Ingress shop/web)",
            "a.example.com prefix /longer -> 10.0.0.1:80 http (Ingress shop/web)",
            "a.example.com prefix / -> 10.0.0.1:80 http (Ingress shop/web)",
            "*.example.com prefix /i -> 10.0.0.1:80 http (Ingress shop/web)",
            "* prefix / -> 10.0.0.1:80 http (Ingress shop/web)",
        ],
    );
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[]);
    assert_eq!(built.verdicts[&object(Kind::Ingress, "web")].observed_generation, 3);

    let origin =
        |host| match built.routes.find(&Request { scheme: Scheme::Http, host, path: "/i/j", ..Request::default() }) {
            RoutingDecision::Rule(rule) => rule.matches.path.text(),
            _ => "none",
        };
    assert_eq!(origin("A.example.com."), "/", "the host's own name");
    assert_eq!(origin("b.example.com"), "/i", "one label more");
    assert_eq!(origin(".example.com"), "/", "an empty label is none");
    assert_eq!(origin("c.b.example.com"), "/", "two labels more: as any other");
    assert_eq!(origin("example.com"), "/", "no label more: as any other");
}

#[test]
fn ingresses_of_other_classes_are_ignored() {
    let of = |name, class: Option<&str>| Ingress {
        class: class.map(str::to_owned),
        ..with_rule(name, None, vec![prefix(&format!("/{name}"))])
    };
    let mut other = class("other");
    other.controller = "example.com/other".to_owned();
    other.default = true;
    let objects = Objects::new()
        .class(other)
        .service(service("web"))
        .ingress(of("ours", Some("sparrow")))
        .ingress(of("theirs", Some("other")))
        .ingress(of("nobodys", Some("missing")))
        .ingress(of("without", None));
    let built = objects.translate();
    assert_routes(&built, &["* prefix /ours -> 10.0.0.1:80 http (Ingress shop/ours)"]);
    assert_eq!(built.verdicts.len(), 1, "nothing is said of what is not ours: {:#?}", built.verdicts);

    let mut default = class("default");
    default.default = true;
    let built = objects.class(default).translate();
    assert_eq!(built.routes.to_string().lines().count(), 2);
    assert_verdict(&built, &object(Kind::Ingress, "without"), Acceptance::Accepted, &[]);
    assert_eq!(built.verdicts.len(), 2);
}

#[test]
fn backend_port_is_found_by_number_or_name() {
    let mut web = service("web");
    web.ports = vec![port("http", 8080), port("dns", 53), port("dns-tcp", 53)];
    web.ports[1].protocol = "UDP".to_owned();
    let path = |path: &str, port| IngressPath {
        backend: IngressBackend::Service { name: "web".to_owned(), port },
        ..exact(path)
    };
    let name = |name: &str| PortRef::Name(name.to_owned());
    let paths = vec![
        path("/a", name("http")),
        path("/b", PortRef::Number(8080)),
        path("/c", PortRef::Number(53)),
        path("/d", name("dns")),
        path("/e", name("HTTP")),
        path("/f", name("")),
    ];
    let built = Objects::new().service(web).ingress(with_rule("web", None, paths)).translate();
    assert_routes(
        &built,
        &[
            "* exact /a -> 10.0.0.1:8080 http (Ingress shop/web)",
            "* exact /b -> 10.0.0.1:8080 http (Ingress shop/web)",
            "* exact /c -> 10.0.0.1:53 http (Ingress shop/web)",
            "* exact /d -> unavailable (Ingress shop/web)",
            "* exact /e -> unavailable (Ingress shop/web)",
            "* exact /f -> unavailable (Ingress shop/web)",
        ],
    );
    let field = |n| format!("spec.rules[0].http.paths[{n}].backend.service.port");
    assert_verdict(
        &built,
        &object(Kind::Ingress, "web"),
        Acceptance::Partial,
        &[
            (&field(3), Reason::InvalidRef, "Service shop/web: The port 53 is no TCP port"),
            (&field(4), Reason::RefNotFound, "it has 8080 (http), 53 (dns), 53 (dns-tcp)"),
            (&field(5), Reason::RefNotFound, "answered 503"),
        ],
    );
}

#[test]
fn rule_without_a_reachable_backend_answers_503() {
    let mut headless = service("headless");
    headless.kind = ServiceKind::Headless;
    let mut external = service("external");
    external.kind = ServiceKind::ExternalName("localhost".to_owned());
    let mut pending = service("pending");
    pending.cluster_ips.clear();
    let resource = IngressBackend::Resource { kind: "Bucket".to_owned(), name: "static".to_owned() };
    let paths = vec![
        to(exact("/external"), "external"),
        to(exact("/headless"), "headless"),
        to(exact("/missing"), "missing"),
        to(exact("/pending"), "pending"),
        IngressPath { backend: resource, ..exact("/resource") },
        exact("/web"),
    ];
    let built = [headless, external, pending, service("web")]
        .into_iter()
        .fold(Objects::new(), Objects::service)
        .ingress(with_rule("web", None, paths))
        .translate();
    assert_routes(
        &built,
        &[
            "* exact /external -> unavailable (Ingress shop/web)",
            "* exact /headless -> unavailable (Ingress shop/web)",
            "* exact /missing -> unavailable (Ingress shop/web)",
            "* exact /pending -> unavailable (Ingress shop/web)",
            "* exact /resource -> unavailable (Ingress shop/web)",
            "* exact /web -> 10.0.0.1:80 http (Ingress shop/web)",
        ],
    );
    let field = |n, part| format!("spec.rules[0].http.paths[{n}].backend{part}");
    assert_verdict(
        &built,
        &object(Kind::Ingress, "web"),
        Acceptance::Partial,
        &[
            (&field(0, ".service.name"), Reason::Invalid, "it is no name of a server"),
            (&field(1, ".service.name"), Reason::Unsupported, "headless"),
            (&field(2, ".service.name"), Reason::RefNotFound, "There is no Service shop/missing"),
            (&field(3, ".service.name"), Reason::RefNotFound, "no cluster IP yet"),
            (&field(4, ".resource"), Reason::Unsupported, "\"Bucket\" \"static\", which is not supported"),
        ],
    );
}

#[test]
fn service_of_another_namespace_is_not_reached() {
    let mut elsewhere = service("web");
    elsewhere.meta.namespace = "other".to_owned();
    let built = Objects::new().service(elsewhere).ingress(with_rule("web", None, vec![prefix("/")])).translate();
    assert_routes(&built, &["* prefix / -> unavailable (Ingress shop/web)"]);
}

#[test]
fn invalid_rule_leaves_the_others_served() {
    let mut web = ingress("web");
    let unknown = IngressPath { path_type: PathType::Unknown("Regex".to_owned()), ..prefix("/r") };
    web.rules = vec![
        rule(Some("10.0.0.1"), vec![prefix("/")]),
        rule(Some("a.example.com"), vec![prefix("/a?b"), unknown, prefix("/good")]),
        rule(Some("b.example.com"), vec![]),
    ];
    web.meta.annotations.insert("sparrow/path".to_owned(), "/x".to_owned());
    web.meta.annotations.insert("sparrow/read-timeout".to_owned(), "7s".to_owned());
    web.meta.annotations.insert("sparrow/strip-prefix".to_owned(), "true".to_owned());
    let built = Objects::new().service(service("web")).ingress(web).translate();
    assert_routes(&built, &["a.example.com prefix /good -> 10.0.0.1:80 http strip read=7s (Ingress shop/web)"]);
    assert_verdict(
        &built,
        &object(Kind::Ingress, "web"),
        Acceptance::Partial,
        &[
            ("metadata.annotations[sparrow/path]", Reason::Unsupported, "an Ingress has fields for that"),
            ("spec.rules[0].host", Reason::Invalid, "it is an address"),
            ("spec.rules[1].http.paths[0].path", Reason::Invalid, "write what is before them"),
            ("spec.rules[1].http.paths[1].pathType", Reason::Invalid, "\"Regex\" is not known"),
            ("spec.rules[2].http.paths", Reason::Invalid, "no paths"),
        ],
    );
}

#[test]
fn empty_ingress_is_rejected() {
    let built = Objects::new().ingress(ingress("empty")).translate();
    let finding = ("spec", Reason::Invalid, "neither rules nor a default backend");
    assert_verdict(&built, &object(Kind::Ingress, "empty"), Acceptance::Rejected, &[finding]);
}

#[test]
fn default_backend_serves_unmatched_paths_of_its_hosts() {
    let mut web = ingress("web");
    web.default_backend = Some(backend("rest"));
    web.rules = vec![
        rule(Some("a.example.com"), vec![prefix("/a")]),
        rule(Some("b.example.com"), vec![prefix("/")]),
        rule(Some("c.example.com"), vec![]),
        rule(Some("d.example.com"), vec![]),
    ];
    // Younger, and yet it comes before a default backend, since it names the path.
    let mut other = with_rule("other", Some("d.example.com"), vec![prefix("/")]);
    other.meta.created = 100;
    let mut rest = service("rest");
    rest.cluster_ips = vec![[10, 0, 0, 2].into()];
    let built = Objects::new().service(service("web")).service(rest).ingress(web).ingress(other).translate();
    assert_routes(
        &built,
        &[
            "a.example.com prefix /a -> 10.0.0.1:80 http (Ingress shop/web)",
            "a.example.com prefix / -> 10.0.0.2:80 http (Ingress shop/web)",
            "b.example.com prefix / -> 10.0.0.1:80 http (Ingress shop/web)",
            "c.example.com prefix / -> 10.0.0.2:80 http (Ingress shop/web)",
            "d.example.com prefix / -> 10.0.0.1:80 http (Ingress shop/other)",
        ],
    );
    let part = "The path \"/\" of the host \"d.example.com\" is taken by Ingress shop/other";
    let finding = ("spec.defaultBackend", Reason::Conflicted, part);
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &[finding]);
}

#[test]
fn default_backend_without_rules_serves_unmatched_requests() {
    let global = |name, created| {
        let mut ingress = Ingress { default_backend: Some(backend("web")), ..ingress(name) };
        ingress.meta.created = created;
        ingress
    };
    let built = Objects::new()
        .service(service("web"))
        .ingress(global("a-young", 200))
        .ingress(global("z-old", 100))
        .ingress(with_rule("web", Some("a.example.com"), vec![exact("/a")]))
        .translate();
    assert_routes(
        &built,
        &[
            "a.example.com exact /a -> 10.0.0.1:80 http (Ingress shop/web)",
            "default -> 10.0.0.1:80 http (Ingress shop/z-old)",
        ],
    );
    for host in ["a.example.com", "b.example.com"] {
        let found = built.routes.find(&Request { scheme: Scheme::Http, host, path: "/other", ..Request::default() });
        assert_eq!(found, RoutingDecision::Rule(built.routes.default.as_ref().unwrap()), "{host}");
    }
    assert_verdict(&built, &object(Kind::Ingress, "z-old"), Acceptance::Accepted, &[]);
    let finding = ("spec.defaultBackend", Reason::Conflicted, "Ingress shop/z-old was first");
    assert_verdict(&built, &object(Kind::Ingress, "a-young"), Acceptance::Rejected, &[finding]);
}

#[test]
fn oldest_claim_of_a_path_wins() {
    let created = |mut ingress: Ingress, created| {
        ingress.meta.created = created;
        ingress
    };
    let first = with_rule(
        "z-first",
        Some("a.example.com"),
        vec![prefix("/same"), exact("/same"), to(prefix("/same/"), "other")],
    );
    let other = Service { cluster_ips: vec![[10, 0, 0, 2].into()], ..service("other") };
    let second = with_rule("a-second", Some("A.example.com"), vec![prefix("/%73ame"), prefix("/own")]);
    let built = Objects::new()
        .service(service("web"))
        .service(other)
        .service(exposed("s", [("sparrow/host", "a.example.com"), ("sparrow/path", "/own")]))
        .ingress(created(first, 100))
        .ingress(created(second, 200))
        .translate();
    assert_routes(
        &built,
        &[
            "a.example.com exact /same -> 10.0.0.1:80 http (Ingress shop/z-first)",
            "a.example.com prefix /same -> 10.0.0.1:80 http (Ingress shop/z-first)",
            "a.example.com prefix /own -> 10.0.0.1:80 http strip (Service shop/s)",
        ],
    );
    let field = |n| format!("spec.rules[0].http.paths[{n}].path");
    let own = "is in this object already, and the first stays in force";
    assert_verdict(
        &built,
        &object(Kind::Ingress, "z-first"),
        Acceptance::Partial,
        &[(&field(2), Reason::Conflicted, own)],
    );
    assert_verdict(
        &built,
        &object(Kind::Ingress, "a-second"),
        Acceptance::Rejected,
        &[
            (
                &field(0),
                Reason::Conflicted,
                "the host \"a.example.com\" is taken by Ingress shop/z-first, which was first",
            ),
            (&field(1), Reason::Conflicted, "is taken by Service shop/s"),
        ],
    );
}

#[test]
fn path_that_is_written_twice_loses_nothing_if_both_lead_to_the_same() {
    let twice = with_rule("web", Some("a.example.com"), vec![prefix("/same"), prefix("/same/")]);
    let built = Objects::new().service(service("web")).ingress(twice).translate();
    assert_routes(&built, &["a.example.com prefix /same -> 10.0.0.1:80 http (Ingress shop/web)"]);
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[]);
}

#[test]
fn ingress_nginx_annotation_is_reported() {
    let mut web = with_rule("web", None, vec![prefix("/")]);
    for name in ["proxy-read-timeout", "stream-snippet"] {
        web.meta.annotations.insert(format!("nginx.ingress.kubernetes.io/{name}"), "60".to_owned());
    }
    web.meta.annotations.insert("example.com/other".to_owned(), "60".to_owned());
    let built = Objects::new().service(service("web")).ingress(web.clone()).translate();
    let field = |name: &str| format!("metadata.annotations[nginx.ingress.kubernetes.io/{name}]");
    let (snippet, timeout) = (field("stream-snippet"), field("proxy-read-timeout"));
    assert_verdict(
        &built,
        &object(Kind::Ingress, "web"),
        Acceptance::Partial,
        &[(&snippet, Reason::Unsupported, "no text of an object becomes configuration")],
    );
    assert_routes(&built, &["* prefix / -> 10.0.0.1:80 http read=60s (Ingress shop/web)"]);
    let settings = TranslateSettings { follows_ingress_nginx: false, ..TranslateSettings::default() };
    let built = Objects::new().service(service("web")).ingress(web).translate_with(&settings);
    let off = "`--ingress-nginx-annotations off` says so";
    assert_verdict(
        &built,
        &object(Kind::Ingress, "web"),
        Acceptance::Partial,
        &[
            (&timeout, Reason::Unsupported, off),
            (&snippet, Reason::Unsupported, "no text of an object becomes configuration"),
        ],
    );
    assert_routes(&built, &["* prefix / -> 10.0.0.1:80 http (Ingress shop/web)"]);
}
