//! What backends are told of the client, and what nobody may tell them.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};

use entry_model::{Protocol, Routes};
use nginx_conf::{CLIENT_HEADERS, Settings};
use testbed::http::{self, Request, header_of};

use super::hosts::certify;
use super::support::{
    DEADLINE, Echo as _, Nginx, NginxBackend, backed, backend, binaries, exact, forward, newest, prefix, routes,
    speaking,
};

/// A backend that hands over each request, and answers; 101 to one for an upgrade.
fn recording() -> (SocketAddr, Receiver<Request>) {
    let (requests, seen) = channel();
    let serve = move |mut connection: http::Connection| {
        let Some(request) = connection.request()? else { return Ok(()) };
        let status = match request.header("Upgrade") {
            Some(_) => "101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade",
            None => "200 OK\r\nContent-Length: 0\r\nConnection: close",
        };
        write!(connection, "HTTP/1.1 {status}\r\n\r\n")?;
        let _ = requests.send(request);
        Ok(())
    };
    (http::serve(serve).unwrap(), seen)
}

fn trust(nets: &[&str]) -> impl Fn(&mut Settings) {
    let nets: Vec<_> = nets.iter().map(|net| net.parse().unwrap()).collect();
    move |settings| settings.trusted.clone_from(&nets)
}

/// Everything that a client may not say, in the spellings that could slip through.
fn identities() -> String {
    let mut lines = String::new();
    for name in CLIENT_HEADERS {
        let (lower, underscored) = (name.to_ascii_lowercase(), name.replace('-', "_"));
        let _ = write!(lines, "{name}: evil\r\n{lower}: evil\r\n");
        if underscored != name {
            let _ = write!(lines, "{underscored}: evil\r\n");
        }
    }
    lines + "X_Forwarded_For: evil\r\nX-Forwarded_Proto: evil\r\nX_Real_IP: evil\r\nX_FORWARDED_HOST: evil\r\n"
}

#[test]
fn client_headers_are_dropped_but_those_left_to_a_trusted_proxy() {
    let (address, requests) = recording();
    let routes = routes([(
        "*",
        vec![
            forward(exact("/exact"), address, false),
            forward(exact("/slash/"), address, false),
            forward(prefix("/strip"), address, true),
            forward(prefix("/a(b"), address, true),
            forward(prefix("/"), address, false),
        ],
    )]);
    let targets =
        ["/exact", "/slash/", "/slash", "/strip", "/strip/x", "/strip/a%2Fb", "/a(b/x", "/a%28b", "/x", "/x//%20y"];
    let lines = identities() + "X-Own: evil\r\n";
    let own = ["X-Own", "X-Remote-User", "x-forwarded-client-cert"].map(str::to_owned);
    for binary in binaries() {
        for (nets, kept) in [
            (vec![], vec![]),
            (vec!["192.0.2.0/24"], vec!["x-own"]),
            (vec!["127.0.0.0/8"], vec!["x-own"]),
            (vec!["192.0.2.0/24"], vec![]),
            (vec!["127.0.0.0/8"], vec!["x-own", "x-remote-user", "x-forwarded-client-cert"]),
        ] {
            // Without the setting, a header that is not known goes through.
            let named = !nets.is_empty() && kept.as_slice() != ["x-own"];
            let nginx = Nginx::start(&binary, &routes, |settings| {
                trust(&nets)(settings);
                if named {
                    settings.trusted_headers = own.to_vec();
                }
            });
            let expected = if nets.is_empty() { vec!["x-own"] } else { kept };
            for target in targets {
                for upgrade in ["", "Upgrade: websocket\r\n"] {
                    let connection = if upgrade.is_empty() { "close" } else { "upgrade" };
                    let mut client = nginx.connect();
                    write!(
                        client,
                        "GET {target} HTTP/1.1\r\nHost: x\r\n{lines}{upgrade}Connection: {connection}\r\n\r\n"
                    )
                    .unwrap();
                    let request = requests.recv_timeout(DEADLINE).expect(target);
                    let head = request.head.to_ascii_lowercase();
                    let mut told: Vec<_> = head.lines().filter_map(|line| Some(line.split_once(": evil")?.0)).collect();
                    told.sort_unstable();
                    told.dedup();
                    let mut expected = expected.clone();
                    expected.sort_unstable();
                    assert_eq!(told, expected, "{target} {upgrade} {nets:?} with {}:\n{head}", binary.version);
                    assert_eq!(request.header("x-real-ip"), Some("127.0.0.1"), "{head}");
                }
            }
            let log = fs::read_to_string(&nginx.settings.error_log).unwrap();
            assert!(!log.contains("[warn]"), "{log}");
        }
    }
}

