//! A look-up is [`entry_model::Routes::find`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use entry_model::{
    Action, Forward, HeaderMatch, Host, HostName, Match, PathMatch, PathRewrite, Policy, Rule, Scheme, ValueMatch,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use route_table::{Class, Classifier, Fault, Found, Headers, NotCarriedReason, Planner, Request, Revision};

use crate::support::{
    AskedRequest, CHALLENGES, any_challenge, any_request, any_routes, backend, by_definition, by_table, empty, get,
    pattern, put_default, put_host, regex, rule, table_of, unbounded_pattern,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn request_gets_what_the_definition_finds(
        routes in any_routes(),
        requests in vec(any_request(), 1..20),
    ) {
        let (planner, _, mut table) = table_of(&routes, 1 << 17);
        prop_assert_eq!(planner.not_carried().count(), 0);
        let contents = table.check().expect("a table");
        prop_assert_eq!(contents.hosts, routes.hosts.len());
        prop_assert_eq!(contents.rules, routes.rules().count());
        for request in requests {
            let expected = by_definition(&routes, &request);
            prop_assert_eq!(by_table(&mut table, &request), expected, "{:?}\n{}", request, routes);
        }
    }

    #[test]
    fn challenges_come_before_patterns(
        challenges in vec(any_challenge(), 1..4),
        patterns in vec((select(&[".*", "^/\\.", "/x$", "/y"][..]), any::<bool>(), any::<bool>()), 1..4),
        methods in vec(select(&[None, Some("GET"), Some("POST")][..]), 8),
    ) {
        let patterns = patterns.into_iter().map(|(text, is_first, is_long)| {
            let pattern = if is_long { pattern(text).written_as(&"/x".repeat(20)) } else { pattern(text) };
            PathMatch::Regex(if is_first { pattern.placed_first() } else { pattern })
        });
        let paths = challenges.into_iter().chain(patterns).zip(methods).enumerate();
        let rules = paths.map(|(number, (path, method))| {
            let matches = Match { method: method.map(str::to_owned), ..Match::path(path) };
            (rule(&number.to_string(), matches), Policy::default())
        });
        let mut routes = empty();
        put_host(&mut routes, HostName::Any, (rules.collect(), false, false));
        let (_, _, mut table) = table_of(&routes, 1 << 17);
        for path in CHALLENGES {
            let request = asked("GET", path, Vec::new());
            let expected = by_definition(&routes, &request);
            prop_assert_eq!(by_table(&mut table, &request), expected, "{:?}\n{}", request, routes);
        }
    }
}

/// A request in the clear for a host.
fn asked(method: &'static str, path: &'static str, headers: Vec<(&'static str, &'static str)>) -> AskedRequest {
    let host = "a.example".to_owned();
    AskedRequest { listener: 0, scheme: Scheme::Http, method, host, path, query: "", headers, chance: 0 }
}

/// Routes of one host.
fn one_host(rules: Vec<Rule>) -> entry_model::Routes {
    let mut routes = empty();
    routes.hosts.insert(HostName::Any, Arc::new(Host { rules: rules.into(), ..Host::default() }));
    routes
}

fn path(path: PathMatch) -> Match {
    Match::path(path)
}

fn path_of(prefix: &str) -> Match {
    path(PathMatch::Prefix(prefix.to_owned()))
}

