//! The certificates of authorities, and their lists of revoked certificates.

use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use crate::certificate::write_pem;
use crate::chain::parse_certificate;
use crate::pem::read_blocks;

/// Most authorities: clients are told the names of all when they connect.
const MAX_AUTHORITIES: usize = 100;

/// Most bytes of all lists, in PEM.
const MAX_REVOCATION_BYTES: usize = 512 * 1024;

/// Reads certificates and writes them anew, so that nothing else is passed on.
///
/// # Errors
/// What is wrong, in a sentence of fixed words.
pub fn read_authorities(text: &[u8]) -> Result<String, String> {
    let mut all = Vec::new();
    for block in read_blocks(text).into_iter().filter(|block| block.label.ends_with("CERTIFICATE")) {
        let der = block.der.filter(|der| parse_certificate(der).is_some());
        all.push(write_pem("CERTIFICATE", &der.ok_or("A certificate in `ca.crt` cannot be read; write it anew")?));
    }
    match all.len() {
        0 => {
            Err("The Secret has no certificate of an authority in its key `ca.crt`; write it there, in PEM".to_owned())
        }
        number if number > MAX_AUTHORITIES => {
            Err(format!("The key `ca.crt` has more than {MAX_AUTHORITIES} certificates; keep fewer"))
        }
        _ => Ok(all.concat()),
    }
}

/// Reads lists of revoked certificates and writes them anew; empty if there are none.
///
/// # Errors
/// As [`read_authorities`].
pub fn read_revocation_lists(text: &[u8]) -> Result<String, String> {
    const UNREADABLE: &str = "The lists in `ca.crl` cannot be read; write them there in PEM, or remove the key";
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(String::new());
    }
    let mut all = String::new();
    for block in read_blocks(text) {
        let is_list = |der: &Vec<u8>| CertificateRevocationList::from_der(der).is_ok_and(|(rest, _)| rest.is_empty());
        let der = block.der.filter(|der| block.label == "X509 CRL" && is_list(der)).ok_or(UNREADABLE)?;
        all.push_str(&write_pem("X509 CRL", &der));
    }
    match all.len() {
        0 => Err(UNREADABLE.to_owned()),
        length if length > MAX_REVOCATION_BYTES => {
            Err(format!("The key `ca.crl` is longer than {} KiB; keep less in it", MAX_REVOCATION_BYTES / 1024))
        }
        _ => Ok(all),
    }
}
