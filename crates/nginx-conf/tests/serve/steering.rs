//! Backends of people who do not trust each other: none of them steers nginx.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::thread;

use entry_model::{Protocol, Routes};

use super::support::{
    Answer, Binary, DEADLINE, Nginx, backend, binaries, exact, forward, free, header, lines_of, prefix, routes, send,
    speaking, start, wait_for,
};

/// A backend that answers with these header lines, before it has read the body.
pub fn saying(lines: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || say(&stream, lines));
        }
    });
    address
}

fn say(mut stream: &TcpStream, lines: &str) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        write!(stream, "HTTP/1.1 200 OK\r\n{lines}Content-Length: 4\r\n\r\nown\n").ok()?;
        let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        reader.read_exact(&mut vec![0; length]).ok()?;
    }
}

/// A stock nginx that answers without waiting for a body, and keeps the targets that it was asked for.
struct Victim {
    address: SocketAddr,
    dir: tempfile::TempDir,
    keeper: Child,
}

impl Victim {
    fn start(binary: &Binary) -> Self {
        let (dir, address) = (tempfile::tempdir().unwrap(), free());
        let config = format!(
            "worker_processes 1; pid nginx.pid; error_log stderr; user root; events {{ }}\n\
             http {{ log_format asked '$request_method $request_uri $http_cookie'; access_log asked.log asked;\n\
             client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;\n\
             scgi_temp_path scgi; server {{ listen {address}; return 200 \"secret of $http_cookie\\n\"; }} }}"
        );
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let keeper = start(binary, dir.path());
        wait_for("the victim", || TcpStream::connect(address).is_ok().then_some(()));
        Self { address, dir, keeper }
    }

    /// What it was asked for, once that is as much as is expected.
    fn asked(&self, expected: usize) -> Vec<String> {
        lines_of(&self.dir.path().join("asked.log"), expected)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Two tenants on one host; the victim is known by its path.
fn tenants(evil: SocketAddr, victim: SocketAddr) -> Routes {
    routes([("*", vec![forward(prefix("/evil"), evil, true), forward(prefix("/victim"), victim, true)])])
}

#[test]
fn a_backend_does_not_have_another_one_asked() {
    for line in [
        "X-Accel-Redirect: /victim/admin\r\n",
        "x-accel-redirect: /victim/admin\r\n",
        "X-Accel-Redirect: @sparrow_failure\r\n",
        "X-Accel-Redirect: /victim/admin\r\nX-Accel-Redirect: /victim/other\r\n",
        "X-Accel-Redirect: sparrow-aside-1\r\n",
    ] {
        let evil = saying(line);
        for binary in binaries() {
            let victim = Victim::start(&binary);
            let nginx = Nginx::start(&binary, &tenants(evil, victim.address), |_| {});
            for target in ["/evil/a", "/evil/a%2Fb", "/evil"] {
                let answer = nginx.get("x.example", target, "Cookie: session=1\r\n");
                assert_eq!((answer.status, answer.body.as_str()), (200, "own\n"), "{line} with {}", binary.version);
                assert_eq!(answer.header("X-Accel-Redirect"), None, "{}", answer.head);
            }
            nginx.get("x.example", "/victim/mine", "Cookie: session=2\r\n");
            assert_eq!(victim.asked(1), ["GET /mine session=2"]);
        }
    }
}

#[test]
fn requests_are_not_smuggled_into_the_backend_of_another_tenant() {
    let evil = saying("X-Accel-Redirect: /victim/first\r\n");
    for binary in binaries() {
        for victims in binaries() {
            let victim = Victim::start(&victims);
            let nginx = Nginx::start(&binary, &tenants(evil, victim.address), |_| {});
            let mut expected = Vec::new();
            // The backend answers before the body has come, and has the victim asked with its length and without it: what
            // comes next on the connection that is kept would be taken for that body. Of these lengths one ends among the
            // line ends, so that what follows them would be taken for a request.
            for length in (200..800).step_by(100) {
                let mut first = TcpStream::connect(nginx.http).unwrap();
                first.set_read_timeout(Some(DEADLINE)).unwrap();
                write!(first, "POST /evil/x HTTP/1.1\r\nHost: x.example\r\nContent-Length: {length}\r\n\r\n").unwrap();
                let mut answer = String::new();
                BufReader::new(&first).read_line(&mut answer).unwrap();
                assert_eq!(answer, "HTTP/1.1 200 OK\r\n");

                let body = format!("{}GET /smuggled HTTP/1.1\r\nHost: x.example\r\nRest: ", "\r\n".repeat(60));
                let head = format!("Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                send(nginx.http, format!("POST /victim/second HTTP/1.1\r\nHost: x.example\r\n{head}"));
                let answer = nginx.get("x.example", "/victim/third", "Cookie: session=3\r\n");
                assert_eq!(answer.body, "secret of session=3\n");
                expected.extend(["POST /second -", "GET /third session=3"]);
                assert_eq!(victim.asked(expected.len()), expected, "with {} {length}", binary.version);
            }
        }
    }
}

#[test]
fn no_header_of_a_backend_changes_how_its_answer_is_sent() {
    // Sent slowly, it would take four seconds; in another charset, other bytes.
    const BODY: &str = "4000\n";
    let mut lines = String::new();
    for line in ["X-Accel-Limit-Rate: 1", "X-Accel-Buffering: yes", "X-Accel-Charset: koi8-r", "X-Accel-Expires: 3600"]
    {
        let _ = write!(lines, "{line}\r\n");
    }
    let lines: &'static str = lines.leak();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // The rest of the answer comes when the client, having seen its beginning, has asked for it.
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while line != "\r\n" && !line.ends_with("\r\n\r\n") {
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{lines}Content-Length: 100000\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(BODY.as_bytes()));
            let _ = reader.read(&mut [0]);
        }
    });
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes([("*", vec![forward(prefix("/"), address, false)])]), |_| {});
        let mut stream = TcpStream::connect(nginx.http).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
        }
        assert_eq!(header(&head, "Content-Type"), Some("text/plain"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("x-accel"), "{head}");
        let mut body = vec![0; BODY.len()];
        reader.read_exact(&mut body).unwrap();
        assert_eq!(body, BODY.as_bytes());
    }
}

