//! Backends of people who do not trust each other: none of them steers nginx.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use entry_model::{Protocol, Routes};
use testbed::http;

use super::support::{
    Binary, Nginx, NginxBackend, backend, binaries, exact, forward, lines_of, newest, prefix, routes, speaking,
};

/// A backend that answers with these header lines, before it has read the body.
pub fn saying(lines: &'static str) -> SocketAddr {
    let serve = move |mut connection: http::Connection| {
        while let Some(request) = connection.request_head()? {
            write!(connection, "HTTP/1.1 200 OK\r\n{lines}Content-Length: 4\r\n\r\nown\n")?;
            let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            connection.read_exact(&mut vec![0; length])?;
        }
        Ok(())
    };
    http::serve(serve).unwrap()
}

/// A stock nginx that answers without waiting for a body, and keeps the targets that it was asked for.
struct Victim(NginxBackend);

impl Victim {
    fn start(binary: &Binary) -> Self {
        Self(NginxBackend::start(binary, |address| {
            format!(
                "log_format asked '$request_method $request_uri $http_cookie'; access_log asked.log asked;\n\
                 server {{ listen {address}; return 200 \"secret of $http_cookie\\n\"; }}"
            )
        }))
    }

    /// What it was asked for, once that is as much as is expected.
    fn asked(&self, expected: usize) -> Vec<String> {
        lines_of(&self.0.dir.path().join("asked.log"), expected)
    }
}

/// Two tenants on one host; the victim is known by its path.
fn tenants(evil: SocketAddr, victim: SocketAddr) -> Routes {
    routes([("*", vec![forward(prefix("/evil"), evil, true), forward(prefix("/victim"), victim, true)])])
}

#[test]
fn x_accel_redirect_reaches_no_other_backend() {
    for line in [
        "X-Accel-Redirect: /victim/admin\r\n",
        "x-accel-redirect: /victim/admin\r\n",
        "X-Accel-Redirect: @sparrow_error_page\r\n",
        "X-Accel-Redirect: /victim/admin\r\nX-Accel-Redirect: /victim/other\r\n",
        "X-Accel-Redirect: sparrow-answer-503\r\n",
    ] {
        let evil = saying(line);
        for binary in binaries() {
            let victim = Victim::start(&binary);
            let nginx = Nginx::start(&binary, &tenants(evil, victim.0.address), |_| {});
            for target in ["/evil/a", "/evil/a%2Fb", "/evil"] {
                let answer = nginx.get("x.example", target, "Cookie: session=1\r\n");
                assert_eq!((answer.status, &*answer.text()), (200, "own\n"), "{line} with {}", binary.version);
                assert_eq!(answer.header("X-Accel-Redirect"), "", "{:?}", answer.headers);
            }
            nginx.get("x.example", "/victim/mine", "Cookie: session=2\r\n");
            assert_eq!(victim.asked(1), ["GET /mine session=2"]);
        }
    }
}

#[test]
fn requests_are_not_smuggled_to_another_tenants_backend() {
    let evil = saying("X-Accel-Redirect: /victim/first\r\n");
    for binary in binaries() {
        for victims in binaries() {
            let victim = Victim::start(&victims);
            let nginx = Nginx::start(&binary, &tenants(evil, victim.0.address), |_| {});
            let mut expected = Vec::new();
            // The backend answers before the body has come, and has the victim asked with its length and without it: what
            // comes next on the connection that is kept would be taken for that body. Of these lengths one ends among the
            // line ends, so that what follows them would be taken for a request.
            for length in (200..800).step_by(100) {
                let mut first = nginx.connect();
                write!(first, "POST /evil/x HTTP/1.1\r\nHost: x.example\r\nContent-Length: {length}\r\n\r\n").unwrap();
                assert_eq!(first.answer_head().unwrap().status, 200);

                let body = format!("{}GET /smuggled HTTP/1.1\r\nHost: x.example\r\nRest: ", "\r\n".repeat(60));
                let head = format!("Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                nginx.send(format!("POST /victim/second HTTP/1.1\r\nHost: x.example\r\n{head}"));
                let answer = nginx.get("x.example", "/victim/third", "Cookie: session=3\r\n");
                assert_eq!(answer.text(), "secret of session=3\n");
                expected.extend(["POST /second -", "GET /third session=3"]);
                assert_eq!(victim.asked(expected.len()), expected, "with {} {length}", binary.version);
            }
        }
    }
}

#[test]
fn x_accel_headers_change_no_answer() {
    // Sent slowly, it would take four seconds; in another charset, other bytes.
    const BODY: &str = "4000\n";
    const LINES: &str = "X-Accel-Limit-Rate: 1\r\nX-Accel-Buffering: yes\r\nX-Accel-Charset: koi8-r\r\n\
                         X-Accel-Expires: 3600\r\n";
    let serve = |mut connection: http::Connection| {
        // The rest of the answer comes when the client, having seen its beginning, has asked for it.
        connection.request_head()?;
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{LINES}Content-Length: 100000\r\n\r\n{BODY}");
        connection.write_all(head.as_bytes())?;
        connection.read(&mut [0]).map(drop)
    };
    let address = http::serve(serve).unwrap();
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes([("*", vec![forward(prefix("/"), address, false)])]), |_| {});
        let mut connection = nginx.connect();
        connection.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let head = connection.answer_head().unwrap();
        assert_eq!(head.header("Content-Type"), "text/plain", "{head:?}");
        assert!(!head.headers.iter().any(|(name, _)| name.starts_with("x-accel")), "{head:?}");
        let mut body = vec![0; BODY.len()];
        connection.read_exact(&mut body).unwrap();
        assert_eq!(body, BODY.as_bytes());
    }
}

#[test]
fn x_accel_headers_of_an_http2_backend_are_ignored() {
    for binary in binaries() {
        let (victim, newest) = (Victim::start(&binary), newest());
        let evil = NginxBackend::start(&newest, |address| {
            format!(
                "access_log off; server {{ listen {address}; http2 on; add_header X-Accel-Redirect /victim/admin;\n\
                 add_header X-Accel-Limit-Rate 1; add_header X-Accel-Charset koi8-r; add_header X-Accel-Buffering yes;\n\
                 add_header X-Accel-Expires 3600; default_type text/plain; return 200 \"own\\n\"; }}"
            )
        });
        let mut routes = tenants(backend("unused"), victim.0.address);
        for rules in routes.hosts.values_mut().map(|host| &mut Arc::make_mut(host).rules) {
            let of_evil = rules.iter_mut().find(|rule| rule.matches.path == prefix("/evil")).unwrap();
            *of_evil = speaking(forward(prefix("/evil"), evil.address, true), Protocol::Http2);
            rules.push(speaking(forward(exact("/evil/only"), evil.address, false), Protocol::Http2));
        }
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for target in ["/evil/a", "/evil/only", "/evil"] {
            let answer = nginx.get("x.example", target, "");
            assert_eq!(
                (answer.status, &*answer.text()),
                (200, "own\n"),
                "{target} with {}: {answer:?}",
                binary.version
            );
            assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("x-accel")), "{answer:?}");
            assert_eq!(answer.header("Content-Type"), "text/plain");
        }
        nginx.get("x.example", "/victim/mine", "");
        assert_eq!(victim.asked(1), ["GET /mine -"]);
    }
}
