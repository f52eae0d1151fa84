//! TLS of the API port: 1.2 and 1.3, HTTP/2 and 1.1, certificates read anew when they change.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::metrics::Metrics;
use crate::reload::ReloadedFiles;

/// How long a client may take for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The files, all PEM.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server's certificate, followed by those between it and the authority.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities one of which must have signed a client's certificate; without them clients need none.
    pub client_ca: Option<PathBuf>,
}

/// Speaks TLS with what the files say. Connections keep what was in force when they came.
pub struct Tls {
    config: ReloadedFiles<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files and watches them.
    ///
    /// # Errors
    /// A file cannot be read or used, or the key is not the certificate's.
    pub fn start(settings: &Settings, metrics: &Metrics) -> anyhow::Result<Self> {
        let names = settings.clone();
        let mut files = vec![settings.cert.clone(), settings.key.clone()];
        files.extend(settings.client_ca.clone());
        let config = ReloadedFiles::start("tls", files, metrics, move |contents| server_config(&names, contents))?;
        Ok(Self { config })
    }

    /// The handshake.
    ///
    /// # Errors
    /// The client does not finish it in time, or as it must.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let config = Arc::clone(&*self.config.current());
        tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await?
    }
}

fn server_config(names: &Settings, contents: &[Vec<u8>]) -> Result<Arc<ServerConfig>, String> {
    let wrong = |path: &PathBuf, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match (&names.client_ca, contents.get(2)) {
        (Some(path), Some(content)) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(content).map_err(|error| wrong(path, &error))? {
                roots.add(certificate).map_err(|error| wrong(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| wrong(path, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let chain = certificates(&contents[0]).map_err(|error| wrong(&names.cert, &error))?;
    let key = PrivateKeyDer::from_pem_slice(&contents[1]).map_err(|error| wrong(&names.key, &error))?;
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("{} and {} do not go together: {error}", names.cert.display(), names.key.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if chain.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(chain) }
}
