//! Requests that a key leads to one of the endpoints of their backend, and sessions, of which the client names the endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;

use entry_model::{Balancing, EndpointName, HashPart, Policy, Routes};
use testbed::http::Answer;
use testbed::pod::Pod;

use super::endpoints;
use super::support::{Nginx, Publisher, backend, policies, wait_for};

/// What the location has by which one of the endpoints is chosen.
const KEY: &str = "sparrow_balancing_key $http_key;";

/// Routes of which all lead to the endpoints of one Service, by a key.
fn routes_to(addresses: &[SocketAddr]) -> Routes {
    let mut policies = policies();
    let balancing = Balancing::HashSubset(vec![HashPart::Header("key".to_owned())], NonZeroU16::MIN);
    let policy = policies.intern(&Policy { balancing, ..Policy::default() });
    let mut routes = endpoints::routes_to(addresses);
    let hosts = routes.hosts.iter().map(|(name, host)| {
        let mut host = host.as_ref().clone();
        host.rules.iter_mut().for_each(|rule| rule.policy = policy);
        (name.clone(), host.into())
    });
    routes.hosts = hosts.collect();
    Routes { policies, ..routes }
}

/// An nginx whose location has these directives.
fn start(publisher: &Publisher, workers: usize, directives: &str) -> Nginx {
    Nginx::start_with(publisher, workers, |config| {
        let told = "add_header Pid $pid; add_header Endpoint $sparrow_endpoint;
            add_header Known $sparrow_endpoint_is_known; add_header Uri";
        let location = "client_max_body_size 0; proxy_pass http://sparrow_http;";
        let config = config.replacen("add_header Uri", told, 1);
        config.replacen(location, &format!("{location} {directives}"), 1)
    })
}

