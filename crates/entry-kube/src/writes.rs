//! What all writers into the cluster share: what they write of, how long a write may take, and what is counted.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use entry_model::{HostOwners, Snapshot, Verdicts};
use tokio::time::sleep;

/// How many writes are under way at the same time.
pub(crate) const PARALLEL: usize = 8;
/// How long one write may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
/// How long nothing is written after a failure.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// After how long a write is tried again that failed, or whose effect was not seen.
pub(crate) const RETRY: Duration = Duration::from_secs(5);

/// A snapshot with the verdicts on it.
#[derive(Debug, Clone)]
pub struct JudgedSnapshot {
    /// The objects.
    pub snapshot: Arc<Snapshot>,
    /// What became of those that concern this controller, accepted ones too.
    pub verdicts: Arc<Verdicts>,
    /// Which namespace holds what from now on.
    pub host_owners: Arc<HostOwners>,
}

/// What was written.
#[derive(Debug, Default)]
pub struct WriteCounters {
    /// Statuses written.
    pub written: AtomicU64,
    /// Statuses that were found to be right already.
    pub unchanged: AtomicU64,
    /// Events written.
    pub events: AtomicU64,
    /// Writes that failed, and will be tried again.
    pub failed: AtomicU64,
}

/// What failed of a batch.
#[derive(Default)]
pub(crate) struct WriteFailures {
    count: usize,
    first: Option<String>,
}

impl WriteFailures {
    pub(crate) fn note(&mut self, message: String) {
        self.count += 1;
        self.first.get_or_insert(message);
    }

    /// Logs it once for all, and pauses: what failed for one will mostly fail for the next.
    pub(crate) async fn log(self) {
        if let Some(first) = self.first {
            tracing::warn!("{} writes failed and will be tried again, the first: {first}", self.count);
            sleep(PAUSE).await;
        }
    }
}
