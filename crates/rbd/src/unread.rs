//! What an answer lacks because a pool did not answer.

use std::time::{Duration, Instant};

use rbd_model::fault::{Fault, Kind};
use rbd_model::unread::UnreadPool;

/// How long one of many pools is waited for: one that does not answer takes no more of the time that all have.
const POOL_WAIT: Duration = Duration::from_secs(5);

/// Until when to wait for each of many pools, when the whole answer must come before a deadline.
pub fn deadline_per_pool(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + POOL_WAIT.min(deadline.saturating_duration_since(now) / 2)
}

/// Rejects when pools are unread whose part the answer needs.
///
/// # Errors
/// `ceph-unavailable` with the pools.
pub fn reject_unread(what: &str, unread: &[UnreadPool]) -> Result<(), Fault> {
    if unread.is_empty() {
        return Ok(());
    }
    let pools: Vec<String> = unread.iter().map(|unread| unread.pool.clone()).collect();
    Err(Fault::new(Kind::CephUnavailable, format!("{what} cannot be told: no answer came from {}.", pools.join(", ")))
        .correction("Look at `ceph -s`: placement groups of these pools are not active.")
        .with("pools", pools)
        .retry_after(5))
}
