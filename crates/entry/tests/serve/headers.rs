//! What backends and clients are told by a rule.

use std::io::Write as _;
use std::net::SocketAddr;

use entry_model::{
    AddedHeader, AnswerHeaders, ConnectionHeader, HeaderField, Policy, Replacement, RequestHeaders, UpstreamHost,
};
use nginx_conf::{HeaderName, ValueTemplate};
use testbed::http;

use super::support::{Echo as _, Nginx, backend, binaries, forward, free, prefix, treated_routes};

fn field(name: &str, value: &str) -> HeaderField {
    HeaderField::new(name, value).unwrap()
}

fn told(request_headers: RequestHeaders) -> Policy {
    Policy { request_headers, ..Policy::default() }
}

#[test]
fn backend_is_told_what_its_rule_says_and_all_else_as_ever() {
    let up = backend("up");
    let set = vec![field("X-Tenant", "shop; \"a\" \\"), field("Accept-Language", "")];
    let connection = Some(ConnectionHeader::Close);
    let routes = treated_routes([
        (forward(prefix("/set"), up, false), told(RequestHeaders { set, ..RequestHeaders::default() })),
        (
            forward(prefix("/host"), up, true),
            told(RequestHeaders {
                host: UpstreamHost::new("inner.example:81"),
                connection,
                ..RequestHeaders::default()
            }),
        ),
        (forward(prefix("/"), up, false), Policy::default()),
    ]);
    let sent =
        "X-Tenant: other\r\nAccept-Language: de\r\nX-Forwarded-For: 192.0.2.1\r\nX-Remote-User: root\r\nX-Own: 1\r\n";
    let as_ever =
        ["Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Remote-User", "X-Own", "Connection"];
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let plain = nginx.get("outer.example", "/", sent);
        assert_eq!((plain.seen("X-Tenant"), plain.seen("Accept-Language")), (Some("other"), Some("de")));
        let answer = nginx.get("outer.example", "/set", sent);
        assert_eq!((answer.seen("X-Tenant"), answer.seen("Accept-Language")), (Some("shop; \"a\" \\"), None));
        assert_eq!(as_ever.map(|name| answer.seen(name)), as_ever.map(|name| plain.seen(name)));
        assert_eq!((answer.seen("X-Remote-User"), answer.seen("X-Forwarded-For")), (None, Some("127.0.0.1")));
        // A path that is not in its plain form is sent on by another location.
        for target in ["/host/a", "/host/a%62"] {
            let answer = nginx.get("outer.example", target, sent);
            assert_eq!((answer.seen("Host"), answer.seen("Connection")), (Some("inner.example:81"), Some("close")));
            assert_eq!(answer.seen("X-Forwarded-Host"), Some("outer.example"));
        }
    }
}

#[test]
fn prefix_that_a_rule_says_is_told_rather_than_that_of_clients_proxies_and_the_path() {
    let set = vec![field("X-Forwarded-Prefix", "/outside")];
    let policy = told(RequestHeaders { set, ..RequestHeaders::default() });
    let up = backend("up");
    let routes = treated_routes([
        (forward(prefix("/strip"), up, true), policy.clone()),
        (forward(prefix("/keep"), up, false), policy),
        (forward(prefix("/other"), up, true), Policy::default()),
    ]);
    for binary in binaries() {
        for trusts in [false, true] {
            let nginx = Nginx::start(&binary, &routes, |settings| {
                settings.trusted = trusts.then(|| "127.0.0.0/8".parse().unwrap()).into_iter().collect();
            });
            let seen = |target| {
                let answer = nginx.get("a.example", target, "X-Forwarded-Prefix: /mine\r\n");
                answer.seen("X-Forwarded-Prefix").map(str::to_owned)
            };
            // A path that is not in its plain form is sent on by another location.
            for target in ["/strip/a", "/strip", "/strip/a%62", "/keep/a"] {
                assert_eq!(seen(target).as_deref(), Some("/outside"), "{target}, {trusts}");
            }
            let other = if trusts { "/mine/other" } else { "/other" };
            assert_eq!(seen("/other/a").as_deref(), Some(other));
        }
    }
}

