//! Servers that annotations name, which are no backends.

use std::fmt;
use std::net::SocketAddr;

use super::UrlText;

/// Where a server is reached that an annotation names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutsideServer {
    /// Nowhere: what says where cannot be followed. Where it decides what passes, nothing does, and requests are answered 503.
    Unknown,
    /// At this address.
    Address(SocketAddr),
    /// At the addresses of its name, which are looked up when a request needs them.
    Name {
        /// The name.
        name: UrlText,
        /// The port.
        port: u16,
    },
}

impl fmt::Display for OutsideServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Name { name, port } => write!(f, "{name}:{port}"),
        }
    }
}
