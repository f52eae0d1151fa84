//! When a request is sent to another endpoint.

use std::collections::BTreeSet;
use std::time::Duration;

/// When a request is sent to another endpoint of its backend, and how often. What is `None` is as for all others.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Retries {
    /// After which answers or failures; never, if there are none.
    pub conditions: Option<BTreeSet<RetryCondition>>,
    /// How many endpoints are tried in all; 0 is without limit.
    pub tries: Option<u32>,
    /// How long; zero is without limit.
    pub time: Option<Duration>,
}

/// After what a request is sent to another endpoint. Source: `proxy_next_upstream` of nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetryCondition {
    /// The endpoint cannot be reached, or the connection breaks.
    Error,
    /// It does not answer in time.
    Timeout,
    /// It answers with what is no HTTP.
    InvalidHeader,
    /// It answers 500.
    Http500,
    /// It answers 502.
    Http502,
    /// It answers 503.
    Http503,
    /// It answers 504.
    Http504,
    /// It answers 403.
    Http403,
    /// It answers 404.
    Http404,
    /// It answers 429.
    Http429,
    /// Requests are sent twice though that may change something twice, such as those with `POST`.
    NonIdempotent,
}

impl RetryCondition {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Error,
        Self::Timeout,
        Self::InvalidHeader,
        Self::Http500,
        Self::Http502,
        Self::Http503,
        Self::Http504,
        Self::Http403,
        Self::Http404,
        Self::Http429,
        Self::NonIdempotent,
    ];

    /// What nginx calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::InvalidHeader => "invalid_header",
            Self::Http500 => "http_500",
            Self::Http502 => "http_502",
            Self::Http503 => "http_503",
            Self::Http504 => "http_504",
            Self::Http403 => "http_403",
            Self::Http404 => "http_404",
            Self::Http429 => "http_429",
            Self::NonIdempotent => "non_idempotent",
        }
    }
}
