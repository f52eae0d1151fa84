//! A copy of each request for another server.

use super::{OutsideServer, UrlText};

/// A copy of each request for another server, whose answer nobody gets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mirror {
    /// Where the server is reached.
    pub server: OutsideServer,
    /// Whether it speaks TLS. Its certificate is not verified.
    pub tls: bool,
    /// The host that it is told.
    pub host: UrlText,
    /// The path and the query that it is asked for.
    pub target: UrlText,
    /// Whether it gets the body, for which that is held until it is whole.
    pub with_body: bool,
}
