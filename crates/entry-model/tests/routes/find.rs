//! Which rule a request gets.

use std::cmp::Reverse;
use std::sync::Arc;

use entry_model::{
    ACME_CHALLENGE, CertificateId, CookieMatch, HeaderMatch, Host, HostName, Listener, ListenerId, ListenerSet, Match,
    PathMatch, Policy, QueryParamMatch, Request, Routes, RoutingDecision, Rule, Scheme, SortedMap, ValueMatch,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{pattern, rule};

const HOSTS: &[&str] = &["a.example", "b.a.example", "c.b.a.example", "example", "other"];
const PATHS: &[&str] = &["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c"];
const PATTERNS: &[&str] = &["^/a", "^/a/.$", "b$", "^/[a-z]+$"];
const VALUES: &[&str] = &["1", "2", "12"];

fn any_host() -> impl Strategy<Value = HostName> {
    let name = || select(HOSTS).prop_map(str::to_owned);
    prop_oneof![
        3 => name().prop_map(HostName::Exact),
        2 => name().prop_map(HostName::OneLabel),
        2 => name().prop_map(HostName::Suffix),
        1 => Just(HostName::Any),
    ]
}

fn any_value() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        2 => select(VALUES).prop_map(|text| ValueMatch::Exact(text.to_owned())),
        1 => select(&["^1", "2$"][..]).prop_map(|text| ValueMatch::Regex(pattern(text))),
    ]
}

fn any_match() -> impl Strategy<Value = Match> {
    let path = prop_oneof![
        2 => select(PATHS).prop_map(|path| PathMatch::Exact(path.to_owned())),
        3 => select(&["/", "/a", "/a/b"][..]).prop_map(|path| PathMatch::Prefix(path.to_owned())),
        2 => select(PATTERNS).prop_map(|text| PathMatch::Regex(pattern(text))),
    ];
    let headers = proptest::collection::btree_map(select(&["x-a", "x-b"][..]), any_value(), 0..3);
    let cookies = proptest::collection::btree_map(select(&["c", "d"][..]), any_value(), 0..2);
    let query = proptest::collection::btree_map(select(&["p", "q"][..]), any_value(), 0..3);
    let method = proptest::option::weighted(0.3, select(&["GET", "POST"][..]));
    (path, method, headers, cookies, query).prop_map(|(path, method, headers, cookies, query)| Match {
        path,
        method: method.map(str::to_owned),
        headers: headers.into_iter().map(|(name, value)| HeaderMatch { name: name.to_owned(), value }).collect(),
        cookies: cookies.into_iter().map(|(name, value)| CookieMatch { name: name.to_owned(), value }).collect(),
        query: query.into_iter().map(|(name, value)| QueryParamMatch { name: name.to_owned(), value }).collect(),
    })
}

fn any_listeners() -> impl Strategy<Value = ListenerSet> {
    prop_oneof![
        4 => Just(ListenerSet::ALL),
        1 => Just(ListenerSet::from_iter([ListenerId(0)])),
        1 => Just(ListenerSet::from_iter([ListenerId(1)])),
    ]
}

/// Rules as objects have them: of which host, and in the order of their objects' ages.
type Asked = Vec<(HostName, ListenerSet, Match)>;

fn any_asked() -> impl Strategy<Value = Asked> {
    vec((any_host(), any_listeners(), any_match()), 0..12)
}

/// Routes of what is asked for, named by its index.
fn routes(asked: &Asked) -> Routes {
    let mut hosts: SortedMap<HostName, Arc<Host>> = SortedMap::new();
    for (n, (host, listeners, matches)) in asked.iter().enumerate() {
        let mut of_host = hosts.get(host).cloned().unwrap_or_default();
        let rules = &mut Arc::make_mut(&mut of_host).rules;
        rules.push(Rule { listeners: *listeners, ..rule(&n.to_string(), matches.clone()) });
        hosts.insert(host.clone(), of_host);
    }
    Routes { listeners: Listener::built_in(&[([127, 0, 0, 1], 80).into()], &[]), hosts, ..Routes::default() }
}

/// How well a name matches a host: the lower the better; none if it does not.
fn distance(name: &HostName, host: &str) -> Option<(u8, Reverse<usize>, u8)> {
    let labels = |text: &str| text.split('.').count();
    let above = |parent: &str| host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
    match name {
        HostName::Exact(name) => (name == host).then_some((0, Reverse(0), 0)),
        HostName::OneLabel(parent) => {
            (above(parent) && labels(host) == labels(parent) + 1).then_some((1, Reverse(parent.len()), 0))
        }
        HostName::Suffix(parent) => above(parent).then_some((1, Reverse(parent.len()), 1)),
        HostName::Any => Some((2, Reverse(0), 0)),
    }
}

