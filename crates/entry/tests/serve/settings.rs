//! What settings for all do to requests.

use std::io::Write as _;
use std::net::SocketAddr;

use entry_model::{Action, HostName, Routes};
use nginx_conf::{
    Brotli, Gzip, HeaderName, Hsts, LogEscape, LogField, LogFormat, Settings, TextPattern, TlsVersions, ValueTemplate,
};
use testbed::http;

use super::hosts::certify;
use super::support::{Echo, Nginx, backend, binaries, forward, lines_of, prefix, routes, rule};

/// A host that forwards, one of whose paths has no backend.
fn host(address: SocketAddr) -> Routes {
    let unavailable = rule(prefix("/gone"), Action::UNAVAILABLE, "some");
    routes([("one.example", vec![unavailable, forward(prefix("/"), address, false)])])
}

fn header(name: &str, value: &str) -> (HeaderName, ValueTemplate) {
    (HeaderName::parse(name).unwrap(), ValueTemplate::parse(value).unwrap())
}

#[test]
fn headers_of_all_answers_are_in_those_of_the_entry_too() {
    let mut routes = host(backend("a"));
    certify(&mut routes, &HostName::Exact("one.example".to_owned()), "01", &["one.example"]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |settings| {
            settings.headers.hsts = Some(Hsts { max_age_seconds: 60, include_subdomains: true, preload: false });
            settings.headers.answers = vec![header("X-Own", "by $request_method"), header("Backend", "hidden")];
            settings.headers.hidden = vec![HeaderName::parse("Content-Length-Of-Backend").unwrap()];
        });
        for (path, status) in [("/", 200), ("/gone", 503), ("/..%2f", 400)] {
            let answer = nginx.get("one.example", path, "").expect(status);
            if status != 400 {
                assert_eq!((answer.header("X-Own"), answer.header("Backend")), ("by GET", "hidden"), "{path}");
            }
            // Over plain HTTP it would mean nothing (RFC 6797, 7.2).
            assert_eq!(answer.header("Strict-Transport-Security"), "", "{path}");
            let (_, text) = nginx.curl("one.example", path, &["-i", "--http1.1"]);
            let told = "Strict-Transport-Security: max-age=60; includeSubDomains\r\n";
            assert!(status == 400 || text.contains(told), "{path}: {text}");
        }
        assert_eq!(nginx.get("other.example", "/", "").expect(404).header("X-Own"), "by GET");
    }
}

#[test]
fn headers_of_all_requests_replace_those_of_clients() {
    let routes = host(backend("a"));
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |settings| {
            settings.headers.requests = vec![
                header("X-Original-URI", "$request_uri"),
                header("X-Start", "s=${scheme}"),
                header("Host", "evil"),
            ];
        });
        let answer = nginx.get("one.example", "/a?b", "X-Original-URI: /forged\r\nX-Start: 1\r\nX-Host: x\r\n");
        assert_eq!((answer.seen("X-Original-URI"), answer.seen("X-Start")), (Some("/a?b"), Some("s=http")));
        assert_eq!((answer.seen("Host"), answer.seen("X-Host")), (Some("one.example"), None));
    }
}

#[test]
fn blocked_clients_get_403_and_the_entry_itself_goes_on() {
    let routes = host(backend("a"));
    let patterns = |texts: &[&str]| texts.iter().map(|text| TextPattern::parse(text).unwrap()).collect();
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |settings| {
            settings.filter.user_agents = patterns(&["curl/8", "~*bot.*crawl", "~^exact$", "default"]);
            settings.filter.referers = patterns(&["~*(spam|scam)"]);
        });
        for (headers, status) in [
            ("", 200),
            ("User-Agent: curl/8\r\n", 403),
            ("User-Agent: CURL/8\r\n", 403),
            ("User-Agent: curl/8.1\r\n", 200),
            ("User-Agent: a BOT that Crawls\r\n", 403),
            ("User-Agent: crawling bot\r\n", 200),
            ("User-Agent: exact\r\n", 403),
            ("User-Agent: Exact\r\n", 200),
            ("User-Agent: default\r\n", 403),
            ("Referer: http://a.scam.example/\r\n", 403),
        ] {
            for host in ["one.example", "other.example"] {
                let expected = if status == 200 && host != "one.example" { 404 } else { status };
                assert_eq!(nginx.get(host, "/", headers).status, expected, "{headers}");
            }
        }
        let filters: [fn(&mut Settings); 3] = [
            |settings| settings.filter.blocked = vec!["127.0.0.0/8".parse().unwrap()],
            |settings| settings.filter.denied = vec!["127.0.0.1/32".parse().unwrap()],
            |settings| settings.filter.allowed = vec!["192.0.2.0/24".parse().unwrap()],
        ];
        for change in filters {
            let nginx = Nginx::start(&binary, &routes, change);
            assert_eq!(nginx.get("one.example", "/", "").status, 403, "{}", nginx.config());
            let counters = if binary.modules.stub_status { 200 } else { 404 };
            assert_eq!(nginx.control("/status").unwrap().status, counters);
        }
        let nginx = Nginx::start(&binary, &routes, |settings| {
            settings.filter.allowed = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
            settings.filter.blocked = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
            settings.trusted = vec!["127.0.0.0/8".parse().unwrap()];
        });
        assert_eq!(nginx.get("one.example", "/", "X-Forwarded-For: 10.1.1.1\r\n").status, 403);
    }
}

