//! What is answered instead of an error of a backend.

use std::io::Write as _;
use std::net::SocketAddr;

use entry_model::{ErrorPages, ExternalAuth, HeaderField, OutsideServer, Policy, UrlText};
use testbed::http;

use super::support::{Nginx, backend, binaries, forward, free, prefix, treated};

/// A backend whose answers have the status that its target ends with.
fn failing() -> SocketAddr {
    let serve = |mut connection: http::Connection| {
        while let Some(request) = connection.request()? {
            let path = request.target().split('?').next().unwrap_or_default();
            let status = path.rsplit('/').next().unwrap_or_default().to_owned();
            write!(connection, "HTTP/1.1 {status} Own\r\nOwn: own\r\nContent-Length: 3\r\n\r\nown")?;
        }
        Ok(())
    };
    http::serve(serve).unwrap()
}

fn policy(intercepts: bool) -> Policy {
    let error_pages = ErrorPages { statuses: vec![404, 418, 502], intercepts, server: backend("pages") };
    Policy { error_pages: Some(error_pages), max_body_bytes: Some(10), ..Policy::default() }
}

#[test]
fn error_of_the_backend_is_replaced_under_its_own_status() {
    let rules = vec![forward(prefix("/off"), failing(), true), forward(prefix("/"), failing(), false)];
    let routes = treated(&policy(true), rules);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for target in ["/404", "/418?a=b", "/off/404", "/off/a%2Fb/418"] {
            let answer =
                nginx.get("x.example", target, "Accept: text/x\r\nX-Service-Name: mine\r\nRange: bytes=0-0\r\n");
            let status = if target.contains("404") { 404 } else { 418 };
            assert_eq!(
                (answer.status, answer.header("Backend")),
                (status, "pages"),
                "{target} with {}",
                binary.version
            );
            let seen = |name| http::header_of(std::str::from_utf8(&answer.body).unwrap(), name);
            assert_eq!(seen("X-Code"), Some(&*status.to_string()));
            assert_eq!((seen("X-Format"), seen("X-Original-URI")), (Some("text/x"), Some(target)));
            assert_eq!((seen("X-Namespace"), seen("X-Ingress-Name")), (Some("default"), Some("some")));
            assert_eq!((seen("X-Service-Name"), seen("Range")), (None, None));
            assert!(seen("X-Request-ID").is_some() && seen("X-Real-IP").is_some(), "{}", answer.text());
        }
        // Others go through.
        for (target, status) in [("/200", 200), ("/500", 500), ("/401", 401)] {
            let answer = nginx.get("x.example", target, "");
            assert_eq!((answer.status, answer.header("Own")), (status, "own"), "{target}");
        }
    }
}

#[test]
fn page_is_not_told_by_clients_what_backends_are_told_by_the_entry() {
    let mut policy = policy(true);
    policy.external_auth = Some(ExternalAuth {
        server: OutsideServer::Address(backend("auth")),
        host: UrlText::from_text("auth.example"),
        target: UrlText::from_text("/"),
        response_headers: vec!["X-Staff".to_owned()],
        ..ExternalAuth::closed()
    });
    policy.request_headers.set = vec![HeaderField::new("X-Tenant", "shop").unwrap()];
    let routes = treated(&policy, vec![forward(prefix("/"), failing(), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let answer = nginx.get("x.example", "/404", "X-Staff: yes\r\nX-Tenant: mine\r\nX-Free: 1\r\n");
        let seen = |name| http::header_of(std::str::from_utf8(&answer.body).unwrap(), name);
        assert_eq!((answer.status, answer.header("Backend")), (404, "pages"), "with {}", binary.version);
        assert_eq!([seen("X-Staff"), seen("X-Tenant"), seen("X-Free")], [None, None, Some("1")], "{}", answer.text());
    }
}

#[test]
fn page_is_asked_without_the_body_of_the_request() {
    let routes = treated(&policy(true), vec![forward(prefix("/"), failing(), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
            let answer = nginx.send(format!("POST /404 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{body}"));
            assert_eq!((answer.status, answer.header("Backend")), (404, "pages"));
            assert!(answer.text().starts_with("GET / HTTP/1.1\r\n"), "{}", answer.text());
        }
    }
}

#[test]
fn error_of_nginx_is_replaced_where_those_of_backends_go_through() {
    let routes =
        treated(&policy(false), vec![forward(prefix("/gone"), free(), false), forward(prefix("/"), failing(), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let answer = nginx.get("x.example", "/404", "");
        assert_eq!((answer.status, answer.header("Own")), (404, "own"));
        let answer = nginx.get("x.example", "/gone", "");
        assert_eq!((answer.status, answer.header("Backend")), (502, "pages"), "with {}", binary.version);
        // One that is not listed is the entry's own.
        let large =
            nginx.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nConnection: close\r\n\r\nhello world");
        assert_eq!((large.status, large.text().contains("too large")), (413, true), "with {}", binary.version);
    }
}

#[test]
fn page_that_cannot_be_made_is_an_error_too() {
    let pages = ErrorPages { statuses: vec![404], intercepts: true, server: free() };
    let policy = Policy { error_pages: Some(pages), ..Policy::default() };
    let routes = treated(&policy, vec![forward(prefix("/"), failing(), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let answer = nginx.get("x.example", "/404", "");
        assert_eq!((answer.status, answer.header("Own")), (502, ""), "with {}", binary.version);
    }
}
