//! Another server is asked whether a request may pass: a small one that decides by the cookie.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use entry_model::{
    Buffers, Cors, CorsOrigins, ErrorPages, ExternalAuth, OutsideServer, Policy, RenamedHeader, ResponseBuffers,
    Timeouts, UrlPart, UrlText, UrlVariable,
};
use testbed::http::{self, Answer};

use super::support::{Echo as _, Nginx, NginxBackend, backend, binaries, forward, free, newest, prefix, treated};

/// The heads of the requests that a server got.
type Asked = Arc<Mutex<Vec<String>>>;

fn auth_server() -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let serve = move |mut connection: http::Connection| {
        while let Some(request) = connection.request()? {
            let head = request.head.clone();
            seen.lock().unwrap().push(head.clone());
            let answer = if head.contains("Cookie: ok") {
                "200 OK\r\nX-User: alice\r\nX-Groups: admins\r\nSet-Cookie: session=1"
            } else if head.contains("Cookie: long") {
                &format!("200 OK\r\nX-User: {}", "a".repeat(10_000))
            } else if head.contains("Cookie: several") {
                SEVERAL_COOKIES
            } else if head.contains("Cookie: forbidden") {
                "403 Forbidden\r\nSet-Cookie: session=0"
            } else if head.contains("Cookie: odd") {
                "418 I'm a teapot"
            } else if head.contains("Cookie: elsewhere") {
                "302 Found\r\nLocation: https://evil.example"
            } else if head.contains("Cookie: hang") {
                connection.read_to_end(&mut Vec::new())?;
                return Ok(());
            } else {
                "401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nSet-Cookie: csrf=1"
            };
            write!(connection, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    };
    (http::serve(serve).unwrap(), asked)
}

/// An answer with a session in three cookies, and two more.
const SEVERAL_COOKIES: &str = "200 OK\r\nSet-Cookie: session_0=a==; Path=/; Expires=Wed, 21 Oct 2037 07:28:00 GMT; HttpOnly\r\n\
    X-User: alice\r\nset-cookie: session_1=b|1\r\nSet-Cookie: session_2=c; Expires=Thu, 01 Jan 2037 00:00:00 GMT\r\n\
    Set-Cookie: csrf=; Max-Age=0\r\nSet-Cookie: _x-y.z=\"1\"";

fn text(text: &str) -> UrlText {
    UrlText::from_text(text)
}

fn asking(address: SocketAddr) -> ExternalAuth {
    ExternalAuth {
        server: OutsideServer::Address(address),
        tls: false,
        host: text("auth.example"),
        target: text("/verify?x=1"),
        method: None,
        sign_in: None,
        response_headers: vec!["X-Groups".to_owned(), "X-User".to_owned()],
        renamed_headers: Vec::new(),
        request_headers: Vec::new(),
        request_redirect: None,
        always_set_cookie: false,
    }
}

fn policy(auth: ExternalAuth) -> Policy {
    let timeouts = Timeouts { read: Some(Duration::from_millis(500)), ..Timeouts::default() };
    Policy { external_auth: Some(auth), timeouts, ..Policy::default() }
}

fn signing_in(address: SocketAddr) -> Policy {
    let mut sign_in = text("https://auth.example/start?rd=https://");
    sign_in.0.push(UrlPart::Variable(UrlVariable::HostAndPort));
    sign_in.0.push(UrlPart::Variable(UrlVariable::EscapedTarget));
    policy(ExternalAuth { sign_in: Some(sign_in), ..asking(address) })
}

fn cookie(nginx: &Nginx, target: &str, cookie: &str) -> Answer {
    nginx.get("x.example", target, &format!("Cookie: {cookie}\r\n"))
}

#[test]
fn only_what_the_server_lets_pass_reaches_the_backend() {
    let (address, asked) = auth_server();
    let rules = vec![forward(prefix("/off"), backend("a"), true), forward(prefix("/"), backend("a"), false)];
    let routes = treated(&policy(asking(address)), rules);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for target in ["/a?b=1", "/off/a", "/off/a%2Fb"] {
            for (sent, status) in [("ok", 200), ("none", 401), ("forbidden", 403), ("odd", 500), ("elsewhere", 500)] {
                let answer = cookie(&nginx, target, sent);
                assert_eq!(answer.status, status, "{sent} at {target} with {}", binary.version);
                assert_eq!(answer.header("Backend"), if status == 200 { "a" } else { "" });
                let realm = if status == 401 { "Basic realm=x" } else { "" };
                assert_eq!(answer.header("WWW-Authenticate"), realm);
            }
        }
        assert_eq!(asked.lock().unwrap().drain(..).count(), 15);
    }
}

