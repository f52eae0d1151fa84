//! What an answer lacks because a pool did not answer.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use crate::fault::{Fault as Problem, Kind};

/// How long one of many pools is waited for: one that does not answer takes no more of the time that all have.
const PATIENCE: Duration = Duration::from_secs(5);

/// A pool that could not be read, so that what it holds is missing from an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UnreadPool")]
pub struct Unread {
    /// The pool.
    pub pool: String,
    /// Why it could not be read.
    pub reason: String,
}

impl Unread {
    /// A pool that did not answer in time.
    pub fn silent(pool: &str) -> Self {
        Self { pool: pool.to_owned(), reason: "It did not answer in time; look at `ceph health detail`.".to_owned() }
    }
}

/// Until when to wait for each of many pools, when the whole answer must come before a deadline.
pub fn patience(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + PATIENCE.min(deadline.saturating_duration_since(now) / 2)
}

/// Refuses when pools are unread whose part the answer needs.
///
/// # Errors
/// `ceph-unavailable` with the pools.
pub fn refuse_unread(what: &str, unread: &[Unread]) -> Result<(), Problem> {
    if unread.is_empty() {
        return Ok(());
    }
    let pools: Vec<String> = unread.iter().map(|unread| unread.pool.clone()).collect();
    Err(Problem::new(
        Kind::CephUnavailable,
        format!("{what} cannot be told: no answer came from {}.", pools.join(", ")),
    )
    .correction("Look at `ceph -s`: placement groups of these pools are not active.")
    .with("pools", pools)
    .retry_after(5))
}
