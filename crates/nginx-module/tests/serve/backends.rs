//! Connections to backends, and backends that cannot be reached.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use entry_model::{Action, Backend, Forward, PathRewrite, Protocol};
use testbed::http;

use super::support::{Nginx, Publisher, backend, forward, prefix, routes_of_any, rule};

/// A backend that counts its connections and the requests on them, and closes each that it was asked to close after the request.
fn counting_backend() -> (SocketAddr, Arc<[AtomicUsize; 2]>) {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let counted = Arc::clone(&counts);
    let address = http::serve(move |mut connection| {
        counted[0].fetch_add(1, Ordering::SeqCst);
        while let Some(request) = connection.request()? {
            counted[1].fetch_add(1, Ordering::SeqCst);
            if request.target().ends_with("/hangs-up") {
                return Ok(());
            }
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    (address.unwrap(), counts)
}

fn to(address: SocketAddr, protocol: Protocol, keep_alive: bool) -> Action {
    Action::Forward(Forward::to(Backend { address: address.into(), protocol, keep_alive }, PathRewrite::Keep))
}

#[test]
fn a_connection_is_kept_unless_the_backend_forbids_it() {
    for (keep_alive, connections) in [(true, 1), (false, 5)] {
        let (address, counts) = counting_backend();
        let mut publisher = Publisher::new();
        publisher.publish(&routes_of_any(vec![rule(prefix("/"), to(address, Protocol::Http, keep_alive))]));
        let nginx = Nginx::start(&publisher, 1);
        for _ in 0..5 {
            nginx.get("any.example", "/", "").expect(200);
        }
        let counts = counts.each_ref().map(|count| count.load(Ordering::SeqCst));
        assert_eq!(counts, [connections, 5]);
    }
}

#[test]
fn a_request_that_a_backend_may_have_seen_is_not_sent_again() {
    let (address, counts) = counting_backend();
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(vec![forward(prefix("/"), address)]));
    let nginx = Nginx::start(&publisher, 1);
    for (kept, head) in [(false, "GET /hangs-up"), (true, "POST /hangs-up")] {
        if kept {
            nginx.get("any.example", "/", "").expect(200);
        }
        let before = counts[1].load(Ordering::SeqCst);
        let request =
            format!("{head} HTTP/1.1\r\nHost: any.example\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
        assert_eq!(http::exchange(nginx.address, request).unwrap().status, 502);
        assert_eq!(counts[1].load(Ordering::SeqCst), before + 1, "{head}");
    }
}

#[test]
fn a_backend_that_is_not_reached_concerns_its_route_only() {
    let down = testbed::ports::free_address().unwrap();
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(vec![
        forward(prefix("/"), backend("up")),
        forward(prefix("/down"), down),
        rule(prefix("/gone"), Action::UNAVAILABLE),
        rule(prefix("/tls"), to(down, Protocol::Https, true)),
        rule(prefix("/grpc"), to(down, Protocol::Http2, true)),
    ]));
    let nginx = Nginx::start(&publisher, 1);
    for (path, status) in [("/down", 502), ("/gone", 503), ("/tls", 502), ("/grpc", 502)] {
        assert_eq!(nginx.found("any.example", path), Err(status), "{path}");
        assert_eq!(nginx.found("any.example", "/"), Ok("up".to_owned()));
    }
}
