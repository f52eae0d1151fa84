//! What is counted of the requests of a route.

/// The classes of statuses; of requests without a status, since the client went away before, the first.
pub const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The longest durations of all buckets but the last, in milliseconds.
pub const BUCKET_MS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/// How many buckets there are: the last is for what took longer than all these.
pub const BUCKETS: usize = BUCKET_MS.len() + 1;

/// nginx's own status: the client has closed the connection before it had its answer.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// A request that has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CountedRequest {
    /// What it was answered; 0 if it was not.
    pub status: u16,
    /// From its first byte to the last one of its answer, in milliseconds.
    pub duration_ms: u64,
    /// What was sent to the client, heads and bodies.
    pub sent_bytes: u64,
    /// What came from it.
    pub received_bytes: u64,
    /// How often it was sent to another endpoint.
    pub retries: u64,
}

/// What was counted of the requests of a route. Counts only grow, until the supervisor or the route ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteTotals {
    /// The object, as access logs have it: `Ingress shop/web`; `other` and `none` are all routes that are not counted each for
    /// itself, and requests without a route.
    pub route: String,
    /// Requests by [`STATUS_CLASSES`].
    pub by_class: [u64; STATUS_CLASSES.len()],
    /// Those whose client went away before it had its answer.
    pub aborted: u64,
    /// Bytes that were sent to clients.
    pub sent_bytes: u64,
    /// Bytes that came from clients.
    pub received_bytes: u64,
    /// How often requests were sent to another endpoint.
    pub retries: u64,
    /// The durations of all, in milliseconds.
    pub duration_ms: u64,
    /// Requests by duration: those longer than one bucket and not longer than the next.
    pub by_bucket: [u64; BUCKETS],
}

impl RouteTotals {
    /// The class of a status, by its place in [`STATUS_CLASSES`].
    pub(crate) fn class(status: u16) -> usize {
        let class = usize::from(status / 100);
        if class < STATUS_CLASSES.len() { class } else { 0 }
    }

    pub(crate) fn is_aborted(status: u16) -> bool {
        matches!(status, 0 | CLIENT_CLOSED_REQUEST)
    }

    /// The bucket of a duration.
    pub(crate) fn bucket(duration_ms: u64) -> usize {
        BUCKET_MS.iter().take_while(|most| duration_ms > **most).count()
    }

    /// Adds what was counted of the same route elsewhere.
    pub(crate) fn add(&mut self, other: &Self) {
        let scalars = [
            &mut self.aborted,
            &mut self.sent_bytes,
            &mut self.received_bytes,
            &mut self.retries,
            &mut self.duration_ms,
        ];
        let others = [other.aborted, other.sent_bytes, other.received_bytes, other.retries, other.duration_ms];
        let own = self.by_class.iter_mut().chain(&mut self.by_bucket).chain(scalars);
        for (own, other) in own.zip(other.by_class.iter().chain(&other.by_bucket).chain(&others)) {
            *own = own.wrapping_add(*other);
        }
    }
}
