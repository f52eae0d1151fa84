//! What a turn of the supervisor does, and how that is decided.

use tokio::time::Instant;

use super::{POLL, Supervisor, TICK};
use crate::child::Nginx;

/// What a turn does.
#[derive(Debug)]
pub(super) enum Step {
    /// Ends what is left of nginx, whose master has ended.
    Reap { end: String },
    /// Tries the revision that is offered.
    Try { revision: String },
    /// Publishes what is new of the table.
    Publish,
    /// Makes the table anew in a larger memory.
    RenewTable,
    /// Starts nginx again on the revision that it served.
    Restart { revision: String },
    /// Starts what was live before this process, since what is offered cannot be used.
    Resume { revision: String },
    /// Waits for a moment, the end of nginx, or a change on the volume if there can be one to act on.
    Wait { until: Instant, for_changes: bool },
}

impl Supervisor {
    /// Decides by what is there: nginx, the volume, the clock.
    pub(super) fn decide(&mut self) -> Step {
        if let Some(end) = self.nginx.as_mut().and_then(Nginx::ended) {
            return Step::Reap { end };
        }
        if self.table_lane.has_news() {
            return Step::Publish;
        }
        let mut wait = (Instant::now() + TICK, true);
        if self.read_offer().is_some() {
            let next = self.next_reload();
            if self.nginx.is_some() && next > Instant::now() {
                return Step::Wait { until: next, for_changes: self.table_lane.is_active() };
            }
            let pause = match self.volume.claim() {
                // Another may have been offered since; one that was tried may be offered again.
                Ok(Some(revision)) if self.candidates.wants(&revision) => return Step::Try { revision },
                // Another offer is just being written. That does not hold up a restart.
                Ok(_) => POLL,
                Err(error) => {
                    tracing::error!(%error, "cannot take what is offered");
                    TICK
                }
            };
            wait = (Instant::now() + pause, self.table_lane.is_active());
        } else {
            self.acknowledge();
        }
        let (until, for_changes) = wait;
        if self.nginx.is_some() {
            return match self.table_lane.renewal().map(|renewal| renewal.max(self.next_reload())) {
                Some(renewal) if renewal <= Instant::now() => Step::RenewTable,
                Some(renewal) => Step::Wait { until: until.min(renewal), for_changes },
                None => Step::Wait { until, for_changes },
            };
        }
        if let Some(revision) = self.candidates.good.clone() {
            if self.start_at <= Instant::now() {
                return Step::Restart { revision };
            }
            return Step::Wait { until: until.min(self.start_at), for_changes };
        }
        match self.candidates.former.take() {
            Some(revision) => Step::Resume { revision },
            None => Step::Wait { until, for_changes },
        }
    }
}