#[test]
fn http2_backends_get_the_same_forwarded_headers() {
    let newest = newest();
    let variables: String =
        CLIENT_HEADERS.iter().map(|name| format!("$http_{}", name.to_ascii_lowercase().replace('-', "_"))).collect();
    let NginxBackend { address, .. } = &NginxBackend::start(&newest, |address| {
        format!(
            "access_log off; large_client_header_buffers 8 32k; server {{ listen {address}; http2 on;\n\
             return 200 \"GET / HTTP/1.1\\nAll: {variables}.\\nPort: $http_x_forwarded_port\\nFor: $http_x_forwarded_for\\n\"; \
             }}"
        )
    });
    let routes = routes([(
        "*",
        vec![
            speaking(forward(prefix("/strip"), *address, true), Protocol::Http2),
            speaking(forward(prefix("/"), *address, false), Protocol::Http2),
        ],
    )]);
    for binary in binaries() {
        for nets in [&[][..], &["127.0.0.0/8"]] {
            let nginx = Nginx::start(&binary, &routes, trust(nets));
            for target in ["/x", "/strip/x"] {
                let answer = nginx.get("x.example:81", target, &identities());
                let seen = ["All", "Port", "For"].map(|name| answer.seen(name));
                assert_eq!(seen, [Some("."), Some("81"), Some("127.0.0.1")], "{target} with {}", binary.version);
            }
            // Nor is there more room needed for them than nginx has.
            let log = fs::read_to_string(&nginx.settings.error_log).unwrap();
            assert!(!log.contains("[warn]"), "{log}");
        }
    }
}

/// What a backend is told of the client: a proxy's word, and what is made of it.
type Told<'a> = (&'a str, &'a str, &'a str);

