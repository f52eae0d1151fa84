//! What running work and the rest of the replica tell each other, and what all work has in common.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ceph::Errno;
use rbd_model::operation::Progress;

/// How long a read of a directory may take here: work has no client that waits.
pub(super) const READ: Duration = Duration::from_mins(1);

/// What the running work tells, and is told.
#[derive(Debug, Default)]
pub struct Signals {
    done: AtomicU64,
    total: AtomicU64,
    waiting_for: Mutex<Option<String>>,
    cancel: AtomicBool,
}

impl Signals {
    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress { done: self.done.load(Ordering::Relaxed), total: self.total.load(Ordering::Relaxed) }
    }

    /// What it waits for.
    pub fn waiting_for(&self) -> Option<String> {
        self.waiting_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks it to end early.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// Says how far it is, and asks whether to go on.
    pub(super) fn report_progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        if self.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Says how far it is, without asking whether to go on.
    pub fn note_progress(&self, done: u64, total: u64) {
        let _ = self.report_progress(done, total);
    }

    pub(super) fn wait_for(&self, what: Option<String>) {
        *self.waiting_for.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }
}

/// `ENOENT` of a removal is what was wanted.
pub(super) fn ignore_missing(result: ceph::Result<()>) -> ceph::Result<()> {
    match result {
        Err(error) if error.is(Errno::ENOENT) => Ok(()),
        other => other,
    }
}
