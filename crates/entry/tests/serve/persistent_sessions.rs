//! Sessions whose cookie names their endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use entry_model::{Affinity, Balancing, Routes, SessionCookie};
use testbed::http;

use super::balancing::{NAMES, ask, balanced, session, to_endpoints};
use super::support::{Nginx, backend, binaries, prefix};

fn named(affinity: Affinity) -> Balancing {
    Balancing::Session(Box::new(SessionCookie { affinity, ..session() }))
}

fn routes(affinity: Affinity, endpoints: &[SocketAddr]) -> Routes {
    balanced(vec![to_endpoints("/app", true)], &named(affinity), endpoints)
}

/// An endpoint that does not answer while it is told to fail.
fn failing(name: &'static str) -> (SocketAddr, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let told = fails.clone();
    let address = http::serve(move |mut connection: http::Connection| {
        while connection.request()?.is_some() && !told.load(Ordering::SeqCst) {
            write!(connection, "HTTP/1.1 200 OK\r\nBackend: {name}\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    (address.unwrap(), fails)
}

/// A cookie, its session and what it calls the endpoint.
fn parts(set_cookie: &str) -> (String, String, String) {
    let (value, attributes) = set_cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/app; Max-Age=3600; HttpOnly; SameSite=Lax", "{set_cookie}");
    let (session, endpoint) = value.strip_prefix("route=").unwrap().split_once('-').unwrap();
    assert_eq!((session.len(), endpoint.len()), (32, 16), "{set_cookie}");
    (value.to_owned(), session.to_owned(), endpoint.to_owned())
}

/// Clients, each with its cookie and who answers it.
fn clients(nginx: &Nginx, number: usize) -> BTreeMap<String, String> {
    let all = (0..number).map(|_| {
        let (name, set_cookie) = ask(nginx, "");
        (parts(&set_cookie).0, name)
    });
    all.collect()
}

#[test]
fn session_stays_whatever_comes_and_moves_only_when_its_endpoint_goes() {
    let endpoints = NAMES.map(backend);
    for binary in binaries() {
        for affinity in [Affinity::Persistent, Affinity::PersistentUntilFailure] {
            let nginx = Nginx::start(&binary, &routes(affinity, &endpoints[..2]), |_| {});
            let mut clients = clients(&nginx, 30);
            assert_eq!(clients.len(), 30, "each session has a name of its own");
            assert_eq!(clients.values().collect::<BTreeSet<_>>().len(), 2, "all endpoints have sessions");
            drop(nginx);
            let nginx = Nginx::start(&binary, &routes(affinity, &endpoints), |_| {});
            for (cookie, name) in &clients {
                assert_eq!(ask(&nginx, cookie), (name.clone(), String::new()), "all stay");
            }
            drop(nginx);
            let nginx = Nginx::start(&binary, &routes(affinity, &endpoints[1..]), |_| {});
            clients = clients.into_iter().map(|(cookie, name)| moved(&nginx, cookie, name)).collect();
            assert_eq!(clients.len(), 30);
            drop(nginx);
            let nginx = Nginx::start(&binary, &routes(affinity, &endpoints), |_| {});
            for (cookie, name) in &clients {
                assert_eq!(ask(&nginx, cookie), (name.clone(), String::new()), "it does not come back");
            }
        }
    }
}

/// A client whose endpoint has gone, if that was `a`, gets another and a cookie that says so, of the same session.
fn moved(nginx: &Nginx, cookie: String, name: String) -> (String, String) {
    let (now, set_cookie) = ask(nginx, &cookie);
    if name != "a" {
        assert_eq!((&now, &*set_cookie), (&name, ""));
        return (cookie, name);
    }
    assert_ne!(now, "a");
    let (new, session, _) = parts(&set_cookie);
    assert!(cookie.starts_with(&format!("route={session}-")), "{cookie} {new}");
    assert_eq!(ask(nginx, &new), (now.clone(), String::new()));
    (new, now)
}

#[test]
fn session_whose_endpoint_failed_comes_back_or_stays_where_it_was_served() {
    let (a, fails) = failing("a");
    for binary in binaries() {
        for affinity in [Affinity::Persistent, Affinity::PersistentUntilFailure] {
            let nginx = Nginx::start(&binary, &routes(affinity, &[a, backend("b")]), |_| {});
            let (cookie, _) = clients(&nginx, 30).into_iter().find(|(_, name)| name == "a").unwrap();
            fails.store(true, Ordering::SeqCst);
            let (name, set_cookie) = ask(&nginx, &cookie);
            assert_eq!(name, "b");
            fails.store(false, Ordering::SeqCst);
            if affinity == Affinity::Persistent {
                assert_eq!(set_cookie, "");
                assert_eq!(ask(&nginx, &cookie), ("a".to_owned(), String::new()));
            } else {
                let (new, session, _) = parts(&set_cookie);
                assert!(cookie.starts_with(&format!("route={session}-")), "{cookie} {new}");
                assert_eq!(ask(&nginx, &new), ("b".to_owned(), String::new()));
            }
        }
    }
}

#[test]
fn sessions_of_an_endpoint_that_fails_go_to_several_others() {
    let (a, fails) = failing("a");
    let endpoints = [a, backend("b"), backend("c"), backend("d")];
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes(Affinity::Persistent, &endpoints), |_| {});
        let clients = clients(&nginx, 80);
        fails.store(true, Ordering::SeqCst);
        let of_a = clients.iter().filter(|(_, name)| *name == "a");
        let now: BTreeSet<String> = of_a.map(|(cookie, _)| ask(&nginx, cookie).0).collect();
        fails.store(false, Ordering::SeqCst);
        assert!(now.len() > 1 && !now.contains("a"), "{now:?}");
    }
}

#[test]
fn cookie_that_names_no_endpoint_gets_one() {
    let endpoints = NAMES.map(backend);
    for binary in binaries() {
        for affinity in [Affinity::Persistent, Affinity::PersistentUntilFailure] {
            let nginx = Nginx::start(&binary, &routes(affinity, &endpoints), |_| {});
            let session = "0123456789abcdef0123456789abcdef";
            for (cookie, stays) in [
                (format!("route={session}"), true),
                (format!("route={session}-0123456789abcdef"), true),
                (format!("route={session}-0123456789abcdef0"), false),
                (format!("route={session}0-0123456789abcdef"), false),
                (format!("route={}-x", session.to_uppercase()), false),
                ("route=".to_owned(), false),
                ("route=\";, x".to_owned(), false),
            ] {
                let (name, set_cookie) = ask(&nginx, &cookie);
                let (new, of, _) = parts(&set_cookie);
                assert_eq!(of == session, stays, "{cookie} {new}");
                assert_eq!(ask(&nginx, &new), (name, String::new()));
            }
        }
    }
}

#[test]
fn session_keeps_its_share_too() {
    let shared = || super::branches::weighted(prefix("/app"), &[(1, backend("half")), (1, backend("other"))]);
    for binary in binaries() {
        let routes = balanced(vec![shared()], &named(Affinity::Persistent), &NAMES.map(backend));
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let clients = clients(&nginx, 20);
        assert_eq!(clients.values().collect::<BTreeSet<_>>().len(), 2);
        for (cookie, name) in &clients {
            for _ in 0..3 {
                assert_eq!(ask(&nginx, cookie), (name.clone(), String::new()));
            }
        }
    }
}
