//! What the generator is told of its table: the outcome on the volume.

use super::pending_write::PendingWrite;
use crate::{TableOutcome, Volume};

/// As much of a message as an outcome has room for, in bytes.
const LONGEST: usize = 4096;

/// The outcome of the table in force, on the volume as soon as there is room for it.
#[derive(Debug, Default)]
pub(super) struct TableReport {
    outcome: Option<TableOutcome>,
    pending: PendingWrite,
}

impl TableReport {
    /// Reports how it stands, if that is something else than was reported last.
    pub(super) fn write(&mut self, volume: &Volume, frame: &str, revision: Option<u64>, message: Option<&str>) {
        let message = message.unwrap_or_default();
        let message = &message[..message.floor_char_boundary(LONGEST)];
        let is_same = |outcome: &TableOutcome| {
            outcome.frame == frame && outcome.revision == revision && outcome.message == message
        };
        if !self.outcome.as_ref().is_some_and(is_same) {
            let (frame, message) = (frame.to_owned(), message.to_owned());
            self.outcome = Some(TableOutcome { frame, revision, message, at: jiff::Timestamp::now() });
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
        self.pending
            .note(&volume.write_table_outcome(outcome), "cannot write the outcome of the route table; trying again");
    }
}
