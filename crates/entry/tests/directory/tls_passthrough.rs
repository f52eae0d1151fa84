//! TLS that goes to backends as it comes, beside TLS that is ended here.

use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use testbed::http::Connection;
use testbed::nginx::RunningNginx;

use crate::common::tls::{Certificate, curl, secret};
use crate::common::{Bench, CLASS, PATIENCE, backend, debian, eventually, free, ingress, programs, service, until};

/// A backend that ends TLS with a certificate of its own, and says so.
struct TlsBackend {
    // It ends before the bench's directory is removed.
    _running: RunningNginx,
    address: SocketAddr,
}

impl TlsBackend {
    fn start(bench: &Bench, certificate: &Certificate) -> Self {
        let (directory, address) = (bench.path("backend"), free());
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("cert.pem"), [&*certificate.pem, &*certificate.key].concat()).unwrap();
        let config = format!(
            "worker_processes 1; pid nginx.pid; error_log stderr; user root; events {{ }}\nhttp {{ access_log off; client_body_temp_path \
             body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\nserver {{ listen {address} \
             ssl; ssl_certificate cert.pem; ssl_certificate_key cert.pem; add_header Backend own-tls; return 200 $http_x_forwarded_for; }} }}"
        );
        fs::write(directory.join("nginx.conf"), config).unwrap();
        let running = RunningNginx::start(&testbed::nginx::newest(), &directory).unwrap();
        until("the backend", || TcpStream::connect(address).ok());
        Self { _running: running, address }
    }
}

/// An Ingress that asks for TLS passthrough.
fn passed(host: &str, port: u16, annotation: &str) -> String {
    let annotated = format!("metadata: {{ name: passed, annotations: {{ {annotation}: \"true\" }} }}");
    ingress("passed", host, "secret", port, None).replace("metadata: { name: passed }", &annotated)
}

/// A client over TLS, which keeps its connection, and looks at it before it uses it again.
struct Client {
    config: Arc<ClientConfig>,
    address: SocketAddr,
    host: &'static str,
    kept: Option<Connection<StreamOwned<ClientConnection, TcpStream>>>,
}

impl Client {
    fn new(address: SocketAddr, host: &'static str, certificate: &Certificate) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate.pem.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { config: Arc::new(config), address, host, kept: None }
    }

    fn open(&self) -> io::Result<Connection<StreamOwned<ClientConnection, TcpStream>>> {
        let name = ServerName::try_from(self.host).unwrap();
        let client = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection::over(StreamOwned::new(client, stream)))
    }

    /// One request, and whether it was answered by the backend in the clear.
    fn ask(&mut self) -> io::Result<()> {
        let mut connection = match self.kept.take().filter(is_open) {
            Some(connection) => connection,
            None => self.open()?,
        };
        let answer = connection.exchange(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", self.host))?;
        if (answer.status, answer.header("Backend")) != (200, "one") {
            return Err(io::Error::other(format!("{answer:?}")));
        }
        self.kept = answer.keeps_connection().then_some(connection);
        Ok(())
    }
}

