//! What is changed step by step is what is built at once.

use std::num::NonZeroU16;
use std::sync::Arc;

use entry_model::{
    Action, Affinity, Backend, BackendAddress, Balancing, Endpoints, Forward, HashPart, HostName, Match, PathMatch,
    PathRewrite, Policy, Protocol, Routes, Rule, SessionCookie,
};
use proptest::collection::vec;
use proptest::prelude::*;
use route_table::{ChangeCounts, Changes, EndpointChoice, Found, Revision, Table, WriteError};

use crate::support::{
    Answer, AskedHost, any_asked, any_asked_host, any_endpoints, any_host_name, any_request, backend, by_definition,
    by_table, empty, endpoints_id, from_image, get, image, many, memory, pattern, planner, port_of, put_default,
    put_host, put_one, regex, rule, table_of, unbounded_pattern, writer,
};

/// A change of routes.
#[derive(Debug, Clone)]
enum Step {
    Host(HostName, AskedHost),
    /// One that the table does not carry.
    Left(HostName, AskedHost),
    Gone(HostName),
    Default(Option<Box<crate::support::Asked>>),
    Endpoints(u16, Endpoints),
    WithoutEndpoints(u16),
    /// The same routes, with other numbers for the policies and nothing shared.
    Anew,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any_host_name(), any_asked_host()).prop_map(|(name, host)| Step::Host(name, host)),
        1 => (any_host_name(), any_asked_host()).prop_map(|(name, host)| Step::Left(name, host)),
        2 => any_host_name().prop_map(Step::Gone),
        1 => proptest::option::of(any_asked().prop_map(Box::new)).prop_map(Step::Default),
        3 => (0..2_u16, any_endpoints()).prop_map(|(port, endpoints)| Step::Endpoints(port, endpoints)),
        1 => (0..2_u16).prop_map(Step::WithoutEndpoints),
        1 => Just(Step::Anew),
    ]
}

fn anew(routes: &Routes) -> Routes {
    let mut copy = Routes {
        endpoints: routes.endpoints.iter().map(|(id, of)| (id.clone(), of.to_vec().into())).collect(),
        ..empty()
    };
    let asked = |rule: &entry_model::Rule| (rule.clone(), routes.policy(rule).clone());
    for (name, host) in routes.hosts.iter().rev() {
        let rules = host.rules.iter().map(asked).collect();
        put_host(&mut copy, name.clone(), (rules, host.certificate.is_some(), host.closed));
    }
    put_default(&mut copy, routes.default.as_ref().map(asked));
    copy
}

fn take(routes: &mut Routes, step: Step) {
    match step {
        Step::Host(name, host) => put_host(routes, name, host),
        Step::Left(name, (mut rules, has_certificate, closed)) => {
            rules.push((rule("pattern", Match::path(PathMatch::Regex(unbounded_pattern()))), Policy::default()));
            put_host(routes, name, (rules, has_certificate, closed));
        }
        Step::Gone(name) => drop(routes.hosts.remove(&name)),
        Step::Default(default) => put_default(routes, default.map(|asked| *asked)),
        Step::Endpoints(port, endpoints) => drop(routes.endpoints.insert(endpoints_id(port), endpoints)),
        Step::WithoutEndpoints(port) => drop(routes.endpoints.remove(&endpoints_id(port))),
        Step::Anew => *routes = anew(routes),
    }
}

