//! Certificates, and clients that look only at them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::http::{Running, Traffic, Work, in_time};
use crate::settled::Look;

/// An authority that all clients trust.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate with its key, which is on P-256.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// In PEM.
    pub pem: String,
    /// In PEM.
    pub key: String,
    /// As it is sent.
    pub der: CertificateDer<'static>,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut asked = CertificateParams::new(Vec::new())?;
        asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = asked.self_signed(&key)?.der().clone();
        Ok(Self { issuer: Issuer::new(asked, key), certificate })
    }

    /// A new certificate for a host.
    ///
    /// # Errors
    /// It is no host.
    pub fn issue(&self, host: &str) -> Result<Certificate> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([host.to_owned()])?.signed_by(&key, &self.issuer)?;
        Ok(Certificate { pem: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() })
    }

    /// What clients connect with: each connection is a whole handshake.
    ///
    /// # Errors
    /// Its certificate is none.
    pub fn connector(&self) -> Result<TlsConnector> {
        let mut trusted = RootCertStore::empty();
        trusted.add(self.certificate.clone())?;
        let mut config = ClientConfig::builder().with_root_certificates(trusted).with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// The certificate that a new connection gets, and is verified.
async fn handshake(
    connector: &TlsConnector,
    address: SocketAddr,
    name: &ServerName<'static>,
) -> io::Result<CertificateDer<'static>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = connector.connect(name.clone(), stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
    let certificate = certificate.ok_or_else(|| io::Error::other("there is no certificate"))?;
    // The server has done its part of it when it ends the connection too.
    stream.shutdown().await?;
    loop {
        match stream.read(&mut [0; 256]).await {
            Ok(0) => return Ok(certificate),
            Ok(_) => {}
            // It does not say so first.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(certificate),
            Err(error) => return Err(error),
        }
    }
}

/// Looks which of two certificates a host has: the answer is `one` or `other`.
#[derive(Clone)]
pub struct CertificateLook {
    /// Connects.
    pub connector: TlsConnector,
    /// Where.
    pub address: SocketAddr,
    /// The host.
    pub name: ServerName<'static>,
    /// The two certificates.
    pub certificates: Arc<[Certificate; 2]>,
}

impl Look for CertificateLook {
    async fn look(&self) -> io::Result<(u16, String)> {
        let certificate = in_time(handshake(&self.connector, self.address, &self.name)).await?;
        let found = self.certificates.iter().zip(["one", "other"]).find(|(one, _)| one.der == certificate);
        Ok((200, found.map_or("another", |(_, name)| name).to_owned()))
    }
}

/// Clients that make one handshake after the other.
#[derive(Clone)]
pub struct Handshakes {
    /// Connects.
    pub connector: TlsConnector,
    /// Where.
    pub address: SocketAddr,
    /// How many.
    pub clients: usize,
    /// The hosts in turns, each with the certificate that it must have.
    pub hosts: Arc<Vec<(ServerName<'static>, CertificateDer<'static>)>>,
}

impl Handshakes {
    /// Starts the clients.
    pub fn start(&self) -> Running {
        Running::start(self.clients, |number, work| self.clone().client(number, work))
    }

    async fn client(self, number: usize, work: Arc<Work>) -> Traffic {
        let mut traffic = Traffic::default();
        for (name, certificate) in self.hosts.iter().cycle().skip(number * self.hosts.len() / self.clients) {
            if work.ends() {
                break;
            }
            let (began, sent) = (Instant::now(), handshake(&self.connector, self.address, name));
            let got = in_time(sent).await.and_then(|got| {
                if got == *certificate {
                    Ok(())
                } else {
                    Err(io::Error::other("it is the certificate of another host"))
                }
            });
            work.note(&mut traffic, began, got).await;
        }
        traffic
    }
}