#[test]
fn answers_are_compressed_for_who_can_read_it() {
    let routes = host(backend("a"));
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |settings| {
            settings.gzip = Some(Gzip { min_bytes: 10, types: vec!["text/html".to_owned()], ..Gzip::default() });
        });
        let compressed = nginx.get("other.example", "/", "Accept-Encoding: gzip\r\n").expect(404);
        assert_eq!((compressed.header("Content-Encoding"), compressed.header("Vary")), ("gzip", "Accept-Encoding"));
        assert_eq!(nginx.get("other.example", "/", "").header("Content-Encoding"), "");
    }
}

#[test]
fn answers_are_compressed_with_brotli_where_nginx_has_it() {
    let routes = host(backend("a"));
    let oldest = binaries().into_iter().filter(|binary| binary.path == testbed::nginx::debian());
    for binary in oldest {
        for with_gzip in [false, true] {
            let nginx = Nginx::start(&binary, &routes, |settings| {
                settings.brotli_module = Some(testbed::nginx::debian_brotli_module());
                settings.brotli =
                    Some(Brotli { min_bytes: 10, types: vec!["text/plain".to_owned()], ..Brotli::default() });
                settings.gzip = with_gzip.then(|| Gzip { min_bytes: 10, ..Gzip::default() });
            });
            let asked = |accepted: &str| {
                let answer = nginx.get("other.example", "/", &format!("Accept-Encoding: {accepted}\r\n")).expect(404);
                (answer.header("Content-Encoding").to_owned(), answer.header("Vary").to_owned())
            };
            let coded = |coding: &str| (coding.to_owned(), "Accept-Encoding".to_owned());
            assert_eq!(asked("gzip, br"), coded("br"));
            assert_eq!(asked("gzip"), if with_gzip { coded("gzip") } else { coded("") });
        }
    }
}

