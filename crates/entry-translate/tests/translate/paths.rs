//! Matching of paths, by the table of examples in the Kubernetes documentation of Ingress ("Path types").

use entry_model::{Request, RoutingDecision, Scheme};

use crate::support::{Objects, exact, prefix, service, with_rule};

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