#[test]
fn host_with_a_rule_that_is_not_carried_is_not_served() {
    let value = HeaderMatch { name: "x-a".to_owned(), value: ValueMatch::Regex(unbounded_pattern()) };
    let rewriting = |path| {
        let action = Action::Forward(Forward::to(backend(0), path));
        Rule { action, ..rule("other", path_of("/a")) }
    };
    let rewrite = PathRewrite::Regex { pattern: unbounded_pattern(), template: "/x".to_owned() };
    for (other, reason) in [
        (rule("other", path(PathMatch::Regex(unbounded_pattern()))), NotCarriedReason::BadPattern),
        (rule("other", Match { headers: vec![value], ..Match::any() }), NotCarriedReason::BadPattern),
        (rule("other", path(PathMatch::Exact("/".repeat(5000)))), NotCarriedReason::LongPath),
        (rule("other", path(PathMatch::Exact("a".to_owned()))), NotCarriedReason::NoPath),
        (rewriting(rewrite), NotCarriedReason::BadPattern),
        (rewriting(PathRewrite::ReplaceFull("/".repeat(70_000))), NotCarriedReason::LongRules),
    ] {
        let routes = one_host(vec![other, rule("plain", Match::any())]);
        let (mut planner, mut writer, mut table) = table_of(&routes, 1 << 16);
        let reasons: Vec<_> = planner.not_carried().map(|not| (&*not.origin.key.name, not.reason)).collect();
        assert_eq!(reasons, [("other", reason)]);
        assert_eq!(table.find(&get("a.example", "/")), Err(Fault::NotCarried));
        // Only what is known of the host is there.
        assert_eq!(table.check().map(|contents| (contents.rules, contents.backends)), Ok((0, 0)));
        // And is carried when it is gone.
        let changes = planner.plan(&one_host(vec![rule("plain", Match::any())]), Revision(2));
        writer.apply(&changes).expect("there is room");
        assert_eq!(planner.not_carried().count(), 0);
        assert!(matches!(table.find(&get("a.example", "/")), Ok(Found::Route(_))));
    }
}

#[test]
fn rules_of_one_path_that_are_too_long_together_are_not_carried() {
    let rules = |number: usize| -> Vec<Rule> {
        let value = |number: usize| ValueMatch::Exact(format!("{number:0500}"));
        let header = |number| HeaderMatch { name: "x-a".to_owned(), value: value(number) };
        (0..number).map(|number| rule("long", Match { headers: vec![header(number)], ..path_of("/a") })).collect()
    };
    for (number, is_carried) in [(50, true), (200, false)] {
        let (planner, _, mut table) = table_of(&one_host(rules(number)), 1 << 18);
        assert_eq!(planner.not_carried().count() == 0, is_carried, "{number}");
        assert_eq!(table.check().map(|contents| contents.rules), Ok(if is_carried { number } else { 0 }));
    }
    // As many of several paths fit.
    let mut rules = rules(200);
    for (rule, number) in rules.iter_mut().zip(0..) {
        rule.matches.path = PathMatch::Prefix(format!("/a/{}", number % 10));
    }
    let (planner, _, mut table) = table_of(&one_host(rules), 1 << 19);
    assert_eq!(planner.not_carried().count(), 0);
    assert_eq!(table.check().map(|contents| contents.rules), Ok(200));
}

#[test]
fn patterns_that_are_too_long_together_are_not_carried() {
    let long = |number: usize| rule("long", regex(&format!("^/{number:0500}$")));
    for (number, is_carried) in [(8000, true), (8400, false)] {
        let (planner, _, mut table) = table_of(&one_host((0..number).map(long).collect()), 1 << 24);
        let reasons: Vec<_> = planner.not_carried().map(|not| not.reason).collect();
        assert_eq!(reasons, if is_carried { &[][..] } else { &[NotCarriedReason::LongPatternOrder] }, "{number}");
        assert_eq!(table.check().map(|contents| contents.rules), Ok(if is_carried { number } else { 0 }));
        let found = table.find(&get("a.example", &format!("/{:0500}", 399)));
        let is_expected =
            if is_carried { matches!(found, Ok(Found::Route(_))) } else { found == Err(Fault::NotCarried) };
        assert!(is_expected, "{found:?}");
    }
}

