//! Snapshots of images.

use jiff::Timestamp;
use rbd_format::{Protection, SnapshotNamespace};
use schemars::JsonSchema;
use serde::Serialize;

use crate::names::NonUtf8Name;
use crate::time::timestamp;

/// How many snapshots of an image the kernel's client can map
/// (`RBD_MAX_SNAP_COUNT` in Linux' `drivers/block/rbd.c`).
pub const KRBD_SNAPSHOTS: usize = 510;

/// A snapshot of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Its name; for one in the trash, the name it had. One that is not UTF-8 is only shown, with a slash before it and `\xNN`
    /// for such bytes; `rbd snap rename` gives it another.
    pub name: String,
    /// The bytes of a name that is not UTF-8, in base64; absent when the name is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_base64: Option<String>,
    /// Its id, unique within the pool.
    pub id: u64,
    /// The image's size when it was taken, in bytes.
    pub size_bytes: u64,
    /// Whether it is protected from removal.
    pub protected: bool,
    /// `user`, `group`, `trash`, `mirror` or `unknown`: who it belongs to.
    pub kind: &'static str,
    /// The number of clones that hold it (clone v2).
    pub clones: u32,
    /// When it was taken.
    pub created_at: Option<Timestamp>,
}

impl From<&rbd_format::Snapshot> for Snapshot {
    fn from(raw: &rbd_format::Snapshot) -> Self {
        let (kind, name) = match &raw.namespace {
            SnapshotNamespace::User => ("user", &raw.name),
            SnapshotNamespace::Group { .. } => ("group", &raw.name),
            SnapshotNamespace::Trash { original_name, .. } => ("trash", original_name),
            SnapshotNamespace::Mirror { .. } => ("mirror", &raw.name),
            SnapshotNamespace::Unknown { .. } => ("unknown", &raw.name),
        };
        Self {
            name: name.to_string(),
            name_base64: NonUtf8Name::of(name).map(|name| name.base64()),
            id: raw.id,
            size_bytes: raw.size_bytes,
            protected: raw.protection == Protection::Protected,
            kind,
            clones: raw.child_count,
            created_at: raw.created.and_then(timestamp),
        }
    }
}
