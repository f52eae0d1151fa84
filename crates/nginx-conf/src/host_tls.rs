//! What the clients of a host are asked when they open a connection over TLS: whatever its routes are, only a server of nginx can ask it.

use std::sync::Arc;

use entry_model::{ClientCertificates, ClientTls, ClientVerification, Host, HostName, ObjectRef, Policies};

use crate::policy_class::content_hash;

/// What the clients of a host are asked when they open a connection over TLS, where that is not what all are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTls {
    /// By whom clients are verified, if they are.
    pub(crate) verification: Option<Arc<ClientVerification>>,
    /// How TLS is spoken with them.
    pub(crate) client_tls: ClientTls,
    /// The object of the first rule.
    pub(crate) origin: ObjectRef,
}

impl HostTls {
    /// None of a host whose clients are asked what all are, and of all other hosts. All rules of a host that say something say the same.
    pub fn of(name: &HostName, host: &Host, policies: &Policies) -> Option<Self> {
        let origin = host.rules.first().filter(|_| *name != HostName::Any)?.origin.clone();
        let (mut verification, mut client_tls, mut last) = (None, None, None);
        for rule in &host.rules {
            // Most are treated as the one before.
            if last.replace(rule.policy) == Some(rule.policy) {
                continue;
            }
            let policy = &policies[rule.policy];
            let asked = || policy.client_certificates.as_ref().and_then(ClientCertificates::verification).cloned();
            verification = verification.or_else(asked);
            client_tls = client_tls.or_else(|| Some(policy.client_tls.clone()).filter(|tls| !tls.is_default()));
        }
        (verification.is_some() || client_tls.is_some()).then(|| Self {
            verification,
            client_tls: client_tls.unwrap_or_default(),
            origin,
        })
    }

    /// A hash of what is asked, whoever asks it: never 0, which stands for what all are asked.
    pub fn class(&self) -> u128 {
        let asked = self.verification.as_deref().map(|verification| {
            let ClientVerification { mode, depth, authorities, revoked, error_page, origin: _ } = verification;
            (mode, depth, authorities, revoked, error_page)
        });
        content_hash(&(asked, &self.client_tls)).max(1)
    }
}