#[test]
fn first_value_of_a_trusted_proxy_counts_if_well_formed() {
    let cases: &[Told<'_>] = &[
        ("X-Forwarded-Proto: https\r\n", "X-Forwarded-Proto", "https"),
        ("X-Forwarded-Proto: HTTPS\r\n", "X-Forwarded-Proto", "https"),
        ("X-Forwarded-Proto: https,http\r\n", "X-Forwarded-Proto", "https"),
        ("X-Forwarded-Proto: http , https\r\n", "X-Forwarded-Proto", "http"),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", "X-Forwarded-Proto", "https"),
        ("X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n", "X-Forwarded-Proto", "http"),
        ("X-Forwarded-Proto: foo\r\n", "X-Forwarded-Proto", "http"),
        ("X-Forwarded-Proto: foo, https\r\n", "X-Forwarded-Proto", "http"),
        ("X-Forwarded-Proto: httpsx\r\n", "X-Forwarded-Proto", "http"),
        ("X-Forwarded-Proto: , https\r\n", "X-Forwarded-Proto", "http"),
        ("X-Forwarded-Port: 444\r\n", "X-Forwarded-Port", "444"),
        ("X-Forwarded-Port: 444, 80\r\n", "X-Forwarded-Port", "444"),
        ("X-Forwarded-Port: 444\r\nX-Forwarded-Port: 80\r\n", "X-Forwarded-Port", "444"),
        ("X-Forwarded-Port: 65535\r\n", "X-Forwarded-Port", "65535"),
        ("X-Forwarded-Port: 65536\r\n", "X-Forwarded-Port", "81"),
        ("X-Forwarded-Port: 99999\r\n", "X-Forwarded-Port", "81"),
        ("X-Forwarded-Port: 0\r\n", "X-Forwarded-Port", "81"),
        ("X-Forwarded-Port: 4x4\r\n", "X-Forwarded-Port", "81"),
        ("X-Forwarded-Host: outer.example:444, in\r\n", "X-Forwarded-Host", "outer.example:444"),
        ("X-Forwarded-Host: outer.example\r\nX-Forwarded-Host: b\r\n", "X-Forwarded-Host", "outer.example"),
        ("X-Forwarded-Host: [2001:db8::1]:444\r\n", "X-Forwarded-Host", "[2001:db8::1]:444"),
        ("X-Forwarded-Host: a/b\r\n", "X-Forwarded-Host", "in.example:81"),
        ("X-Forwarded-Host: a@b\r\n", "X-Forwarded-Host", "in.example:81"),
        ("X-Forwarded-Host: \"><script>\r\n", "X-Forwarded-Host", "in.example:81"),
        // The port is that of the host that the client used, and of the scheme.
        ("X-Forwarded-Host: outer.example:444\r\n", "X-Forwarded-Port", "444"),
        ("X-Forwarded-Host: outer.example\r\n", "X-Forwarded-Port", "80"),
        ("X-Forwarded-Host: outer.example\r\nX-Forwarded-Proto: https\r\n", "X-Forwarded-Port", "443"),
        ("X-Forwarded-For: 192.0.2.7\r\n", "X-Forwarded-For", "192.0.2.7, 127.0.0.1"),
        (
            "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 192.0.2.8\r\n",
            "X-Forwarded-For",
            "192.0.2.7, 192.0.2.8, 127.0.0.1",
        ),
        (
            "X-Forwarded-For: 2001:db8::1, [2001:db8::2]:4711, 192.0.2.7:80, unknown, 192.0.2.9\r\n",
            "X-Forwarded-For",
            "2001:db8::1, [2001:db8::2]:4711, 192.0.2.7:80, unknown, 192.0.2.9, 127.0.0.1",
        ),
        ("X-Forwarded-For: <script>, 192.0.2.7\r\n", "X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-For: 192.0.2.7,\r\n", "X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-For: a\r\n", "X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Prefix: /outer, /b\r\n", "X-Forwarded-Prefix", "/outer/a"),
        ("X-Forwarded-Prefix: /outer/\r\nX-Forwarded-Prefix: /b\r\n", "X-Forwarded-Prefix", "/outer/a"),
        ("X-Forwarded-Prefix: //evil.example\r\n", "X-Forwarded-Prefix", "/a"),
        ("X-Forwarded-Prefix: javascript:x\r\n", "X-Forwarded-Prefix", "/a"),
        ("Forwarded: for=192.0.2.9;proto=https, for=x\r\n", "Forwarded", "for=192.0.2.9;proto=https"),
        ("Forwarded: for=\"[::1]:80, x\"\r\nForwarded: for=b\r\n", "Forwarded", "for=\"[::1]:80, x\""),
        ("Forwarded: what\r\n", "Forwarded", "-"),
        ("X-Real-IP: 192.0.2.9\r\n", "X-Real-IP", "127.0.0.1"),
    ];
    let routes = routes([("*", vec![forward(prefix("/a"), backend("a"), true)])]);
    for binary in binaries() {
        let believed = Nginx::start(&binary, &routes, trust(&["127.0.0.0/8"]));
        let strangers = Nginx::start(&binary, &routes, trust(&["192.0.2.0/24"]));
        let nobody = Nginx::start(&binary, &routes, |_| {});
        let of_none = believed.get("in.example:81", "/a/b", "");
        for (lines, name, expected) in cases {
            let answer = believed.get("in.example:81", "/a/b", lines);
            assert_eq!(answer.seen(name).unwrap_or("-"), *expected, "{lines} with {}", binary.version);
            for nginx in [&strangers, &nobody] {
                let answer = nginx.get("in.example:81", "/a/b", lines);
                assert_eq!(answer.seen(name), of_none.seen(name), "{lines} with {}", binary.version);
            }
        }
    }
}

