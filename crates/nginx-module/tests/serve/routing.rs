//! Which backend gets a request, compared with `Routes::find`, the executable definition of it.

use std::net::SocketAddr;

use entry_model::{
    Action, FixedAnswer, HeaderMatch, PathMatch, PathRewrite, Redirect, Request, Routes, RoutingDecision, Rule, Scheme,
    UrlPart, UrlText, UrlVariable, ValueMatch,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::patterns::{pattern, regex};
use super::support::{Nginx, Publisher, backend, exact, forward, prefix, redirected, routes, rule};

const HOSTS: &[&str] = &["a.example", "b.example", "*.example", "*.b.example", "**.example", "**.b.example", "*"];
const PATHS: &[&str] = &["/", "/a", "/a/b", "/a/b/c", "/b", "/long/path/with/many/parts"];
const PATTERNS: &[&str] = &["^/a", "(?i)^/A/b$", "/b", "^/[^/]+/b(/|$)"];

/// What is asked for: hosts, and paths.
const ASKED_HOSTS: &[&str] =
    &["a.example", "A.Example.", "b.example", "c.example", "x.b.example", "y.x.b.example", "example", "other"];
const ASKED_PATHS: &[&str] =
    &["/", "/a", "/a/", "/ab", "/a/b", "/a/b/c/d", "/b/x", "/long/path/with/many/parts/x", "/c"];

/// URLs with parts of a request, but for the host as it was sent, which the definition does not know.
fn any_url() -> impl Strategy<Value = UrlText> {
    let known = UrlVariable::NAMES.map(|(_, variable)| variable);
    let known = known.into_iter().filter(|variable| *variable != UrlVariable::HostAndPort).collect::<Vec<_>>();
    proptest::collection::vec(proptest::sample::select(known), 1..4).prop_map(|variables| {
        let parts = variables.into_iter().flat_map(|one| [UrlPart::Variable(one), UrlPart::Text("&a=".to_owned())]);
        UrlText([UrlPart::Text("/to?".to_owned())].into_iter().chain(parts).collect())
    })
}

/// Rules that forward, redirect and answer, some with conditions.
fn any_rule(backends: Vec<SocketAddr>) -> impl Strategy<Value = Rule> {
    let path = prop_oneof![
        2 => proptest::sample::select(PATHS).prop_map(exact),
        2 => proptest::sample::select(PATHS).prop_map(prefix),
        1 => proptest::sample::select(PATTERNS).prop_map(regex),
    ];
    let redirect = |(status, host, path)| Redirect { status, scheme: None, host, port: None, path };
    let rewrite = prop_oneof![Just(PathRewrite::Keep), any_url().prop_map(PathRewrite::ReplaceTarget)];
    let hosts = proptest::option::of(Just("elsewhere.example".to_owned()));
    let redirects =
        (prop_oneof![Just(301_u16), Just(308)], hosts, rewrite).prop_map(redirect).prop_map(Action::Redirect);
    let statuses = prop_oneof![Just(503_u16), Just(404), Just(200)].prop_map(Action::Respond);
    let texts =
        proptest::sample::select(&["", "a text"][..]).prop_map(|text| FixedAnswer::new(203, None, text).unwrap());
    let texts = texts.prop_map(Action::Answer);
    let rules = (path, proptest::sample::select(backends), any::<bool>());
    let forwards = rules.prop_map(|(path, backend, to_https): (PathMatch, _, _)| {
        let rule = forward(path, backend);
        if to_https { redirected(rule) } else { rule }
    });
    let others = (0..PATHS.len(), prop_oneof![redirects, statuses, texts]);
    let others = others.prop_map(|(at, action)| rule(prefix(PATHS[at]), action));
    let method = proptest::option::weighted(0.2, prop_oneof![Just("GET".to_owned()), Just("PUT".to_owned())]);
    let header = prop_oneof![
        2 => proptest::sample::select(&["1", "1, 2"][..]).prop_map(|value| ValueMatch::Exact(value.to_owned())),
        1 => Just(ValueMatch::Regex(pattern("2$"))),
    ];
    let header = proptest::option::weighted(0.2, header);
    (prop_oneof![4 => forwards, 1 => others], method, header).prop_map(|(mut rule, method, header)| {
        rule.matches.method = method;
        let header = header.map(|value| HeaderMatch { name: "x-one".to_owned(), value });
        rule.matches.headers = header.into_iter().collect();
        rule
    })
}

fn any_routes(backends: &[SocketAddr]) -> impl Strategy<Value = Routes> + use<> {
    let rules = proptest::collection::vec(any_rule(backends.to_vec()), 0..6);
    let hosts = proptest::collection::btree_map(proptest::sample::select(HOSTS), rules, 1..HOSTS.len());
    (hosts, proptest::option::of(any_rule(backends.to_vec()))).prop_map(|(hosts, default)| {
        let hosts = hosts.into_iter().map(|(name, rules)| (name.to_owned(), rules));
        Routes { default, ..routes(hosts) }
    })
}

/// What the definition says: the backend, or the status and where the client is sent.
fn expected(routes: &Routes, request: &Request<'_>) -> Result<SocketAddr, (u16, String)> {
    match routes.find(request) {
        RoutingDecision::RedirectToHttps(_) => {
            Err((308, format!("https://{}:8443{}", name(request.host), request.path)))
        }
        RoutingDecision::NotFound => Err((404, String::new())),
        RoutingDecision::NoCertificate => unreachable!("the request is in the clear"),
        RoutingDecision::Rule(rule) => match &rule.action {
            Action::Respond(status) => Err((*status, String::new())),
            Action::Answer(answer) => Err((answer.status(), String::new())),
            Action::Redirect(redirect) => {
                let request = Request { host: &name(request.host), ..*request };
                Err((redirect.status, redirect.location(&rule.matches, &request, 80)))
            }
            Action::Forward(forward) => Ok(forward.only_backend().unwrap().address.cluster_ip().unwrap()),
        },
    }
}

/// A host as nginx understands it.
fn name(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[test]
fn requests_get_what_random_routes_say() {
    let names = ["a", "b", "c", "d"];
    let backends = names.map(backend);
    let mut publisher = Publisher::new();
    let nginx = Nginx::start(&publisher, 2);
    let strategy = any_routes(&backends);
    let mut runner = TestRunner::deterministic();
    for _ in 0..40 {
        let routes = strategy.new_tree(&mut runner).unwrap().current();
        publisher.publish(&routes);
        for host in ASKED_HOSTS {
            for path in ASKED_PATHS {
                for headers in [&[][..], &[("X-One", "1")], &[("X-One", "1"), ("x-one", "2")]] {
                    let request = Request { scheme: Scheme::Http, host, path, headers, ..Request::default() };
                    let expected = expected(&routes, &request);
                    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                    let answer = nginx.get(host, path, &lines);
                    let found = match names.iter().position(|name| *name == answer.header("Backend")) {
                        Some(backend) => Ok(backends[backend]),
                        None => Err((answer.status, answer.header("Location").to_owned())),
                    };
                    assert_eq!(found, expected, "{host}{path} {headers:?} of {routes:#?}");
                }
            }
        }
    }
}
