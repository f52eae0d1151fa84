//! How large requests may be.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::support::{api, service};

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
        connection.write_all(b"GET /api/v1/pools HTTP/1.1\r\nhost: x\r\n").unwrap();
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
