//! Rules for some requests of a path only, and rules with several backends.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use entry_model::{
    Action, Backend, CookieMatch, Destination, Forward, HeaderMatch, Match, PathMatch, PathRewrite, Pattern, Policy,
    Protocol, QueryParamMatch, Request, Routes, RoutingDecision, Rule, Scheme, ValueMatch, WeightedBackend,
};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::support::{Echo as _, Nginx, backend, binaries, exact, forward, policies, prefix, routes, rule};

/// How many requests are sent to see how they are shared out.
const REQUESTS: usize = 300;

fn pattern(text: &str) -> Pattern {
    pattern_engine::compile(text).unwrap()
}

fn value(text: &str) -> ValueMatch {
    ValueMatch::Exact(text.to_owned())
}

/// The same rule for requests with this header only.
pub fn with_header(mut rule: Rule, name: &str, text: &str) -> Rule {
    rule.matches.headers.push(HeaderMatch { name: name.to_owned(), value: value(text) });
    rule
}

/// The same rule for requests with this parameter only.
fn with_parameter(mut rule: Rule, name: &str, text: &str) -> Rule {
    rule.matches.query.push(QueryParamMatch { name: name.to_owned(), value: value(text) });
    rule
}

/// A rule with several backends, each with its weight; one of the port 0 stands for a status.
pub fn weighted(path: PathMatch, shares: &[(u32, SocketAddr)]) -> Rule {
    let share = |(weight, address): &(u32, SocketAddr)| {
        let backend = Backend { address: (*address).into(), protocol: Protocol::Http, keep_alive: true };
        let destination = if address.port() == 0 { Destination::Status(503) } else { Destination::Backend(backend) };
        WeightedBackend { weight: *weight, destination }
    };
    let forward = Forward { backends: shares.iter().map(share).collect(), path: PathRewrite::Keep };
    rule(path, Action::Forward(forward), "weighted")
}

fn any_match() -> impl Strategy<Value = Match> {
    let path = prop_oneof![
        2 => select(&["/", "/a", "/a/", "/a/b", "/a b"][..]).prop_map(exact),
        3 => select(&["/", "/a", "/a/b", "/a b"][..]).prop_map(prefix),
    ];
    let values = || select(&["1", "2", "x$y", "a b;\"\\"][..]).prop_map(value);
    let headers = proptest::collection::btree_map(select(&["x-a", "x-b"][..]), values(), 0..3);
    let query = proptest::collection::btree_map(select(&["p", "q", "$p.*"][..]), select(&["1", "", "x$y"][..]), 0..2);
    let method = proptest::option::weighted(0.3, select(&["GET", "PUT"][..]));
    let cookies = select(&["1", "2"][..]).prop_map(|text| CookieMatch { name: "c".to_owned(), value: value(text) });
    let cookies = proptest::option::weighted(0.3, cookies);
    (path, method, headers, cookies, query).prop_map(|(path, method, headers, cookies, query)| Match {
        path,
        method: method.map(str::to_owned),
        headers: headers.into_iter().map(|(name, value)| HeaderMatch { name: name.to_owned(), value }).collect(),
        cookies: cookies.into_iter().collect(),
        query: query
            .into_iter()
            .map(|(name, text)| QueryParamMatch { name: name.to_owned(), value: value(text) })
            .collect(),
    })
}

fn any_rule(backends: Vec<SocketAddr>) -> impl Strategy<Value = Rule> {
    (any_match(), select(backends), any::<[bool; 2]>(), 0..8_u8).prop_map(
        |(matches, backend, [strips, redirects], kind)| {
            let mut made = forward(prefix("/"), backend, strips);
            if kind == 0 {
                made.action = Action::UNAVAILABLE;
            }
            if redirects && kind < 4 {
                made.policy = policies().intern(&Policy { redirect_to_https: true, ..Policy::default() });
            }
            Rule { matches, ..made }
        },
    )
}

/// Rules in the order in which they are tried.
fn sorted(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.sort_by(|a, b| a.matches.precedence(&b.matches));
    rules
}

