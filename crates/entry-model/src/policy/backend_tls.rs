//! How a backend is known, and what it is shown.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::ObjectRef;

/// How a backend that is spoken to over TLS is known, and what it is shown. By default it is sent the host of the request as name, and is not
/// verified.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendTls {
    /// Who must have issued its certificate; it is not verified without.
    pub verification: Option<Verification>,
    /// The certificate that it is shown, with its chain and its key.
    pub certificate: Option<Pem>,
    /// Its name, rather than the host of the request: a name or an address.
    pub name: Option<String>,
    /// Whether it is not sent the name when the connection begins (SNI).
    pub hides_name: bool,
    /// Ciphers up to TLS 1.2, as OpenSSL has them.
    pub ciphers: Option<String>,
    /// Versions of TLS; those of nginx if there are none.
    pub protocols: BTreeSet<TlsVersion>,
    /// The Secret that the certificates are from.
    pub origin: Option<ObjectRef>,
}

/// Who must have issued a certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Verification {
    /// The certificates of the authorities.
    pub authorities: Pem,
    /// How many certificates there may be between one of these and the backend's.
    pub depth: u8,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl TlsVersion {
    /// What nginx calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "TLSv1.2",
            Self::V1_3 => "TLSv1.3",
        }
    }
}

/// Certificates, and maybe a key, in PEM. Cheap to clone; never printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pem(pub Arc<[u8]>);

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pem").field(&self.0.len()).finish()
    }
}