#[test]
fn a_backend_of_http2_steers_nothing_either() {
    for binary in binaries() {
        let (victim, [_, newest]) = (Victim::start(&binary), binaries());
        let (dir, address) = (tempfile::tempdir().unwrap(), free());
        let config = format!(
            "worker_processes 1; pid nginx.pid; error_log stderr; user root; events {{ }}\n\
             http {{ access_log off; server {{ listen {address}; http2 on; add_header X-Accel-Redirect /victim/admin;\n\
             add_header X-Accel-Limit-Rate 1; add_header X-Accel-Charset koi8-r; add_header X-Accel-Buffering yes;\n\
             add_header X-Accel-Expires 3600; default_type text/plain; return 200 \"own\\n\"; }} }}"
        );
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let mut evil = start(&newest, dir.path());
        wait_for("the backend", || TcpStream::connect(address).is_ok().then_some(()));
        let mut routes = tenants(backend("unused"), victim.address);
        for rules in routes.hosts.values_mut().map(|host| &mut host.rules) {
            rules[0] = speaking(forward(prefix("/evil"), address, true), Protocol::Http2);
            rules.insert(0, speaking(forward(exact("/evil/only"), address, false), Protocol::Http2));
        }
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for target in ["/evil/a", "/evil/only", "/evil"] {
            let Answer { status, head, body } = nginx.get("x.example", target, "");
            assert_eq!((status, body.as_str()), (200, "own\n"), "{target} with {}: {head}", binary.version);
            assert!(!head.to_ascii_lowercase().contains("x-accel"), "{head}");
            assert_eq!(header(&head, "Content-Type"), Some("text/plain"));
        }
        nginx.get("x.example", "/victim/mine", "");
        assert_eq!(victim.asked(1), ["GET /mine -"]);
        drop(evil.stdin.take());
        let _ = evil.wait();
    }
}
