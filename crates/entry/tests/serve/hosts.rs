//! Hosts, certificates, redirects, and what is answered where there is nothing.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use entry_model::{
    Action, Certificate, CertificateId, HostName, Policy, Request, Routes, RoutingDecision, Rule, Scheme, Timeouts,
};

use super::support::{
    Echo as _, Nginx, backend, binaries, exact, forward, free, object, policies, prefix, routes, rule,
};

/// Gives a host a certificate of its own, for these names.
pub fn certify(routes: &mut Routes, host: &HostName, id: &str, names: &[&str]) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let id = CertificateId(id.repeat(32).into());
    let certificate = Certificate {
        origin: object("certificate"),
        chain: made.cert.pem().into_bytes(),
        key: made.signing_key.serialize_pem().into_bytes(),
    };
    routes.certificates.insert(id.clone(), certificate.into());
    Arc::make_mut(routes.hosts.get_mut(host).unwrap()).certificate = Some(id);
}

fn unavailable(path: &str) -> Rule {
    rule(prefix(path), Action::UNAVAILABLE, "gone")
}

fn redirected(mut rule: Rule) -> Rule {
    rule.policy = policies().intern(&Policy { redirect_to_https: true, ..Policy::default() });
    rule
}

/// What the definition of matching says: the backend, or the status.
fn expected(
    routes: &Routes,
    backends: &[(&'static str, SocketAddr)],
    request: &Request<'_>,
) -> Result<&'static str, u16> {
    match routes.find(request) {
        RoutingDecision::RedirectToHttps(_) => Err(308),
        RoutingDecision::NotFound => Err(404),
        RoutingDecision::NoCertificate => Err(0),
        RoutingDecision::Rule(rule) => match &rule.action {
            Action::Respond(status) => Err(*status),
            Action::Redirect(redirect) => Err(redirect.status),
            Action::Answer(answer) => Err(answer.status()),
            Action::Forward(forward) => {
                let backend = forward.only_backend().unwrap();
                Ok(backends.iter().find(|(_, address)| Some(*address) == backend.address.cluster_ip()).unwrap().0)
            }
        },
    }
}

#[test]
fn nginx_answers_as_routes_find_decides() {
    let backends = ["a", "b", "c", "d", "e", "f"].map(|name| (name, backend(name)));
    let to = |name: &str| backends.iter().find(|(found, _)| *found == name).unwrap().1;
    let mut with_any = routes([
        (
            "shop.example",
            vec![
                forward(exact("/cart"), to("a"), false),
                redirected(forward(prefix("/cart/items"), to("b"), false)),
                forward(prefix("/cart"), to("c"), false),
                unavailable("/gone"),
            ],
        ),
        ("*.example", vec![forward(prefix("/"), to("d"), false)]),
        ("plain.example", vec![forward(prefix("/"), to("a"), false)]),
        ("*.deep.example", vec![forward(prefix("/x"), to("e"), false)]),
        ("xn--4gbwdl.xn--wgbh1c", vec![forward(prefix("/"), to("b"), false)]),
        ("*", vec![redirected(forward(prefix("/"), to("f"), false))]),
    ]);
    certify(&mut with_any, &HostName::Exact("shop.example".to_owned()), "1a", &["shop.example"]);
    certify(&mut with_any, &HostName::OneLabel("example".to_owned()), "2b", &["*.example"]);
    let mut with_default = with_any.clone();
    with_default.hosts.remove(&HostName::Any);
    with_default.default = Some(forward(prefix("/"), to("e"), false));
    let mut without = with_default.clone();
    without.default = None;
    // Every host has TLS here, but for one.
    let mut all_over_tls = with_any.clone();
    certify(&mut all_over_tls, &HostName::Any, "3c", &["any"]);
    let hosts = [
        "shop.example",
        "SHOP.Example",
        "shop.example.",
        "other.example",
        "plain.example",
        "a.b.example",
        "a.deep.example",
        "deep.example",
        "example",
        "xn--4gbwdl.xn--wgbh1c",
        "unknown",
        "shop.example.org",
        "ashop.example",
    ];
    let paths =
        ["/", "/cart", "/cart/", "/cart/items", "/cart/items/1", "/cart/items/deeper/2", "/carts", "/gone/x", "/x/y"];
    for binary in binaries() {
        for routes in [&with_any, &with_default, &without, &all_over_tls] {
            let nginx = Nginx::start(&binary, routes, |_| {});
            for host in hosts {
                for path in paths {
                    let expected = expected(
                        routes,
                        &backends,
                        &Request { scheme: Scheme::Http, host, path, ..Request::default() },
                    );
                    let answer = nginx.get(host, path, "");
                    let found = if answer.status == 200 { Ok(answer.header("Backend")) } else { Err(answer.status) };
                    assert_eq!(found, expected, "http {host} {path} with {}\n{}", binary.version, nginx.config());
                }
                for path in ["/", "/cart/items"] {
                    let expected = expected(
                        routes,
                        &backends,
                        &Request { scheme: Scheme::Https, host, path, ..Request::default() },
                    );
                    let (ok, text) = nginx.curl(host, path, &["-i", "--http1.1"]);
                    let found = match text.split(' ').nth(1).and_then(|status| status.parse().ok()) {
                        Some(200) => Ok(text.split_once("Backend: ").unwrap().1.lines().next().unwrap()),
                        Some(status) if ok => Err(status),
                        _ => Err(0),
                    };
                    assert_eq!(
                        found,
                        expected,
                        "https {host} {path} with {}: {text}\n{}",
                        binary.version,
                        nginx.config()
                    );
                }
            }
        }
    }
}

#[test]
fn each_host_has_its_certificate_and_unknown_hosts_have_none() {
    let mut routes = routes([
        ("one.example", vec![forward(prefix("/"), backend("one"), false)]),
        ("two.example", vec![forward(prefix("/"), backend("two"), false)]),
    ]);
    certify(&mut routes, &HostName::Exact("one.example".to_owned()), "1a", &["one.example"]);
    certify(&mut routes, &HostName::Exact("two.example".to_owned()), "2b", &["two.example"]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (host, id) in [("one.example", "1a"), ("two.example", "2b")] {
            let file = nginx.dir.path().join("authority.pem");
            fs::write(&file, &routes.certificates[&CertificateId(id.repeat(32).into())].chain).unwrap();
            let (ok, text) =
                nginx.curl(host, "/", &["-i", "--http2", "--no-insecure", "--cacert", file.to_str().unwrap()]);
            assert!(ok && text.starts_with("HTTP/2 200"), "{text}");
            // TLS 1.1 is refused; not for want of a cipher in curl.
            let old = ["--tls-max", "1.1", "--tlsv1.1", "--ciphers", "DEFAULT@SECLEVEL=0"];
            let (ok, text) = nginx.curl(host, "/", &old);
            assert!(!ok && text.contains("alert"), "{text}");
            for version in [["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3", "--tls-max", "1.3"]] {
                let (ok, text) = nginx.curl(host, "/", &version);
                assert!(ok, "{text}");
            }
        }
        let (ok, text) = nginx.curl("three.example", "/", &[]);
        assert!(!ok && text.contains("unrecognized name"), "{text}");
        // A connection for one host does not lead to one without certificate.
        let (_, text) = nginx.curl("one.example", "/", &["-i", "--http1.1", "-H", "Host: three.example"]);
        assert!(text.starts_with("HTTP/1.1 421"), "{text}");
        let (_, text) = nginx.curl("one.example", "/", &["-i", "--http1.1", "-H", "Host: two.example"]);
        assert!(text.starts_with("HTTP/1.1 421"), "{text}");
    }
}

#[test]
fn http2_requests_of_one_connection_reach_their_backends() {
    let mut routes = routes([(
        "one.example",
        vec![forward(prefix("/a"), backend("a"), true), forward(prefix("/b"), backend("b"), true)],
    )]);
    certify(&mut routes, &HostName::Exact("one.example".to_owned()), "1a", &["one.example"]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let url = |path: &str| format!("https://one.example:{}{path}", nginx.https.port());
        let (b, a) = (url("/b/%2F2"), url("/a/3"));
        let (ok, text) = nginx.curl("one.example", "/a/1", &["--http2", "-w", "connects %{num_connects}\n", &b, &a]);
        assert!(ok, "{text}");
        let seen: Vec<_> = text.lines().filter(|line| line.starts_with("GET ")).collect();
        assert_eq!(seen, ["GET /%2F2 HTTP/1.1", "GET /3 HTTP/1.1", "GET /1 HTTP/1.1"]);
        let connects: Vec<_> = text.lines().filter(|line| line.starts_with("connects ")).collect();
        assert_eq!(connects, ["connects 1", "connects 0", "connects 0"], "{text}");
        assert!(text.contains("Host: one.example"), "{text}");
    }
}

#[test]
fn https_redirect_keeps_host_and_target_and_names_the_public_port() {
    let routes = routes([("*", vec![redirected(forward(prefix("/a"), backend("a"), true))])]);
    for binary in binaries() {
        for (port, place) in [(443, "one.example"), (8443, "one.example:8443")] {
            let nginx = Nginx::start(&binary, &routes, |settings| settings.public_https_port = port);
            let answer = nginx.get("one.example:8080", "/a/b%2Fc//d?e=f", "");
            assert_eq!(answer.status, 308);
            assert_eq!(answer.header("Location"), format!("https://{place}/a/b%2Fc//d?e=f"));
            assert_eq!(nginx.get("one.example", "/a/../x", "").status, 400);
            // It cannot be told where to.
            let answer = nginx.send("GET /a/b HTTP/1.0\r\n\r\n");
            assert_eq!((answer.status, answer.header("Location")), (400, ""), "{answer:?}");
            let answer = nginx.send("GET /a/b HTTP/1.0\r\nHost: one.example\r\n\r\n");
            assert_eq!(answer.header("Location"), format!("https://{place}/a/b"));
        }
        // A trusted proxy in front has ended TLS already.
        let nginx = Nginx::start(&binary, &routes, |settings| settings.trusted = vec!["127.0.0.0/8".parse().unwrap()]);
        assert_eq!(nginx.get("one.example", "/a/b", "X-Forwarded-Proto: https\r\n").target(), "/b");
        assert_eq!(nginx.get("one.example", "/a/b", "X-Forwarded-Proto: http\r\n").status, 308);
        assert_eq!(nginx.get("one.example", "/a/b", "X-Forwarded-Proto: ftp\r\n").status, 308);
    }
}

#[test]
fn acme_challenge_is_never_redirected() {
    let routes = routes([("*", vec![redirected(forward(prefix("/"), backend("a"), false))])]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (path, status) in [
            ("/.well-known/acme-challenge/token", 200),
            ("/.well-known/acme%2Dchallenge/token?x", 200),
            ("/.well-known/acme-challenge", 308),
            ("/.well-known/acme-challenges/x", 308),
            ("/x/.well-known/acme-challenge/x", 308),
            ("/?/.well-known/acme-challenge/x", 308),
        ] {
            assert_eq!(nginx.get("one.example", path, "").status, status, "{path}");
        }
        // Whichever is said first of these: they are not forwarded.
        for path in ["/.well-known/acme-challenge/../x", "/.well-known/acme-challenge/%2e%2e/x"] {
            assert!([308, 400].contains(&nginx.get("one.example", path, "").status), "{path}");
        }
        let nginx = Nginx::start(&binary, &routes, |settings| settings.trusted = vec!["127.0.0.0/8".parse().unwrap()]);
        let header = "X-Forwarded-Proto: http\r\n";
        assert_eq!(nginx.get("one.example", "/.well-known/acme-challenge/x", header).status, 200);
        assert_eq!(nginx.get("one.example", "/x", header).status, 308);
    }
}

#[test]
fn default_rule_does_not_serve_closed_hosts() {
    let own = || vec![forward(prefix("/own"), backend("own"), false)];
    let mut routes =
        routes([("a.example", own()), ("b.example", own()), ("*.c.example", own()), ("kept.example", vec![])]);
    routes.default = Some(forward(prefix("/"), backend("default"), false));
    for (name, host) in routes.hosts.iter_mut() {
        Arc::make_mut(host).closed = name.to_string() != "b.example";
    }
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for host in ["a.example", "b.example", "x.c.example", "kept.example", "unknown.example"] {
            for path in ["/own", "/", "/other"] {
                let request = entry_model::Request {
                    scheme: entry_model::Scheme::Http,
                    host,
                    path,
                    ..entry_model::Request::default()
                };
                let expected = match routes.find(&request) {
                    entry_model::RoutingDecision::Rule(_) => 200,
                    _ => 404,
                };
                assert_eq!(nginx.get(host, path, "").status, expected, "{host}{path}");
            }
        }
        assert_eq!(nginx.get("kept.example", "/", "").status, 404);
        assert_eq!(nginx.get("b.example", "/", "").header("Backend"), "default");
    }
}

