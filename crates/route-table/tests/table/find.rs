//! A look-up is [`entry_model::Routes::find`].

use std::sync::Arc;

use entry_model::{Action, Forward, HeaderMatch, Host, HostName, Match, PathMatch, PathRewrite, Rule, ValueMatch};
use proptest::collection::vec;
use proptest::prelude::*;
use route_table::{Class, Found, NotCarriedReason, Planner, Revision};

use crate::support::{any_request, any_routes, backend, by_definition, by_table, empty, get, pattern, rule, table_of};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn request_gets_what_the_definition_finds(
        routes in any_routes(),
        requests in vec(any_request(), 1..20),
    ) {
        let (planner, _, mut table) = table_of(&routes, 1 << 17);
        prop_assert_eq!(planner.not_carried().count(), 0);
        let census = table.check().expect("a table");
        prop_assert_eq!(census.hosts, routes.hosts.len());
        prop_assert_eq!(census.rules, routes.rules().count());
        for request in requests {
            let expected = by_definition(&routes, &request);
            prop_assert_eq!(by_table(&mut table, &request), expected, "{:?}\n{}", request, routes);
        }
    }
}

/// Routes of one host.
fn one_host(rules: Vec<Rule>) -> entry_model::Routes {
    let mut routes = empty();
    routes.hosts.insert(HostName::Any, Arc::new(Host { rules, ..Host::default() }));
    routes
}

fn path(path: PathMatch) -> Match {
    Match::path(path)
}

#[test]
fn host_with_a_pattern_is_left_to_the_frame() {
    let value = HeaderMatch { name: "x-a".to_owned(), value: ValueMatch::Regex(pattern()) };
    for (matches, reason) in [
        (path(PathMatch::Regex(pattern())), NotCarriedReason::PathPattern),
        (Match { headers: vec![value], ..Match::any() }, NotCarriedReason::ValuePattern),
        (path(PathMatch::Prefix("/a".repeat(64))), NotCarriedReason::LongPath),
        (path(PathMatch::Exact("/".repeat(5000))), NotCarriedReason::LongPath),
    ] {
        let routes = one_host(vec![rule("pattern", matches), rule("plain", Match::any())]);
        let (mut planner, mut writer, mut table) = table_of(&routes, 1 << 16);
        let reasons: Vec<_> = planner.not_carried().map(|not| (&*not.origin.key.name, not.reason)).collect();
        assert_eq!(reasons, [("pattern", reason)]);
        assert_eq!(table.find(&get("a.example", "/")), Ok(Found::Frame));
        // And is carried when it is gone.
        let changes = planner.plan(&one_host(vec![rule("plain", Match::any())]), Revision(2));
        writer.apply(&changes).expect("there is room");
        assert_eq!(planner.not_carried().count(), 0);
        assert!(matches!(table.find(&get("a.example", "/")), Ok(Found::Route(_))));
    }
}

#[test]
fn rule_that_the_table_cannot_do_is_left_to_the_frame_alone() {
    let rewriting = |path| Action::Forward(Forward::to(backend(0), path));
    let rewrite = rewriting(PathRewrite::Regex { pattern: pattern(), template: "/x".to_owned() });
    let rule_of = |action| Rule { action, ..rule("other", path(PathMatch::Prefix("/a".to_owned()))) };
    let long =
        Rule { action: rewriting(PathRewrite::ReplaceFull("/".repeat(70_000))), ..rule_of(Action::Respond(404)) };
    for (other, reason) in [(rule_of(rewrite), NotCarriedReason::RewritePattern), (long, NotCarriedReason::LongRules)] {
        let routes = one_host(vec![other, rule("plain", Match::any())]);
        let (planner, _, mut table) = table_of(&routes, 1 << 16);
        let reasons: Vec<_> = planner.not_carried().map(|not| (&*not.origin.key.name, not.reason)).collect();
        assert_eq!(reasons, [("other", reason)]);
        assert_eq!(table.find(&get("a.example", "/a/b")), Ok(Found::Frame));
        assert!(matches!(table.find(&get("a.example", "/b")), Ok(Found::Route(_))));
    }
}

#[test]
fn rule_says_its_class_and_one_without_is_left_to_the_frame() {
    let classify = |rule: &Rule, _: &entry_model::Policy| match &rule.action {
        Action::Respond(_) => None,
        _ => Some(Class(7)),
    };
    let responding = Rule { action: Action::Respond(404), ..rule("none", path(PathMatch::Exact("/a".to_owned()))) };
    let routes = one_host(vec![responding, rule("seven", Match::any())]);
    let mut planner = Planner::new(classify);
    let mut writer = crate::support::writer(&crate::support::memory(1 << 16));
    writer.apply(&planner.plan(&routes, Revision(1))).expect("there is room");
    let mut table = route_table::Table::open(Arc::clone(writer.memory())).expect("a table");
    assert_eq!(table.find(&get("a.example", "/a")), Ok(Found::Frame));
    let Ok(Found::Route(route)) = table.find(&get("a.example", "/b")) else { panic!("no route") };
    assert_eq!(route.rule().class, Class(7));
}

#[test]
fn rules_that_no_request_leads_to_are_reported_and_take_no_place() {
    let long = HostName::Exact("a".repeat(254));
    let mut routes = one_host(vec![rule("bare", path(PathMatch::Exact("a".to_owned())))]);
    routes.hosts.insert(long, Arc::new(Host { rules: vec![rule("long", Match::any())], ..Host::default() }));
    let (planner, _, mut table) = table_of(&routes, 1 << 16);
    let reasons: Vec<_> = planner.not_carried().map(|not| (&*not.origin.key.name, not.reason)).collect();
    assert_eq!(reasons, [("long", NotCarriedReason::LongHost), ("bare", NotCarriedReason::NoPath)]);
    assert_eq!(table.check().map(|census| (census.hosts, census.rules)), Ok((1, 0)));
}

#[test]
fn long_and_deep_paths_of_requests_are_found_by_their_prefixes() {
    let deepest = "/a".repeat(63);
    let routes = one_host(vec![rule("deep", path(PathMatch::Prefix(deepest.clone()))), rule("root", Match::any())]);
    let (_, _, mut table) = table_of(&routes, 1 << 16);
    let mut name = |path: &str| match table.find(&get("a.example", path)) {
        Ok(Found::Route(route)) => route.rule().origin.key.name.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(name(&format!("{deepest}{}", "/b".repeat(10_000))), "deep");
    assert_eq!(name(&format!("{deepest}b")), "root");
    assert_eq!(name(&"/".repeat(10_000)), "root");
}
