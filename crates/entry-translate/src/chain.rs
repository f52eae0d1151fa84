//! A chain of certificates, as a Secret holds it: each is issued by the next.

use x509_parser::oid_registry::{
    OID_HASH_SHA1, OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA, Oid,
};
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate, X509Error};
use x509_parser::public_key::PublicKey;

use crate::pem;

/// Most certificates of a chain. Real ones have two or three.
const MAX_CERTIFICATES: usize = 10;
/// Fewest bits of an RSA key that TLS libraries take at their usual level of security: 112 bits. They round up.
pub const MIN_RSA_BITS: usize = 2047;
/// Fewest bits of a curve for the same.
const MIN_EC_BITS: usize = 224;

/// What the owner of a certificate that is served should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRemark {
    /// A sentence in fixed words.
    pub message: String,
    /// Whether something of the Secret is left out by it.
    pub lost: bool,
}

impl CertificateRemark {
    fn lost(message: String) -> Self {
        Self { message, lost: true }
    }
}

/// The certificates of a text, in DER and in its order, and what is wrong with it.
///
/// # Errors
/// None of them can be used.
pub fn read_chain(text: &[u8]) -> Result<(Vec<Vec<u8>>, Vec<CertificateRemark>), String> {
    let (mut chain, mut remarks) = (Vec::new(), Vec::new());
    for (n, block) in pem::read_blocks(text).iter().enumerate().filter(|(_, block)| !is_other_block(&block.label)) {
        let (found, whole) =
            block.der.as_deref().map(|der| certificates_of_block(der, &block.label)).unwrap_or_default();
        chain.extend(found);
        if !whole {
            let n = n + 1;
            remarks.push(CertificateRemark::lost(format!(
                "Block {n} of tls.crt is no certificate that can be read: it is cut, changed or of another kind"
            )));
        }
        if chain.len() + remarks.len() > MAX_CERTIFICATES {
            return Err(format!(
                "tls.crt holds more than {MAX_CERTIFICATES} certificates; keep its own and those of its issuers"
            ));
        }
    }
    match (chain.is_empty(), remarks.first()) {
        (true, Some(_)) => Err("tls.crt holds no certificate that can be read: its blocks are cut, changed or of \
                                another kind"
            .to_owned()),
        (true, None) => Err("tls.crt holds no certificate in PEM".to_owned()),
        (false, _) => {
            remarks.extend(drop_weak_certificates(&mut chain)?);
            remarks.extend(drop_repeated_certificates(&mut chain));
            remarks.extend(find_chain_breaks(&chain));
            Ok((chain, remarks))
        }
    }
}

/// Whether a block is said to be something else that may stand beside certificates.
fn is_other_block(label: &str) -> bool {
    ["KEY", "PARAMETERS", "CRL"].iter().any(|other| label.contains(other))
}

/// The certificates of a block, of which there are several if the lines between two were lost, and whether that is all of it.
fn certificates_of_block(mut der: &[u8], label: &str) -> (Vec<Vec<u8>>, bool) {
    let mut found = Vec::new();
    while !der.is_empty() && found.len() <= MAX_CERTIFICATES {
        let Ok((rest, _)) = X509Certificate::from_der(der) else { break };
        found.push(der[..der.len() - rest.len()].to_vec());
        der = rest;
    }
    // What OpenSSL calls trusted has notes of its own behind the certificate.
    let whole = !found.is_empty() && (der.is_empty() || label.starts_with("TRUSTED"));
    (found, whole)
}

