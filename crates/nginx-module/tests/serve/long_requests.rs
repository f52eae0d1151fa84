//! Requests that last, while so much is published that all room of the table is used again.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::Stdio;

use entry_model::{HostName, Routes};
use testbed::http::Connection;

use super::certificates::{self, Made};
use super::endpoints;
use super::held_backend::HeldBackend;
use super::support::{Nginx, Publisher, backend, forward, prefix, routes};

/// How often something is published. What is replaced may be written over after 64 publications.
const PUBLICATIONS: usize = 300;

/// Routes of a host with a certificate, and of others that come and go.
fn routes_to(address: SocketAddr, others: usize, certificate: &Made) -> Routes {
    let others =
        (0..20).map(|number| (format!("{number}.other-{others}.example"), vec![forward(prefix("/"), address)]));
    let mut routes = routes(others.chain([("any.example".to_owned(), vec![forward(prefix("/"), address)])]));
    certificates::certify(&mut routes, &HostName::Exact("any.example".to_owned()), "any", &certificate.certificate);
    routes
}

/// Begins to send a body, and waits until nginx wants it: then it knows where the request goes.
fn begin_upload(address: SocketAddr, length: usize) -> Connection {
    let mut client = Connection::open(address).unwrap();
    let head =
        format!("POST / HTTP/1.1\r\nHost: any.example\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    assert_eq!(client.answer_head().unwrap().status, 100);
    client
}

#[test]
fn a_request_ends_where_it_began_whatever_is_published_meanwhile() {
    const LENGTH: usize = 900_000;
    let ((old, held), new) = (HeldBackend::answering("old"), ["new-0", "new-1"].map(backend));
    let (certificate, mut publisher) = (certificates::make("any.example"), Publisher::new());
    publisher.publish(&routes_to(old, 0, &certificate));
    let nginx = Nginx::start(&publisher, 1);
    let workers = nginx.workers();
    let mut waiting = Connection::open(nginx.address).unwrap();
    waiting.write_all(b"GET / HTTP/1.1\r\nHost: any.example\r\n\r\n").unwrap();
    held.wait_arrived(1);
    let mut slow = begin_upload(nginx.address, LENGTH);
    let body: Vec<u8> = (0..=250).cycle().take(LENGTH).collect();
    let mut pieces = body.chunks(LENGTH / PUBLICATIONS);
    for round in 1..=PUBLICATIONS {
        slow.write_all(pieces.next().unwrap()).unwrap();
        publisher.publish(&routes_to(new[round % 2], round, &certificate));
        assert_eq!(nginx.found("any.example", "/"), Ok(format!("new-{}", round % 2)));
    }
    pieces.for_each(|piece| slow.write_all(piece).unwrap());
    held.wait_arrived(2);
    held.release(2);
    assert_eq!(waiting.answer().unwrap().expect(200).header("Backend"), "old");
    // It is read as slowly as it was sent.
    let answer = slow.answer_head().unwrap().expect(200);
    assert_eq!((answer.header("Backend"), answer.header("Content-Length")), ("old", &*LENGTH.to_string()));
    let mut read = vec![0; LENGTH];
    for (round, piece) in read.chunks_mut(LENGTH / 100).enumerate() {
        publisher.publish(&routes_to(new[round % 2], round, &certificate));
        slow.read_exact(piece).unwrap();
    }
    assert!(read == body, "the body comes back as it was sent");
    assert_eq!(nginx.workers(), workers, "no worker ended");
}

#[test]
fn a_request_goes_round_the_endpoints_that_it_had_when_it_began() {
    let [down, gone] = std::array::from_fn(|_| testbed::ports::free_address().unwrap());
    let (old, new) = (backend("old"), backend("new"));
    let mut publisher = Publisher::new();
    let nginx_routes = |publisher: &mut Publisher, addresses: &[SocketAddr]| {
        publisher.publish(&endpoints::routes_to(addresses));
    };
    nginx_routes(&mut publisher, &[down, gone, old]);
    let nginx = Nginx::start(&publisher, 1);
    for _ in 0..6 {
        nginx_routes(&mut publisher, &[down, gone, old]);
        let mut slow = begin_upload(nginx.address, 4);
        for _ in 0..PUBLICATIONS / 6 {
            nginx_routes(&mut publisher, &[new, down]);
            nginx_routes(&mut publisher, &[]);
        }
        slow.write_all(b"body").unwrap();
        assert_eq!(slow.answer().unwrap().expect(200).header("Backend"), "old");
    }
}

#[test]
fn a_hundred_streams_of_a_connection_end_where_they_began() {
    const STREAMS: usize = 100;
    let ((old, held), new) = (HeldBackend::answering("old"), backend("new"));
    let (certificate, mut publisher) = (certificates::make("any.example"), Publisher::new());
    publisher.publish(&routes_to(old, 0, &certificate));
    let nginx = Nginx::start(&publisher, 2);
    let mut curl = nginx.streams("/", STREAMS);
    curl.args(["--max-time", "60", "-o", "/dev/null"]);
    curl.args(["-w", "%{http_version} %{http_code} %header{backend} %{num_connects}\\n"]);
    let curl = curl.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    held.wait_arrived(STREAMS);
    for round in 1..=PUBLICATIONS {
        publisher.publish(&routes_to(new, round, &certificate));
        assert_eq!(nginx.found("any.example", "/"), Ok("new".to_owned()));
    }
    held.release(STREAMS);
    let output = curl.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut connections = 0;
    for line in text.lines() {
        let (answer, opened) = line.rsplit_once(' ').unwrap();
        assert_eq!(answer, "2 200 old");
        connections += opened.parse::<usize>().unwrap();
    }
    assert_eq!((text.lines().count(), connections), (STREAMS, 1), "{text}");
}
