//! What the module itself says of a client: its host and port, what it upgrades to, and the id of its request.

use std::collections::HashSet;

use entry_model::Action;
use testbed::http::{self, Answer};

use super::support::{Nginx, Publisher, prefix, routes_of_any, rule, wait_for};

/// Answers say what backends would be told.
fn start(publisher: &mut Publisher, workers: usize) -> Nginx {
    publisher.publish(&routes_of_any(vec![rule(prefix("/"), Action::Respond(404))]));
    Nginx::start_with(publisher, workers, |config| {
        let told = "add_header Told \"$sparrow_host|$sparrow_port|$sparrow_upgrade|$sparrow_connection\" always;
            add_header Id $request_id always; add_header Id-Again $request_id always;";
        config.replacen("add_header Uri", &format!("{told} add_header Uri"), 1)
    })
}

fn ask(nginx: &Nginx, request: &str) -> Answer {
    http::exchange(nginx.address, format!("{request}\r\nConnection: close\r\n\r\n")).unwrap()
}

#[test]
fn host_and_port_are_those_that_the_client_named() {
    let nginx = start(&mut Publisher::new(), 1);
    for (request, told) in [
        ("GET / HTTP/1.1\r\nHost: a.example", "a.example|80||"),
        ("GET / HTTP/1.1\r\nHost: A.Example:8080", "A.Example:8080|8080||"),
        ("GET / HTTP/1.1\r\nHost: [::1]:1", "[::1]:1|1||"),
        ("GET / HTTP/1.1\r\nHost: [::1]", "[::1]|80||"),
        ("GET  http://b.example:99/ HTTP/1.1\r\nHost: a.example:1", "b.example|80||"),
        ("GET / HTTP/1.0\r\nHost: a.example", "a.example|80||"),
        ("GET / HTTP/1.0", "127.0.0.1|80||"),
        ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket", "a|80|WebSocket|upgrade"),
        ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: other, H2C", "a|80||"),
        ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade:", "a|80||"),
    ] {
        let answer = ask(&nginx, request);
        assert_eq!((answer.status, answer.header("Told")), (404, told), "{request}");
    }
    // No port is so large: newer versions of nginx refuse it, for older ones it is none.
    let answer = ask(&nginx, "GET / HTTP/1.1\r\nHost: a.example:70000");
    assert!([400, 404].contains(&answer.status), "{answer:?}");
    assert_eq!(answer.header("Told"), "a.example:70000|80||");
}

#[test]
fn host_that_is_none_is_refused_before_its_route_is_looked_for() {
    let nginx = start(&mut Publisher::new(), 1);
    for host in ["a.example:x", "a.example:1:2", "a@b.example", "a\"b", "[::1", "[::g]"] {
        let answer = ask(&nginx, &format!("GET / HTTP/1.1\r\nHost: {host}"));
        assert_eq!((answer.status, answer.header("Route")), (400, ""), "{host}");
    }
}

#[test]
fn no_two_requests_have_one_id() {
    let mut publisher = Publisher::new();
    let nginx = start(&mut publisher, 2);
    let mut seen = HashSet::new();
    for round in 0..2 {
        // More than a worker asks for at once.
        for _ in 0..700 {
            let answer = nginx.get("a.example", "/", "");
            let id = answer.header("Id").to_owned();
            let is_id = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            assert!(is_id && answer.header("Id-Again") == id, "{answer:?}");
            assert!(seen.insert(id), "twice: {answer:?}");
        }
        if round == 0 {
            let before = nginx.workers();
            nginx.reload();
            wait_for("new workers", || nginx.workers().is_disjoint(&before).then_some(()));
        }
    }
}