/// What the definition of matching says: the backend and what it is asked for, or the status.
fn expected(routes: &Routes, request: &Request<'_>) -> Result<(SocketAddr, String), u16> {
    match routes.find(request) {
        RoutingDecision::RedirectToHttps(_) => Err(308),
        RoutingDecision::NotFound => Err(404),
        RoutingDecision::NoCertificate => unreachable!("the request is in the clear"),
        RoutingDecision::Rule(rule) => match &rule.action {
            Action::Respond(status) => Err(*status),
            Action::Redirect(_) | Action::Answer(_) => unreachable!("there is none"),
            Action::Forward(forward) => {
                let path = forward.path.apply(&rule.matches.path, request.path).into_owned();
                Ok((forward.only_backend().unwrap().address.cluster_ip().unwrap(), path.replace(' ', "%20")))
            }
        },
    }
}

#[test]
fn requests_get_the_rule_whose_conditions_they_meet() {
    let names = ["a", "b", "c", "d"];
    let backends = names.map(backend);
    let strategy = (
        proptest::collection::vec(any_rule(backends.to_vec()), 1..8),
        proptest::option::of(any_rule(backends.to_vec())),
    );
    let mut runner = TestRunner::deterministic();
    for round in 0..8 {
        let (rules, default) = strategy.new_tree(&mut runner).unwrap().current();
        let mut routes = routes([("*", sorted(rules))]);
        routes.default = default.map(|rule| Rule { matches: Match::any(), ..rule });
        for binary in binaries().iter().skip(round % binaries().len()).take(1) {
            let nginx = Nginx::start(binary, &routes, |_| {});
            let mut connection = nginx.connect();
            for path in ["/", "/a", "/a/", "/a/b", "/a/b/c", "/a/c", "/ab", "/a b", "/a b/c", "/c"] {
                for method in ["GET", "PUT"] {
                    for headers in [
                        &[][..],
                        &[("X-A", "1")],
                        &[("x-a", "x$y"), ("X-B", "2")],
                        &[("x-a", "a b;\"\\"), ("x-b", "1"), ("Cookie", "cc=1; C=1;c=2"), ("cookie", "c=1")],
                        &[("cookie", "d=c=1"), ("Cookie", "c=1 ")],
                    ] {
                        for query in ["", "p=2&p=1", "q=2&p=1", "$p.*=x$y", "p&q="] {
                            let request = Request {
                                scheme: Scheme::Http,
                                host: "any",
                                path,
                                method,
                                headers,
                                query,
                                ..Request::default()
                            };
                            let expected = expected(&routes, &request);
                            let mark = if query.is_empty() { "" } else { "?" };
                            let lines: String =
                                headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                            let target = path.replace(' ', "%20") + mark + query;
                            let answer = connection
                                .exchange(format!("{method} {target} HTTP/1.1\r\nHost: any\r\n{lines}\r\n"))
                                .unwrap();
                            if !answer.keeps_connection() {
                                connection = nginx.connect();
                            }
                            let found = match names.iter().position(|name| *name == answer.header("Backend")) {
                                Some(at) => Ok((backends[at], answer.target().to_owned())),
                                None => Err(answer.status),
                            };
                            let expected = expected.map(|(backend, path)| (backend, path + mark + query));
                            assert_eq!(
                                found,
                                expected,
                                "{request:?} with {}\n{routes}\n{}",
                                binary.version,
                                nginx.config()
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn shares_get_requests_by_their_weights() {
    let (a, b) = (backend("a"), backend("b"));
    let nowhere = SocketAddr::from(([10, 0, 0, 1], 0));
    let rules = vec![
        with_header(weighted(prefix("/tenth"), &[(0, b), (1, b)]), "x-canary", "always"),
        weighted(prefix("/tenth"), &[(90, a), (10, b)]),
        weighted(prefix("/half"), &[(1, a), (1, b)]),
        weighted(prefix("/none"), &[(5, a), (0, b)]),
        weighted(prefix("/gone"), &[(1, a), (1, nowhere)]),
        weighted(prefix("/nobody"), &[(0, a), (0, b)]),
        weighted(prefix("/nothing"), &[]),
    ];
    let routes = routes([("*", rules)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let mut connection = nginx.connect();
        let mut counts = |path: &str, headers: &str, number: usize| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for _ in 0..number {
                let request = format!("GET {path}/x HTTP/1.1\r\nHost: any\r\n{headers}\r\n");
                let answer = connection.exchange(request).unwrap();
                if !answer.keeps_connection() {
                    connection = nginx.connect();
                }
                let name =
                    if answer.status == 200 { answer.header("Backend").to_owned() } else { answer.status.to_string() };
                *counts.entry(name).or_default() += 1;
            }
            counts
        };
        let tenth = counts("/tenth", "", REQUESTS);
        assert!((8..80).contains(&tenth["b"]) && tenth["a"] + tenth["b"] == REQUESTS, "{tenth:?}");
        let half = counts("/half", "", REQUESTS);
        assert!((90..210).contains(&half["b"]) && half["a"] + half["b"] == REQUESTS, "{half:?}");
        let gone = counts("/gone", "", REQUESTS);
        assert!((90..210).contains(&gone["503"]) && gone["a"] + gone["503"] == REQUESTS, "{gone:?}");
        for (path, headers, all) in [
            ("/tenth", "X-Canary: always\r\n", "b"),
            ("/none", "", "a"),
            ("/nobody", "", "500"),
            ("/nothing", "", "500"),
        ] {
            assert_eq!(counts(path, headers, 10), BTreeMap::from([(all.to_owned(), 10)]), "{path}");
        }
    }
}

#[test]
fn chosen_rule_treats_requests_by_its_own_policy() {
    let (a, b) = (backend("a"), backend("b"));
    let mut policies = policies();
    let mut small = with_header(forward(prefix("/up"), a, true), "x-a", "1");
    small.policy = policies.intern(&Policy { max_body_bytes: Some(10), ..Policy::default() });
    let mut large = forward(prefix("/up"), b, false);
    large.policy = policies.intern(&Policy { max_body_bytes: Some(4 << 20), ..Policy::default() });
    let routes = Routes { policies, ..routes([("*", vec![small, large])]) };
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |settings| settings.max_body_bytes = 1 << 20);
        let body = "x".repeat(2 << 20);
        let send = |headers: &str, body: &str| {
            let length = body.len();
            nginx.send(format!("PUT /up/x HTTP/1.1\r\nHost: any\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"))
        };
        let answer = send("", &body);
        assert_eq!((answer.status, answer.header("Backend"), answer.target()), (200, "b", "/up/x"));
        assert_eq!(answer.seen("X-Forwarded-Prefix"), None);
        assert_eq!(send("X-A: 1\r\n", "12345678901").status, 413);
        let answer = send("X-A: 1\r\n", "1234567890");
        assert_eq!((answer.status, answer.header("Backend"), answer.target()), (200, "a", "/x"));
        assert_eq!(answer.seen("X-Forwarded-Prefix"), Some("/up"));
    }
}

#[test]
fn chosen_path_is_forwarded_as_it_was_sent() {
    let (a, b) = (backend("a"), backend("b"));
    let rules = sorted(vec![
        with_parameter(forward(prefix("/keep"), a, false), "v", "2"),
        forward(prefix("/keep"), b, false),
        with_header(forward(prefix("/strip"), a, true), "x-a", "1"),
        forward(prefix("/strip"), b, false),
        with_header(forward(prefix("/a b"), a, true), "x-a", "1"),
        with_header(forward(exact("/slash/"), a, false), "x-a", "1"),
    ]);
    let with_pattern =
        Rule { matches: Match::path(PathMatch::Regex(pattern("^/p/(.*)$"))), ..forward(prefix("/"), b, false) };
    let mut replaced = with_header(with_pattern.clone(), "x-a", "1");
    if let Action::Forward(Forward { backends, path }) = &mut replaced.action {
        *path = PathRewrite::Regex { pattern: pattern("^/p/(.*)$"), template: "/new/$1".to_owned() };
        backends.push(WeightedBackend { weight: 0, destination: Destination::Status(503) });
    }
    let patterns = sorted([vec![with_pattern, replaced], rules.clone()].concat());
    let routes = routes([("*", rules), ("patterns", patterns)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (sent, headers, expected) in [
            ("/keep/%2Fx//y?v=2", "", Ok(("a", "/keep/%2Fx//y?v=2"))),
            ("/keep?v=2", "", Ok(("a", "/keep?v=2"))),
            ("/keep?v=1&v=2", "", Ok(("b", "/keep?v=1&v=2"))),
            ("/keep?V=2", "", Ok(("b", "/keep?V=2"))),
            ("http://any/keep/x?v=2", "", Ok(("a", "/keep/x?v=2"))),
            ("/strip/%2Fx?y", "X-A: 1\r\n", Ok(("a", "/%2Fx?y"))),
            ("/strip", "X-A: 1\r\n", Ok(("a", "/"))),
            ("/strip?y", "x-a: 1\r\n", Ok(("a", "/?y"))),
            ("/strip/%2Fx?y", "X-A: 11\r\n", Ok(("b", "/strip/%2Fx?y"))),
            ("/strip/x/../y", "X-A: 1\r\n", Err(400)),
            ("/strip/x/%2e%2E/y", "", Err(400)),
            ("/a%20b/c", "X-A: 1\r\n", Ok(("a", "/c"))),
            ("/a%20b/c", "X-A: 2\r\n", Err(404)),
            ("/slash/", "X-A: 1\r\n", Ok(("a", "/slash/"))),
            ("/slash/", "", Err(404)),
            ("/slash", "X-A: 1\r\n", Err(404)),
            ("/", "", Err(404)),
        ] {
            let answer = nginx.get("any", sent, headers);
            let found =
                if answer.status == 200 { Ok((answer.header("Backend"), answer.target())) } else { Err(answer.status) };
            assert_eq!(found, expected, "{sent} {headers} with {}\n{}", binary.version, nginx.config());
        }
        for (sent, headers, expected) in [
            ("/p/%2Fx?y", "X-A: 1\r\n", Ok(("b", "/new/%2Fx?y"))),
            ("/p/x?y", "", Ok(("b", "/p/x?y"))),
            ("/strip/x", "X-A: 1\r\n", Ok(("a", "/x"))),
            ("/strip/x", "", Ok(("b", "/strip/x"))),
            ("/keep?v=2", "", Ok(("a", "/keep?v=2"))),
            ("/other", "", Err(404)),
        ] {
            let answer = nginx.get("patterns", sent, headers);
            let found =
                if answer.status == 200 { Ok((answer.header("Backend"), answer.target())) } else { Err(answer.status) };
            assert_eq!(found, expected, "{sent} {headers} with {}\n{}", binary.version, nginx.config());
        }
        // The longest line, of which no part makes a pattern try many ways.
        let long = format!("/keep?{}", "v=1&".repeat(1800));
        assert_eq!(nginx.get("any", &long, "").header("Backend"), "b");
        let log = super::support::lines_of(nginx.settings.access_log.as_deref().unwrap(), 1);
        assert!(log.iter().any(|line| line.contains("default/some")), "{log:?}");
    }
}

#[test]
fn pattern_is_matched_anywhere_in_the_value_of_a_header() {
    let (a, b) = (backend("a"), backend("b"));
    let with_pattern = |path: &str, text: &str| {
        let mut rule = forward(prefix(path), a, true);
        rule.matches.headers.push(HeaderMatch { name: "x-v".to_owned(), value: ValueMatch::Regex(pattern(text)) });
        rule
    };
    let rules = sorted(vec![
        with_pattern("/v", "^v[2-9]$|beta"),
        forward(prefix("/v"), b, false),
        with_pattern("/any", ".*"),
        forward(prefix("/any"), b, false),
        with_pattern("/long", "a.*b.*c.*d.*e.*f"),
        forward(prefix("/long"), b, false),
    ]);
    let routes = routes([("*", rules)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (path, value, name) in [
            ("/v", "v2", "a"),
            ("/v", "v22", "b"),
            ("/v", "xbetax", "a"),
            ("/v", "BETA", "b"),
            ("/any", "x", "a"),
            ("/any", "", "a"),
        ] {
            let answer = nginx.get("any", path, &format!("X-V: {value}\r\n"));
            assert_eq!(answer.header("Backend"), name, "{path} {value} with {}\n{}", binary.version, nginx.config());
        }
        assert_eq!(nginx.get("any", "/any", "").header("Backend"), "b");
        // One with which an engine that goes back and tries again tries very many ways.
        let value = "f".to_owned() + &"abcde".repeat(1400);
        let status = nginx.get("any", "/long", &format!("X-V: {value}\r\n")).status;
        assert_eq!(status, 200);
    }
}