#[test]
fn rules_of_patterns_of_one_length_are_tried_in_their_order() {
    let with_header = |name: &str, text: &str| {
        let header = HeaderMatch { name: "x-a".to_owned(), value: ValueMatch::Regex(pattern("^1")) };
        rule(name, Match { headers: vec![header], ..regex(text) })
    };
    let get_by = |name, text| rule(name, Match { method: Some("GET".to_owned()), ..regex(text) });
    let mut routes = empty();
    let rules = [
        rule("one", regex("^/a.*")),
        rule("two", regex("^/.b.*")),
        with_header("two with header", "^/.b.*"),
        with_header("one with header", "^/a.*?"),
        get_by("one by get", "^/a.*"),
        rule("root", Match::any()),
        rule("first", Match::path(PathMatch::Regex(pattern("/c$").placed_first()))),
        rule("exact", path(PathMatch::Exact("/ab/c".to_owned()))),
    ];
    let rules = rules.into_iter().map(|rule| (rule, Policy::default())).collect();
    put_host(&mut routes, HostName::Any, (rules, false, false));
    let (_, _, mut table) = table_of(&routes, 1 << 17);
    for method in ["GET", "POST"] {
        for headers in [vec![], vec![("x-a", "12")], vec![("x-a", "2")]] {
            for path in ["/ab", "/a", "/xb", "/x", "/ab/c", "/c"] {
                let asked = asked(method, path, headers.clone());
                assert_eq!(by_table(&mut table, &asked), by_definition(&routes, &asked), "{asked:?}\n{routes}");
            }
        }
    }
}

#[test]
fn patterns_that_take_too_long_together_are_given_up() {
    let slow = |number: usize| format!("^/.*a.*[a-z]{{{}}}b", 400 + number);
    let header = HeaderMatch { name: "x-a".to_owned(), value: ValueMatch::Regex(pattern(&slow(0))) };
    let mut rules: Vec<_> = (0..100).map(|number| rule("slow", regex(&slow(number)))).collect();
    rules.push(rule("root", Match::any()));
    let by_header = Match { headers: vec![header], ..path_of("/header") };
    let of_headers = (0..100).map(|_| rule("slow", by_header.clone())).chain([rule("root", Match::any())]).collect();
    let mut routes = one_host(rules);
    routes.hosts.insert(HostName::Exact("header".to_owned()), Arc::new(Host { rules: of_headers, ..Host::default() }));
    let (_, _, mut table) = table_of(&routes, 1 << 18);
    let long = format!("/{}", "a".repeat(8000));
    let start = Instant::now();
    assert_eq!(table.find(&get("a.example", &long)), Err(Fault::LongMatch));
    let headers = OneHeader(long.as_bytes());
    let asked = Request { headers: &headers, ..get("header", "/header") };
    assert_eq!(table.find(&asked), Err(Fault::LongMatch));
    // Without a bound it takes minutes here, and seconds where nginx runs it.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    for (host, path) in [("a.example", &long[..100]), ("header", &long[..])] {
        let Ok(Found::Route(route)) = table.find(&get(host, path)) else { panic!("no route for {host}") };
        assert_eq!(route.rule().origin.key.name, "root");
    }
}

#[test]
fn pattern_matches_paths_and_values_byte_by_byte() {
    let header = HeaderMatch { name: "x-a".to_owned(), value: ValueMatch::Regex(pattern("^[^a]$")) };
    let routes = one_host(vec![
        rule("bytes", regex("^/[\\x80-\\xff]{2}/(.*)$")),
        rule("header", Match { headers: vec![header], ..Match::any() }),
        rule("root", Match::any()),
    ]);
    let (_, _, mut table) = table_of(&routes, 1 << 16);
    let mut name = |path: &[u8], value: &'static [u8]| {
        let headers = OneHeader(value);
        match table.find(&Request { path, headers: &headers, ..get("a.example", "") }) {
            Ok(Found::Route(route)) => route.rule().origin.key.name.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(name(b"/\xff\xfe/\x00\xc3", b""), "bytes");
    assert_eq!(name("/é/".as_bytes(), b""), "bytes");
    assert_eq!(name(b"/\xff/", b"\xff"), "header");
    assert_eq!(name(b"/\xff/", b"\xc3\xa9"), "root");
}

/// A value of each header.
struct OneHeader<'a>(&'a [u8]);

impl Headers for OneHeader<'_> {
    fn value(&self, _: &str, number: usize) -> Option<&[u8]> {
        (number == 0).then_some(self.0)
    }
}

