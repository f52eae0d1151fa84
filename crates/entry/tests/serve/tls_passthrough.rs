//! TLS connections that go to a backend as they come, beside hosts whose TLS is ended here, at the same address.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use entry_model::{Host, HostName, ListenerId, Routes, TlsPassthrough};
use nginx_conf::Settings;
use testbed::http;

use super::hosts::certify;
use super::support::{Nginx, NginxBackend, binaries, forward, free, lines_of, newest, object, prefix, routes};

/// A backend that ends TLS, and one in the clear that tells what it was told of the client.
struct Backends {
    tls: NginxBackend,
    plain: NginxBackend,
}

impl Backends {
    fn start() -> Self {
        let tls = NginxBackend::start(&newest(), |address| {
            format!(
                "access_log off; server {{ listen {address} ssl; http2 on; ssl_certificate cert.pem; ssl_certificate_key cert.pem;\n\
                 return 200 \"backend $server_protocol $http_host $http_x_forwarded_for\\n\"; }}"
            )
        });
        let plain = NginxBackend::start(&newest(), |address| {
            format!(
                "access_log off; server {{ listen {address}; return 200 \"here for=$http_x_forwarded_for real=$http_x_real_ip \
                 proto=$http_x_forwarded_proto host=$http_host.\\n\"; }}"
            )
        });
        Self { tls, plain }
    }

    /// Hosts that are passed through, each named for what is to be seen there, and such whose TLS is ended here.
    fn routes(&self) -> Routes {
        let rules = || vec![forward(prefix("/"), self.plain.address, false)];
        let names =
            ["pass.example", "dead.example", "gone.example", "*.wild.example", "own.wild.example", "ended.example"];
        let mut routes = routes(names.map(|name| (name, rules())));
        for (name, address) in [
            (exact("pass.example"), Some(self.tls.address)),
            (HostName::OneLabel("wild.example".to_owned()), Some(self.tls.address)),
            (exact("dead.example"), Some(free())),
            (exact("gone.example"), None),
        ] {
            let passthrough = TlsPassthrough { backend: address.map(Into::into), origin: object("pass") };
            routes.tls_passthrough.insert(name, passthrough);
        }
        certify(&mut routes, &exact("ended.example"), "1a", &["ended.example"]);
        certify(&mut routes, &exact("own.wild.example"), "2b", &["own.wild.example"]);
        routes
    }
}

fn exact(name: &str) -> HostName {
    HostName::Exact(name.to_owned())
}

/// From another address than all other connections here.
const FROM: [&str; 2] = ["--interface", "127.0.0.2"];

#[test]
fn tls_goes_to_the_backend_of_its_name_and_else_ends_here() {
    let backends = Backends::start();
    let routes = backends.routes();
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        assert!(nginx.revision.notes.is_empty(), "{:?}", nginx.revision.notes);
        for name in ["pass.example", "PASS.example", "a.wild.example", "b.wild.example"] {
            assert!(routes.find_passthrough(ListenerId(0), name).is_some(), "{name}");
            for (flag, protocol) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")] {
                let (is_answered, text) = nginx.curl(name, "/", &[flag]);
                // Nothing was added to the request: it was not read.
                let expected = format!("backend {protocol} ");
                assert!(is_answered && text.starts_with(&expected) && text.ends_with(" \n"), "{name} {flag}: {text}");
            }
        }
        for name in ["ended.example", "own.wild.example"] {
            assert!(routes.find_passthrough(ListenerId(0), name).is_none(), "{name}");
            for flag in ["--http1.1", "--http2"] {
                let (is_answered, text) = nginx.curl(name, "/", &[&FROM[..], &[flag]].concat());
                let expected = "here for=127.0.0.2 real=127.0.0.2 proto=https host=";
                assert!(is_answered && text.starts_with(expected), "{name} {flag}: {text}");
            }
        }
        // Nobody is served under the names of others, or without any.
        for name in ["other.example", "a.b.wild.example", "wild.example", "gone.example", "127.0.0.1"] {
            assert!(routes.find_passthrough(ListenerId(0), name).is_none(), "{name}");
            let (is_answered, text) = nginx.curl(name, "/", &[]);
            assert!(!is_answered && (text.contains("unrecognized name") || text.contains("alert")), "{name}: {text}");
        }
        let (is_answered, text) = nginx.curl("dead.example", "/", &[]);
        assert!(!is_answered, "{text}");
        // On a connection that was opened for another host, none of them is served over TLS.
        let status = ["-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: pass.example"];
        assert_eq!(nginx.curl("ended.example", "/", &status), (true, "421".to_owned()));
        // Over plain HTTP it is what its rules say.
        assert!(nginx.get("pass.example", "/", "").text().starts_with("here for=127.0.0.1 "));
    }
}

