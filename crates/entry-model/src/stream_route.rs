//! Ports at which what comes goes to a backend as it is, whatever is spoken: TCP and UDP services.

use std::fmt;

use crate::{BackendAddress, ObjectRef};

/// What a port is for, by Kubernetes' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl fmt::Display for Transport {
    /// As `protocol` of a Service's port has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// A port of this entry: of each address at which it listens for HTTP or HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamPort {
    /// What it is for.
    pub transport: Transport,
    /// Its number.
    pub number: u16,
}

impl fmt::Display for StreamPort {
    /// `5432/TCP`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.transport)
    }
}

/// Where what comes to a port goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRoute {
    /// The backend. Of one without endpoints, the port is closed.
    pub backend: BackendAddress,
    /// Whether connections begin with the PROXY protocol, which is taken off.
    pub accepts_proxy_protocol: bool,
    /// Whether those to the backend do.
    pub sends_proxy_protocol: bool,
    /// The object that asked for it.
    pub origin: ObjectRef,
}