#[test]
fn backend_gets_the_host_that_was_routed() {
    let routes = routes([
        ("a.example", vec![forward(prefix("/"), backend("a"), false)]),
        ("b.example", vec![forward(prefix("/s"), backend("b-s"), true), forward(prefix("/"), backend("b"), false)]),
        ("*", vec![forward(prefix("/"), backend("any"), false)]),
    ]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (target, header, backend, host) in [
            ("/x", "Host: a.example\r\n", "a", "a.example"),
            ("/x", "Host: A.example:8080\r\n", "a", "A.example:8080"),
            ("/http://b.example/x", "Host: a.example\r\n", "a", "a.example"),
            // RFC 9112, section 3.2.2: the host of the target, whatever the header says.
            ("http://b.example/x", "Host: a.example\r\n", "b", "b.example"),
            ("HTTP://b.example/x", "Host: a.example\r\n", "b", "b.example"),
            ("http://a.example/x?http://b.example", "Host: b.example\r\n", "a", "a.example"),
            ("http://b.example/s/x", "Host: a.example\r\n", "b-s", "b.example"),
            ("http://b.example/s/%2Fx", "Host: a.example\r\n", "b-s", "b.example"),
            ("/s/%2Fx", "Host: B.example\r\n", "b-s", "B.example"),
            ("http://other.example/x", "Host: a.example\r\n", "any", "other.example"),
        ] {
            let request = format!("GET {target} HTTP/1.1\r\n{header}Connection: close\r\n\r\n");
            let answer = nginx.send(request);
            assert_eq!(answer.header("Backend"), backend, "{target} {header}");
            assert_eq!(answer.seen("Host"), Some(host), "{target} {header}");
            assert_eq!(answer.seen("X-Forwarded-Host"), Some(host), "{target} {header}");
        }
    }
}

