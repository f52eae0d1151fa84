//! Clients of TLS: one of rustls, which sees each detail of a handshake, and OpenSSL's, which takes any session to any host.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use testbed::http::{Answer, Connection};

/// Whose certificate it is, the test looks; that the server has its key, this does.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection over TLS.
pub struct TlsConnection {
    connection: Connection<StreamOwned<ClientConnection, TcpStream>>,
    /// The certificate that the server has shown, in DER; empty where a session was taken up again.
    pub certificate: Vec<u8>,
}

/// How a client of TLS connects that takes any certificate.
pub fn client_config() -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth()
}

/// A client, which remembers sessions by the name of the host.
pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    pub fn new() -> Self {
        Self(Arc::new(client_config()))
    }

    /// Opens a connection for a host; an address is not named to the server (RFC 6066, section 3).
    pub fn connect(&self, address: SocketAddr, host: &str) -> Result<TlsConnection, rustls::Error> {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::clone(&self.0), name)?;
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        while client.is_handshaking() {
            client.complete_io(&mut stream).map_err(|error| tls_error(&error))?;
        }
        let certificate = client.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.map(|certificate| certificate.to_vec()).unwrap_or_default();
        Ok(TlsConnection { connection: Connection::over(StreamOwned::new(client, stream)), certificate })
    }
}

fn tls_error(error: &io::Error) -> rustls::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner.cloned().unwrap_or_else(|| rustls::Error::General(error.to_string()))
}

impl TlsConnection {
    /// Asks for a target of a host; the connection is kept.
    pub fn get(&mut self, host: &str, target: &str) -> Answer {
        self.connection.exchange(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap()
    }
}

/// Whether a handshake of OpenSSL's client for a host takes up the session that is in a file; else the new one is written there.
pub fn is_session_taken_up(address: SocketAddr, host: &str, session: &Path, arguments: &[&str]) -> bool {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-ign_eof", "-connect", &address.to_string(), "-servername", host]).args(arguments);
    client.arg(if session.exists() { "-sess_in" } else { "-sess_out" }).arg(session);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Sessions of TLS 1.3 come after the handshake: the answer comes after them, and ends the connection.
    write!(client.stdin.take().unwrap(), "GET / HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let output = client.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("HTTP/1.1 200"), "{host}: {text} {}", String::from_utf8_lossy(&output.stderr));
    let (is_new, is_reused) = (text.contains("\nNew, TLSv1."), text.contains("\nReused, TLSv1."));
    assert!(is_new != is_reused, "{text}");
    is_reused
}
