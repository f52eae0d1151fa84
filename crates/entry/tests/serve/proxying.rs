//! How requests are sent on: headers, streams, tunnels.

use std::fs;
use std::io::{BufRead as _, Read as _, Write as _};

use testbed::http;

use super::support::{DEADLINE, Echo as _, Nginx, backend, binaries, forward, lines_of, prefix, routes};

#[test]
fn websocket_works_both_ways_and_h2c_upgrade_is_dropped() {
    let routes = routes([("*", vec![forward(prefix("/a"), backend("a"), true)])]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let mut connection = nginx.connect();
        connection
            .write_all(b"GET /a/socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            .unwrap();
        assert_eq!(connection.answer_head().unwrap().status, 101);
        for text in ["one\n", "two\n"] {
            connection.write_all(text.as_bytes()).unwrap();
            let mut line = String::new();
            connection.read_line(&mut line).unwrap();
            assert_eq!(line, text);
        }
        let answer = nginx.get("x", "/a/b", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n");
        assert_eq!((answer.seen("Upgrade"), answer.seen("HTTP2-Settings")), (None, None));
        assert_eq!(answer.seen("Connection"), None);
    }
}

#[test]
fn events_arrive_unbuffered() {
    let routes = routes([("*", vec![forward(prefix("/a"), backend("a"), true)])]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let mut connection = nginx.connect();
        connection.write_all(b"GET /a/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        // The backend sends no more and keeps the connection: only an answer that is not buffered shows this line.
        let found = connection.lines().map_while(Result::ok).any(|line| line == "data: one");
        assert!(found, "with {}", binary.version);
    }
}

#[test]
fn upload_streams_without_being_stored() {
    // A backend that tells when the first part has come, while the client has yet to send the rest.
    let (first, arrived) = std::sync::mpsc::channel();
    let serve = move |mut connection: http::Connection| {
        connection.request_head()?;
        let mut part = vec![0; 1 << 20];
        for number in 0..8 {
            connection.read_exact(&mut part)?;
            if number == 0 {
                let _ = first.send(());
            }
        }
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    let address = http::serve(serve).unwrap();
    let routes = routes([("*", vec![forward(prefix("/"), address, false)])]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let mut connection = nginx.connect();
        write!(connection, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", 8 << 20)
            .unwrap();
        let half = vec![7; 4 << 20];
        connection.write_all(&half).unwrap();
        arrived.recv_timeout(DEADLINE).expect("the first part reaches the backend before the last is sent");
        assert_eq!(connection.exchange(&half).unwrap().status, 200);
        let log = fs::read_to_string(&nginx.settings.error_log).unwrap();
        assert!(!log.contains("buffered to a temporary file"), "{log}");
        assert_eq!(fs::read_dir(nginx.dir.path().join("client_body")).unwrap().count(), 0);
    }
}

#[test]
fn forwarded_headers_are_replaced_unless_a_trusted_proxy_sent_them() {
    let routes = routes([("*", vec![forward(prefix("/a"), backend("a"), true)])]);
    let sent = "X-Forwarded-For: 192.0.2.7, 198.51.100.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: outer.example\r\n\
                X-Forwarded-Port: 444\r\nX-Forwarded-Prefix: /outer\r\nX-Real-IP: 192.0.2.8\r\nForwarded: for=192.0.2.9\r\n";
    let names = [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Real-IP",
        "Forwarded",
    ];
    for binary in binaries() {
        for (trusted, headers, expected) in [
            (vec![], sent, ["127.0.0.1", "http", "in.example:81", "81", "/a", "127.0.0.1", "-"]),
            (vec!["192.0.2.0/24"], sent, ["127.0.0.1", "http", "in.example:81", "81", "/a", "127.0.0.1", "-"]),
            (
                vec!["127.0.0.0/8", "198.51.100.0/24"],
                sent,
                [
                    "192.0.2.7, 198.51.100.9, 127.0.0.1",
                    "https",
                    "outer.example",
                    "444",
                    "/outer/a",
                    "192.0.2.7",
                    "for=192.0.2.9",
                ],
            ),
            // The first that is not trusted is the client.
            (
                vec!["127.0.0.0/8"],
                sent,
                [
                    "192.0.2.7, 198.51.100.9, 127.0.0.1",
                    "https",
                    "outer.example",
                    "444",
                    "/outer/a",
                    "198.51.100.9",
                    "for=192.0.2.9",
                ],
            ),
            (vec!["127.0.0.0/8"], "", ["127.0.0.1", "http", "in.example:81", "81", "/a", "127.0.0.1", "-"]),
            (
                vec!["127.0.0.0/8"],
                "X-Forwarded-Proto: javascript\r\nX-Forwarded-Port: 1x\r\n",
                ["127.0.0.1", "http", "in.example:81", "81", "/a", "127.0.0.1", "-"],
            ),
        ] {
            let nginx = Nginx::start(&binary, &routes, |settings| {
                settings.trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
            });
            let answer = nginx.get("in.example:81", "/a/b", headers);
            let found = names.map(|name| answer.seen(name).unwrap_or("-"));
            assert_eq!(found, expected, "{trusted:?}");
            assert_eq!(answer.seen("Host"), Some("in.example:81"));
        }
    }
}

#[test]
fn proxy_protocol_counts_from_trusted_proxies_only() {
    let routes = routes([("*", vec![forward(prefix("/"), backend("a"), false)])]);
    for binary in binaries() {
        for (trusted, real) in [("127.0.0.0/8", "192.0.2.7"), ("192.0.2.0/24", "127.0.0.1")] {
            let nginx = Nginx::start(&binary, &routes, |settings| {
                settings.proxy_protocol = true;
                settings.trusted = vec![trusted.parse().unwrap()];
            });
            let answer = nginx.send(
                "PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\nGET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.1\r\n\
                 Connection: close\r\n\r\n",
            );
            assert_eq!(answer.seen("X-Real-IP"), Some(real));
            // 192.0.2.7 counts as trusted only where it could not have told so.
            assert_eq!(answer.seen("X-Forwarded-For"), Some(real), "{trusted}");
        }
    }
}

#[test]
fn connections_to_a_backend_are_kept() {
    let (accepted, connections) = std::sync::mpsc::channel();
    let serve = move |mut connection: http::Connection| {
        let _ = accepted.send(());
        while connection.request()?.is_some() {
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    };
    let address = http::serve(serve).unwrap();
    let routes = routes([("*", vec![forward(prefix("/a"), address, true), forward(prefix("/b"), address, false)])]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for target in ["/a", "/a/x", "/b", "/b/y", "/a"] {
            assert_eq!(nginx.get("x", target, "").text(), "ok");
        }
        assert_eq!(connections.try_iter().count(), 1, "with {}", binary.version);
    }
}

#[test]
fn control_socket_reports_the_revision_and_the_log_each_request() {
    let routes = routes([("*", vec![forward(prefix("/a"), backend("a"), true)])]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        assert_eq!(nginx.control("/generation").unwrap().text(), nginx.revision.hash);
        let status = nginx.control("/status").unwrap();
        assert_eq!(status.status == 200 && status.text().contains("Active connections"), binary.modules.stub_status);
        assert_eq!(nginx.control("/other").unwrap().status, 404);
        assert_eq!(nginx.get("x", "/generation", "").status, 404);

        nginx.get("shop.example", "/a/b?c=\"d\"", "User-Agent: \"}\\\r\n");
        // A client that says nothing of use.
        nginx.send(b"\x16\x03\x01\r\n\r\n");
        let log = lines_of(nginx.settings.access_log.as_ref().unwrap(), 3);
        let lines: Vec<serde_json::Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let line = lines.iter().find(|line| line["host"] == "shop.example").unwrap();
        assert_eq!((&line["status"], &line["route"]), (&200.into(), &"Service default/some".into()));
        assert_eq!((&line["uri"], &line["userAgent"]), (&"/a/b?c=\"d\"".into(), &"\"}\\".into()));
        assert_eq!(line["id"].as_str().unwrap().len(), 32);
    }
}
