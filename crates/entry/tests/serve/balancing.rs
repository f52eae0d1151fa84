//! Which endpoint a request gets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU16;

use entry_model::{
    Affinity, Backend, BackendAddress, Balancing, EndpointsId, HashPart, HeaderMatch, Key, Policy, Routes, Rule,
    SameSite, SessionCookie, ValueMatch,
};

use super::support::{Nginx, backed, backend, binaries, forward, free, policies, prefix, routes};

pub const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn id() -> EndpointsId {
    EndpointsId { service: Key { namespace: "shop".to_owned(), name: "web".to_owned() }.into(), port: 80 }
}

/// A rule for the endpoints of one Service.
pub fn to_endpoints(path: &str, strips: bool) -> Rule {
    let rule = forward(prefix(path), free(), strips);
    backed(rule, |backend: &mut Backend| backend.address = BackendAddress::Endpoints(id()))
}

/// These rules, whose endpoints are chosen in this way.
/// The cookies of sessions are for the path of each.
pub fn balanced(rules: Vec<Rule>, balancing: &Balancing, endpoints: &[SocketAddr]) -> Routes {
    let mut policies = policies();
    let rules = rules.into_iter().map(|rule| {
        let session_path = rule.matches.path.text().to_owned();
        let policy = policies.intern(&Policy { balancing: balancing.clone(), session_path, ..Policy::default() });
        Rule { policy, ..rule }
    });
    let rules = rules.collect();
    let mut routes = Routes { policies, ..routes([("*", rules)]) };
    routes.endpoints.insert(id(), endpoints.into());
    routes
}

pub fn session() -> SessionCookie {
    SessionCookie { max_age_seconds: Some(3600), same_site: Some(SameSite::Lax), ..SessionCookie::new("route") }
}

/// Who answers a client with this cookie, and what cookie it gets.
pub fn ask(nginx: &Nginx, cookie: &str) -> (String, String) {
    let line = if cookie.is_empty() { String::new() } else { format!("Cookie: x=1; {cookie}\r\n") };
    let answer = nginx.get("any", "/app/x", &line);
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), nginx.config());
    (answer.header("Backend").to_owned(), answer.header("Set-Cookie").to_owned())
}

#[test]
fn session_stays_at_its_endpoint_as_long_as_it_lives() {
    let endpoints = NAMES.map(backend);
    let routes = |endpoints: &[SocketAddr]| {
        balanced(vec![to_endpoints("/app", true)], &Balancing::Session(Box::new(session())), endpoints)
    };
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes(&endpoints[..3]), |_| {});
        let mut clients: BTreeMap<String, String> = BTreeMap::new();
        for _ in 0..40 {
            let (name, cookie) = ask(&nginx, "");
            let (value, attributes) = cookie.split_once("; ").unwrap();
            assert_eq!(attributes, "Path=/app; Max-Age=3600; HttpOnly; SameSite=Lax", "{cookie}");
            assert!(value.strip_prefix("route=").is_some_and(|id| id.len() == 32), "{cookie}");
            clients.insert(value.to_owned(), name);
        }
        assert_eq!(clients.len(), 40, "each session has a name of its own");
        let names: BTreeSet<_> = clients.values().collect();
        assert_eq!(names.len(), 3, "all endpoints have sessions");
        for (cookie, name) in &clients {
            assert_eq!(ask(&nginx, cookie), (name.clone(), String::new()));
        }
        drop(nginx);
        // One goes: its sessions find others, and no other moves.
        let nginx = Nginx::start(&binary, &routes(&endpoints[1..3]), |_| {});
        for (cookie, name) in &clients {
            let (now, _) = ask(&nginx, cookie);
            assert!(if name == "a" { now != "a" } else { now == *name }, "{cookie} of {name} is at {now}");
        }
        drop(nginx);
        // One comes: what moves, moves there.
        let nginx = Nginx::start(&binary, &routes(&endpoints), |_| {});
        for (cookie, name) in &clients {
            let (now, _) = ask(&nginx, cookie);
            assert!(now == *name || now == "d", "{cookie} of {name} is at {now}");
        }
    }
}

