//! From a Secret to a certificate.

use std::collections::HashSet;
use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{Certificate, CertificateId, HostName, Kind, Secret};

/// A certificate whose key fits.
#[derive(Debug)]
pub struct Loaded {
    pub id: CertificateId,
    pub certificate: Certificate,
    /// From when to when it is valid, in seconds since 1970.
    pub valid: (i64, i64),
    /// The names that it is for, in lower case.
    names: HashSet<String>,
}

impl Loaded {
    /// Whether clients accept it for a host. None is for every host.
    pub fn is_for(&self, host: &HostName) -> bool {
        let named = |name: &str| self.names.contains(name);
        match host {
            HostName::Exact(name) => {
                named(name) || name.split_once('.').is_some_and(|(_, parent)| named(&format!("*.{parent}")))
            }
            HostName::Wildcard(parent) => named(&format!("*.{parent}")),
            HostName::Any => false,
        }
    }
}

/// Reads a Secret. What is kept is written anew, so that nothing but certificates and one key is passed on.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn load(secret: &Secret) -> Result<Loaded, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&secret.certificate)
        .collect::<Result<_, _>>()
        // Not the library's words: they quote the text, and a key may be in it.
        .map_err(|_| "tls.crt is no PEM: a line of it is not base64, or a block does not end")?;
    let first = chain.first().ok_or("tls.crt holds no certificate in PEM")?;
    let key = PrivateKeyDer::from_pem_slice(&secret.key).map_err(|_| "tls.key holds no private key in PEM")?;
    let (_, parsed) =
        X509Certificate::from_der(first).map_err(|_| "the first certificate of tls.crt cannot be read")?;
    let valid = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let names = parsed.subject_alternative_name().ok().flatten().map(|names| {
        names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
    });
    let names = names.map(Iterator::collect).unwrap_or_default();

    let signing = any_supported_type(&key).map_err(|_| "tls.key is of a kind that is not supported, or broken")?;
    CertifiedKey::new(chain.clone(), signing)
        .keys_match()
        .map_err(|_| "tls.key is not the key of the first certificate in tls.crt")?;

    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    let chain = chain.iter().map(|der| pem("CERTIFICATE", der)).collect::<String>().into_bytes();
    let key = pem(label, key.secret_der()).into_bytes();
    let digest = Sha256::new().chain_update(&chain).chain_update(&key).finalize();
    let id = digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let certificate = Certificate { origin: secret.meta.object(Kind::Secret), chain, key };
    Ok(Loaded { id: CertificateId(id), certificate, valid, names })
}

/// Writes PEM. Source: RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem + "-----END " + label + "-----\n"
}
