//! How much nginx holds of requests and of answers.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};

use entry_model::{Buffers, Policy, ResponseBuffers};
use testbed::http;

use super::support::{DEADLINE, Nginx, binaries, forward, prefix, treated_routes};

fn buffered(buffers: Buffers) -> Policy {
    Policy { buffers, ..Policy::default() }
}

#[test]
fn large_head_of_an_answer_needs_a_large_buffer() {
    let serve = |mut connection: http::Connection| {
        while connection.request()?.is_some() {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a={}\r\n\r\n", "x".repeat(12 << 10));
            connection.write_all(head.as_bytes())?;
        }
        Ok(())
    };
    let address = http::serve(serve).unwrap();
    let response = Some(ResponseBuffers::new(16 << 10, 4, None));
    let routes = treated_routes([
        (forward(prefix("/large"), address, false), buffered(Buffers { response, ..Buffers::default() })),
        (forward(prefix("/"), address, false), Policy::default()),
    ]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        assert_eq!((nginx.get("x", "/large", "").status, nginx.get("x", "/", "").status), (200, 502));
    }
}

/// A backend that answers with 32 MiB, and tells when all of it is sent.
fn large_answer() -> (SocketAddr, Receiver<()>) {
    let (sent, all) = channel();
    let serve = move |mut connection: http::Connection| {
        connection.request()?;
        write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", 32 << 20)?;
        for _ in 0..32 {
            connection.write_all(&vec![7; 1 << 20])?;
        }
        sent.send(()).map_err(std::io::Error::other)
    };
    (http::serve(serve).unwrap(), all)
}

#[test]
fn held_answer_is_read_to_its_end_before_its_client_reads_it() {
    let (address, sent) = large_answer();
    let buffers = Buffers { holds_response: Some(true), max_file_bytes: Some(64 << 20), ..Buffers::default() };
    let routes = treated_routes([(forward(prefix("/"), address, false), buffered(buffers))]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let mut connection = nginx.connect();
        connection.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        sent.recv_timeout(DEADLINE).expect("the backend has sent all, though the client reads nothing");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        assert!(answer.len() > 32 << 20);
    }
}

#[test]
fn held_request_is_in_a_file_and_arrives_whole() {
    let serve = |mut connection: http::Connection| {
        let request = connection.request()?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let line = request.head.lines().next().unwrap_or_default().to_owned();
        let body = format!("{} {line}", request.body.len());
        write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    };
    let address = http::serve(serve).unwrap();
    let held = Buffers { holds_request: Some(true), request_bytes: Some(16 << 10), ..Buffers::default() };
    let routes = treated_routes([
        (forward(prefix("/held"), address, false), buffered(held)),
        (forward(prefix("/old"), address, false), Policy { speaks_http_1_0: true, ..Policy::default() }),
        (forward(prefix("/"), address, false), Policy::default()),
    ]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let send = |path: &str| {
            let mut request =
                format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", 1 << 20)
                    .into_bytes();
            request.extend_from_slice(&vec![7; 1 << 20]);
            nginx.send(request).text()
        };
        let was_held = || {
            let log = fs::read_to_string(&nginx.settings.error_log).unwrap();
            log.contains("a client request body is buffered to a temporary file")
        };
        assert_eq!(send("/"), "1048576 PUT / HTTP/1.1");
        assert_eq!(send("/old"), "1048576 PUT /old HTTP/1.0");
        assert!(!was_held());
        assert_eq!(send("/held"), "1048576 PUT /held HTTP/1.1");
        assert!(was_held());
    }
}