#[test]
fn sessions_of_two_paths_of_a_service_are_one() {
    let endpoints = NAMES.map(backend);
    let rules = vec![to_endpoints("/app", true), to_endpoints("/", false)];
    let routes = balanced(rules, &Balancing::Session(Box::new(session())), &endpoints);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for _ in 0..10 {
            let (name, cookie) = ask(&nginx, "");
            let (value, attributes) = cookie.split_once("; ").unwrap();
            assert!(attributes.starts_with("Path=/app; "), "{cookie}");
            let elsewhere = nginx.get("any", "/x", "");
            assert!(elsewhere.header("Set-Cookie").contains("; Path=/; "), "{}", elsewhere.text());
            let elsewhere = nginx.get("any", "/x", &format!("Cookie: {value}\r\n"));
            assert_eq!(elsewhere.header("Backend"), name, "{}", elsewhere.text());
        }
    }
}

#[test]
fn session_is_for_its_cookie_alone_and_keeps_its_share() {
    let endpoints = NAMES.map(backend);
    let mut cookie = session();
    cookie.secure = Some(true);
    cookie.domain = Some("example.com".to_owned());
    let mut chosen = to_endpoints("/app", false);
    chosen.matches.headers.push(HeaderMatch { name: "x-a".to_owned(), value: ValueMatch::Exact("1".to_owned()) });
    let shared = super::branches::weighted(prefix("/app"), &[(1, backend("half")), (1, backend("other"))]);
    let routes = balanced(vec![chosen, shared], &Balancing::Session(Box::new(cookie)), &endpoints);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            let (name, cookie) = ask(&nginx, "");
            let expected = "Path=/app; Domain=example.com; Max-Age=3600; HttpOnly; Secure; SameSite=Lax";
            let (value, attributes) = cookie.split_once("; ").unwrap();
            assert_eq!(attributes, expected);
            for _ in 0..3 {
                assert_eq!(ask(&nginx, value), (name.clone(), String::new()), "a share is that of the session");
            }
            assert_ne!(ask(&nginx, "Route=1").1, "", "case counts");
            seen.insert(name);
        }
        assert_eq!(seen.len(), 2);
        let answer = nginx.get("any", "/app/x", "X-A: 1\r\nCookie: route=7\r\n");
        assert!(NAMES.contains(&answer.header("Backend")), "{}", answer.text());
    }
}

#[test]
fn share_of_a_session_is_that_of_its_number() {
    let (names, weights) = (["a", "b", "c"], [3, 1, 12]);
    let shares: Vec<_> = weights.into_iter().zip(names.map(backend)).collect();
    let expected = |text: &str| {
        // Sixteenths: so the first digit decides alone.
        // In upper case it is none.
        let point =
            text.chars().next().filter(|digit| !digit.is_ascii_uppercase()).and_then(|digit| digit.to_digit(16));
        match point {
            Some(0..3) => "a",
            Some(3) => "b",
            _ => "c",
        }
    };
    for affinity in [Affinity::Balanced, Affinity::Persistent, Affinity::PersistentUntilFailure] {
        let routes = |changes_share| {
            let cookie = SessionCookie { affinity, changes_share, ..session() };
            let rule = super::branches::weighted(prefix("/app"), &shares);
            balanced(vec![rule], &Balancing::Session(Box::new(cookie)), &[])
        };
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes(false), |_| {});
            for digit in "0234f".chars() {
                let session = format!("{digit}123456789abcdef0123456789abcdef");
                let sessions = [session.clone(), format!("{session}-0123456789abcdef")];
                let others = [format!("{digit}"), format!("{digit}x"), session.to_uppercase(), format!("Z{session}")];
                let is_any = affinity == Affinity::Balanced;
                for text in sessions.iter().chain(others.iter().filter(|_| is_any)) {
                    let (name, _) = ask(&nginx, &format!("route={text}; route=0"));
                    assert_eq!(name, expected(text), "{affinity:?} {text} {}", binary.version);
                }
            }
            let nginx = Nginx::start(&binary, &routes(true), |_| {});
            let seen: BTreeSet<_> = (0..40).map(|_| ask(&nginx, "route=0123456789abcdef0123456789abcdef").0).collect();
            assert!(seen.len() > 1, "{affinity:?} {}", binary.version);
        }
    }
}

