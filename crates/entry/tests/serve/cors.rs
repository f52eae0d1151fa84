//! What browsers are told that ask for pages of other origins.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use entry_model::{Cors, CorsOrigin, CorsOrigins, Policy};
use testbed::http::{self, Answer};

use super::support::{Nginx, binaries, forward, free, prefix, treated};

fn origin(any_label: bool, host: &str, port: Option<u16>) -> CorsOrigin {
    CorsOrigin::Named { scheme: "https".to_owned(), any_label, host: host.to_owned(), port }
}

fn cors(origins: CorsOrigins) -> Policy {
    let credentials = origins != CorsOrigins::Any;
    let cors = Cors {
        origins,
        methods: "GET, PUT".to_owned(),
        headers: "X-Tenant".to_owned(),
        exposed_headers: "X-Total".to_owned(),
        credentials,
        max_age_seconds: 600,
    };
    Policy { cors: Some(cors), max_body_bytes: Some(10), ..Policy::default() }
}

fn listed() -> Policy {
    cors(CorsOrigins::Listed(vec![
        origin(false, "a.example", None),
        origin(true, "b.example", None),
        origin(false, "c.example", Some(8443)),
        CorsOrigin::Null,
    ]))
}

/// A backend that lets everybody ask, and remembers what it was asked.
fn open_backend() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let serve = move |mut connection: http::Connection| {
        while let Some(request) = connection.request()? {
            seen.lock().unwrap().push(request.head.lines().next().unwrap_or_default().to_owned());
            write!(
                connection,
                "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: https://evil.example\r\n\
                 Access-Control-Allow-Methods: DELETE\r\nAccess-Control-Allow-Headers: X-Evil\r\n\
                 Access-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: X-Evil\r\n\
                 Access-Control-Max-Age: 1\r\nX-Own: own\r\nContent-Length: 0\r\n\r\n"
            )?;
        }
        Ok(())
    };
    (http::serve(serve).unwrap(), asked)
}

/// What browsers look at: origin, credentials, methods, headers, exposed headers, age.
fn told(answer: &Answer) -> [&str; 6] {
    ["Allow-Origin", "Allow-Credentials", "Allow-Methods", "Allow-Headers", "Expose-Headers", "Max-Age"]
        .map(|name| answer.header(["Access-Control-", name].concat().as_str()))
}

const NOTHING: [&str; 6] = [""; 6];

#[test]
fn listed_origin_is_told_what_it_may_and_others_nothing() {
    let (address, _) = open_backend();
    let routes = treated(&listed(), vec![forward(prefix("/off"), address, true), forward(prefix("/"), address, false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for origin in
            ["https://a.example", "HTTPS://A.example", "https://x.b.example", "https://c.example:8443", "null"]
        {
            for target in ["/", "/off/a", "/off/a%2Fb"] {
                let answer = nginx.get("x.example", target, &format!("Origin: {origin}\r\n"));
                let expected = [origin, "true", "GET, PUT", "X-Tenant", "X-Total", "600"];
                assert_eq!((answer.status, told(&answer)), (200, expected), "{target} with {}", binary.version);
                assert_eq!((answer.header("Vary"), answer.header("X-Own")), ("Origin", "own"));
            }
        }
        for origin in [
            "http://a.example",
            "https://a.example:8443",
            "https://a.example.evil.example",
            "https://evil.example/https://a.example",
            "https://b.example",
            "https://x.y.b.example",
            "https://xb.example",
            "https://c.example",
            "https://aXexample",
            "https://evil.example",
        ] {
            let answer = nginx.get("x.example", "/", &format!("Origin: {origin}\r\n"));
            assert_eq!((answer.status, told(&answer), answer.header("Vary")), (200, NOTHING, "Origin"), "{origin}");
        }
        assert_eq!(told(&nginx.get("x.example", "/", "")), NOTHING);
    }
}

#[test]
fn preflight_request_never_reaches_the_backend() {
    let (address, asked) = open_backend();
    let preflight = |target: &str, origin: &str| {
        format!(
            "OPTIONS {target} HTTP/1.1\r\nHost: x.example\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: PUT\r\n\
             Connection: close\r\n\r\n"
        )
    };
    for (policy, expected) in [
        (listed(), ["https://a.example", "true", "GET, PUT", "X-Tenant", "X-Total", "600"]),
        (cors(CorsOrigins::Any), ["*", "", "GET, PUT", "X-Tenant", "X-Total", "600"]),
    ] {
        let rules = vec![forward(prefix("/off"), address, true), forward(prefix("/"), address, false)];
        let routes = treated(&policy, rules);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            for target in ["/", "/off/a", "/off/a%2Fb"] {
                let answer = nginx.send(preflight(target, "https://a.example"));
                assert_eq!((answer.status, told(&answer), &*answer.text()), (204, expected, ""), "{target}");
            }
            assert_eq!(*asked.lock().unwrap(), Vec::<String>::new());
            if policy == listed() {
                // Who is not listed has no preflight: the backend decides what it is, and is told of as little.
                let answer = nginx.send(preflight("/", "https://evil.example"));
                assert_eq!((answer.status, told(&answer)), (200, NOTHING));
                assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), ["OPTIONS / HTTP/1.1"]);
            }
        }
    }
}

#[test]
fn any_origin_may_ask_without_credentials() {
    let (address, _) = open_backend();
    let routes = treated(&cors(CorsOrigins::Any), vec![forward(prefix("/"), address, false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for origin in ["Origin: https://any.example\r\n", ""] {
            let answer = nginx.get("x.example", "/", origin);
            assert_eq!(told(&answer), ["*", "", "GET, PUT", "X-Tenant", "X-Total", "600"]);
        }
    }
}

#[test]
fn answers_of_the_entry_itself_may_be_read_too() {
    let (address, _) = open_backend();
    let routes = treated(&listed(), vec![forward(prefix("/up"), address, false), forward(prefix("/"), free(), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let expected = ["https://a.example", "true", "GET, PUT", "X-Tenant", "X-Total", "600"];
        let answer = nginx.get("x.example", "/", "Origin: https://a.example\r\n");
        assert_eq!((answer.status, told(&answer)), (502, expected), "with {}", binary.version);
        assert!(answer.text().contains("did not answer"), "{}", answer.text());
        let large = nginx.send(
            "POST /up HTTP/1.1\r\nHost: x.example\r\nOrigin: https://a.example\r\nContent-Length: 11\r\n\
             Connection: close\r\n\r\nhello world",
        );
        assert_eq!((large.status, told(&large)), (413, expected), "with {}", binary.version);
        let evil = nginx.get("x.example", "/", "Origin: https://evil.example\r\n");
        assert_eq!((evil.status, told(&evil)), (502, NOTHING));
    }
}