#[test]
fn forwarded_port_is_the_one_the_client_used() {
    let mut routes = routes([("a.example", vec![forward(prefix("/"), backend("a"), false)])]);
    certify(&mut routes, &entry_model::HostName::Exact("a.example".to_owned()), "1a", &["a.example"]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (host, port) in [("a.example", "80"), ("a.example:80", "80"), ("A.example:30080", "30080")] {
            assert_eq!(nginx.get(host, "/", "").seen("X-Forwarded-Port"), Some(port), "{host}");
        }
        for (host, port) in [("a.example", "443"), ("a.example:443", "443"), ("a.example:30443", "30443")] {
            for version in ["--http1.1", "--http2"] {
                let (_, text) = nginx.curl("a.example", "/", &[version, "-H", &format!("Host: {host}")]);
                assert_eq!(header_of(&text, "X-Forwarded-Port"), Some(port), "{host} {version}: {text}");
            }
        }
        for (trusted, expected) in [("127.0.0.0/8", ["4443", "4443", "81"]), ("192.0.2.0/24", ["81", "80", "81"])] {
            let nginx = Nginx::start(&binary, &routes, |settings| {
                settings.proxy_protocol = true;
                trust(&[trusted])(settings);
            });
            for ((proxy, host), port) in [
                ("PROXY TCP4 203.0.113.9 127.0.0.1 4711 4443", "a.example:81"),
                ("PROXY TCP4 203.0.113.9 127.0.0.1 4711 4443", "a.example"),
                ("PROXY UNKNOWN", "a.example:81"),
            ]
            .into_iter()
            .zip(expected)
            {
                let request = format!("{proxy}\r\nGET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
                assert_eq!(nginx.send(request).seen("X-Forwarded-Port"), Some(port), "{proxy} {host} {trusted}");
            }
        }
    }
}

/// Version 2 of the PROXY protocol, `LOCAL`: a connection of the proxy's own.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

#[test]
fn proxy_protocol_without_a_client_trusts_nobody() {
    const SAID: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\
                        X-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 444\r\nForwarded: for=192.0.2.7\r\n\
                        X-Forwarded-Prefix: /evil\r\nX-Own: evil\r\nConnection: close\r\n\r\n";
    let routes = routes([("*", vec![forward(prefix("/"), backend("a"), false)])]);
    for binary in binaries() {
        for nets in [&["127.0.0.0/8"][..], &["0.0.0.0/0", "::/0"]] {
            let nginx = Nginx::start(&binary, &routes, |settings| {
                settings.proxy_protocol = true;
                settings.trusted_headers = vec!["X-Own".to_owned()];
                trust(nets)(settings);
            });
            for proxy in [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN 192.0.2.7 192.0.2.8 1 2\r\n", LOCAL] {
                let answer = nginx.send([proxy, SAID.as_bytes()].concat());
                let names = [
                    "X-Forwarded-For",
                    "X-Forwarded-Proto",
                    "X-Forwarded-Host",
                    "X-Forwarded-Port",
                    "X-Forwarded-Prefix",
                    "Forwarded",
                    "X-Own",
                    "X-Real-IP",
                ];
                let seen = names.map(|name| answer.seen(name).unwrap_or("-"));
                let expected = ["127.0.0.1", "http", "a.example", "80", "-", "-", "-", "127.0.0.1"];
                assert_eq!(seen, expected, "{proxy:?} {nets:?} with {}", binary.version);
            }
            let log = fs::read_to_string(&nginx.settings.error_log).unwrap();
            assert!(!log.contains("[warn]"), "{log}");
            // A trusted proxy behind one that speaks the protocol is believed, and is the last hop.
            let request = [b"PROXY TCP4 127.0.0.9 127.0.0.1 4711 80\r\n", SAID.as_bytes()].concat();
            let answer = nginx.send(request);
            assert_eq!(answer.seen("X-Forwarded-For"), Some("192.0.2.7, 127.0.0.9"));
            assert_eq!((answer.seen("X-Forwarded-Host"), answer.seen("X-Own")), (Some("evil.example"), Some("evil")));
        }
    }
}

#[test]
fn invalid_host_header_is_answered_400() {
    let routes: Routes = routes([
        ("a.example", vec![forward(prefix("/"), backend("a"), false)]),
        ("evil.example", vec![forward(prefix("/"), backend("evil"), false)]),
        ("*", vec![forward(prefix("/"), backend("any"), false)]),
    ]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for host in [
            "evil.example:80@a.example",
            "evil.example:@a.example",
            "evil.example:x",
            "a@evil.example",
            "evil.example:80:80",
            "evil.example?",
            "evil.example\\",
            "evil.example/",
            "[::1]:80x",
            "[::1",
            "a'\"<b",
            "a b",
        ] {
            let answer = nginx.get(host, "/", "");
            assert_eq!(answer.status, 400, "{host} with {}: {}", binary.version, answer.text());
        }
        for host in ["a.example", "a.example:", "a.example:80", "A.EXAMPLE.:81"] {
            assert_eq!(nginx.get(host, "/", "").header("Backend"), "a", "{host} with {}", binary.version);
        }
        for host in ["[::1]", "[::1]:80", "127.0.0.1:8080", "a_b.example"] {
            assert_eq!(nginx.get(host, "/", "").header("Backend"), "any", "{host} with {}", binary.version);
        }
        assert_eq!(nginx.send("GET / HTTP/1.0\r\n\r\n").header("Backend"), "any");
    }
}

#[test]
fn request_head_may_be_as_large_as_configured() {
    let routes = routes([("*", vec![forward(prefix("/"), backend("a"), false)])]);
    let line = |length: usize| format!("X-Long: {}\r\n", "x".repeat(length));
    for binary in binaries() {
        for (bytes, most) in [(8192, 8000), (32_768, 32_000)] {
            let nginx = Nginx::start(&binary, &routes, |settings| settings.max_header_bytes = bytes);
            assert_eq!(nginx.get("x", "/", &line(most)).status, 200);
            assert_eq!(nginx.get("x", "/", &line(most + 1000)).status, 400);
            assert_eq!(nginx.get("x", &format!("/{}", "x".repeat(most)), "").status, 200);
            assert_eq!(nginx.get("x", &format!("/{}", "x".repeat(most + 1000)), "").status, 414);
        }
    }
}

#[test]
fn backend_connections_are_shared_unless_keep_alive_is_off() {
    // It takes whoever asks on a connection for the one who logged in on it.
    let serve = |mut connection: http::Connection| {
        let mut user = "nobody".to_owned();
        while let Some(request) = connection.request()? {
            if let Some(name) = request.header("Authorization") {
                name.clone_into(&mut user);
            }
            write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{user}", user.len())?;
        }
        Ok(())
    };
    let address = http::serve(serve).unwrap();
    let once = |path: &str, strip_prefix| {
        backed(forward(prefix(path), address, strip_prefix), |backend| backend.keep_alive = false)
    };
    let routes =
        routes([("*", vec![once("/once", false), once("/strip", true), forward(prefix("/kept"), address, false)])]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (target, second) in
            [("/once", "nobody"), ("/strip/x", "nobody"), ("/strip/%20", "nobody"), ("/kept", "alice")]
        {
            assert_eq!(nginx.get("x", target, "Authorization: alice\r\n").text(), "alice");
            assert_eq!(nginx.get("x", target, "").text(), second, "{target} with {}", binary.version);
        }
    }
}

#[test]
fn tls_backend_is_asked_for_the_host_of_the_request() {
    let newest = newest();
    let NginxBackend { address, .. } = &NginxBackend::start(&newest, |address| {
        format!(
            "access_log off; keepalive_timeout 0; ssl_certificate cert.pem; ssl_certificate_key cert.pem; http2 on;\n\
             server {{ listen {address} ssl default_server; ssl_reject_handshake on; }}\n\
             server {{ listen {address} ssl; server_name a.example b.example;\n\
             return 200 \"GET / HTTP/1.1\\nName: $ssl_server_name\\n\"; }}"
        )
    });
    let routes = routes([(
        "*",
        vec![
            speaking(forward(prefix("/h2"), *address, true), Protocol::Http2Tls),
            speaking(forward(prefix("/strip"), *address, true), Protocol::Https),
            speaking(forward(prefix("/"), *address, false), Protocol::Https),
        ],
    )]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for target in ["/x", "/strip/x", "/strip/%20", "/h2/x"] {
            for (host, name) in [("a.example", "a.example"), ("B.example:8443", "b.example")] {
                let answer = nginx.get(host, target, "");
                assert_eq!(answer.seen("Name"), Some(name), "{host} {target} with {}: {answer:?}", binary.version);
            }
            assert_eq!(nginx.get("c.example", target, "").status, 502);
        }
    }
}
