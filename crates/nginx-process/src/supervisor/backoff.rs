//! Waits that become longer.

use std::time::Duration;

/// The wait before something is tried again, doubled each time up to a longest one.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff { first, longest, next: first }
    }

    /// The wait that is due now.
    pub(super) fn take(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        wait
    }

    /// Begins anew with the first one.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}