#[test]
fn clients_cannot_speak_for_others_nor_see_how_connections_go_on() {
    let backends = Backends::start();
    let mut routes = backends.routes();
    // One that serves every name.
    let any = Host { rules: vec![forward(prefix("/"), backends.plain.address, false)].into(), ..Host::default() };
    routes.hosts.insert(HostName::Any, any.into());
    certify(&mut routes, &HostName::Any, "3c", &["any.example"]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        // What is not TLS is answered as on any address of HTTPS; what it says of its address is not believed.
        let forged = "PROXY TCP4 192.0.2.9 192.0.2.1 1 2\r\nGET / HTTP/1.1\r\nHost: ended.example\r\n\r\n";
        assert_eq!(http::exchange(nginx.https, forged).unwrap().status, 400);
        let (_, text) = nginx.curl("any.example", "/", &["--http1.0", "-H", "Host:"]);
        assert!(text.ends_with("host=any.example.\n"), "{text}");
        assert!(nginx.curl("pass.example", "/", &FROM).0);
        let log = nginx.settings.access_log.clone().unwrap();
        let lines = lines_of(&log, 3);
        let lines: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let passed: Vec<_> = lines.iter().filter(|line| line["scheme"] == "tls").collect();
        let [line] = passed[..] else { panic!("{lines:#?}") };
        assert_eq!(
            (&line["host"], &line["client"], &line["status"]),
            (&"pass.example".into(), &"127.0.0.2".into(), &200.into())
        );
        assert_eq!(line["upstream"], backends.tls.address.to_string());
        // Of what is no request, an nginx that cannot hand connections over does not know whose it is.
        for line in lines.iter().filter(|line| binary.modules.stream_pass || line["method"] != "") {
            let client = line["client"].as_str().unwrap();
            assert!(client.starts_with("127.0.0."), "{line}");
        }
        assert!(lines.iter().all(|line| line["client"] != "192.0.2.9"), "{lines:#?}");
    }
}

/// Copies what comes on connections to another address, behind bytes of its own: a balancer that speaks the PROXY protocol.
fn balancer(to: SocketAddr, head: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(mut server)) = (client, TcpStream::connect(to)) else { return };
            if server.write_all(head.as_bytes()).is_err() {
                continue;
            }
            for (mut from, mut to) in
                [(client.try_clone(), server.try_clone()), (server.try_clone(), client.try_clone())]
                    .into_iter()
                    .filter_map(|(from, to)| Some((from.ok()?, to.ok()?)))
            {
                thread::spawn(move || {
                    let _ = copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    address
}

fn copy(from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
    let mut bytes = [0; 16 << 10];
    loop {
        match from.read(&mut bytes)? {
            0 => return Ok(()),
            read => to.write_all(&bytes[..read])?,
        }
    }
}

fn trust(settings: &mut Settings) {
    settings.trusted = vec!["127.0.0.0/8".parse().unwrap()];
}

#[test]
fn trusted_proxies_are_believed_where_nginx_can_hand_connections_over() {
    let backends = Backends::start();
    let routes = backends.routes();
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, trust);
        let forwarded = ["-H", "X-Forwarded-For: 203.0.113.9"];
        let (is_answered, text) = nginx.curl("ended.example", "/", &[&FROM[..], &forwarded].concat());
        let expected = "here for=203.0.113.9, 127.0.0.2 real=203.0.113.9 ";
        assert!(is_answered && text.starts_with(expected), "{text}");
        let (is_answered, text) = nginx.curl("pass.example", "/", &[]);
        assert_eq!(is_answered, binary.modules.stream_pass, "{text}");
        let told = nginx.revision.notes.iter().any(|note| note.message.contains("1.25.5"));
        assert_eq!(told, !binary.modules.stream_pass, "{:?}", nginx.revision.notes);
    }
}

#[test]
fn balancers_that_speak_the_proxy_protocol_name_the_client() {
    let backends = Backends::start();
    let routes = backends.routes();
    for binary in binaries().into_iter().filter(|binary| binary.modules.stream_pass) {
        let nginx = Nginx::start(&binary, &routes, |settings| {
            trust(settings);
            settings.proxy_protocol = true;
        });
        let through = |head: &'static str, host: &str| {
            let balancer = balancer(nginx.https, head);
            let connect = format!("::{balancer}");
            nginx.curl(host, "/", &["--connect-to", &connect])
        };
        let named = "PROXY TCP4 203.0.113.9 203.0.113.1 4711 443\r\n";
        let (is_answered, text) = through(named, "ended.example");
        assert!(is_answered && text.starts_with("here for=203.0.113.9 real=203.0.113.9 "), "{text}");
        let (is_answered, text) = through(named, "pass.example");
        assert!(is_answered && text.starts_with("backend "), "{text}");
        let (is_answered, _) = through("", "ended.example");
        assert!(!is_answered, "without the protocol nobody is served");
        let log = nginx.settings.access_log.clone().unwrap();
        assert!(lines_of(&log, 2).iter().all(|line| line.contains("\"client\":\"203.0.113.9\"")));
    }
}
