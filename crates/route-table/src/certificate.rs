//! Certificates with their keys, each in a blob of its own under its id: hosts name it, so what changes of one rewrites no rule.

use std::fmt;

use entry_model::CertificateId;

use crate::bytes::{ByteReader, ByteWriter};
use crate::layout::MOST_CERTIFICATE_BYTES;

/// The longest id of a certificate, in bytes.
pub const MOST_ID_BYTES: usize = 255;

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The chain in PEM, the certificate itself first.
    pub chain: Box<[u8]>,
    /// The key in PEM.
    pub key: Box<[u8]>,
}

impl fmt::Debug for Certificate {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// Whether a certificate fits into a table.
pub fn fits(id: &CertificateId, certificate: &entry_model::Certificate) -> bool {
    is_id(&id.0) && certificate.chain.len() + certificate.key.len() <= MOST_CERTIFICATE_BYTES
}

/// Whether a text can be the id of a certificate in a table.
pub fn is_id(id: &str) -> bool {
    (1..=MOST_ID_BYTES).contains(&id.len())
}

impl Certificate {
    /// The bytes of a certificate that fits.
    pub fn encode(certificate: &entry_model::Certificate) -> Vec<u8> {
        let mut writer = ByteWriter::default();
        // It is shorter than a length can say.
        writer.u32(u32::try_from(certificate.chain.len()).unwrap_or(u32::MAX));
        writer.raw(&certificate.chain);
        writer.raw(&certificate.key);
        writer.into_bytes().unwrap_or_default()
    }

    /// What was written; none if it is not well-formed.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = ByteReader(bytes);
        let len = usize::try_from(reader.u32()?).ok()?;
        let chain = reader.raw(len)?.into();
        Some(Self { chain, key: reader.0.into() })
    }
}