fn is_value(wanted: &ValueMatch, value: &str) -> bool {
    match wanted {
        ValueMatch::Exact(text) => text == value,
        ValueMatch::Regex(pattern) => regex::Regex::new(pattern.text()).expect("a pattern").is_match(value),
    }
}

fn is_path(wanted: &PathMatch, path: &str) -> bool {
    let segments = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    match wanted {
        PathMatch::Exact(exact) => exact == path,
        PathMatch::Prefix(prefix) => segments(path).starts_with(&segments(prefix)),
        PathMatch::Regex(pattern) => regex::Regex::new(pattern.text()).expect("a pattern").is_match(path),
    }
}

/// The index of what is expected, by going through all of it.
fn naive(asked: &Asked, request: &Request<'_>) -> Option<usize> {
    let here = || asked.iter().enumerate().filter(|(_, (_, listeners, _))| listeners.contains(request.listener));
    let best = here().filter_map(|(_, (host, ..))| distance(host, request.host)).min()?;
    let parameters: Vec<(&str, &str)> = request.query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let fits = |matches: &Match| {
        is_path(&matches.path, request.path)
            && matches.method.iter().all(|method| method == request.method)
            && matches.headers.iter().all(|wanted| {
                request.headers.iter().any(|(name, value)| wanted.name == *name && is_value(&wanted.value, value))
            })
            && matches.cookies.iter().all(|wanted| {
                let header = request.headers.iter().find(|(name, _)| *name == "cookie").map_or("", |(_, value)| value);
                let mut cookies = header.split("; ").filter_map(|pair| pair.split_once('='));
                cookies.find(|(name, _)| wanted.name == *name).is_some_and(|(_, value)| is_value(&wanted.value, value))
            })
            && matches.query.iter().all(|wanted| {
                let first = parameters.iter().find(|(name, _)| wanted.name == *name);
                first.is_some_and(|(_, value)| is_value(&wanted.value, value))
            })
    };
    let of_host = here().filter(|(_, (host, ..))| distance(host, request.host) == Some(best));
    let fitting = of_host.filter(|(_, (.., matches))| fits(matches));
    let rank = |matches: &Match| {
        let (length, kind) = match &matches.path {
            PathMatch::Exact(_) => ((0, Reverse(0)), 0),
            PathMatch::Regex(pattern) => ((1, Reverse(pattern.text().len())), 0),
            PathMatch::Prefix(prefix) => ((1, Reverse(prefix.len())), 1),
        };
        let more = [matches.headers.len(), matches.cookies.len(), matches.query.len()].map(Reverse);
        (length, kind, matches.method.is_none(), more)
    };
    // Of equal ones min_by_key gives the first.
    fitting.min_by_key(|(_, (.., matches))| rank(matches)).map(|(n, _)| n)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn request_gets_the_rule_that_a_naive_reading_finds(
        asked in any_asked(),
        requests in vec((0..2_u8, select(HOSTS), select(PATHS), select(&["GET", "POST", "get"][..]),
            vec((select(&["x-a", "x-b"][..]), select(VALUES)), 0..2), select(&["", "c=1", "d=1; c=12"][..]),
            select(&["", "p=1", "q=2&p=12", "p=2&p=1", "p"][..])), 1..8),
    ) {
        let routes = routes(&asked);
        for (listener, host, path, method, mut headers, cookies, query) in requests {
            headers.sort_unstable();
            headers.dedup_by_key(|(name, _)| *name);
            headers.extend((!cookies.is_empty()).then_some(("cookie", cookies)));
            let request =
                Request { listener: ListenerId(listener), host, path, method, headers: &headers, query, ..Request::default() };
            let found = match routes.find(&request) {
                RoutingDecision::Rule(rule) => Some(rule.origin.key.name.parse().expect("an index")),
                RoutingDecision::NotFound => None,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(found, naive(&asked, &request), "{:?}\n{}", request, routes);
        }
    }
}

/// Routes with one host.
fn one_host(rules: Vec<Rule>) -> Routes {
    let host = Host { rules: rules.into(), ..Host::default() };
    Routes { hosts: [(HostName::Any, Arc::new(host))].into(), ..Routes::default() }
}

#[test]
fn equal_matches_go_to_the_first_rule() {
    let matches = || Match { method: Some("GET".to_owned()), ..Match::any() };
    let routes = one_host(vec![rule("older", matches()), rule("younger", matches())]);
    let RoutingDecision::Rule(found) = routes.find(&Request::default()) else { panic!("nothing is found") };
    assert_eq!(found.origin.key.name, "older");
}

#[test]
fn header_names_have_no_case_and_values_are_joined() {
    let header =
        |value: ValueMatch| Match { headers: vec![HeaderMatch { name: "x-a".to_owned(), value }], ..Match::any() };
    let finds = |matches: Match, headers: &[(&str, &str)]| {
        let request = Request { headers, ..Request::default() };
        matches!(one_host(vec![rule("a", matches)]).find(&request), RoutingDecision::Rule(_))
    };
    let exact = |text: &str| header(ValueMatch::Exact(text.to_owned()));
    assert!(finds(exact("1"), &[("X-A", "1")]));
    assert!(!finds(exact("1"), &[("X-A", "1"), ("x-b", "1"), ("x-A", "2")]));
    assert!(finds(exact("1, 2"), &[("X-A", "1"), ("x-A", "2")]));
    assert!(!finds(exact(""), &[("x-b", "")]) && finds(exact(""), &[("x-a", "")]));
    assert!(finds(header(ValueMatch::Regex(pattern("^v[0-9]+$"))), &[("x-a", "v12")]));
}

#[test]
fn plain_http_is_redirected_to_https_but_for_acme_challenges() {
    let mut routes = one_host(vec![rule("a", Match::any())]);
    let policy = routes.policies.intern(&Policy { redirect_to_https: true, ..Policy::default() });
    let mut host = Host::clone(&routes.hosts[&HostName::Any]);
    host.rules[0].policy = policy;
    host.certificate = Some(CertificateId("ab".into()));
    routes.hosts.insert(HostName::Any, host.into());
    let challenge = format!("{ACME_CHALLENGE}token");
    let found = |scheme, path| routes.find(&Request { scheme, path, ..Request::default() });
    assert!(matches!(found(Scheme::Http, "/"), RoutingDecision::RedirectToHttps(_)));
    assert!(matches!(found(Scheme::Http, &challenge), RoutingDecision::Rule(_)));
    assert!(matches!(found(Scheme::Https, "/"), RoutingDecision::Rule(_)));
}

#[test]
fn unmatched_request_gets_the_default_unless_its_host_is_closed() {
    let mut routes = one_host(vec![rule("a", Match::path(PathMatch::Exact("/a".to_owned())))]);
    let found = |routes: &Routes| match routes.find(&Request { path: "/b", ..Request::default() }) {
        RoutingDecision::Rule(rule) => Some(rule.origin.key.name.clone()),
        _ => None,
    };
    assert_eq!(found(&routes), None);
    routes.default = Some(rule("rest", Match::any()));
    assert_eq!(found(&routes).as_deref(), Some("rest"));
    let closed = Host { closed: true, ..Host::clone(&routes.hosts[&HostName::Any]) };
    routes.hosts.insert(HostName::Any, closed.into());
    assert_eq!(found(&routes), None);
}

#[test]
fn pattern_that_is_placed_first_comes_before_exact_paths() {
    let first = |text: &str| PathMatch::Regex(pattern(text).placed_first());
    let mut all = [
        PathMatch::Exact("/a".to_owned()),
        PathMatch::Regex(pattern("^/a/long/pattern")),
        first("^/a"),
        PathMatch::Prefix("/a/long/prefix/of/all".to_owned()),
        first("^/a/b"),
    ];
    all.sort_by(PathMatch::precedence);
    let texts: Vec<_> = all.iter().map(PathMatch::text).collect();
    assert_eq!(texts, ["^/a/b", "^/a", "/a", "/a/long/prefix/of/all", "^/a/long/pattern"]);
}

#[test]
fn display_of_routes_shows_every_part_of_a_rule() {
    let matches = Match {
        path: PathMatch::Regex(pattern("^/a b$")),
        method: Some("GET".to_owned()),
        headers: vec![HeaderMatch { name: "x-a".to_owned(), value: ValueMatch::Exact("1".to_owned()) }],
        cookies: vec![CookieMatch { name: "c".to_owned(), value: ValueMatch::Exact("1".to_owned()) }],
        query: vec![QueryParamMatch { name: "q".to_owned(), value: ValueMatch::Regex(pattern("^2")) }],
    };
    let mut rule = rule("a", matches);
    rule.listeners = ListenerSet::from_iter([ListenerId(0)]);
    let mut routes = one_host(vec![rule]);
    routes.listeners = Listener::built_in(&[([127, 0, 0, 1], 80).into()], &[([127, 0, 0, 1], 443).into()]);
    let expected = "* at [\"http\"] regex \"^/a b$\" method=GET header:x-a=1 cookie:c=1 query:q~^2 -> 10.0.0.1:80 http (Ingress shop/a)\n";
    assert_eq!(routes.to_string(), expected);
}
