//! Streams of image data: what all of them together may use, and an open image that is never closed on a thread that
//! must not block.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use ceph::Image;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What streams may use.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// Streams at once, per Ceph pool.
    pub per_pool: usize,
    /// Memory for reading ahead and writing behind, of all streams together, in bytes. Each stream has one chunk (1 to
    /// 4 MiB) beyond it, so that none stands still.
    pub memory_bytes: usize,
    /// How long a client may neither take nor send anything.
    pub idle: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { per_pool: 32, memory_bytes: 256 << 20, idle: Duration::from_mins(1) }
    }
}

/// How long what the client still sends is read and dropped after its request failed, so that it sees the answer.
const LINGER: Duration = Duration::from_secs(5);

/// Goes on taking what comes for a while, in the background: a connection that is closed with bytes unread is reset, and
/// the answer lost with it.
pub fn linger(mut body: Body) {
    tokio::spawn(tokio::time::timeout(LINGER, async move { while let Some(Ok(_)) = body.frame().await {} }));
}

/// What streams share.
pub struct Streams {
    limits: StreamLimits,
    memory: Arc<Semaphore>,
}

/// Memory of a chunk, given back when dropped.
pub type MemoryShare = OwnedSemaphorePermit;

/// What memory is counted in: a semaphore takes no more than `u32::MAX` at once.
const PAGE_BYTES: usize = 4096;

impl Streams {
    /// Nothing used yet.
    pub fn new(limits: StreamLimits) -> Self {
        let pages = (limits.memory_bytes / PAGE_BYTES).min(Semaphore::MAX_PERMITS);
        Self { limits, memory: Arc::new(Semaphore::new(pages)) }
    }

    /// The limits.
    pub fn limits(&self) -> StreamLimits {
        self.limits
    }

    /// A share of the memory, if there is so much left.
    pub fn share(&self, bytes: usize) -> Option<MemoryShare> {
        let pages = u32::try_from(bytes.div_ceil(PAGE_BYTES)).ok()?;
        Arc::clone(&self.memory).try_acquire_many_owned(pages).ok()
    }
}

/// An open image that can be held across waits: wherever it is dropped, it is closed on a thread that may block.
#[derive(Debug, Default)]
pub struct HeldImage(Option<Image>);

impl HeldImage {
    /// Holds an image.
    pub fn new(image: Image) -> Self {
        Self(Some(image))
    }

    /// The image; `None` once it was taken.
    pub fn image(&self) -> Option<&Image> {
        self.0.as_ref()
    }

    /// The image, to be used and closed by the caller, who may block.
    pub fn take(mut self) -> Option<Image> {
        self.0.take()
    }

    /// Closes it and waits for that. Nothing that was written may be uncertain by then: flush before.
    pub async fn close(mut self) {
        if let Some(image) = self.0.take() {
            let _ = tokio::task::spawn_blocking(move || drop(image)).await;
        }
    }
}

impl Drop for HeldImage {
    fn drop(&mut self) {
        let Some(image) = self.0.take() else { return };
        // Without a runtime the process is ending, and whoever drops it may block.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(image));
        }
    }
}