#[test]
fn own_errors_have_a_page_and_backend_errors_pass_through() {
    let (silent, up) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), backend("up"));
    let mut slow = forward(prefix("/slow"), silent.local_addr().unwrap(), false);
    let mut policies = policies();
    let timeouts = Timeouts { read: Some(std::time::Duration::from_millis(200)), ..Timeouts::default() };
    slow.policy = policies.intern(&Policy { timeouts, ..Policy::default() });
    let mut small = forward(prefix("/small"), up, false);
    small.policy = policies.intern(&Policy { max_body_bytes: Some(10), ..Policy::default() });
    let rules = vec![
        slow,
        small,
        forward(prefix("/down"), free(), false),
        forward(prefix("/up"), up, false),
        unavailable("/gone"),
    ];
    let routes = Routes { policies, ..routes([("*", rules)]) };
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (target, headers, status) in [
            ("/nothing", "", 404),
            ("/up/../x", "", 400),
            ("/down", "", 502),
            ("/gone", "", 503),
            ("/slow", "", 504),
            ("/small", "Content-Length: 11\r\n", 413),
        ] {
            let answer = nginx.get("one.example", target, headers);
            assert_eq!(answer.status, status, "{target}");
            let page = answer.text();
            assert!(
                page.starts_with(&format!("<!doctype html><meta charset=utf-8><title>{status} ")),
                "{target}: {page}"
            );
            assert!(!page.contains("nginx") && !page.contains('$'), "{page}");
            assert_eq!(answer.header("Content-Type"), "text/html", "{target}");
        }
        let answer = nginx.get("one.example", "/up/fails", "");
        assert_eq!((answer.status, answer.target()), (500, "/up/fails"));
        // A request that cannot be read at all.
        assert_eq!(nginx.send("GET x y z\r\n\r\n").status, 400);
    }
}
