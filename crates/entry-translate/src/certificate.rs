//! From a Secret to a certificate.

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use entry_model::{Certificate, CertificateId, HostName, Kind, Secret};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use crate::chain::{self, CertificateRemark};
use crate::private_key::{self, PrivateKey};

/// Most bytes of a chain, in PEM.
const MAX_CHAIN_BYTES: usize = 32 * 1024;

/// A certificate whose key fits.
#[derive(Debug)]
pub struct LoadedCertificate {
    pub id: CertificateId,
    pub certificate: Arc<Certificate>,
    /// From when to when it is valid, in seconds since 1970.
    pub valid: (i64, i64),
    /// What its owner should know.
    pub remarks: Vec<CertificateRemark>,
    /// The names that it is for, in lower case.
    names: HashSet<String>,
}

impl LoadedCertificate {
    /// Whether clients accept it for a host. None is for every host.
    pub fn is_for(&self, host: &HostName) -> bool {
        let named = |name: &str| self.names.contains(name);
        match host {
            HostName::Exact(name) => {
                named(name) || name.split_once('.').is_some_and(|(_, parent)| named(&format!("*.{parent}")))
            }
            HostName::OneLabel(parent) => named(&format!("*.{parent}")),
            // No name of a certificate stands for several labels, or for all hosts.
            HostName::Suffix(_) | HostName::Any => false,
        }
    }

    /// What of the Secret is left out, if anything is.
    pub fn damage(&self) -> Option<&str> {
        self.remarks.iter().find(|remark| remark.lost).map(|remark| remark.message.as_str())
    }
}

/// Reads a Secret. What is kept is written anew, so that nothing but certificates and one key is passed on.
///
/// # Errors
/// What is wrong with it, in a sentence of fixed words: nothing of it is quoted.
pub fn load_certificate(secret: &Secret) -> Result<LoadedCertificate, String> {
    let (chain, mut remarks) = chain::read_chain(&secret.certificate)?;
    let parsed: Vec<_> = chain.iter().filter_map(|der| chain::parse_certificate(der)).collect();
    let first = parsed.first().ok_or("the first certificate of tls.crt cannot be read")?;
    let key = find_private_key(&parsed, &secret.key)?;
    let valid = (first.validity().not_before.timestamp(), first.validity().not_after.timestamp());
    let (names, remark) = read_dns_names(first);
    remarks.extend(remark);

    let chain = chain.iter().map(|der| write_pem("CERTIFICATE", der)).collect::<String>().into_bytes();
    if chain.len() > MAX_CHAIN_BYTES {
        return Err(format!(
            "the chain in tls.crt is longer than {} KiB; keep what clients need",
            MAX_CHAIN_BYTES / 1024
        ));
    }
    let key = write_pem(key.label, &key.der).into_bytes();
    let digest = Sha256::new().chain_update(&chain).chain_update(&key).finalize();
    let id = format!("{digest:x}");
    let certificate = Certificate { origin: secret.meta.object(Kind::Secret), chain, key };
    Ok(LoadedCertificate { id: CertificateId(id.into()), certificate: Arc::new(certificate), valid, remarks, names })
}

/// The private key of the first certificate.
fn find_private_key(chain: &[X509Certificate<'_>], text: &[u8]) -> Result<PrivateKey, String> {
    let mut wrong = None;
    for key in private_key::read_private_keys(text) {
        let key = match key {
            Ok(key) => key,
            Err(why) => {
                wrong.get_or_insert(why.to_owned());
                continue;
            }
        };
        match chain.iter().position(|certificate| key.matches(certificate.public_key())) {
            Some(0) => return Ok(key),
            Some(n) => {
                let n = n + 1;
                wrong = Some(format!(
                    "tls.key is the key of certificate {n} in tls.crt, not of the first; put that one first"
                ));
            }
            None => wrong = Some("tls.key is not the key of the first certificate in tls.crt".to_owned()),
        }
    }
    Err(wrong.unwrap_or_else(|| "tls.key holds no private key in PEM".to_owned()))
}

/// The names of DNS that a certificate is for, in lower case.
fn read_dns_names(certificate: &X509Certificate<'_>) -> (HashSet<String>, Option<CertificateRemark>) {
    if let Ok(Some(names)) = certificate.subject_alternative_name() {
        let names = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        return (names.collect(), None);
    }
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let message = "The certificate names its hosts in its subject only, where most clients do not look any more; have it \
                   issued with a subjectAltName";
    (
        common.map(str::to_ascii_lowercase).collect(),
        Some(CertificateRemark { message: message.to_owned(), lost: false }),
    )
}

/// Writes PEM. Source: RFC 7468.
pub fn write_pem(label: &str, der: &[u8]) -> String {
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
