//! Ports at which what comes goes to a backend as it is.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use entry_model::{Routes, StreamPort, StreamRoute, Transport};

use super::support::{DEADLINE, Nginx, binaries, free, lines_of, object, routes, wait_for};

/// A backend of connections: it says back the first line, and the lines after it.
fn tcp_echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut lines = BufReader::new(connection.try_clone().unwrap());
                let mut line = String::new();
                while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                    let _ = (&connection).write_all(line.as_bytes());
                    line.clear();
                }
            });
        }
    });
    address
}

/// A backend of datagrams: it says each back.
fn udp_echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 1024];
        while let Ok((read, from)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(&bytes[..read], from);
        }
    });
    address
}

/// Routes with one port.
fn with_port(transport: Transport, number: u16, backend: SocketAddr, [accepts, sends]: [bool; 2]) -> Routes {
    let mut routes = routes([]);
    let route = StreamRoute {
        backend: backend.into(),
        accepts_proxy_protocol: accepts,
        sends_proxy_protocol: sends,
        origin: object("services"),
    };
    routes.streams.insert(StreamPort { transport, number }, route);
    routes
}

/// What a backend says back over a connection of its own.
fn say(port: u16, text: &str, lines: usize) -> Vec<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    BufReader::new(stream).lines().take(lines).map(Result::unwrap).collect()
}

#[test]
fn connections_go_to_the_backend_of_their_port() {
    let backend = tcp_echo();
    for binary in binaries() {
        let port = free().port();
        let nginx = Nginx::start(&binary, &with_port(Transport::Tcp, port, backend, [false; 2]), |_| {});
        assert_eq!(say(port, "one\ntwo\n", 2), ["one", "two"]);
        let log = nginx.settings.access_log.clone().unwrap();
        let line: serde_json::Value = serde_json::from_str(&lines_of(&log, 1)[0]).unwrap();
        assert_eq!((&line["protocol"], &line["port"], &line["status"]), (&"TCP".into(), &port.into(), &200.into()));
        assert_eq!((&line["client"], &line["bytesReceived"]), (&"127.0.0.1".into(), &8.into()));
    }
}

#[test]
fn proxy_protocol_is_taken_off_and_put_on() {
    let backend = tcp_echo();
    let head = "PROXY TCP4 203.0.113.9 203.0.113.1 4711 443\r\n";
    for binary in binaries() {
        let start = |flags: [bool; 2], trusted: &[&str]| {
            let port = free().port();
            let nginx = Nginx::start(&binary, &with_port(Transport::Tcp, port, backend, flags), |settings| {
                settings.trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
            });
            (nginx, port)
        };
        let (_nginx, port) = start([false, true], &[]);
        let lines = say(port, "one\n", 2);
        assert!(lines[0].starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{lines:?}");
        assert_eq!(lines[1], "one");
        let (_nginx, port) = start([true, false], &[]);
        assert_eq!(say(port, &format!("{head}one\n"), 1), ["one"]);
        // From proxies that are trusted only, it is believed.
        let (_nginx, port) = start([true, true], &["127.0.0.0/8"]);
        assert!(say(port, &format!("{head}one\n"), 2)[0].starts_with("PROXY TCP4 203.0.113.9 "));
        let (_nginx, port) = start([true, true], &["192.0.2.0/24"]);
        assert!(say(port, &format!("{head}one\n"), 2)[0].starts_with("PROXY TCP4 127.0.0.1 "));
    }
}

#[test]
fn datagrams_go_to_the_backend_of_their_port_and_answers_come_back() {
    let backend = udp_echo();
    for binary in binaries() {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let routes = with_port(Transport::Udp, port, backend, [false; 2]);
        let _nginx = Nginx::start(&binary, &routes, |settings| settings.worker_processes = Some(2));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(("127.0.0.1", port)).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        for text in ["one", "two", "three"] {
            client.send(text.as_bytes()).unwrap();
            let mut bytes = [0; 16];
            let read = client.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..read], text.as_bytes());
        }
    }
}

#[test]
fn port_whose_backend_has_no_endpoint_or_is_away_closes_connections() {
    for binary in binaries() {
        let port = free().port();
        let _nginx = Nginx::start(&binary, &with_port(Transport::Tcp, port, free(), [false; 2]), |_| {});
        let ended = wait_for("the end", || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.set_read_timeout(Some(DEADLINE)).ok()?;
            stream.read(&mut [0]).ok()
        });
        assert_eq!(ended, 0);
    }
}