#[test]
fn default_that_is_not_carried_is_not_served() {
    let mut routes = one_host(Vec::new());
    let closed = HostName::Exact("closed.example".to_owned());
    routes.hosts.insert(closed, Arc::new(Host { closed: true, ..Host::default() }));
    let unbounded = Match::path(PathMatch::Regex(unbounded_pattern()));
    put_default(&mut routes, Some((rule("none", unbounded), Policy::default())));
    let mut planner = Planner::new(Classifier { of_policy: |_| Class(7), ..Classifier::default() });
    let mut writer = crate::support::writer(&crate::support::memory(1 << 16));
    writer.apply(&planner.plan(&routes, Revision(1))).expect("there is room");
    let mut table = route_table::Table::open(Arc::clone(writer.memory())).expect("a table");
    let notes: Vec<_> = planner.not_carried().map(ToString::to_string).collect();
    assert!(matches!(&notes[..], [note] if note.ends_with("requests for the default are answered 503")), "{notes:?}");
    assert_eq!(table.find(&get("a.example", "/a")), Err(Fault::NotCarried));
    assert_eq!(table.find(&get("closed.example", "/a")), Ok(Found::NotFound));
    put_default(&mut routes, Some((rule("seven", Match::any()), Policy::default())));
    writer.apply(&planner.plan(&routes, Revision(2))).expect("there is room");
    assert_eq!(planner.not_carried().count(), 0);
    let Ok(Found::Route(route)) = table.find(&get("a.example", "/b")) else { panic!("no route") };
    assert_eq!(route.rule().class, Class(7));
}

#[test]
fn tls_that_a_proxy_has_taken_off_asks_for_no_certificate() {
    let mut routes = empty();
    let asked = (rule("plain", Match::any()), Policy { redirect_to_https: true, ..Policy::default() });
    put_host(&mut routes, HostName::Any, (vec![asked], false, false));
    let (_, _, mut table) = table_of(&routes, 1 << 16);
    let mut find = |scheme, connection| table.find(&Request { scheme, connection, ..get("a.example", "/") });
    assert!(matches!(find(Scheme::Http, Scheme::Http), Ok(Found::ToHttps(_))));
    assert!(matches!(find(Scheme::Https, Scheme::Http), Ok(Found::Route(_))));
    assert_eq!(find(Scheme::Https, Scheme::Https), Ok(Found::NoCertificate));
}

#[test]
fn host_that_no_request_is_for_is_reported_and_takes_no_place() {
    let long = HostName::Exact("a".repeat(254));
    let mut routes = one_host(vec![rule("plain", Match::any())]);
    routes.hosts.insert(long, Arc::new(Host { rules: vec![rule("long", Match::any())].into(), ..Host::default() }));
    let (planner, _, mut table) = table_of(&routes, 1 << 16);
    let reasons: Vec<_> = planner.not_carried().map(|not| (&*not.origin.key.name, not.reason)).collect();
    assert_eq!(reasons, [("long", NotCarriedReason::LongHost)]);
    assert_eq!(table.check().map(|contents| (contents.hosts, contents.rules)), Ok((1, 1)));
}

#[test]
fn long_and_deep_paths_of_requests_are_found_by_their_prefixes() {
    let deepest = "/a".repeat(63);
    let deeper = format!("{deepest}/b/b");
    let routes = one_host(vec![
        rule("deeper", path(PathMatch::Prefix(deeper.clone()))),
        rule("deep", path(PathMatch::Prefix(deepest.clone()))),
        rule("root", Match::any()),
    ]);
    let (_, _, mut table) = table_of(&routes, 1 << 16);
    let mut name = |path: &str| match table.find(&get("a.example", path)) {
        Ok(Found::Route(route)) => route.rule().origin.key.name.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(name(&format!("{deeper}{}", "/b".repeat(10_000))), "deeper");
    assert_eq!(name(&deeper), "deeper");
    assert_eq!(name(&format!("{deepest}/b/c")), "deep");
    assert_eq!(name(&format!("{deepest}/b")), "deep");
    assert_eq!(name(&deepest), "deep");
    assert_eq!(name(&format!("{deepest}b")), "root");
    assert_eq!(name(&"/".repeat(10_000)), "root");
}
