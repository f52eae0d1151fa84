//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::auth::Authenticator;
use crate::link::Link;
use crate::metrics::Metrics;
use crate::streams::Streams;
use crate::workers::Workers;

/// What all requests share.
pub struct App {
    /// The connection to Ceph.
    pub link: Link,
    /// The threads that call it.
    pub workers: Workers,
    /// Who calls, and what they may.
    pub auth: Authenticator,
    /// What is counted.
    pub metrics: Metrics,
    /// What streams of image data share.
    pub streams: Streams,
    /// How long a request may wait for Ceph.
    pub deadline: Duration,
    /// Set when the service is ending: not ready, but it still serves.
    pub ending: AtomicBool,
    /// The API description, made once.
    pub openapi: Vec<u8>,
}

/// Shared by all.
pub type Shared = Arc<App>;
