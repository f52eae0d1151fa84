//! What of a rule the table does not carry.

use std::fmt;

use entry_model::{HostName, ObjectRef};
use thiserror::Error;

/// A rule that the table does not carry. No request of its host is served, since else a rule that comes later would get those of this
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCarried {
    /// Its host; none for the default.
    pub host: Option<HostName>,
    /// The text of its path.
    pub path: String,
    /// The object that asked for it.
    pub origin: ObjectRef,
    /// Why.
    pub reason: NotCarriedReason,
}

impl fmt::Display for NotCarried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: String = self.path.chars().take(100).collect();
        write!(f, "the path {path:?}: {}; ", self.reason)?;
        match (&self.host, self.reason) {
            (_, NotCarriedReason::LongHost) => write!(f, "it is not served"),
            (Some(host), _) => write!(f, "all requests for the host {host} are answered 503"),
            (None, _) => write!(f, "requests for the default are answered 503"),
        }
    }
}

/// Why a rule is not carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotCarriedReason {
    /// A pattern that is out of the bounds of the reader's engine.
    #[error("it has a regular expression that is out of bounds")]
    BadPattern,
    /// A host of more than 253 bytes, which is in no DNS: no request is served there.
    #[error("its host is longer than any name in DNS")]
    LongHost,
    /// The path has no key.
    #[error("the path is longer than the route table takes")]
    LongPath,
    /// The rules of its path do not fit into a blob.
    #[error("the rules of its path are longer than the route table takes")]
    LongRules,
    /// The order of its host's patterns does not fit into a blob.
    #[error("its host has more regular expressions than the route table takes")]
    LongPatternOrder,
    /// No request has such a path.
    #[error("it does not begin with a slash, so no request has such a path")]
    NoPath,
}
