//! Pools.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A pool.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Its id, which stays through renames and is never used again.
    pub id: i64,
    /// `replicated` or `erasure`.
    pub kind: &'static str,
    /// What it is for, such as `rbd`. A pool that is for nothing is one whose making was cut off.
    pub applications: Vec<String>,
    /// The number of replicas; with erasure coding, of data and coding chunks.
    pub size: u64,
    /// The number of them that must be there for it to be written to.
    pub min_size: u64,
    /// The number of its placement groups; while it changes, the one it changes to.
    pub pg_num: u64,
    /// Whether Ceph changes the number of placement groups; null when it is none of the known modes.
    pub autoscale_mode: Option<AutoscaleMode>,
    /// The name of the CRUSH rule that places its objects; null for one that is gone.
    pub crush_rule: Option<String>,
    /// The most bytes it may store; null for as many as there is room for.
    pub quota_bytes: Option<u64>,
    /// The most objects it may hold; null for any number.
    pub quota_objects: Option<u64>,
    /// When it was made; null on releases that do not tell.
    pub created_at: Option<Timestamp>,
}

/// Whether Ceph changes the number of placement groups of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AutoscaleMode {
    /// It does.
    On,
    /// It does not.
    Off,
    /// It says in the cluster's health when it would.
    Warn,
}

impl AutoscaleMode {
    /// As Ceph writes it.
    pub fn text(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Warn => "warn",
        }
    }

    /// From what Ceph writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::On, Self::Off, Self::Warn].into_iter().find(|mode| mode.text() == text)
    }
}

impl Pool {
    /// Whether it is one whose making was cut off: nobody has said what it is for.
    pub fn is_unfinished(&self) -> bool {
        self.applications.is_empty()
    }
}

/// An image that needs a pool other than its own.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolUser {
    /// Its pool.
    pub pool: String,
    /// Its namespace; empty for the default one.
    pub namespace: String,
    /// Its name; of one in the trash, the name it had.
    pub image: String,
    /// Its id.
    pub id: String,
    /// Whether it is in the trash.
    pub in_trash: bool,
    /// What of it the pool holds.
    pub holds: &'static str,
}

impl PoolUser {
    /// In words.
    pub fn text(&self) -> String {
        let place =
            if self.namespace.is_empty() { self.pool.clone() } else { format!("{}/{}", self.pool, self.namespace) };
        let trash = if self.in_trash { ", in the trash" } else { "" };
        format!("{place}/{} ({}{trash})", self.image, self.holds)
    }
}

/// What images add up to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageTotals {
    /// Their number, with those that cannot be read.
    pub count: u64,
    /// Their sizes, in bytes: what they could hold, not what they take.
    pub provisioned_bytes: u64,
    /// Their snapshots' number.
    pub snapshots: u64,
}
