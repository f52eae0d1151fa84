//! Which images were cloned from a snapshot.
//!
//! Clones of format 2 (Mimic and later) are listed in the parent's own header, key `snap_children_<snapshot id>`; those
//! of format 1 in the object `rbd_children` of the pool and namespace that holds the clone.
//!
//! Source: `ChildImageSpec` in Ceph's `src/cls/rbd/cls_rbd_types.cc`, `parent_key` and `add_child` in `cls_rbd.cc`.

use crate::Name;
use crate::decode::{Cursor, DecodeError, Result};

/// The object that lists clones of format 1 of this pool and namespace, by parent.
pub const CHILDREN_OBJECT: &str = "rbd_children";

/// A clone, as its parent's header names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChildImage {
    /// The pool that the clone is in.
    pub pool_id: i64,
    /// The namespace in that pool; empty for the default one, and in records of before Nautilus.
    pub namespace: Name,
    /// The clone's image id. It may be in the trash.
    pub image_id: String,
}

/// A parent snapshot, as the keys of `rbd_children` name it. Clones of format 1 know no namespace: their parent is in
/// the default one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParentSnapshot {
    /// The pool that the parent is in.
    pub pool_id: u64,
    /// The parent's image id.
    pub image_id: String,
    /// The snapshot of the parent.
    pub snap_id: u64,
}

impl ParentSnapshot {
    /// The key of `rbd_children` under which the clones of this snapshot are.
    pub fn key(&self) -> Vec<u8> {
        let id = self.image_id.as_bytes();
        // Ids are of a few bytes, by which librbd makes them.
        let length = u32::try_from(id.len()).unwrap_or(u32::MAX);
        [&self.pool_id.to_le_bytes()[..], &length.to_le_bytes(), id, &self.snap_id.to_le_bytes()].concat()
    }
}

/// Decodes one omap entry of `rbd_children`: the parent snapshot and the ids of its clones in this pool and namespace.
/// The keys are binary and hold NUL bytes.
///
/// # Errors
/// When the key or the value is damaged; the error names the key, and other entries are not affected.
pub fn decode_children_entry(key: &[u8], value: &[u8]) -> Result<(ParentSnapshot, Vec<String>), DecodeError> {
    let decode = || {
        let mut parent = Cursor::new(key);
        let parent = ParentSnapshot {
            pool_id: parent.u64("parent pool id")?,
            image_id: parent.id("parent image id")?,
            snap_id: parent.u64("parent snapshot id")?,
        };
        let children = Cursor::new(value).list("child image ids", 4, |item| item.id("child image id"))?;
        Ok((parent, children))
    };
    decode().map_err(|error: DecodeError| error.at_key(key))
}

/// The value of `snap_children_<snapshot id>`.
pub(crate) fn decode_snap_children(value: &[u8]) -> Result<Vec<ChildImage>> {
    // Version and compat byte, length, pool id and an empty image id: what a ChildImageSpec takes at least.
    const MIN_BYTES: usize = 2 + 4 + 8 + 4;
    Cursor::new(value).list("child images", MIN_BYTES, |item| {
        let (version, mut child) = item.structure("ChildImageSpec", 2)?;
        let pool_id = child.i64("child pool id")?;
        let image_id = child.id("child image id")?;
        let namespace = if version.written >= 2 { child.name("child namespace")? } else { Name::default() };
        Ok(ChildImage { pool_id, namespace, image_id })
    })
}