#[test]
fn backend_is_told_headers_of_the_answer_and_never_a_clients_own() {
    let (address, _) = auth_server();
    let routes = treated(&policy(asking(address)), vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let sent =
            "Cookie: ok\r\nX-User: root\r\nx-user: root\r\nX-Groups: root\r\nX-Other: mine\r\nX-Real-IP: 192.0.2.1\r\n";
        let answer = nginx.get("x.example", "/", sent);
        assert_eq!((answer.seen("X-User"), answer.seen("X-Groups")), (Some("alice"), Some("admins")));
        assert!(!answer.text().contains("root"), "{}", answer.text());
        // What all backends are told is told here, too.
        assert_eq!((answer.seen("X-Other"), answer.seen("X-Real-IP")), (Some("mine"), Some("127.0.0.1")));
        assert_eq!((answer.seen("Host"), answer.seen("X-Forwarded-Proto")), (Some("x.example"), Some("http")));
        assert_eq!(answer.header("Set-Cookie"), "session=1");
        let missing = ExternalAuth { response_headers: vec!["X-Absent".to_owned()], ..asking(address) };
        let routes = treated(&policy(missing), vec![forward(prefix("/"), backend("a"), false)]);
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let answer = nginx.get("x.example", "/", "Cookie: ok\r\nX-Absent: root\r\n");
        assert_eq!(answer.seen("X-Absent"), None);
    }
}

#[test]
fn backend_is_told_headers_of_the_answer_by_other_names() {
    let (address, _) = auth_server();
    let renamed =
        |name: &str, prefix: &str, of: &str| RenamedHeader { name: name.into(), prefix: prefix.into(), of: of.into() };
    let renamed_headers = vec![
        renamed("Authorization", "Bearer ", "x_user"),
        renamed("X-Team", "", "x_groups"),
        renamed("X-None", "", "x_none"),
    ];
    let auth = ExternalAuth { renamed_headers, ..asking(address) };
    let routes = treated(&policy(auth), vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let sent = "Cookie: ok\r\nAuthorization: mine\r\nX-Team: root\r\nX-None: root\r\n";
        let answer = nginx.get("x.example", "/", sent);
        assert_eq!((answer.seen("Authorization"), answer.seen("X-Team")), (Some("Bearer alice"), Some("admins")));
        assert_eq!((answer.seen("X-None"), answer.seen("X-User")), (None, Some("alice")));
    }
}

#[test]
fn client_gets_each_cookie_of_the_answer() {
    let (address, _) = auth_server();
    let sent: Vec<_> =
        SEVERAL_COOKIES.lines().filter_map(|line| line.split_once("ookie: ")).map(|(_, cookie)| cookie).collect();
    for always_set_cookie in [false, true] {
        let auth = ExternalAuth { always_set_cookie, ..asking(address) };
        let routes = treated(&policy(auth), vec![forward(prefix("/"), backend("a"), false)]);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            let expected = &sent[..];
            for (cookie, expected) in [("several", expected), ("ok", &["session=1"]), ("several", expected)] {
                let answer = self::cookie(&nginx, "/", cookie);
                let cookies = answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, cookie)| cookie);
                assert_eq!(cookies.collect::<Vec<_>>(), expected, "with {}", binary.version);
            }
        }
    }
}

