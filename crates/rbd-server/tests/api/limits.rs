//! How large requests may be.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::http::Connection;
use testbed::service::{RbdService, RbdServiceOptions};

use crate::support::{BINARY, api, ceph, pool, service};

#[test]
fn body_that_is_too_large_is_rejected_and_nothing_is_made() {
    let body = json!({ "name": "p".repeat(2 << 20) });
    // Each time: the answer must not be lost because the client is still sending.
    for _ in 0..20 {
        let answer = api().post("/api/v1/pools", &body).unwrap().expect(413);
        assert_eq!(answer.problem(), "too-large");
    }
}

#[test]
fn head_that_is_too_large_is_rejected() {
    let long = |bytes: usize| "x".repeat(bytes);
    api().send("GET", "/api/v1/pools", &[("x-any", &long(30 << 10))], &[]).unwrap().expect(200);
    let header = api().send("GET", "/api/v1/pools", &[("x-any", &long(33 << 10))], &[]).unwrap().expect(431);
    assert_eq!(header.problem(), "head-too-large");
    let target = api().get(&format!("/api/v1/pools?view={}", long(33 << 10))).unwrap().expect(431);
    assert_eq!(target.problem(), "head-too-large");
    // A thousand small headers, and a head that has no end.
    for (head, times) in [("a: b\r\n", 1000), (&*format!("a: {}\r\n", long(1 << 20)), 4)] {
        let mut connection = Connection::open(service().api()).unwrap();
        connection.write_all(b"GET /api/v1/pools HTTP/1.1\r\nhost: 127.0.0.1\r\n").unwrap();
        for _ in 0..times {
            // It may hang up before all is sent, and then its answer may be lost.
            let _ = connection.write_all(head.as_bytes());
        }
        if let Ok(answer) = connection.exchange("\r\n") {
            answer.expect(431);
        }
    }
    api().get("/api/v1/pools").unwrap().expect(200);
}

/// Asks something that needs no Ceph.
const ASK: &str = "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";

/// A connection on which one request was answered.
fn used(service: &RbdService) -> Connection {
    let mut connection = Connection::open(service.api()).unwrap();
    connection.exchange(ASK).unwrap().expect(200);
    connection
}

/// How long it takes until a connection ends.
fn ends_after(mut connection: Connection) -> Duration {
    let started = Instant::now();
    assert_eq!(connection.read(&mut [0; 64]).unwrap(), 0);
    started.elapsed()
}

#[test]
fn idle_connection_is_kept_and_a_head_that_does_not_arrive_is_not_waited_for() {
    let brief = RbdServiceOptions::new(BINARY, ceph()).arguments(&["--keep-alive", "3s"]).start().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let ended = ends_after(used(&brief));
            // The service's clock starts a little before this one.
            assert!((2900..10_000).contains(&ended.as_millis()), "{ended:?} instead of 3 s");
        });
        scope.spawn(|| {
            let mut kept = used(service());
            // Longer than a head has.
            kept.stream().set_read_timeout(Some(Duration::from_secs(12))).unwrap();
            let error = kept.read(&mut [0; 1]).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            kept.stream().set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            kept.exchange(ASK).unwrap().expect(200);
            kept.write_all(b"GET / HTTP/1.1\r\nhost").unwrap();
            let ended = ends_after(kept);
            assert!((9..30).contains(&ended.as_secs()), "{ended:?} instead of 10 s");
        });
        scope.spawn(|| {
            let ended = ends_after(Connection::open(service().api()).unwrap());
            assert!((9..30).contains(&ended.as_secs()), "{ended:?} instead of 10 s");
        });
    });
}

#[test]
fn usage_of_a_huge_image_without_its_object_map_is_given_up_in_time() {
    let pool = pool();
    ceph().rbd(&["create", "--size", "4P", "--object-size", "32M", &format!("{pool}/huge")]).unwrap();
    let path = format!("/api/v1/pools/{pool}/images/huge");
    let image = api().get(&path).unwrap().expect(200).json();
    assert!(image["features"].as_array().unwrap().contains(&json!("fast-diff")), "{image}");
    ceph().rados(&["-p", &pool, "rm", &format!("rbd_object_map.{}", image["id"].as_str().unwrap())]).unwrap();
    let service = RbdServiceOptions::new(BINARY, ceph()).arguments(&["--deadline", "8s"]).start().unwrap();
    // More than a pool has workers.
    std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..20).map(|_| scope.spawn(|| service.client.get(&format!("{path}/usage")).unwrap())).collect();
        for answer in asked {
            let answer = answer.join().unwrap();
            assert!(answer.status == 200 || answer.problem() == "busy", "{}", answer.text());
            assert!(answer.status != 200 || answer.json()["usedBytes"].is_null(), "{}", answer.text());
        }
    });
    // None of them is still at it.
    service.client.get(&format!("/api/v1/pools/{pool}/images")).unwrap().expect(200);
}
