//! Copies of requests for another server, of which clients notice nothing.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use entry_model::{Access, Mirror, OutsideServer, Policy, UrlPart, UrlText, UrlVariable};
use testbed::http;

use super::support::{
    Echo as _, Nginx, NginxBackend, backend, binaries, forward, free, newest, prefix, treated, wait_for,
};

/// The heads and the bodies of the copies that a server got.
type Copies = Arc<Mutex<Vec<(String, String)>>>;

/// A server that answers the copies with this; or hangs, without an answer.
fn shadow(answer: Option<&'static str>) -> (SocketAddr, Copies) {
    let copies = Copies::default();
    let seen = Arc::clone(&copies);
    let serve = move |mut connection: http::Connection| {
        while let Some(request) = connection.request()? {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            seen.lock().unwrap().push((request.head.clone(), body));
            match answer {
                Some(answer) => write!(connection, "{answer}")?,
                None => return connection.read_to_end(&mut Vec::new()).map(drop),
            }
        }
        Ok(())
    };
    (http::serve(serve).unwrap(), copies)
}

const DONE: Option<&str> = Some("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Shadow: 1\r\n\r\ndone");

fn text(text: &str) -> UrlText {
    UrlText::from_text(text)
}

fn copying(address: SocketAddr) -> Mirror {
    Mirror {
        server: OutsideServer::Address(address),
        tls: false,
        host: text("shadow.example"),
        target: UrlText(vec![UrlPart::Variable(UrlVariable::Target)]),
        with_body: true,
    }
}

fn policy(mirror: Mirror) -> Policy {
    Policy { mirror: Some(mirror), ..Policy::default() }
}

/// The next copy.
fn next(copies: &Copies) -> (String, String) {
    wait_for("a copy", || copies.lock().unwrap().pop())
}

#[test]
fn copy_is_what_the_client_has_sent_and_the_answer_is_the_backends() {
    let (address, copies) = shadow(DONE);
    let rules = vec![forward(prefix("/off"), backend("a"), true), forward(prefix("/"), backend("a"), false)];
    let routes = treated(&policy(copying(address)), rules);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for target in ["/a?b=1", "/off/a", "/off/a%2Fb?c"] {
            for (framing, is_chunked) in [
                ("Content-Length: 5\r\n\r\nhello", false),
                ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true),
            ] {
                let answer = nginx.send(format!(
                    "POST {target} HTTP/1.1\r\nHost: x.example\r\nCookie: a=b\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n{framing}"
                ));
                assert_eq!((answer.status, answer.header("Backend"), answer.header("X-Shadow")), (200, "a", ""));
                let (head, body) = next(&copies);
                let header = |name| http::header_of(&head, name);
                assert!(head.starts_with(&format!("POST {target} HTTP/1.1\r\n")), "{head}");
                assert_eq!(body, "hello", "chunked: {is_chunked}, {}", binary.version);
                assert_eq!((header("Host"), header("Cookie")), (Some("shadow.example"), Some("a=b")));
                // What all backends are told of the client, it is told, too.
                assert_eq!(header("X-Forwarded-For"), Some("127.0.0.1"));
            }
        }
    }
}

#[test]
fn copy_may_be_without_the_body() {
    let (address, copies) = shadow(DONE);
    let mirror = Mirror { with_body: false, target: text("/only?this"), ..copying(address) };
    let routes = treated(&policy(mirror), vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for framing in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
            let answer = nginx.send(format!("PUT / HTTP/1.1\r\nHost: x.example\r\nConnection: close\r\n{framing}"));
            assert_eq!((answer.status, answer.header("Backend")), (200, "a"));
            let (head, body) = next(&copies);
            assert!(head.starts_with("PUT /only?this HTTP/1.1\r\n"), "{head}");
            let lengths = ["Content-Length", "Transfer-Encoding"].map(|name| http::header_of(&head, name));
            assert_eq!((lengths, &*body), ([None, None], ""), "{}", binary.version);
        }
    }
}

#[test]
fn server_changes_no_answer_whatever_becomes_of_the_copy() {
    for (address, why) in [
        (free(), "is gone"),
        (shadow(None).0, "hangs"),
        (shadow(Some("nonsense\r\n\r\n")).0, "speaks no HTTP"),
        (shadow(Some("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n")).0, "has failed"),
        (
            shadow(Some(
                "HTTP/1.1 302 Found\r\nLocation: /evil\r\nX-Accel-Redirect: /evil\r\nContent-Length: 0\r\n\r\n",
            ))
            .0,
            "leads on",
        ),
        (shadow(Some("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")).0, "switches"),
    ] {
        let routes = treated(&policy(copying(address)), vec![forward(prefix("/"), backend("a"), false)]);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            // The second one has to wait until the copy of the first has ended, and then is answered all the same.
            let mut connection = http::Connection::open(nginx.http).unwrap();
            for target in ["/first", "/second"] {
                let answer = connection.exchange(format!("GET {target} HTTP/1.1\r\nHost: x.example\r\n\r\n")).unwrap();
                assert_eq!((answer.status, answer.header("Backend")), (200, "a"), "it {why}, {}", binary.version);
                assert_eq!(answer.target(), target);
            }
        }
    }
}

#[test]
fn request_that_is_refused_or_no_longer_http_or_a_copy_is_not_copied() {
    let (address, copies) = shadow(DONE);
    let refusing = Access { denied: ["127.0.0.0/8".parse().unwrap()].into(), ..Access::default() };
    let refused = Policy { access: refusing, ..policy(copying(address)) };
    let refused = treated(&refused, vec![forward(prefix("/"), backend("a"), false)]);
    let routes = treated(&policy(copying(address)), vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &refused, |_| {});
        assert_eq!(nginx.get("x.example", "/refused", "").status, 403);
        assert_eq!(nginx.get("x.example", "/../refused", "").status, 400);
        drop(nginx);
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
        assert_eq!(nginx.get("x.example", "/socket", upgrade).status, 101);
        assert_eq!(nginx.get("x.example", "/copy", "X-Sparrow-Copy: 1\r\n").status, 200);
        // A copy of what came before would be there before this one.
        assert_eq!(nginx.get("x.example", "/last", "").status, 200);
        let (head, _) = next(&copies);
        assert!(head.starts_with("GET /last HTTP/1.1\r\n"), "{head}");
        // By this it is known for a copy, if it comes here again.
        assert_eq!(http::header_of(&head, "X-Sparrow-Copy"), Some("1"));
        assert!(copies.lock().unwrap().is_empty(), "{}", binary.version);
    }
}

#[test]
fn copy_may_go_over_tls() {
    let server = NginxBackend::start(&newest(), |address| {
        format!(
            "server {{ listen {address} ssl; server_name shadow.example; ssl_certificate cert.pem; ssl_certificate_key cert.pem;\n\
             access_log copies.log; location / {{ return 200 $ssl_server_name; }} }}"
        )
    });
    let mirror = Mirror { tls: true, ..copying(server.address) };
    let routes = treated(&policy(mirror), vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let answer = nginx.get("x.example", &format!("/over-tls-{}", binary.version), "");
        assert_eq!((answer.status, answer.header("Backend")), (200, "a"));
        wait_for("the copy", || {
            let log = std::fs::read_to_string(server.dir.path().join("copies.log")).unwrap_or_default();
            log.contains(&format!("GET /over-tls-{} ", binary.version)).then_some(())
        });
    }
}
