//! Matching of paths, by the table of examples in the Kubernetes documentation of Ingress ("Path types").

use entry_model::{Action, Ingress, Kind, Meta, Request, RoutingDecision, Scheme};

use crate::support::{Objects, exact, exposed, prefix, service, with_rule};

/// The path of the rule that a path of a request gets, with a mark of its kind.
fn matched(rules: &[(&str, &str)], request: &str) -> Option<String> {
    let paths = rules.iter().map(|(kind, path)| if *kind == "exact" { exact(path) } else { prefix(path) });
    let objects =
        Objects::new().service(service("web")).ingress(with_rule("web", Some("a.example.com"), paths.collect()));
    let built = objects.translate();
    let request = Request { scheme: Scheme::Http, host: "a.example.com", path: request, ..Request::default() };
    match built.routes.find(&request) {
        RoutingDecision::Rule(rule) => Some(match &rule.matches.path {
            entry_model::PathMatch::Exact(path) => format!("exact {path}"),
            entry_model::PathMatch::Prefix(path) => format!("prefix {path}"),
            entry_model::PathMatch::Regex(pattern) => format!("regex {}", pattern.text()),
        }),
        RoutingDecision::NotFound => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn paths_match_as_the_ingress_specification_says() {
    type Row = (&'static [(&'static str, &'static str)], &'static str, Option<&'static str>);
    let table: &[Row] = &[
        (&[("prefix", "/")], "/any/path", Some("prefix /")),
        (&[("exact", "/foo")], "/foo", Some("exact /foo")),
        (&[("exact", "/foo")], "/bar", None),
        (&[("exact", "/foo")], "/foo/", None),
        (&[("exact", "/foo/")], "/foo", None),
        (&[("exact", "/foo/")], "/foo/", Some("exact /foo/")),
        (&[("prefix", "/foo")], "/foo", Some("prefix /foo")),
        (&[("prefix", "/foo")], "/foo/", Some("prefix /foo")),
        (&[("prefix", "/foo/")], "/foo", Some("prefix /foo")),
        (&[("prefix", "/foo/")], "/foo/", Some("prefix /foo")),
        (&[("prefix", "/aaa/bb")], "/aaa/bbb", None),
        (&[("prefix", "/aaa/bbb")], "/aaa/bbb", Some("prefix /aaa/bbb")),
        (&[("prefix", "/aaa/bbb/")], "/aaa/bbb", Some("prefix /aaa/bbb")),
        (&[("prefix", "/aaa/bbb")], "/aaa/bbb/", Some("prefix /aaa/bbb")),
        (&[("prefix", "/aaa/bbb")], "/aaa/bbb/ccc", Some("prefix /aaa/bbb")),
        (&[("prefix", "/aaa/bbb")], "/aaa/bbbxyz", None),
        (&[("prefix", "/"), ("prefix", "/aaa")], "/aaa/ccc", Some("prefix /aaa")),
        (&[("prefix", "/"), ("prefix", "/aaa"), ("prefix", "/aaa/bbb")], "/aaa/bbb", Some("prefix /aaa/bbb")),
        (&[("prefix", "/"), ("prefix", "/aaa"), ("prefix", "/aaa/bbb")], "/ccc", Some("prefix /")),
        (&[("prefix", "/aaa")], "/ccc", None),
        (&[("prefix", "/foo"), ("exact", "/foo")], "/foo", Some("exact /foo")),
        // Not in the table, and follow from it.
        (&[("prefix", "/foo"), ("exact", "/foo")], "/foo/", Some("prefix /foo")),
        (&[("prefix", "/foo")], "/FOO", None),
        (&[("exact", "/")], "/", Some("exact /")),
        (&[("exact", "/")], "/a", None),
        (&[("prefix", "/a b/{c}")], "/a b/{c}/\"$d;", Some("prefix /a b/{c}")),
        (&[("prefix", "/a%20b/%E4%BD%A0")], "/a b/你", Some("prefix /a b/你")),
    ];
    for (rules, request, expected) in table {
        assert_eq!(matched(rules, request).as_deref(), *expected, "{rules:?} {request}");
    }
}

#[test]
fn path_that_cannot_be_used_is_open_to_nobody_where_not_everybody_may_ask() {
    let annotate = |mut meta: Meta, annotations: &[(&str, &str)]| {
        meta.annotations.extend(annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        meta
    };
    let action = |annotations: &[(&str, &str)], path: &str, request: &str| {
        let pattern = ("nginx.ingress.kubernetes.io/use-regex", "true");
        let mut closed = with_rule("closed", Some("a.example.com"), vec![prefix(path)]);
        closed.meta = annotate(annotate(closed.meta, annotations), &[pattern]);
        let open = with_rule("open", Some("a.example.com"), vec![prefix("/")]);
        let built = Objects::new().service(service("web")).ingress(closed).ingress(open).translate();
        let request = Request { scheme: Scheme::Http, host: "a.example.com", path: request, ..Request::default() };
        match built.routes.find(&request) {
            RoutingDecision::Rule(rule) => (rule.origin.key.name.clone(), rule.action == Action::UNAVAILABLE),
            other => panic!("{other:?}"),
        }
    };
    for restricted in [
        ("nginx.ingress.kubernetes.io/whitelist-source-range", "192.0.2.0/24"),
        ("nginx.ingress.kubernetes.io/auth-url", "http://198.51.100.1/check"),
        ("sparrow/basic-auth-secret", "missing"),
        ("nginx.ingress.kubernetes.io/auth-tls-secret", "shop/missing"),
    ] {
        for path in ["/admin(?!/public)", "/admin/(.*)\\1", "/admin/ .*"] {
            let closed = ("closed".to_owned(), true);
            assert_eq!(action(&[restricted], path, "/admin/users"), closed, "{restricted:?} {path}");
            assert_eq!(action(&[restricted], path, "/ADMIN/users"), closed, "{restricted:?} {path}");
            assert_eq!(action(&[restricted], path, "/blog"), ("open".to_owned(), false), "{restricted:?} {path}");
        }
    }
    // What anybody may ask for, anybody may ask for elsewhere.
    assert_eq!(action(&[], "/admin(?!/public)", "/admin/users"), ("open".to_owned(), false));
}

#[test]
fn path_of_a_service_that_cannot_be_used_is_open_to_nobody_where_not_everybody_may_ask() {
    let annotations = [
        ("sparrow/path", "/admin(?!/public)"),
        ("sparrow/path-regex", "true"),
        ("sparrow/basic-auth-secret", "missing"),
    ];
    let open = with_rule("open", None, vec![prefix("/")]);
    let built = Objects::new().service(exposed("web", annotations)).ingress(open).translate();
    for (path, origin) in [("/admin/users", Kind::Service), ("/blog", Kind::Ingress)] {
        let request = Request { scheme: Scheme::Http, host: "a.example.com", path, ..Request::default() };
        let RoutingDecision::Rule(rule) = built.routes.find(&request) else { panic!("{path}") };
        assert_eq!((rule.origin.kind, rule.action == Action::UNAVAILABLE), (origin, origin == Kind::Service), "{path}");
    }
}

#[test]
fn pattern_of_what_not_everybody_may_ask_for_is_no_narrower_than_it_says() {
    let annotate = |mut ingress: Ingress, annotations: &[(&str, &str)]| {
        let prefixed =
            |(name, value): &(&str, &str)| (format!("nginx.ingress.kubernetes.io/{name}"), (*value).to_owned());
        ingress.meta.annotations.extend(annotations.iter().map(prefixed));
        ingress
    };
    let restricted = [("use-regex", "true"), ("whitelist-source-range", "192.0.2.0/24"), ("rewrite-target", "/$2")];
    let host = Some("a.example.com");
    for (path, other) in [("/admin", "/"), ("/admin(/|$)(.*)", "/"), ("/admin(/|$)(.*)", "/[a-z]+/.*")] {
        let closed = annotate(with_rule("closed", host, vec![prefix(path)]), &restricted);
        let open = annotate(with_rule("open", host, vec![prefix(other)]), &[("use-regex", "true")]);
        let built = Objects::new().service(service("web")).ingress(closed).ingress(open).translate();
        let origin = |path: &str| {
            let request = Request { scheme: Scheme::Http, host: "a.example.com", path, ..Request::default() };
            let RoutingDecision::Rule(rule) = built.routes.find(&request) else { panic!("{path}") };
            rule.origin.key.name.clone()
        };
        assert_eq!(["/admin", "/admin/x", "/ADMIN/x"].map(origin), ["closed", "closed", "closed"], "{path} {other}");
        assert_eq!(origin("/administration/x"), if path == "/admin" { "closed" } else { "open" }, "{path} {other}");
    }
}
