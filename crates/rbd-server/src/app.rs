//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rbd::ceph_link::CephLink;
use rbd::operations::Operations;
use rbd::workers::Workers;

use crate::audit::Audit;
use crate::auth::Authenticator;
use crate::hosts::HostGuard;
use crate::metrics::Metrics;
use crate::streams::Streams;

/// What all requests share.
pub struct App {
    /// The connection to Ceph.
    pub link: CephLink,
    /// The threads that call it.
    pub workers: Workers,
    /// Long work.
    pub operations: Arc<Operations>,
    /// Who calls, and what they may.
    pub auth: Authenticator,
    /// What keeps pages of other sites out, where callers are not known.
    pub guard: Option<HostGuard>,
    /// Who changed what.
    pub audit: Audit,
    /// What is counted.
    pub metrics: Metrics,
    /// How long the trash keeps an image when the request does not say.
    pub trash_retention: Duration,
    /// What streams of image data share.
    pub streams: Streams,
    /// How long a connection is kept for its next request.
    pub keep_alive: Duration,
    /// How long a request may wait for Ceph.
    pub deadline: Duration,
    /// Set when the service is ending: not ready, but it still serves.
    pub ending: AtomicBool,
    /// The API description, made once.
    pub openapi: Vec<u8>,
}

/// Shared by all.
pub type SharedApp = Arc<App>;
