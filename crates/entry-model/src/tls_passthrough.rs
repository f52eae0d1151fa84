//! TLS connections that go to a backend as they come.

use crate::{BackendAddress, HostName, ListenerId, ObjectRef, Routes};

/// Where TLS connections for a host go as they come: the backend ends TLS, with a certificate of its own.
///
/// Such a host has no certificate here, so what comes otherwise (a connection that was opened for another host, one while the
/// backend cannot be reached) is not served over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPassthrough {
    /// The backend; none while it does not exist or cannot be reached.
    pub backend: Option<BackendAddress>,
    /// The object that asked for it.
    pub origin: ObjectRef,
}

impl Routes {
    /// Where a TLS connection goes as it comes, by the name that its client asks for; none if the handshake is done here. As for
    /// requests, only the host that matches best is asked.
    pub fn find_passthrough(&self, listener: ListenerId, server_name: &str) -> Option<&BackendAddress> {
        let name = server_name.strip_suffix('.').unwrap_or(server_name).to_ascii_lowercase();
        let is_host = |name: &HostName| self.hosts.get(name).is_some_and(|host| host.is_at(listener));
        let host = HostName::candidates(&name).find(is_host)?;
        self.tls_passthrough.get(&host)?.backend.as_ref()
    }
}
