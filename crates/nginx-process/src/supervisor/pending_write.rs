//! What could not be written on the volume yet.

use crate::Result;

/// Whether what was written last still has to come onto the volume.
#[derive(Debug, Default)]
pub(super) struct PendingWrite {
    is_due: bool,
}

impl PendingWrite {
    /// Whether it is to be tried again.
    pub(super) fn is_due(&self) -> bool {
        self.is_due
    }

    /// Notes how a write ended. A failure is logged once, with what it means.
    pub(super) fn note(&mut self, written: &Result<()>, failure: &'static str) {
        if let Err(error) = written
            && !self.is_due
        {
            tracing::error!(%error, "{failure}");
        }
        self.is_due = written.is_err();
    }
}