#[test]
fn key_is_the_query_or_who_connects_whatever_else_the_client_says() {
    let endpoints = NAMES.map(backend);
    let asked_by = |part: HashPart, ask: &dyn Fn(&Nginx, usize) -> String| {
        let routes = balanced(vec![to_endpoints("/", false)], &Balancing::Hash(vec![part]), &endpoints);
        let numbers = binaries().into_iter().map(|binary| {
            let nginx =
                Nginx::start(&binary, &routes, |settings| settings.trusted = vec!["127.0.0.0/8".parse().unwrap()]);
            (0..20).map(|number| ask(&nginx, number)).collect::<BTreeSet<_>>().len()
        });
        numbers.collect::<BTreeSet<_>>()
    };
    let name = |nginx: &Nginx, target: &str, headers: &str| {
        let answer = nginx.get("any", target, headers);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("Backend").to_owned()
    };
    let other_client =
        |nginx: &Nginx, number: usize| name(nginx, "/", &format!("X-Forwarded-For: 192.0.2.{number}\r\n"));
    let other_path = |nginx: &Nginx, number: usize| name(nginx, &format!("/{number}?same"), "");
    let other_query = |nginx: &Nginx, number: usize| name(nginx, &format!("/same?{number}"), "");
    let one = BTreeSet::from([1]);
    assert_eq!(asked_by(HashPart::PeerAddress, &other_client), one);
    assert_eq!(asked_by(HashPart::Query, &other_path), one);
    assert_eq!(asked_by(HashPart::Method, &other_query), one);
    for (part, ask) in
        [(HashPart::ClientAddress, &other_client as &dyn Fn(&Nginx, usize) -> String), (HashPart::Query, &other_query)]
    {
        assert!(asked_by(part, ask).first().is_some_and(|least| *least > 1));
    }
}

#[test]
fn requests_with_the_same_key_get_the_same_endpoint() {
    let endpoints = NAMES.map(backend);
    let parts = vec![
        HashPart::Header("x-user".to_owned()),
        HashPart::Text("-".to_owned()),
        HashPart::Parameter("p".to_owned()),
    ];
    let routes = balanced(vec![to_endpoints("/", false)], &Balancing::Hash(parts), &endpoints);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let ask = |user: usize, p: usize| {
            let answer = nginx.get("any", &format!("/x?p={p}"), &format!("X-User: {user}\r\n"));
            assert_eq!(answer.header("Set-Cookie"), "");
            answer.header("Backend").to_owned()
        };
        let keys = || (0..10).flat_map(|user| [(user, 1), (user, 2)]);
        let first: Vec<String> = keys().map(|(user, p)| ask(user, p)).collect();
        assert!(first.iter().collect::<BTreeSet<_>>().len() >= 3, "{first:?}");
        assert_eq!(first, keys().map(|(user, p)| ask(user, p)).collect::<Vec<_>>());
    }
}

#[test]
fn requests_with_the_same_key_get_any_of_the_same_endpoints() {
    let endpoints = NAMES.map(backend);
    let subset =
        |size| Balancing::HashSubset(vec![HashPart::Header("x-user".to_owned())], NonZeroU16::new(size).unwrap());
    for binary in binaries() {
        for (number, size, least) in [(4, 2, 2), (3, 2, 2), (2, 3, 1), (2, 1, 2)] {
            let routes = balanced(vec![to_endpoints("/", false)], &subset(size), &endpoints[..number]);
            let nginx = Nginx::start(&binary, &routes, |_| {});
            let of_user = |user: usize| {
                let names = (0..30).map(|_| {
                    let answer = nginx.get("any", "/x", &format!("X-User: {user}\r\n"));
                    answer.header("Backend").to_owned()
                });
                names.collect::<BTreeSet<_>>().into_iter().collect::<String>()
            };
            let seen: BTreeSet<String> = (0..20).map(of_user).collect();
            // An endpoint may be in several subsets.
            let few = usize::from(size).min(number);
            assert!(seen.iter().all(|names| names.len() == few), "{number} {size}: {seen:?}");
            assert!(seen.len() >= least, "{number} {size}: {seen:?}");
        }
    }
}
