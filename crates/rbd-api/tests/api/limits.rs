//! How large requests may be.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::service::{Service, ServiceOptions};

use crate::support::{BINARY, api, ceph, service};

#[test]
fn a_body_that_is_too_large_is_refused_and_nothing_is_made() {
    let body = json!({ "name": "p".repeat(2 << 20) });
    // Each time: the answer must not be lost because the client is still sending.
    for _ in 0..20 {
        let answer = api().post("/api/v1/pools", &body).unwrap().expect(413);
        assert_eq!(answer.problem(), "too-large");
    }
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let long = |bytes: usize| "x".repeat(bytes);
    api().send("GET", "/api/v1/pools", &[("x-any", &long(30 << 10))], &[]).unwrap().expect(200);
    let header = api().send("GET", "/api/v1/pools", &[("x-any", &long(33 << 10))], &[]).unwrap().expect(431);
    assert_eq!(header.problem(), "head-too-large");
    let target = api().get(&format!("/api/v1/pools?view={}", long(33 << 10))).unwrap().expect(431);
    assert_eq!(target.problem(), "head-too-large");
    // A thousand small headers, and a head that has no end.
    for (head, times) in [("a: b\r\n", 1000), (&*format!("a: {}\r\n", long(1 << 20)), 4)] {
        let mut connection = TcpStream::connect(service().api()).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        connection.write_all(b"GET /api/v1/pools HTTP/1.1\r\nhost: 127.0.0.1\r\n").unwrap();
        for _ in 0..times {
            // It may hang up before all is sent.
            let _ = connection.write_all(head.as_bytes());
        }
        let _ = connection.write_all(b"\r\n");
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    }
    api().get("/api/v1/pools").unwrap().expect(200);
}

/// A connection on which one request was answered.
fn used(service: &Service) -> TcpStream {
    let mut connection = TcpStream::connect(service.api()).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    ask(&mut connection);
    connection
}

/// Asks something that needs no Ceph, and reads the whole answer.
fn ask(connection: &mut TcpStream) {
    connection.write_all(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut some = [0; 1024];
        let length = connection.read(&mut some).unwrap();
        assert!(length > 0, "the connection ended");
        answer.extend_from_slice(&some[..length]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

/// How long it takes until a connection ends.
fn ends_after(mut connection: TcpStream) -> Duration {
    let started = Instant::now();
    assert_eq!(connection.read(&mut [0; 64]).unwrap(), 0);
    started.elapsed()
}

#[test]
fn an_idle_connection_is_kept_and_a_head_that_does_not_arrive_is_not_waited_for() {
    let brief = ServiceOptions::new(BINARY, ceph()).arguments(&["--keep-alive", "3s"]).start().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let ended = ends_after(used(&brief));
            assert!((3..10).contains(&ended.as_secs()), "{ended:?} instead of 3 s");
        });
        scope.spawn(|| {
            let mut kept = used(service());
            // Longer than a head has.
            kept.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
            let error = kept.read(&mut [0; 1]).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            kept.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            ask(&mut kept);
            kept.write_all(b"GET / HTTP/1.1\r\nhost").unwrap();
            let ended = ends_after(kept);
            assert!((9..30).contains(&ended.as_secs()), "{ended:?} instead of 10 s");
        });
        scope.spawn(|| {
            let ended = ends_after(TcpStream::connect(service().api()).unwrap());
            assert!((9..30).contains(&ended.as_secs()), "{ended:?} instead of 10 s");
        });
    });
}
