//! What the generator is told of its offer: the outcome on the volume.

use super::pending_write::PendingWrite;
use crate::{OutcomeState, RevisionOutcome, Volume};

/// The outcome of the revision that was tried last, on the volume as soon as there is room for it.
#[derive(Debug, Default)]
pub(super) struct Report {
    outcome: Option<RevisionOutcome>,
    pending: PendingWrite,
}

impl Report {
    /// Whether it is about this revision.
    pub(super) fn is_about(&self, revision: &str) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.hash == revision)
    }

    /// The outcome that was reported last.
    pub(super) fn last(&self) -> Option<RevisionOutcome> {
        self.outcome.clone()
    }

    /// Reports what became of a revision while `live` is in force.
    pub(super) fn write(
        &mut self,
        volume: &Volume,
        revision: &str,
        state: OutcomeState,
        message: String,
        live: Option<String>,
    ) {
        let at = jiff::Timestamp::now();
        self.replace(volume, RevisionOutcome { hash: revision.to_owned(), state, message, at, live });
    }

    /// Reports this outcome instead of the last one.
    pub(super) fn replace(&mut self, volume: &Volume, outcome: RevisionOutcome) {
        self.outcome = Some(outcome);
        self.flush(volume);
    }

    /// Reports that another revision, or none, is in force now.
    pub(super) fn set_live(&mut self, volume: &Volume, live: Option<String>) {
        if let Some(outcome) = self.outcome.as_mut().filter(|outcome| outcome.live != live) {
            outcome.live = live;
            self.flush(volume);
        }
    }

    /// Writes what could not be written before.
    pub(super) fn retry(&mut self, volume: &Volume) {
        if self.pending.is_due() {
            self.flush(volume);
        }
    }

    fn flush(&mut self, volume: &Volume) {
        let Some(outcome) = &self.outcome else { return };
        self.pending.note(&volume.write_outcome(outcome), "cannot write the outcome; trying again");
    }
}