#[test]
fn head_of_the_answer_may_be_as_long_as_that_of_a_backend() {
    let (address, _) = auth_server();
    for (size, status) in [(None, 500), (Some(16 << 10), 200)] {
        let response = size.map(|size| ResponseBuffers::new(size, 4, None));
        let policy = Policy { buffers: Buffers { response, ..Buffers::default() }, ..policy(asking(address)) };
        let routes = treated(&policy, vec![forward(prefix("/"), backend("a"), false)]);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            assert_eq!(cookie(&nginx, "/", "long").status, status, "with {}", binary.version);
        }
    }
}

#[test]
fn cookies_of_a_refusal_reach_the_client_only_if_asked_for() {
    let (address, _) = auth_server();
    for (always_set_cookie, expected) in [(false, ""), (true, "session=0")] {
        let auth = ExternalAuth { always_set_cookie, ..asking(address) };
        let routes = treated(&policy(auth), vec![forward(prefix("/"), backend("a"), false)]);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            let answer = cookie(&nginx, "/", "forbidden");
            assert_eq!((answer.status, answer.header("Set-Cookie")), (403, expected));
        }
    }
}

#[test]
fn client_is_sent_to_where_it_signs_in_with_where_it_wants_to_go() {
    let (address, _) = auth_server();
    let routes = treated(&signing_in(address), vec![forward(prefix("/"), backend("a"), false)]);
    let many = "&a=1".repeat(11);
    let [escaped, both] = ["/a", "/a%2520b"].map(|path| format!("{path}?b=1{}", many.replace('&', "%26")));
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (target, escaped) in [
            ("/", "/"),
            ("/a?b=1", "/a?b=1"),
            ("/a?b=1&c=2", "/a?b=1%26c=2"),
            ("/a%20b?c=%26&d=1+1", "/a%2520b?c=%2526%26d=1%2B1"),
            ("/a?rd=https://evil.example&rd=x", "/a?rd=https://evil.example%26rd=x"),
            ("/a?%0d%0aX:%20y", "/a?%250d%250aX:%2520y"),
            (&*format!("/a?b=1{many}"), &*escaped),
            (&*format!("/a%20b?b=1{many}"), &*both),
        ] {
            let answer = cookie(&nginx, target, "none");
            let location = format!("https://auth.example/start?rd=https://x.example{escaped}");
            assert_eq!((answer.status, answer.header("Location")), (302, &*location), "{target}");
            assert_eq!(answer.header("Set-Cookie"), "csrf=1", "with {}", binary.version);
        }
        // Who is known and may not is not asked to sign in again.
        assert_eq!(cookie(&nginx, "/", "forbidden").status, 403);
        assert_eq!(cookie(&nginx, "/", "ok").status, 200);
    }
}

