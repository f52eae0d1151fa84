//! What of a rule the table does not carry.

use std::fmt;

use entry_model::{HostName, ObjectRef};
use thiserror::Error;

/// A rule that the table leaves to nginx.conf.
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
        write!(f, "the path {path:?}: {}", self.reason)
    }
}

/// Why a rule is not carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotCarriedReason {
    /// All requests of its host that it or a later rule may match are left to the frame: no engine for patterns is in the reader.
    #[error("the route table has no regular expressions for paths, so its host is left to nginx.conf")]
    PathPattern,
    /// As [`NotCarriedReason::PathPattern`].
    #[error("the route table has no regular expressions for headers and parameters, so its host is left to nginx.conf")]
    ValuePattern,
    /// Its requests are left to the frame.
    #[error("the route table has no regular expressions for rewriting, so the rule is left to nginx.conf")]
    RewritePattern,
    /// Its requests are left to the frame.
    #[error("nginx.conf has no class of locations for it")]
    NoClass,
    /// A host of more than 253 bytes, which is in no DNS: no request is served there.
    #[error("its host is longer than any name in DNS, so it is not served")]
    LongHost,
    /// All requests of its host are left to the frame.
    #[error("the path is longer or deeper than the route table takes, so its host is left to nginx.conf")]
    LongPath,
    /// All requests of its path are left to the frame.
    #[error("its rules are longer than the route table takes, so they are left to nginx.conf")]
    LongRules,
    /// No request has such a path.
    #[error("it does not begin with a slash, so no request has such a path")]
    NoPath,
}

impl NotCarriedReason {
    /// Whether all of its host is left to the frame: else a rule that comes later would get its requests.
    pub fn is_of_host(self) -> bool {
        matches!(self, Self::PathPattern | Self::ValuePattern | Self::LongPath)
    }
}
