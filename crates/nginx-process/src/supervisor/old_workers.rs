//! Workers of former revisions, which finish the connections that they have.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use super::GRACE;
use crate::SupervisorSettings;
use crate::proc::{self, Process, WorkerRole};

/// Between two looks at the workers, which cost more than publishing a record does.
const PAUSE: Duration = Duration::from_millis(100);

/// The workers that leave, by pid and start time.
#[derive(Debug, Default)]
pub(super) struct OldWorkers {
    leaving: BTreeMap<(i32, u64), Leaving>,
    /// When they were looked at last.
    looked_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Leaving {
    since: Instant,
    /// When it was told to end.
    told: Option<Instant>,
}

/// What a look at the old workers found.
#[derive(Debug, Clone, Copy)]
pub(super) struct OldWorkerCounts {
    /// How many there are.
    pub(super) number: usize,
    /// How many were told to end now, since there were too many.
    pub(super) ended: u64,
}

impl OldWorkers {
    /// Counts the old workers of a master whose last reload was begun at this moment, and ends the oldest if there are too many. None
    /// if that was done just before.
    pub(super) fn tend(
        &mut self,
        master: i32,
        reload_began: Option<Instant>,
        settings: &SupervisorSettings,
    ) -> Option<OldWorkerCounts> {
        let is_known = |at: Instant| at.elapsed() < PAUSE && reload_began.is_none_or(|began| began < at);
        if self.looked_at.is_some_and(is_known) {
            return None;
        }
        self.looked_at = Some(Instant::now());
        let mut old: Vec<Process> =
            proc::children(master).into_iter().filter(|process| process.role() == WorkerRole::Leaving).collect();
        old.sort_by_key(|process| process.start);
        let known = std::mem::take(&mut self.leaving);
        let mut ended = 0;
        for (index, process) in old.iter().enumerate() {
            let key = (process.pid, process.start);
            let mut leaving = known.get(&key).copied().unwrap_or(Leaving { since: Instant::now(), told: None });
            let excess = index + settings.max_old_workers < old.len();
            if excess && leaving.told.is_none() && leaving.since.elapsed() >= settings.old_worker_grace {
                ended += 1;
                leaving.told = Some(Instant::now());
                process.signal(Signal::TERM);
            }
            if leaving.told.is_some_and(|told| told.elapsed() >= GRACE) {
                process.signal(Signal::KILL);
            }
            self.leaving.insert(key, leaving);
        }
        if ended > 0 {
            tracing::warn!(ended, "ended the oldest workers of former revisions: there were too many");
        }
        Some(OldWorkerCounts { number: old.len(), ended })
    }

    /// How many may not be ended yet.
    pub(super) fn young(&self, grace: Duration) -> usize {
        self.leaving.values().filter(|leaving| leaving.since.elapsed() < grace).count()
    }

    /// There are none any more: nginx has ended.
    pub(super) fn clear(&mut self) {
        *self = OldWorkers::default();
    }
}