#[test]
fn large_heads_of_answers_fit_into_larger_buffers() {
    let head = "x".repeat(20_000);
    let large = http::serve(move |mut connection| {
        while connection.request()?.is_some() {
            write!(connection, "HTTP/1.1 200 OK\r\nLarge: {head}\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    let routes = host(large.unwrap());
    for binary in binaries() {
        for (bytes, buffers, status) in
            [(None, None, 502), (Some(32 << 10), None, 200), (Some(32 << 10), Some(2), 200), (None, Some(2), 502)]
        {
            let nginx = Nginx::start(&binary, &routes, |settings| {
                settings.buffering.answer_buffer_bytes = bytes;
                settings.buffering.answer_buffers = buffers;
                settings.buffering.busy_bytes = Some(1 << 20);
                settings.buffering.answers = true;
            });
            assert_eq!(nginx.get("one.example", "/", "").status, status, "{bytes:?} {buffers:?}");
        }
    }
}

#[test]
fn log_has_the_format_that_is_set() {
    let routes = host(backend("a"));
    let text =
        |text: &str, escape| LogFormat::Text { template: ValueTemplate::parse_log_format(text).unwrap().0, escape };
    let format = "$namespace/$ingress_name \"$request\" [$service_name] $http_user_agent";
    for binary in binaries() {
        for (format, expected) in [
            (
                LogFormat::Fields(vec![LogField::Status, LogField::Uri, LogField::UserAgent]),
                "{\"status\":200,\"uri\":\"/a\\\"?b\",\"userAgent\":\"a\u{fffd}\"}",
            ),
            (text(format, LogEscape::Hexadecimal), r#"default/some "GET /a\x22?b HTTP/1.1" [-] a\xFF"#),
            (
                text("{\"uri\":\"$request_uri\",\"agent\":\"$http_user_agent\"}", LogEscape::Json),
                "{\"uri\":\"/a\\\"?b\",\"agent\":\"a\u{fffd}\"}",
            ),
        ] {
            let nginx = Nginx::start(&binary, &routes, |settings| settings.log_format = format.clone());
            nginx.send(b"GET /a\"?b HTTP/1.1\r\nHost: one.example\r\nUser-Agent: a\xff\r\nConnection: close\r\n\r\n");
            let lines = lines_of(nginx.settings.access_log.as_ref().unwrap(), 1);
            assert_eq!(lines, [expected]);
        }
    }
}

#[test]
fn connections_follow_the_settings() {
    let mut routes = host(backend("a"));
    certify(&mut routes, &HostName::Exact("one.example".to_owned()), "01", &["one.example"]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |settings| {
            settings.client.requests = 1;
            settings.max_header_bytes = 32 << 10;
            settings.max_header_lines = 1;
            settings.http2 = false;
            settings.tls.versions = TlsVersions::Only13;
            settings.tls.session_bytes = 1 << 20;
            settings.tls.session_tickets = Some(false);
            settings.client.http2_streams = Some(10);
            settings.client.head_timeout = Some(std::time::Duration::from_millis(200));
            settings.kept_connections.most = Some(1);
            settings.kept_connections.age = Some(std::time::Duration::from_secs(60));
        });
        let first = nginx.connect().exchange("GET / HTTP/1.1\r\nHost: one.example\r\n\r\n").unwrap();
        assert!(first.status == 200 && !first.keeps_connection(), "{first:?}");
        let long = format!("Long: {}\r\n", "x".repeat(20_000));
        assert_eq!(nginx.get("one.example", "/", &long).status, 200);
        assert_eq!(nginx.get("one.example", "/", &format!("{long}{long}")).status, 400);
        let (_, text) = nginx.curl("one.example", "/", &["-i", "--http2"]);
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let (ok, text) = nginx.curl("one.example", "/", &["--tls-max", "1.2"]);
        assert!(!ok && text.contains("alert"), "{text}");
        // A head that does not come to its end is not waited for.
        assert!(http::exchange(nginx.http, "GET / HTTP/1.1\r\nHost:").map_or(true, |answer| answer.status == 408));
        // A whole answer, and the connection is closed.
        let nginx = Nginx::start(&binary, &routes, |settings| settings.keepalive_timeout = std::time::Duration::ZERO);
        let answer = nginx.connect().exchange("GET / HTTP/1.1\r\nHost: one.example\r\n\r\n").unwrap();
        assert!(!answer.keeps_connection(), "{answer:?}");
    }
}

#[test]
fn client_is_named_by_the_header_that_is_set() {
    let routes = host(backend("a"));
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |settings| {
            settings.trusted = vec!["127.0.0.0/8".parse().unwrap()];
            settings.forwarded_for_header = HeaderName::parse("CF-Connecting-IP").unwrap();
            settings.keeps_forwarded_for = false;
        });
        let answer =
            nginx.get("one.example", "/", "CF-Connecting-IP: 192.0.2.7\r\nX-Forwarded-For: 10.1.1.1, 10.2.2.2\r\n");
        assert_eq!((answer.seen("X-Real-IP"), answer.seen("X-Forwarded-For")), (Some("192.0.2.7"), Some("192.0.2.7")));
    }
}

#[test]
fn connections_begin_with_the_proxy_protocol_though_nobody_is_believed() {
    let routes = host(backend("a"));
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |settings| settings.proxy_protocol = true);
        let request = "PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\nGET / HTTP/1.1\r\nHost: one.example\r\nConnection: close\r\n\r\n";
        let answer = nginx.send(request).expect(200);
        assert_eq!((answer.seen("X-Real-IP"), answer.seen("X-Forwarded-For")), (Some("127.0.0.1"), Some("127.0.0.1")));
    }
}