pub fn parse_certificate(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

/// Takes away what nginx's TLS library rejects together with everything else. The first one is needed.
fn drop_weak_certificates(chain: &mut Vec<Vec<u8>>) -> Result<Vec<CertificateRemark>, String> {
    let why = |der: &Vec<u8>| parse_certificate(der).as_ref().and_then(weakness);
    if let Some(why) = chain.first().and_then(why) {
        return Err(format!("the first certificate of tls.crt {why}, which nginx rejects; have it issued anew"));
    }
    let weak: Vec<_> = chain.iter().enumerate().filter_map(|(n, der)| Some((n, why(der)?))).collect();
    let mut index = 0;
    chain.retain(|_| {
        index += 1;
        weak.iter().all(|(n, _)| n + 1 != index)
    });
    let remark = |(n, why): &(usize, &str)| {
        CertificateRemark::lost(format!("Certificate {} of tls.crt {why}, which nginx rejects: it is not sent", n + 1))
    };
    Ok(weak.iter().map(remark).collect())
}

/// Why a TLS library rejects a certificate at its usual level of security.
fn weakness(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    let self_signed = certificate.subject().as_raw() == certificate.issuer().as_raw();
    if !self_signed && is_weak_digest(&certificate.signature_algorithm.algorithm) {
        return Some("is signed with SHA-1 or MD5");
    }
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < MIN_RSA_BITS && bit_length(key.modulus) < MIN_RSA_BITS => {
            Some("has an RSA key of less than 2048 bits")
        }
        Ok(PublicKey::EC(point)) if ec_bits(point.data()) < MIN_EC_BITS => {
            Some("has a key on a curve of less than 224 bits")
        }
        _ => None,
    }
}

/// The bits of a coordinate of a point, which is compressed or not (SEC 1, 2.3.3).
fn ec_bits(point: &[u8]) -> usize {
    match point {
        [2 | 3, x @ ..] => x.len() * 8,
        [_, both @ ..] => both.len() / 2 * 8,
        [] => 0,
    }
}

/// The bits of a number, which may begin with zeros.
fn bit_length(number: &[u8]) -> usize {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let digits = &number[first..];
    digits.first().map_or(0, |top| digits.len() * 8 - top.leading_zeros() as usize)
}

fn is_weak_digest(algorithm: &Oid<'_>) -> bool {
    // The crate has no constants for ecdsa-with-SHA1 and md2WithRSAEncryption, which are the two in numbers.
    let named = [OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA, OID_HASH_SHA1];
    named.contains(algorithm)
        || ["1.2.840.10045.4.1", "1.2.840.113549.1.1.2"].contains(&algorithm.to_id_string().as_str())
}

/// Takes away those that are there before.
fn drop_repeated_certificates(chain: &mut Vec<Vec<u8>>) -> Vec<CertificateRemark> {
    let mut remarks = Vec::new();
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for (n, der) in chain.drain(..).enumerate() {
        if kept.contains(&der) {
            let message = format!("Certificate {} of tls.crt is there twice, and sent once; remove it", n + 1);
            remarks.push(CertificateRemark { message, lost: false });
        } else {
            kept.push(der);
        }
    }
    *chain = kept;
    remarks
}

/// Where a certificate is not issued by the one that follows it.
fn find_chain_breaks(chain: &[Vec<u8>]) -> Vec<CertificateRemark> {
    let broken = chain.windows(2).enumerate().filter(|(_, two)| {
        !parse_certificate(&two[0])
            .zip(parse_certificate(&two[1]))
            .is_some_and(|(issued, issuer)| is_issued_by(&issued, &issuer))
    });
    let remark = |(n, _): (usize, _)| CertificateRemark {
        message: format!(
            "Certificate {} of the chain in tls.crt is not issued by certificate {}, which follows it, so clients may reject \
             it; let each be followed by its issuer's, and by nothing else",
            n + 1,
            n + 2
        ),
        lost: false,
    };
    broken.map(remark).collect()
}

/// By their names, by the ids of their keys if both have one, and by the signature if its kind is known here.
fn is_issued_by(issued: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    if issued.issuer().as_raw() != issuer.subject().as_raw() {
        return false;
    }
    let ids = (key_id(issued, true), key_id(issuer, false));
    if matches!(ids, (Some(wanted), Some(found)) if wanted != found) {
        return false;
    }
    !matches!(issued.verify_signature(Some(issuer.public_key())), Err(X509Error::SignatureVerificationError))
}

/// The id of the key of a certificate's issuer, or of its own.
fn key_id<'a>(certificate: &'a X509Certificate<'_>, of_issuer: bool) -> Option<&'a [u8]> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) if of_issuer => id.key_identifier.as_ref().map(|id| id.0),
        ParsedExtension::SubjectKeyIdentifier(id) if !of_issuer => Some(id.0),
        _ => None,
    })
}
