//! Times of forwarding.

use std::time::Duration;

/// Times of forwarding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeouts {
    /// To connect to the backend.
    pub connect: Option<Duration>,
    /// Between two reads of its answer.
    pub read: Option<Duration>,
    /// Between two writes of the request.
    pub send: Option<Duration>,
}