fn ask(nginx: &Nginx, key: &str, named: &str) -> Answer {
    let answer = nginx.get("any.example", "/", &format!("Key: {key}\r\nNamed: {named}\r\n"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn backend_of(nginx: &Nginx, key: &str) -> String {
    ask(nginx, key, "").header("Backend").to_owned()
}

fn keys() -> impl Iterator<Item = String> {
    (0..60).map(|number| format!("key-{number}"))
}

/// Who answers each key.
fn answers(nginx: &Nginx) -> BTreeMap<String, String> {
    keys().map(|key| (key.clone(), backend_of(nginx, &key))).collect()
}

#[test]
fn key_leads_all_workers_to_one_endpoint() {
    let mut publisher = Publisher::new();
    let addresses = ["a", "b", "c"].map(backend);
    publisher.publish(&routes_to(&addresses));
    let nginx = start(&publisher, 2, KEY);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut workers = BTreeSet::new();
    wait_for("answers of both workers", || {
        for key in keys() {
            let answer = ask(&nginx, &key, "");
            workers.insert(answer.header("Pid").to_owned());
            found.entry(key).or_default().insert(answer.header("Backend").to_owned());
        }
        (workers.len() == 2).then_some(())
    });
    assert!(found.values().all(|names| names.len() == 1), "{found:?}");
    let mut counts: BTreeMap<_, u32> = BTreeMap::new();
    for names in found.values() {
        *counts.entry(names).or_default() += 1;
    }
    assert!(counts.len() == 3 && counts.values().all(|count| *count >= 8), "{counts:?}");
    // Another nginx, with the endpoints in another order, finds the same.
    let [a, b, c] = addresses;
    let mut other = Publisher::new();
    other.publish(&routes_to(&[c, a, b]));
    let other = start(&other, 1, KEY);
    assert!(answers(&other).iter().all(|(key, name)| found[key].contains(name)));
}

#[test]
fn endpoint_that_goes_or_comes_moves_its_keys_and_no_others() {
    let mut publisher = Publisher::new();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(backend);
    publisher.publish(&routes_to(&[a, b, c]));
    let nginx = start(&publisher, 2, KEY);
    let (before, workers) = (answers(&nginx), nginx.workers());
    publisher.publish(&routes_to(&[c, b]));
    for (key, now) in answers(&nginx) {
        assert!(if before[&key] == "a" { now != "a" } else { now == before[&key] }, "{key} is at {now}");
    }
    publisher.publish(&routes_to(&[d, c, b, a]));
    let after = answers(&nginx);
    assert!(after.iter().all(|(key, now)| *now == before[key] || now == "d"), "{after:?}");
    assert!(after.values().any(|now| now == "d"));
    assert_eq!(nginx.workers(), workers, "nothing was reloaded");
}

#[test]
fn key_may_be_anything() {
    let mut publisher = Publisher::new();
    publisher.publish(&routes_to(&["a", "b", "c"].map(backend)));
    let nginx = start(&publisher, 1, &format!("{KEY} sparrow_balancing_endpoint $http_named;"));
    let long = "x".repeat(7_000);
    for text in ["", "\u{80}\u{7ff}\u{1}", &long, "0123456789abcdef", "-"] {
        let first = backend_of(&nginx, text);
        for named in ["", "\u{80}\u{7ff}", "0123456789abcdef", &long[..500]] {
            let answer = ask(&nginx, text, named);
            assert_eq!((answer.header("Backend"), answer.header("Known")), (&*first, ""), "{text} {named}");
        }
    }
    publisher.publish(&routes_to(&[]));
    assert_eq!(nginx.found("any.example", "/"), Err(503));
    publisher.publish(&routes_to(&[backend("only")]));
    assert_eq!(nginx.found("any.example", "/"), Ok("only".to_owned()));
}

#[test]
fn keys_of_an_endpoint_that_fails_go_to_their_next_ones() {
    let mut publisher = Publisher::new();
    let gone = testbed::ports::free_address().unwrap();
    let others = ["b", "c", "d"].map(backend);
    let all = [gone, others[0], others[1], others[2]];
    publisher.publish(&routes_to(&all));
    let nginx = start(&publisher, 1, KEY);
    let while_gone = answers(&nginx);
    publisher.publish(&routes_to(&others));
    // What would be its next endpoint is the same as if it were not in the table.
    assert_eq!(answers(&nginx), while_gone);
    let names: BTreeSet<_> = while_gone.values().collect();
    assert_eq!(names.len(), 3);
}

#[test]
fn subset_of_a_key_has_so_many_endpoints() {
    let mut publisher = Publisher::new();
    publisher.publish(&routes_to(&["a", "b", "c", "d", "e"].map(backend)));
    let nginx = start(&publisher, 2, &format!("{KEY} sparrow_balancing_subset 2;"));
    let subsets: BTreeSet<BTreeSet<String>> =
        (0..8).map(|key| (0..40).map(|_| backend_of(&nginx, &key.to_string())).collect()).collect();
    assert!(subsets.iter().all(|names| names.len() == 2), "{subsets:?}");
    assert!(subsets.len() > 2, "not all keys have the same: {subsets:?}");
}

#[test]
fn client_gets_the_endpoint_that_it_names_as_long_as_that_is_there() {
    let mut publisher = Publisher::new();
    let addresses = ["a", "b", "c"].map(backend);
    publisher.publish(&routes_to(&addresses));
    let nginx = start(&publisher, 2, &format!("{KEY} sparrow_balancing_endpoint $http_named;"));
    let names = addresses.map(|address| EndpointName::of(address).as_str().to_owned());
    let told = |answer: &Answer| ["Backend", "Endpoint", "Known"].map(|header| answer.header(header).to_owned());
    let workers = nginx.workers();
    for key in keys() {
        for (name, backend) in names.iter().zip(["a", "b", "c"]) {
            assert_eq!(told(&ask(&nginx, &key, name)), [backend, name, "-"]);
        }
    }
    // While it is not there, its clients are answered by those that their keys lead to, and told whom.
    publisher.publish(&routes_to(&addresses[1..]));
    let mut seen = BTreeSet::new();
    for key in keys() {
        let [backend, endpoint, known] = told(&ask(&nginx, &key, &names[0]));
        assert_eq!((&endpoint, &*known), (&names[if backend == "b" { 1 } else { 2 }], ""), "{backend}");
        seen.insert(backend);
    }
    assert_eq!(seen.len(), 2);
    publisher.publish(&routes_to(&addresses));
    assert_eq!(told(&ask(&nginx, "", &names[0])), ["a", &names[0], "-"]);
    publisher.publish(&routes_to(&addresses[..1]));
    assert_eq!(told(&ask(&nginx, "", &names[0])), ["a", &names[0], "-"]);
    assert_eq!(told(&ask(&nginx, "", &names[1])), ["a", &names[0], ""]);
    assert_eq!(nginx.workers(), workers, "nothing was reloaded");
}

#[test]
fn client_whose_endpoint_fails_is_told_who_answered() {
    let pod = Pod::start(Ipv4Addr::LOCALHOST.into(), "a").unwrap();
    let [a, b] = [pod.address(), backend("b")];
    let mut publisher = Publisher::new();
    publisher.publish(&routes_to(&[a, b]));
    let nginx = start(&publisher, 1, &format!("{KEY} sparrow_balancing_endpoint $http_named;"));
    let [name_of_a, name_of_b] = [a, b].map(EndpointName::of);
    let told = |key: &str| {
        let answer = ask(&nginx, key, name_of_a.as_str());
        ["Endpoint", "Known"].map(|header| answer.header(header).to_owned())
    };
    assert_eq!(told("x"), [name_of_a.as_str(), "-"]);
    pod.end();
    // Its name stays good: its clients come back.
    for _ in 0..6 {
        assert_eq!(told("x"), [name_of_b.as_str(), "-"]);
    }
}

#[test]
fn request_whose_location_has_no_key_goes_to_any_endpoint() {
    let mut publisher = Publisher::new();
    publisher.publish(&routes_to(&["a", "b"].map(backend)));
    let nginx = start(&publisher, 1, "");
    let names: BTreeSet<String> = (0..4).map(|_| backend_of(&nginx, "same")).collect();
    assert_eq!(names.len(), 2);
}