/// Has hosts share the rules that are as they were, whose policies may be others by now.
fn share_rules(routes: &mut Routes, before: &Routes) {
    for (name, host) in routes.hosts.iter_mut() {
        let Some(before) = before.hosts.get(name) else { continue };
        let known = |rule: &Arc<Rule>| before.rules.shared().find(|known| *known == rule).unwrap_or(rule).clone();
        let rules = host.rules.shared().map(known).collect();
        Arc::make_mut(host).rules = rules;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn table_after_changes_is_one_that_is_built_at_once(
        batches in vec(vec(any_step(), 1..4), 1..10),
        requests in vec(any_request(), 1..12),
    ) {
        let (mut routes, mut planner, mut writer) = (empty(), planner(), writer(&memory(1 << 17)));
        let mut table = Table::open(Arc::clone(writer.memory())).expect("a table");
        for (batch, number) in batches.into_iter().zip(1..) {
            let before = routes.clone();
            for step in batch {
                take(&mut routes, step);
            }
            share_rules(&mut routes, &before);
            let planned = planner.plan(&routes, Revision(number));
            // As it comes over the volume.
            let (changes, _) = Changes::decode(&planned.encode()).expect("a record");
            prop_assert_eq!(&changes, &planned);
            writer.apply(&changes).expect("there is room");
            prop_assert_eq!((table.refresh(), writer.revision()), (Ok(Revision(number)), Revision(number)));
            for request in &requests {
                let (found, expected) = (by_table(&mut table, request), by_definition(&routes, request));
                let is_left_out = found == Answer::NotCarried && planner.not_carried().next().is_some();
                prop_assert!(is_left_out || found == expected, "{:?}: {:?}, not {:?}\n{}", request, found, expected, routes);
            }
            // Nothing is left of what was: what is built at once has as many of everything.
            let (fresh, _, mut whole) = table_of(&routes, 1 << 17);
            prop_assert_eq!(table.check(), whole.check());
            // All of it over what is there changes nothing.
            let mut full = planner.full();
            prop_assert_eq!(&full.changes, &fresh.full().changes);
            prop_assert!(planner.not_carried().eq(fresh.not_carried()));
            full.revision = Revision(number);
            prop_assert_eq!(writer.apply(&full), Ok(ChangeCounts::default()));
        }
    }

    #[test]
    fn whole_table_takes_the_place_of_another(
        before in crate::support::any_routes(),
        after in crate::support::any_routes(),
        requests in vec(any_request(), 1..12),
    ) {
        let (_, mut writer, mut table) = table_of(&before, 1 << 17);
        let full = planner().plan(&after, Revision(9));
        writer.apply(&full).expect("there is room");
        for request in &requests {
            prop_assert_eq!(by_table(&mut table, request), by_definition(&after, request));
        }
        let (_, _, mut whole) = table_of(&after, 1 << 17);
        prop_assert_eq!(table.check(), whole.check());
    }

    /// Whatever of a publication is written when its writer ends, in whatever order: until the root's word is, the old table is
    /// there, whole.
    #[test]
    fn writer_that_ends_before_the_last_store_has_changed_nothing(
        before in crate::support::any_routes(),
        after in crate::support::any_routes(),
        requests in vec(any_request(), 1..12),
        stored in vec(any::<bool>(), 64),
    ) {
        const ROOT: usize = 8;
        let (mut planner, mut writer, _) = table_of(&before, 1 << 17);
        let old = image(writer.memory());
        writer.apply(&planner.plan(&after, Revision(2))).expect("there is room");
        let new = image(writer.memory());
        let mixed: Vec<u64> = (0..old.len())
            .map(|at| if at != ROOT && stored[at % stored.len()] { new[at] } else { old[at] })
            .collect();
        let mut table = Table::open(from_image(&mixed)).expect("a table");
        prop_assert_eq!(table.revision(), Revision(1));
        for request in &requests {
            prop_assert_eq!(by_table(&mut table, request), by_definition(&before, request));
        }
        prop_assert!(table.check().is_ok());
    }
}

#[test]
fn change_of_one_route_among_many_writes_one_entry() {
    let mut routes = many(2000, 80);
    let (mut planner, mut writer, mut table) = table_of(&routes, 1 << 21);
    put_one(&mut routes, 1000, 81);
    let changes = planner.plan(&routes, Revision(2));
    // The rules of a path, and the backend that came.
    assert_eq!(changes.changes.len(), 2);
    let before = image(writer.memory());
    assert_eq!(writer.apply(&changes), Ok(ChangeCounts { put: 2, removed: 0 }));
    let after = image(writer.memory());
    let words = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert!(words < 250, "{words} words are written");
    assert_eq!((port_of(&mut table, 1000), port_of(&mut table, 1001)), (Ok(Some(81)), Ok(Some(80))));
}

/// Routes of one host with these rules.
fn routes_of_one(rules: Vec<Rule>) -> Routes {
    let mut routes = empty();
    put_host(
        &mut routes,
        HostName::Any,
        (rules.into_iter().map(|rule| (rule, Policy::default())).collect(), false, false),
    );
    routes
}

#[test]
fn change_of_one_pattern_among_many_writes_its_rules_and_the_order_only_if_that_changes() {
    let numbered = |number: usize| rule(&number.to_string(), regex(&format!("^/{number}/(.*)$")));
    let mut rules: Vec<_> = (100..300).map(numbered).collect();
    let (mut planner, mut writer, mut table) = table_of(&routes_of_one(rules.clone()), 1 << 20);
    let mut apply = |rules: &[Rule], number| {
        writer.apply(&planner.plan(&routes_of_one(rules.to_vec()), Revision(number))).expect("there is room")
    };
    // Other policies, the same path: the rules of it.
    rules[7].action = Action::Respond(404);
    assert_eq!(apply(&rules, 2), ChangeCounts { put: 1, removed: 0 });
    // One more: its rules, and the order.
    rules.push(numbered(300));
    assert_eq!(apply(&rules, 3), ChangeCounts { put: 2, removed: 0 });
    let found = |table: &mut Table<_>, path: &str| match table.find(&get("a.example", path)) {
        Ok(Found::Route(route)) => route.rule().origin.key.name.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((found(&mut table, "/107/x"), found(&mut table, "/300/x")), ("107".to_owned(), "300".to_owned()));
    // All but the first go, with what is known of the host beside none.
    assert_eq!(apply(&rules[..1], 4), ChangeCounts { put: 1, removed: 200 });
    assert_eq!(found(&mut table, "/100/x"), "100");
}

#[test]
fn pattern_that_is_written_otherwise_is_tried_at_another_place() {
    let written = |text: &str| {
        let matches = Match::path(PathMatch::Regex(pattern("^/a").written_as(text)));
        routes_of_one(vec![rule("prefix", Match::path(PathMatch::Prefix("/a".to_owned()))), rule("pattern", matches)])
    };
    let (mut planner, mut writer, mut table) = table_of(&written("/"), 1 << 16);
    for (text, expected) in [("/", "prefix"), ("^/a", "pattern"), ("/", "prefix")] {
        let number = table.revision().0 + 1;
        writer.apply(&planner.plan(&written(text), Revision(number))).expect("there is room");
        let Ok(Found::Route(route)) = table.find(&get("a.example", "/a")) else { panic!("no route") };
        assert_eq!(route.rule().origin.key.name, expected, "{text}");
    }
}

#[test]
fn rule_says_whether_a_key_chooses_its_endpoint_and_its_backend_is_found_by_name() {
    let session = SessionCookie { affinity: Affinity::Persistent, ..SessionCookie::new("route") };
    let mut routes = many(3, 80);
    let (mut planner, mut writer, mut table) = table_of(&routes, 1 << 18);
    let mut revision = 1;
    for (balancing, expected) in [
        (Balancing::LeastConnections, EndpointChoice::FewestRequests),
        (Balancing::Hash(vec![HashPart::Host]), EndpointChoice::ByKey),
        (Balancing::HashSubset(vec![HashPart::Query], NonZeroU16::MIN), EndpointChoice::ByKey),
        (Balancing::Session(Box::new(session)), EndpointChoice::ByKey),
        (Balancing::RoundRobin, EndpointChoice::InTurn),
    ] {
        let policy = routes.policies.intern(&Policy { balancing, ..Policy::default() });
        let action = Action::Forward(Forward::to(backend(2), PathRewrite::Keep));
        let rule = entry_model::Rule { policy, action, ..rule("a", Match::any()) };
        let host = entry_model::Host { rules: vec![rule].into(), ..Default::default() };
        routes.hosts.insert(HostName::Exact("a.example".to_owned()), Arc::new(host));
        revision += 1;
        writer.apply(&planner.plan(&routes, Revision(revision))).expect("there is room");
        let Ok(Found::Route(route)) = table.find(&get("a.example", "/")) else { panic!("no route") };
        assert_eq!(route.rule().endpoint_choice, expected);
        let route_table::Step::Forward { backend, .. } = route.step() else { panic!("{route:?}") };
        assert_eq!(table.find_backend(&backend.name), Ok(Some(Arc::clone(backend))));
    }
    let name = route_table::Backend::name_of(&backend(2));
    routes.hosts.remove(&HostName::Exact("a.example".to_owned()));
    writer.apply(&planner.plan(&routes, Revision(revision + 1))).expect("there is room");
    assert_eq!(table.find_backend(&name), Ok(None), "it went with its last rule");
}

#[test]
fn change_of_endpoints_writes_the_backends_that_have_them() {
    let mut routes = many(100, 80);
    let of_web =
        |protocol| Backend { address: BackendAddress::Endpoints(endpoints_id(80)), protocol, keep_alive: true };
    for (host, protocol) in
        [("a.example", Protocol::Http), ("b.example", Protocol::Http2), ("c.example", Protocol::Http)]
    {
        let action = Action::Forward(Forward::to(of_web(protocol), PathRewrite::Keep));
        let rule = entry_model::Rule { action, ..rule(host, Match::any()) };
        let host = HostName::Exact(host.to_owned());
        routes.hosts.insert(host, Arc::new(entry_model::Host { rules: vec![rule].into(), ..Default::default() }));
    }
    let addresses = |numbers: &[u8]| -> Vec<std::net::SocketAddr> {
        numbers.iter().map(|number| ([10, 1, 0, *number], 8080).into()).collect()
    };
    routes.endpoints.insert(endpoints_id(80), addresses(&[1]).into());
    let (mut planner, mut writer, mut table) = table_of(&routes, 1 << 18);
    routes.endpoints.insert(endpoints_id(80), addresses(&[1, 2]).into());
    let changes = planner.plan(&routes, Revision(2));
    // One for each protocol, and none of the hundred others, nor any rule.
    assert_eq!(writer.apply(&changes), Ok(ChangeCounts { put: 2, removed: 0 }));
    let found = |table: &mut Table<_>, host: &str| {
        let Ok(Found::Route(route)) = table.find(&get(host, "/")) else { panic!("no route") };
        let route_table::Step::Forward { backend, .. } = route.step() else { panic!("{route:?}") };
        (backend.name.to_string(), backend.endpoints.iter().map(|endpoint| endpoint.address).collect::<Vec<_>>())
    };
    assert_eq!(found(&mut table, "a.example"), ("http://shop/web:80".to_owned(), addresses(&[1, 2])));
    assert_eq!(found(&mut table, "b.example"), ("h2c://shop/web:80".to_owned(), addresses(&[1, 2])));
    // The same again is no change, and one without endpoints stays.
    routes.endpoints.insert(endpoints_id(80), addresses(&[1, 2]).into());
    assert!(planner.plan(&routes, Revision(3)).changes.is_empty());
    routes.endpoints.remove(&endpoints_id(80));
    writer.apply(&Changes { base: Some(Revision(2)), ..planner.plan(&routes, Revision(4)) }).expect("there is room");
    assert_eq!(found(&mut table, "a.example").1, []);
}

#[test]
fn changes_of_another_revision_are_refused() {
    let (mut planner, mut writer, mut table) = table_of(&many(3, 80), 1 << 16);
    let lost = planner.plan(&many(4, 80), Revision(2));
    let next = planner.plan(&many(5, 80), Revision(3));
    let refused = WriteError::OtherBase { base: Revision(2), published: Revision(1) };
    assert_eq!(writer.apply(&next), Err(refused));
    assert_eq!((table.refresh(), port_of(&mut table, 3)), (Ok(Revision(1)), Ok(None)));
    writer.apply(&lost).expect("there is room");
    writer.apply(&next).expect("there is room");
    assert_eq!((table.refresh(), port_of(&mut table, 4)), (Ok(Revision(3)), Ok(Some(80))));
}

#[test]
fn drain_is_told_to_readers_and_changes_no_route() {
    let mut routes = many(4, 80);
    let (mut planner, mut writer, mut table) = table_of(&routes, 1 << 15);
    assert!(!table.is_draining());
    writer.begin_drain();
    assert!(table.is_draining());
    assert_eq!(port_of(&mut table, 3), Ok(Some(80)));
    put_one(&mut routes, 3, 81);
    writer.apply(&planner.plan(&routes, Revision(2))).unwrap();
    assert!(table.is_draining());
    assert_eq!((port_of(&mut table, 3), port_of(&mut table, 2)), (Ok(Some(81)), Ok(Some(80))));
}
