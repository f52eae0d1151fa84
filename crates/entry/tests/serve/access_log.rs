//! The access log is JSON, whatever clients send.

use std::fs;

use testbed::http;

use super::support::{Nginx, backend, binaries, forward, lines_of, prefix, routes};

/// What is sent in the path, the query and the headers; what the log has of it as `uri`, and as `userAgent`.
const CASES: [(&[u8], &str); 16] = [
    (b"plain", "plain"),
    ("zwölf 麻雀 \u{1f426}".as_bytes(), "zwölf 麻雀 \u{1f426}"),
    (b"\"quoted\" \\ back", "\"quoted\" \\ back"),
    (b"\xff", "\u{fffd}"),
    (b"fianc\xe9", "fianc\u{fffd}"),
    (b"a\xe9b\xe8c", "a\u{fffd}b\u{fffd}c"),
    (b"\xc4\xe3\xba\xc3 x", "\u{fffd} x"),
    // Too long a form, a half of a pair, beyond the last character, and one that is cut.
    (b"a\xc0\xafb", "a\u{fffd}b"),
    (b"a\xed\xa0\x80b", "a\u{fffd}b"),
    (b"a\xf4\x90\x80\x80b", "a\u{fffd}b"),
    (b"a\xe2\x82", "a\u{fffd}"),
    (b"\x80\"\\\x80", "\u{fffd}\"\\\u{fffd}"),
    ("ü".as_bytes(), "ü"),
    (b"\xc3\xbc\xff\xc3\xbc", "\u{fffd}"),
    (b"1\xff2\xff3\xff4\xff5\xff6\xff7", "1\u{fffd}2\u{fffd}3\u{fffd}4\u{fffd}5\u{fffd}6\u{fffd}7"),
    (b"1\xff2\xff3\xff4\xff5\xff6\xff7\xff8", "1\u{fffd}2\u{fffd}3\u{fffd}4\u{fffd}5\u{fffd}6\u{fffd}7\u{fffd}"),
];

/// The lines, once there are so many.
fn lines(nginx: &Nginx, number: usize) -> Vec<serde_json::Value> {
    let lines = lines_of(nginx.settings.access_log.as_ref().unwrap(), number);
    lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn every_log_line_is_utf8_json_of_the_request() {
    let routes = routes([("*", vec![forward(prefix("/a"), backend("a"), true)])]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (value, _) in CASES {
            let target: Vec<u8> = value.iter().copied().filter(|byte| *byte != b' ').collect();
            let request = [
                b"GET /a/",
                &target[..],
                b"?q=",
                &target,
                b" HTTP/1.1\r\nHost: x.example\r\nUser-Agent: ",
                value,
                b"\r\nReferer: ",
                value,
                b"\r\nConnection: close\r\n\r\n",
            ];
            nginx.send(request.concat());
        }
        let lines = lines(&nginx, CASES.len());
        for ((value, expected), line) in CASES.iter().zip(&lines) {
            assert_eq!((&line["userAgent"], &line["referer"]), (&(*expected).into(), &(*expected).into()), "{value:?}");
            assert_eq!((&line["status"], &line["route"]), (&200.into(), &"Service default/some".into()), "{value:?}");
            let uri = line["uri"].as_str().unwrap();
            assert!(uri.starts_with("/a/"), "{uri}");
            if expected.len() == value.len() {
                let target = expected.replace(' ', "");
                assert_eq!(uri, format!("/a/{target}?q={target}"));
            }
        }
        assert_eq!(lines.len(), CASES.len());
    }
}

#[test]
fn log_line_of_a_malformed_request_is_json() {
    let routes = routes([("*", vec![forward(prefix("/"), backend("a"), false)])]);
    let requests: [&[u8]; 12] = [
        b"\xff\xfe /x\r\n\r\n",
        b"G\xffT / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\xffb\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n",
        b"GET http://h\xff/ HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /x\xff\r\n",
        b"GET /x HTTP/1.1\xff\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\xff: \xff\r\nUser-Agent: \xff\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: \x7f\xc2\x80\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\xff\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\nUser-Agent: \xff\r\nConnection: close\r\n\r\n",
    ];
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for request in requests {
            // Not all of these are answered.
            let _ = http::exchange(nginx.http, request);
        }
        let lines = lines(&nginx, requests.len());
        assert!(lines.iter().all(|line| line["status"].is_number() && line["id"].is_string()), "{lines:?}");
    }
}

#[test]
fn http2_and_proxy_protocol_keep_the_log_format() {
    let mut routes = routes([("a.example", vec![forward(prefix("/"), backend("a"), false)])]);
    super::hosts::certify(&mut routes, &entry_model::HostName::Exact("a.example".to_owned()), "1a", &["a.example"]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        // Not UTF-8 on a command line: curl reads the header from a file.
        let headers = nginx.dir.path().join("headers");
        fs::write(&headers, b"User-Agent: fianc\xe9\r\n").unwrap();
        let (ok, text) = nginx.curl("a.example", "/x", &["--http2", "-H", &format!("@{}", headers.display())]);
        assert!(ok, "{text}");
        assert_eq!(lines(&nginx, 1)[0]["userAgent"], "fianc\u{fffd}");
        let nginx = Nginx::start(&binary, &routes, |settings| {
            settings.proxy_protocol = true;
            settings.trusted = vec!["127.0.0.0/8".parse().unwrap()];
        });
        nginx.send(b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\nGET / HTTP/1.1\r\nHost: a.example\r\nReferer: \xff\r\nConnection: close\r\n\r\n");
        let line = &lines(&nginx, 1)[0];
        assert_eq!((&line["client"], &line["referer"]), (&"192.0.2.7".into(), &"\u{fffd}".into()));
    }
}
