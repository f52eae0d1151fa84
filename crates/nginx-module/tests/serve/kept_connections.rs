//! Connections to backends that are kept for further requests: which request may use which, and when one goes.

use std::thread;
use std::time::Duration;

use entry_model::{PathRewrite, Protocol, Rule};

use super::support::{Nginx, NginxBackend, Publisher, limited, prefix, routes_of_any, rule, speaking, wait_for};

/// The backend says on which connection a request came, and for whom that was opened.
const SERVER: &str = "keepalive_requests 1000000; return 200 \"$connection $ssl_server_name\";";

fn to(path: &str, protocol: Protocol, backend: &NginxBackend) -> Rule {
    let is_tls = matches!(protocol, Protocol::Https | Protocol::Http2Tls);
    let address = if is_tls { backend.tls } else { backend.plain };
    rule(prefix(path), speaking(protocol, address, PathRewrite::Keep))
}

/// Long after the times of these tests are over, in which a connection may be idle or used. Nothing tells when nginx has closed one, and
/// asking for it would use it.
const LATER: Duration = Duration::from_secs(3);

/// An nginx that keeps connections as a directive says.
fn keeping(rules: Vec<Rule>, kept: &str) -> (Publisher, Nginx) {
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(rules));
    let change = |config: String| config.replace("sparrow_keep_connections 64 4s 1000000;", kept);
    let nginx = Nginx::start_with(&publisher, 1, change);
    (publisher, nginx)
}

/// The number of the connection on which a request came to its backend.
fn connection(nginx: &Nginx, host: &str, path: &str) -> String {
    nginx.get(host, path, "").expect(200).text().trim_end().to_owned()
}

#[test]
fn a_kept_connection_is_used_for_its_address_only() {
    let backends: [NginxBackend; 3] = std::array::from_fn(|_| NginxBackend::start(SERVER));
    let paths = ["/a", "/b", "/c"];
    let rules = paths.iter().zip(&backends).map(|(path, backend)| to(path, Protocol::Http, backend));
    let (_publisher, nginx) = keeping(rules.collect(), "sparrow_keep_connections 64 60s 1000000;");
    let first = paths.map(|path| connection(&nginx, "any.example", path));
    for _ in 0..3 {
        assert_eq!(paths.map(|path| connection(&nginx, "any.example", path)), first);
    }
}

#[test]
fn a_kept_connection_over_tls_is_used_for_the_name_and_the_policy_that_it_was_made_for() {
    for protocol in [Protocol::Https, Protocol::Http2Tls] {
        let backend = NginxBackend::start(SERVER);
        let rules = vec![to("/", protocol, &backend), limited(to("/limited", protocol, &backend))];
        let (_publisher, nginx) = keeping(rules, "sparrow_keep_connections 64 60s 1000000;");
        let asked = [("a.example", "/"), ("b.example", "/"), ("a.example", "/limited"), ("b.example", "/limited")];
        let first = asked.map(|(host, path)| connection(&nginx, host, path));
        for (index, (host, _)) in asked.iter().enumerate() {
            assert!(first[index].ends_with(&format!(" {host}")), "{first:?}");
            assert!(!first[..index].contains(&first[index]), "{first:?}");
        }
        for _ in 0..3 {
            assert_eq!(asked.map(|(host, path)| connection(&nginx, host, path)), first);
        }
    }
}

#[test]
fn the_connection_that_is_idle_for_longest_goes_if_there_are_too_many() {
    let backends: [NginxBackend; 3] = std::array::from_fn(|_| NginxBackend::start(SERVER));
    let paths = ["/a", "/b", "/c"];
    let rules = paths.iter().zip(&backends).map(|(path, backend)| to(path, Protocol::Http, backend));
    let (_publisher, nginx) = keeping(rules.collect(), "sparrow_keep_connections 2 60s 1000000;");
    let asked = |path| connection(&nginx, "any.example", path);
    let (a, b) = (asked("/a"), asked("/b"));
    // That of the first is used again, so that of the second is idle for longest.
    assert_eq!(asked("/a"), a);
    let c = asked("/c");
    assert_eq!((asked("/a"), asked("/c")), (a, c));
    assert_ne!(asked("/b"), b);
}

#[test]
fn one_more_connection_of_an_address_takes_the_place_of_no_other_address() {
    let slow = format!("location /a/slow {{ limit_rate 100; return 200 \"{}\"; }}", "x".repeat(250));
    let fast = "location / { return 200 $connection; }";
    let backends: [NginxBackend; 2] =
        std::array::from_fn(|_| NginxBackend::start(&format!("keepalive_requests 1000000; {slow} {fast}")));
    let rules = ["/a", "/b"].iter().zip(&backends).map(|(path, backend)| to(path, Protocol::Http, backend));
    let (_publisher, nginx) = keeping(rules.collect(), "sparrow_keep_connections 2 60s 1000000;");
    let b = connection(&nginx, "any.example", "/b");
    thread::scope(|scope| {
        let slow = || nginx.get("any.example", "/a/slow", "").expect(200);
        // Each on a connection of its own, since they take seconds.
        for asked in [scope.spawn(slow), scope.spawn(slow)] {
            asked.join().unwrap();
        }
    });
    assert_eq!(connection(&nginx, "any.example", "/b"), b);
}

#[test]
fn a_connection_goes_when_its_time_or_its_requests_are_over() {
    let backend = NginxBackend::start(SERVER);
    let rules = || vec![to("/", Protocol::Http, &backend)];
    let asked = |nginx: &Nginx| connection(nginx, "any.example", "/");

    let (_publisher, idle) = keeping(rules(), "sparrow_keep_connections 64 100ms 1000000;");
    let first = asked(&idle);
    thread::sleep(LATER);
    assert_ne!(asked(&idle), first);

    let (_publisher, used) = keeping(rules(), "sparrow_keep_connections 64 60s 3;");
    let connections: Vec<_> = (0..7).map(|_| asked(&used)).collect();
    let runs: Vec<_> = connections.chunk_by(|one, next| one == next).map(<[_]>::len).collect();
    assert_eq!(runs, [3, 3, 1]);

    let (_publisher, aged) = keeping(rules(), "sparrow_keep_connections 64 60s 1000000 2s;");
    let first = asked(&aged);
    thread::sleep(LATER);
    // Its age is looked at when a request ends: at the end of the first it is younger than 2 s.
    assert_eq!(asked(&aged), first);
    assert_ne!(asked(&aged), first);
}

#[test]
fn a_connection_that_the_backend_closed_is_used_by_nobody() {
    let backend = NginxBackend::start("keepalive_timeout 200ms; return 200 \"$connection\";");
    let (_publisher, nginx) =
        keeping(vec![to("/", Protocol::Http, &backend)], "sparrow_keep_connections 64 60s 1000000;");
    let asked = || connection(&nginx, "any.example", "/");
    let first = asked();
    thread::sleep(LATER);
    assert_ne!(asked(), first);
}

#[test]
fn a_worker_that_ends_does_not_wait_for_idle_connections() {
    let backend = NginxBackend::start(SERVER);
    let rules = vec![to("/", Protocol::Http, &backend), to("/tls", Protocol::Https, &backend)];
    let (_publisher, nginx) = keeping(rules, "sparrow_keep_connections 64 1h 1000000;");
    for path in ["/", "/tls"] {
        connection(&nginx, "any.example", path);
    }
    let before = nginx.workers();
    nginx.reload();
    wait_for("new workers alone", || {
        let gone = before.iter().all(|pid| !super::support::is_running(*pid));
        gone.then_some(())
    });
}
