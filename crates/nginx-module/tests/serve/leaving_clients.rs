//! Clients that go away, in each phase of a request, while routes change.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use entry_model::HostName;
use testbed::http::Connection;

use super::certificates;
use super::held_backend::HeldBackend;
use super::support::{Nginx, Publisher, backend, descriptors, forward, limited, prefix, routes_of_any, wait_for};

/// How often clients leave in each phase.
const ROUNDS: usize = 25;

/// What a client sends of a request before it leaves.
const HEADS: [&str; 4] = [
    "G",
    "GET /ok HTTP/1.1\r\nHost: any.exam",
    "POST /ok HTTP/1.1\r\nHost: any.example\r\nContent-Length: 100\r\n\r\nabc",
    "POST /ok HTTP/1.1\r\nHost: any.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
];

/// What a client of TLS sends: of a record, and of what is no handshake.
const HANDSHAKES: [&[u8]; 3] =
    [b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abc", b"GET / HTTP/1.1\r\n"];

/// Backends that hold a request: one says nothing, one half of an answer, one whether a client may pass, one gets copies.
struct Held {
    silent: (SocketAddr, HeldBackend),
    begun: (SocketAddr, HeldBackend),
    asked: (SocketAddr, HeldBackend),
    copied: (SocketAddr, HeldBackend),
}

impl Held {
    fn start() -> Self {
        Self {
            silent: HeldBackend::silent_after(String::new()),
            // nginx keeps back what is short.
            begun: HeldBackend::silent_after(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{}",
                "begun".repeat(20_000)
            )),
            asked: HeldBackend::silent_after(String::new()),
            copied: HeldBackend::answering("copied"),
        }
    }

    /// The location of the class with a limit asks first, if the header says so, and copies each request.
    fn config(&self, config: &str) -> String {
        let (asked, copied) = (self.asked.0, self.copied.0);
        let http = "location = sparrow-http-00000000000000000000000000000005 { ";
        assert!(config.contains(http));
        config.replacen(http, &format!("{http} auth_request /asked; mirror /copied; "), 1).replacen(
            "location / {",
            &format!(
                "location = /asked {{ internal; if ($http_asked = '') {{ return 204; }} proxy_pass http://{asked}; }}\n\
                 location = /copied {{ internal; proxy_pass http://{copied}; }}\n\
                 location / {{"
            ),
            1,
        )
    }
}

fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(bytes.as_ref()).unwrap();
    stream
}

fn get(nginx: &Nginx, path: &str, headers: &str) -> TcpStream {
    send(nginx.address, format!("GET {path} HTTP/1.1\r\nHost: any.example\r\n{headers}\r\n"))
}

/// Streams of one connection over HTTP/2, by a client that is killed.
fn many_streams(nginx: &Nginx, number: usize) -> Child {
    let mut curl = nginx.streams("/silent", number);
    curl.args(["-o", "/dev/null"]);
    curl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Clients leave in each phase once; `round` counts from 1.
fn leave_everywhere(nginx: &Nginx, held: &Held, round: usize) {
    for head in HEADS {
        drop(send(nginx.address, head));
    }
    for bytes in HANDSHAKES {
        drop(send(nginx.tls, bytes));
    }
    // While the backend has said nothing, by one connection and by ten streams of another.
    let waiting = get(nginx, "/silent", "");
    held.silent.1.wait_arrived(round * 11 - 10);
    drop(waiting);
    held.silent.1.wait_gone(round * 11 - 10);
    let mut curl = many_streams(nginx, 10);
    held.silent.1.wait_arrived(round * 11);
    curl.kill().unwrap();
    curl.wait().unwrap();
    held.silent.1.wait_gone(round * 11);
    // In the middle of its answer.
    let mut reading = Connection::from(get(nginx, "/begun", ""));
    reading.answer_head().unwrap().expect(200);
    drop(reading);
    held.begun.1.wait_gone(round);
    // While it is asked whether the client may pass.
    let asking = get(nginx, "/limited", "Asked: yes\r\n");
    held.asked.1.wait_arrived(round);
    drop(asking);
    held.asked.1.wait_gone(round);
    // When it has its answer, and the copy of its request has none.
    let mut answered = Connection::open(nginx.address).unwrap();
    answered.write_all(b"GET /limited HTTP/1.1\r\nHost: any.example\r\n\r\n").unwrap();
    answered.answer().unwrap().expect(200);
    held.copied.1.wait_arrived(round);
    drop(answered);
    held.copied.1.release(round);
}

#[test]
fn clients_that_leave_in_any_phase_leave_nothing_behind() {
    let (ok, held, mut publisher) = (backend("ok"), Held::start(), Publisher::new());
    let certificate = certificates::make("any.example");
    let routes = |number: usize| {
        let mut routes = routes_of_any(vec![
            forward(prefix("/ok"), ok),
            forward(prefix(&format!("/ok-{number}")), ok),
            forward(prefix("/silent"), held.silent.0),
            forward(prefix("/begun"), held.begun.0),
            limited(forward(prefix("/limited"), ok)),
        ]);
        certificates::certify(&mut routes, &HostName::Any, "any", &certificate.certificate);
        routes
    };
    publisher.publish(&routes(0));
    let nginx = Nginx::start_with(&publisher, 1, |config| held.config(&config));
    let pid = nginx.status().unwrap().pid;
    let mut before = 0;
    for round in 1..=ROUNDS {
        leave_everywhere(&nginx, &held, round);
        publisher.publish(&routes(round));
        assert_eq!(nginx.found("any.example", &format!("/ok-{round}")), Ok("ok".to_owned()));
        // With the first round come connections to backends that are kept.
        if round == 1 {
            before = descriptors(pid);
        }
    }
    wait_for("the end of what clients left", || (descriptors(pid) <= before).then_some(()));
    assert_eq!(nginx.status().unwrap().pid, pid, "the worker lives");
    let log = nginx.error_log();
    let told: Vec<_> =
        log.lines().filter(|line| ["[alert]", "[emerg]", "sparrow: "].iter().any(|word| line.contains(word))).collect();
    assert!(told.is_empty(), "{told:#?}");
}
