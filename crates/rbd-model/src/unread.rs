//! What an answer lacks because a pool did not answer.

use schemars::JsonSchema;
use serde::Serialize;

/// A pool that could not be read, so that what it holds is missing from an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnreadPool {
    /// The pool.
    pub pool: String,
    /// Why it could not be read.
    pub reason: String,
}

impl UnreadPool {
    /// A pool that did not answer in time.
    pub fn silent(pool: &str) -> Self {
        Self { pool: pool.to_owned(), reason: "It did not answer in time; look at `ceph health detail`.".to_owned() }
    }
}

/// An image that is counted, and whose size and snapshots are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnreadImage {
    /// Its namespace; empty for the default one.
    pub namespace: String,
    /// Its name; of one in the trash, the name it had.
    pub image: String,
    /// Why it could not be read.
    pub reason: String,
}