#[test]
fn path_is_told_as_it_was_sent_and_never_ends_a_line() {
    let (address, asked) = auth_server();
    let mut sign_in = text("https://auth.example/start?path=");
    let variables = [UrlVariable::Path, UrlVariable::QuestionMark, UrlVariable::Query];
    sign_in.0.extend(variables.map(UrlPart::Variable));
    let auth =
        ExternalAuth { sign_in: Some(sign_in.clone()), target: UrlText(sign_in.0[1..].to_vec()), ..asking(address) };
    let routes = treated(&policy(auth), vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for target in ["/a%0d%0aSet-Cookie:%20x=1?b=%0d%0a", "/a//b?c=d&e", "/x"] {
            let answer = cookie(&nginx, target, "none");
            assert_eq!(answer.header("Location"), format!("https://auth.example/start?path={target}"));
            assert_eq!(answer.header("Set-Cookie"), "csrf=1");
            let head = asked.lock().unwrap().pop().unwrap();
            assert!(head.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{head}");
        }
    }
}

#[test]
fn server_is_told_of_the_request_without_its_body() {
    let (address, asked) = auth_server();
    let auth = ExternalAuth {
        method: Some("HEAD".to_owned()),
        request_headers: vec![("X-Tier".to_owned(), "gold; \"x\"".to_owned())],
        request_redirect: Some(text("https://x.example/back")),
        ..asking(address)
    };
    let routes = treated(&policy(auth), vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
            let request = format!(
                "POST /a?b=1 HTTP/1.1\r\nHost: x.example\r\nCookie: ok\r\nX-Tier: mine\r\nX-Original-URL: x\r\nConnection: close\r\n{body}"
            );
            assert_eq!(nginx.send(request).status, 200, "with {}", binary.version);
            let head = asked.lock().unwrap().pop().unwrap();
            let header = |name| http::header_of(&head, name);
            assert!(head.starts_with("HEAD /verify?x=1 HTTP/1.1\r\n"), "{head}");
            for (name, value) in [
                ("Host", Some("auth.example")),
                ("X-Original-URL", Some("http://x.example/a?b=1")),
                ("X-Original-URI", Some("/a?b=1")),
                ("X-Original-Method", Some("POST")),
                ("X-Auth-Request-Redirect", Some("https://x.example/back")),
                ("X-Sent-From", Some("nginx-ingress-controller")),
                ("X-Real-IP", Some("127.0.0.1")),
                ("X-Tier", Some("gold; \"x\"")),
                ("Content-Length", None),
                ("Transfer-Encoding", None),
            ] {
                assert_eq!(header(name), value, "{name} with {}", binary.version);
            }
        }
    }
}

#[test]
fn server_that_hangs_or_is_gone_opens_nothing() {
    let (address, _) = auth_server();
    for (address, sent) in [(address, "hang"), (free(), "ok")] {
        let routes = treated(&signing_in(address), vec![forward(prefix("/"), backend("a"), false)]);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            let answer = cookie(&nginx, "/", sent);
            assert_eq!((answer.status, answer.header("Backend")), (500, ""), "{sent} with {}", binary.version);
            assert!(answer.text().contains("Something went wrong"), "{}", answer.text());
        }
    }
}