/// Nothing is to be read now: what is, is the end.
fn is_open(connection: &Connection<StreamOwned<ClientConnection, TcpStream>>) -> bool {
    let stream = &connection.stream().sock;
    let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    stream.set_nonblocking(false).is_ok() && peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[test]
fn passthrough_comes_and_goes_while_another_host_of_the_address_is_served() {
    for program in programs() {
        let port = backend("one");
        let bench = Bench::new(&program).with_https();
        let [ended, own] = ["ended.example", "passed.example"].map(Certificate::new);
        let tls_backend = TlsBackend::start(&bench, &own);
        let tls_port = tls_backend.address.port();
        let secret_service = service("secret", tls_port).replace("  labels: { sparrow/expose: \"true\" }\n", "");
        let web = ingress("ended", "ended.example", "one", port, Some("tls"));
        let all = [CLASS, &service("one", port), &secret_service, &web, &secret("tls", &ended)].join("---\n");
        bench.write("all.yaml", &all);
        let entry = bench.start(&["run"]);
        let is_ended = || curl(&bench, "ended.example", &ended) == Ok("one".to_owned());
        eventually("served", is_ended);

        let ends = AtomicBool::new(false);
        let (sent, lost) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for turn in 0..8 {
                let mut client = Client::new(bench.https, "ended.example", &ended);
                let (ends, sent, lost) = (&ends, &sent, &lost);
                scope.spawn(move || {
                    while !ends.load(Ordering::Relaxed) {
                        if let Err(error) = client.ask() {
                            eprintln!("lost: {error}");
                            lost.fetch_add(1, Ordering::Relaxed);
                        }
                        let asked = sent.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(Duration::from_millis((asked * 7 + turn * 13) % 20));
                    }
                });
            }
            for _ in 0..3 {
                bench.write("passed.yaml", &passed("passed.example", tls_port, "sparrow/tls-passthrough"));
                let is_passed = || curl(&bench, "passed.example", &own) == Ok("own-tls".to_owned());
                eventually("passed through", is_passed);
                eventually("redirected", || bench.asks("passed.example", "/").0 == 308);
                eventually("served still", is_ended);
                bench.remove("passed.yaml");
                // Workers from before answer too, for a moment.
                eventually("nobody", || curl(&bench, "passed.example", &own).is_err());
                // Of an nginx that cannot hand over connections, those workers send them to a socket that is gone.
                eventually("served still", is_ended);
            }
            ends.store(true, Ordering::Relaxed);
        });
        let (sent, lost) = (sent.into_inner(), lost.into_inner());
        println!("passthrough switched 6 times, module {:?}: {lost} of {sent} requests lost", program.module);
        // The oldest nginx may lose a request at each reload, whatever is reloaded.
        assert!(sent > 100 && (lost == 0 || program.nginx == testbed::nginx::debian()), "{lost} of {sent}");
        entry.terminate();
    }
}

#[test]
fn annotation_of_ingress_nginx_is_followed_where_the_flag_says_so() {
    let mut bench = Bench::new(&debian()).with_https();
    let own = Certificate::new("passed.example");
    let tls_backend = TlsBackend::start(&bench, &own);
    let tls_port = tls_backend.address.port();
    let annotated = passed("passed.example", tls_port, "nginx.ingress.kubernetes.io/ssl-passthrough");
    bench.write("all.yaml", &[CLASS, &service("secret", tls_port), &annotated].join("---\n"));
    let (out, _) = bench.ends(0, &["check"]);
    assert!(out.contains("--enable-ssl-passthrough"), "{out}");
    bench.flag("--tls-passthrough", "all".to_owned());
    let (out, _) = bench.ends(0, &["check", "--strict"]);
    assert!(!out.contains("ssl-passthrough"), "{out}");
    let entry = bench.start(&["run"]);
    eventually("passed through", || curl(&bench, "passed.example", &own) == Ok("own-tls".to_owned()));
    entry.terminate();
}

#[test]
fn nginx_without_stream_module_is_told_and_tls_is_rejected() {
    let bench = Bench::new(&debian()).with_https();
    let own = Certificate::new("passed.example");
    let tls_backend = TlsBackend::start(&bench, &own);
    let tls_port = tls_backend.address.port();
    let annotated = passed("passed.example", tls_port, "sparrow/tls-passthrough");
    bench.write("all.yaml", &[CLASS, &service("secret", tls_port), &annotated].join("---\n"));
    let (_, err) = bench.ends(2, &["check", "--stream-module", "/nowhere/ngx_stream_module.so"]);
    assert!(err.contains("--stream-module: /nowhere/ngx_stream_module.so is no file"), "{err}");
    // An nginx that looks for modules where there are none.
    let wrapper = bench.path("nginx-elsewhere");
    let nginx = testbed::nginx::debian();
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = -V ] || exec {0} \"$@\"\n{0} -V 2>&1 | sed 's,--modules-path=[^ ]*,--modules-path=/nowhere,' >&2\n",
        nginx.display()
    );
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, Permissions::from_mode(0o755)).unwrap();
    let mut bench = bench.without_flag("--stream-module");
    bench.flag("--nginx", wrapper.display().to_string());
    let (out, _) = bench.ends(1, &["check"]);
    assert!(out.contains("this nginx has no stream module that reads the name of a host"), "{out}");
    let entry = bench.start(&["run"]);
    let refused = curl(&bench, "passed.example", &own).unwrap_err();
    assert!(refused.contains("unrecognized name") || refused.contains("alert"), "{refused}");
    entry.terminate();
}
