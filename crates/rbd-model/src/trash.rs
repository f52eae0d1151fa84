//! The trash.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

/// An image in the trash.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrashItem {
    /// Its id, by which it is restored and removed.
    pub id: String,
    /// The name that it had. One that is not UTF-8 is shown with a slash before it and `\xNN` for such bytes.
    pub name: String,
    /// The pool.
    pub pool: String,
    /// The namespace; empty for the default one.
    pub namespace: String,
    /// Who put it there.
    pub source: TrashSource,
    /// What is being done to it.
    pub state: TrashState,
    /// What is wrong with its entry in the list; null when nothing is.
    pub state_reason: Option<String>,
    /// Its size, in bytes; null when its header cannot be read.
    pub size_bytes: Option<u64>,
    /// The names of its snapshots; null when its header cannot be read.
    pub snapshots: Option<Vec<String>>,
    /// When it was put there.
    pub deleted_at: Option<Timestamp>,
    /// When its retention ends; before that it is removed only when forced.
    pub expires_at: Option<Timestamp>,
    /// Whether it can be removed for good now, without force.
    pub removable: bool,
    /// Why not.
    pub not_removable_reason: Option<String>,
}

/// Who put an image into the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TrashSource {
    /// A person or program, to be restored or removed later.
    User,
    /// rbd-mirror.
    Mirroring,
    /// A migration: it is its source.
    Migration,
    /// A removal that was begun.
    Removing,
    /// A removal, while clones still need it: it goes with the last of them.
    UserParent,
    /// None of these.
    Unknown,
}

/// What is being done to an image in the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrashState {
    /// Nothing: it can be restored.
    Trashed,
    /// It is being moved in, or that was cut off.
    Moving,
    /// Its removal was begun; it can only be removed again.
    Removing,
    /// It is being restored, or that was cut off: restoring it again finishes it.
    Restoring,
    /// Its entry in the list cannot be read; it can only be removed.
    Damaged,
    /// None of these.
    Unknown,
}