/// A server that lets pass whoever says so, and counts its connections. Of each it answers so many requests, and then closes it without an
/// answer.
fn counting_server(most: usize, body: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let serve = move |mut connection: http::Connection| {
        count.fetch_add(1, Ordering::SeqCst);
        for _ in 0..most {
            let Some(request) = connection.request()? else { return Ok(()) };
            let status = if request.head.contains("Cookie: ok") { 200 } else { 401 };
            write!(connection, "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        }
        connection.request()?;
        Ok(())
    };
    (http::serve(serve).unwrap(), connections)
}

#[test]
fn connection_to_the_server_is_kept_for_the_next_question() {
    // nginx reads no body of an answer, and cannot use a connection again that has one.
    for (body, made) in [("", 1), ("why it is so", 5)] {
        let (address, connections) = counting_server(usize::MAX, body);
        let routes = treated(&policy(asking(address)), vec![forward(prefix("/"), backend("a"), false)]);
        for binary in binaries() {
            connections.store(0, Ordering::SeqCst);
            let nginx = Nginx::start(&binary, &routes, |_| {});
            for (sent, status) in [("ok", 200), ("none", 401), ("none", 401), ("ok", 200), ("ok", 200)] {
                assert_eq!(cookie(&nginx, "/", sent).status, status, "{sent} with {}", binary.version);
            }
            assert_eq!(connections.load(Ordering::SeqCst), made, "{body:?} with {}", binary.version);
            let nginx = Nginx::start(&binary, &routes, |settings| settings.kept_connections.most = Some(0));
            for _ in 0..2 {
                assert_eq!(cookie(&nginx, "/", "ok").status, 200);
            }
            assert_eq!(connections.load(Ordering::SeqCst), made + 2, "{body:?} with {}", binary.version);
        }
    }
}

#[test]
fn question_is_asked_again_where_a_kept_connection_was_closed() {
    for method in [None, Some("POST".to_owned())] {
        let (address, _) = counting_server(1, "");
        let auth = ExternalAuth { method, ..asking(address) };
        let routes = treated(&policy(auth), vec![forward(prefix("/"), backend("a"), false)]);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            for (sent, status) in [("ok", 200), ("ok", 200), ("none", 401), ("none", 401), ("ok", 200)] {
                assert_eq!(cookie(&nginx, "/", sent).status, status, "{sent} with {}", binary.version);
            }
        }
    }
}

#[test]
fn server_may_speak_tls() {
    let server = NginxBackend::start(&newest(), |address| {
        format!(
            "server {{ listen {address} ssl; server_name auth.example; ssl_certificate cert.pem; ssl_certificate_key cert.pem;\n\
             location / {{ return 403; }} location = /verify {{ add_header X-User $ssl_server_name; return 204; }} }}"
        )
    });
    let auth = ExternalAuth { tls: true, ..asking(server.address) };
    let routes = treated(&policy(auth), vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let answer = nginx.get("x.example", "/", "");
        assert_eq!((answer.status, answer.seen("X-User")), (200, Some("auth.example")), "with {}", binary.version);
    }
}

#[test]
fn name_without_a_resolver_is_closed() {
    let name = OutsideServer::Name { name: text("auth.example"), port: 80 };
    let auth = ExternalAuth { server: name, ..asking(free()) };
    let routes = treated(&policy(auth), vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        assert_eq!(cookie(&nginx, "/", "ok").status, 503);
        // One that does not answer keeps nginx from nothing, and nobody passes.
        let resolver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let nginx = Nginx::start(&binary, &routes, |settings| {
            settings.resolvers = vec![resolver.local_addr().unwrap()];
        });
        assert_eq!(cookie(&nginx, "/", "ok").status, 500);
    }
}

#[test]
fn preflight_request_needs_no_cookie() {
    let (address, asked) = auth_server();
    let cors = Cors {
        origins: CorsOrigins::Any,
        methods: "GET".to_owned(),
        headers: "X-A".to_owned(),
        exposed_headers: String::new(),
        credentials: false,
        max_age_seconds: 1,
    };
    let policy = Policy { cors: Some(cors), ..signing_in(address) };
    let routes = treated(&policy, vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let answer = nginx.send("OPTIONS / HTTP/1.1\r\nHost: x.example\r\nConnection: close\r\n\r\n");
        assert_eq!((answer.status, answer.header("Backend")), (204, ""));
        assert!(asked.lock().unwrap().is_empty());
        // A page may read that it must sign in.
        for (sent, status) in [("none", 302), ("forbidden", 403), ("odd", 500), ("ok", 200)] {
            let answer = cookie(&nginx, "/", sent);
            assert_eq!((answer.status, answer.header("Access-Control-Allow-Origin")), (status, "*"), "{sent}");
        }
        asked.lock().unwrap().clear();
    }
}

/// CVE-2026-24513: a page of an error that was answered with 200 let pass what the server had refused.
#[test]
fn cve_2026_24513_error_page_opens_nothing() {
    let (address, _) = auth_server();
    let pages = ErrorPages { statuses: vec![401, 403, 404, 500, 502, 503], intercepts: true, server: backend("pages") };
    for sign_in in [false, true] {
        let auth = if sign_in { signing_in(address) } else { policy(asking(address)) };
        let policy = Policy { error_pages: Some(pages.clone()), ..auth };
        let routes = treated(&policy, vec![forward(prefix("/"), backend("a"), false)]);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            let refused = if sign_in { 302 } else { 401 };
            for (sent, status) in [("none", refused), ("forbidden", 403), ("odd", 500), ("hang", 500)] {
                let answer = cookie(&nginx, "/", sent);
                assert_eq!(answer.status, status, "{sent} with {}", binary.version);
                assert_ne!(answer.header("Backend"), "a", "{sent}");
            }
            assert_eq!(cookie(&nginx, "/", "ok").header("Backend"), "a");
        }
    }
}