/// A backend that answers with these headers, and with 500 below `/fails`.
fn answering(headers: &'static str) -> SocketAddr {
    let serve = move |mut connection: http::Connection| {
        while let Some(request) = connection.request()? {
            let status = if request.target().contains("/fails") { "500 Own Error" } else { "200 OK" };
            write!(connection, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n{headers}\r\n")?;
        }
        Ok(())
    };
    http::serve(serve).unwrap()
}

#[test]
fn client_is_told_what_the_rule_says() {
    let up = answering("X-Frame-Options: ALLOW\r\nX-Powered-By: it\r\nCache-Control: private\r\n");
    let always = |name: &str, value: &str| AddedHeader { field: field(name, value), always: true };
    let answer_headers = AnswerHeaders {
        hidden: vec!["X-Frame-Options".to_owned(), "X-Powered-By".to_owned()],
        added: vec![
            always("X-Frame-Options", "DENY"),
            always("Content-Security-Policy", "default-src 'self'; img-src \"x\""),
            AddedHeader { field: field("X-Once", "1"), always: false },
            always("Cache-Control", "no-store"),
        ],
        ..AnswerHeaders::default()
    };
    let routes = treated_routes([
        (
            forward(prefix("/down"), free(), false),
            Policy { answer_headers: answer_headers.clone(), ..Policy::default() },
        ),
        (forward(prefix("/set"), up, false), Policy { answer_headers, ..Policy::default() }),
        (forward(prefix("/"), up, false), Policy::default()),
    ]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let all = |target: &str, name: &str| -> Vec<String> {
            let answer = nginx.get("x", target, "");
            answer.headers.into_iter().filter(|(found, _)| found == name).map(|(_, value)| value).collect()
        };
        assert_eq!(all("/set", "x-frame-options"), ["DENY"]);
        assert_eq!(all("/set", "content-security-policy"), ["default-src 'self'; img-src \"x\""]);
        assert_eq!(all("/set", "x-powered-by"), [""; 0]);
        assert_eq!(all("/set", "cache-control"), ["private", "no-store"]);
        assert_eq!((all("/set", "x-once").len(), all("/set/fails", "x-once").len()), (1, 0));
        assert_eq!(all("/set/fails", "x-frame-options"), ["DENY"]);
        // The entry's own answers have it, too.
        assert_eq!(
            (nginx.get("x", "/down", "").status, all("/down", "x-frame-options")),
            (502, vec!["DENY".to_owned()])
        );
        assert_eq!(
            (all("/", "x-frame-options"), all("/", "x-powered-by")),
            (vec!["ALLOW".to_owned()], vec!["it".to_owned()])
        );
    }
}

#[test]
fn header_of_success_keeps_those_of_all_answers() {
    let added = vec![AddedHeader { field: field("X-Once", "1"), always: false }];
    let answer_headers = AnswerHeaders { added, ..AnswerHeaders::default() };
    let policy = Policy { answer_headers, ..Policy::default() };
    let routes = treated_routes([(forward(prefix("/"), backend("up"), false), policy)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |settings| {
            let value = ValueTemplate::parse("by $request_method").unwrap();
            settings.headers.answers = vec![(HeaderName::parse("X-All").unwrap(), value)];
        });
        let answer = nginx.get("x", "/", "");
        assert_eq!((answer.header("x-once"), answer.header("x-all")), ("1", "by GET"));
    }
}

#[test]
fn cookies_and_addresses_of_the_backend_are_replaced() {
    let up = answering(
        "Set-Cookie: a=1; Domain=inner.example; Path=/app/x\r\nLocation: http://inner.example:8080/app/y\r\n",
    );
    let replacement = |from: &str, to: &str| Some(Replacement::new(from, to).unwrap());
    let answer_headers = AnswerHeaders {
        cookie_domain: replacement("inner.example", "outer.example"),
        cookie_path: replacement("/app/", "/"),
        redirect: replacement("http://inner.example:8080/app/", "https://outer.example/"),
        ..AnswerHeaders::default()
    };
    let routes = treated_routes([
        (forward(prefix("/set"), up, false), Policy { answer_headers, ..Policy::default() }),
        (forward(prefix("/"), up, false), Policy::default()),
    ]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let answer = nginx.get("x", "/set", "");
        let cookie = answer.header("set-cookie").to_ascii_lowercase();
        assert!(cookie.contains("domain=outer.example") && cookie.contains("path=/x"), "{cookie}");
        assert_eq!(answer.header("location"), "https://outer.example/y");
        assert_eq!(nginx.get("x", "/", "").header("location"), "http://inner.example:8080/app/y");
    }
}
