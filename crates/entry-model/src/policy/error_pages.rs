//! What is answered instead of an error of a backend.

use std::net::SocketAddr;

/// Errors are answered with what another backend says of them, under the same status.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorPages {
    /// The statuses, from 300 to 599, each once.
    pub statuses: Vec<u16>,
    /// Whether errors of the backend are replaced, too, and not only those that nginx makes.
    pub intercepts: bool,
    /// The backend that is asked.
    pub server: SocketAddr,
}
