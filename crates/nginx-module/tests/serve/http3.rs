//! HTTP/3, on an nginx that speaks it.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h3::client::SendRequest;
use http::{Request, Response};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use rustls::pki_types::CertificateDer;
use testbed::nginx::Program;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::certificates::{certify, exact, make, served};
use super::support::{Nginx, Publisher, backend, forward, prefix, routes};
use super::tls_client::client_config;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// An nginx that speaks HTTP/3: Debian 12's does not.
fn program() -> Program {
    let speaks = |program: &Program| {
        let output = Command::new(&program.nginx).arg("-V").output().unwrap();
        String::from_utf8_lossy(&output.stderr).contains("--with-http_v3_module")
    };
    testbed::nginx::programs().into_iter().find(speaks).expect("an nginx with HTTP/3")
}

/// A connection over HTTP/3.
struct Connection {
    runtime: Runtime,
    // It ends the connection with it.
    _endpoint: Endpoint,
    requests: SendRequest<h3_quinn::OpenStreams, Bytes>,
    /// The certificate that the server has shown, in DER.
    certificate: Vec<u8>,
}

impl Connection {
    /// Opens one for a host.
    fn open(address: SocketAddr, host: &str) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut tls = client_config();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let (endpoint, requests, certificate) = runtime.block_on(async {
            let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let connecting = endpoint.connect_with(config, address, host).unwrap();
            let connection = timeout(DEADLINE, connecting).await.unwrap().map_err(|error| error.to_string())?;
            let identity = connection.peer_identity().unwrap().downcast::<Vec<CertificateDer<'static>>>().unwrap();
            let connection = h3_quinn::Connection::new(connection);
            // The frame of no meaning that a client may send after a request, nginx takes for a body that is cut off.
            let client = h3::client::builder().send_grease(false).build(connection).await;
            let (mut driver, requests) = client.unwrap();
            tokio::spawn(async move { poll_fn(|context| driver.poll_close(context)).await });
            Ok::<_, String>((endpoint, requests, identity[0].to_vec()))
        })?;
        Ok(Self { runtime, _endpoint: endpoint, requests, certificate })
    }

    /// Asks for a target of a host.
    fn get(&mut self, host: &str, target: &str) -> Response<()> {
        let request = Request::get(format!("https://{host}{target}")).body(()).unwrap();
        let exchange = async {
            let mut stream = self.requests.send_request(request).await.unwrap();
            stream.finish().await.unwrap();
            let response = stream.recv_response().await.unwrap();
            while stream.recv_data().await.unwrap().is_some() {}
            response
        };
        self.runtime.block_on(async { timeout(DEADLINE, exchange).await.unwrap() })
    }

    /// The backend that answers, or the status.
    fn found(&mut self, host: &str) -> Result<String, u16> {
        let response = self.get(host, "/a");
        let backend = || response.headers()["backend"].to_str().unwrap().to_owned();
        if response.status() == 200 { Ok(backend()) } else { Err(response.status().as_u16()) }
    }
}

#[test]
fn requests_over_http3_are_routed_by_the_newest_table() {
    let (one, two) = (make("one"), make("two"));
    let hosts = [exact("one.example"), exact("two.example")];
    let certified = |mut routes| {
        for (host, id, made) in [(&hosts[0], "1a", &one), (&hosts[1], "2b", &two)] {
            certify(&mut routes, host, id, &made.certificate);
        }
        routes
    };
    let mut publisher = Publisher::new();
    publisher.publish(&certified(served(&["one.example", "two.example"])));
    let with_quic = |config: String| {
        let (before, rest) = config.split_once(" ssl http2;").unwrap();
        let (_, tls) = before.rsplit_once("listen ").unwrap();
        format!("{before} ssl; listen {tls} quic;{rest}")
    };
    let nginx = Nginx::start_on(&program(), &publisher, 1, with_quic);
    let workers = nginx.workers();

    let mut connection = Connection::open(nginx.tls, "one.example").unwrap();
    assert!(connection.certificate == one.der);
    assert_eq!(connection.found("one.example"), Ok("one".to_owned()));
    assert_eq!(connection.get("one.example", "/a").headers()["uri"], "/a");
    // Its certificate is not that of the connection.
    assert_eq!(connection.found("two.example"), Err(421));
    assert_eq!(connection.found("none.example"), Err(421));
    let mut other = Connection::open(nginx.tls, "two.example").unwrap();
    assert!(other.certificate == two.der);
    assert_eq!(other.found("two.example"), Ok("one".to_owned()));
    let refused = Connection::open(nginx.tls, "none.example").map(drop).unwrap_err();
    // The alert `unrecognized_name`.
    assert!(refused.contains("error 112"), "{refused}");

    // The next request of the same connection goes by the next table.
    let next = backend("next");
    let to_next = |host: &str| (host.to_owned(), vec![forward(prefix("/"), next)]);
    publisher.publish(&certified(routes([to_next("one.example"), to_next("two.example")])));
    assert_eq!(connection.found("one.example"), Ok("next".to_owned()));
    publisher.publish(&certified(routes([("one.example".to_owned(), Vec::new()), to_next("two.example")])));
    assert_eq!(connection.found("one.example"), Err(404));
    assert_eq!(other.found("two.example"), Ok("next".to_owned()));
    assert_eq!(nginx.workers(), workers, "nothing was reloaded, no worker ended");
    assert!(!nginx.error_log().contains("sparrow: "), "{}", nginx.error_log());
}
