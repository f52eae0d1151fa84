//! Reading many pools at once, of which some may not answer.

use std::time::{Duration, Instant};

/// How long names are waited for that only another pool knows, such as those of a clone's parent: one pool that does not
/// answer keeps no list of another.
const OTHER_POOL_WAIT: Duration = Duration::from_secs(2);

/// Until when to wait for a pool that is not the one asked for.
pub fn deadline_for_other_pools(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + OTHER_POOL_WAIT.min(deadline.saturating_duration_since(now) / 2)
}

/// Calls `read` for all places, one after the other only if there is one: a place that does not answer takes no time from
/// another.
pub fn read_at_once<P: Sync, T: Send>(places: &[P], read: impl Fn(&P) -> T + Sync) -> Vec<T> {
    if let [place] = places {
        return vec![read(place)];
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = places.iter().map(|place| scope.spawn(|| read(place))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}
