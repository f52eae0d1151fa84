//! Who may ask, by certificate.

use std::sync::Arc;

use crate::{Key, Kind, ObjectRef};

/// Who may ask, by the certificate of the client (RFC 8446, 4.4.2). It is asked for when a connection is made, so that it is the same for
/// all rules of a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientCertificates {
    /// It cannot be known: nobody may, and requests are answered 503.
    Unusable,
    /// Whoever has one of these.
    Usable(ClientCertificateRule),
}

/// What is asked of the certificates of clients.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientCertificateRule {
    /// How connections are made; the same for all of a host.
    pub verification: Arc<ClientVerification>,
    /// A pattern that the subject must match, as RFC 2253 writes it; else requests are answered 403.
    pub subject: Option<String>,
    /// Whether backends are told the certificate, and not only what became of it.
    pub passes_certificate: bool,
}

/// How the certificate of a client is verified when a connection is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientVerification {
    /// Whether there must be one.
    pub mode: VerificationMode,
    /// How many certificates there may be between that of the client and that of an authority.
    pub depth: u8,
    /// The certificates of the authorities, in PEM.
    pub authorities: Arc<str>,
    /// The lists of certificates that are revoked, in PEM; empty without any.
    pub revoked: Arc<str>,
    /// Where clients are sent that have none that is valid; they are answered 400 without it.
    pub error_page: Option<String>,
    /// The Secret it is from.
    pub origin: ObjectRef,
}

/// Whether a client must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VerificationMode {
    /// It must, and it must be valid.
    Required,
    /// If it has one, that must be valid.
    Optional,
    /// If it has one, backends are told whether it is valid.
    OptionalOfAnyone,
}

impl ClientCertificates {
    /// How connections are made; none if nothing is asked for that can be used.
    pub fn verification(&self) -> Option<&Arc<ClientVerification>> {
        match self {
            Self::Unusable => None,
            Self::Usable(rule) => Some(&rule.verification),
        }
    }

    /// What is still asked of clients whose connections were made, whoever has verified them: it is the same for all hosts that ask the same
    /// then.
    #[must_use]
    pub fn of_verified_clients(&self) -> Self {
        let Self::Usable(rule) = self else { return Self::Unusable };
        let ClientVerification { mode, depth: _, authorities: _, revoked: _, error_page: _, origin: _ } =
            *rule.verification;
        let verification = ClientVerification {
            mode,
            depth: 0,
            authorities: "".into(),
            revoked: "".into(),
            error_page: None,
            origin: ObjectRef::new(Kind::Secret, Key { namespace: String::new(), name: String::new() }),
        };
        Self::Usable(ClientCertificateRule { verification: verification.into(), ..rule.clone() })
    }
}
