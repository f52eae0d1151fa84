//! Snapshots, as an image's header keeps them under `snapshot_<snapshot id>`.
//!
//! Source: `cls_rbd_snap` in Ceph's `src/cls/rbd/cls_rbd.h`, `SnapshotNamespace` in `cls_rbd_types.cc`.

use std::collections::BTreeMap;

use crate::Name;
use crate::decode::{Cursor, Result, Timestamp};
use crate::header::{Parent, decode_parent};

/// A snapshot of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The snapshot's id, unique in its pool.
    pub id: u64,
    /// Its name; of a snapshot in the trash, a generated one ([`SnapshotNamespace::Trash`] has the original).
    pub name: Name,
    /// The image's size when it was taken.
    pub size_bytes: u64,
    /// Whether it is protected from removal, which clones of format 1 require.
    pub protection: Protection,
    /// Bits as in [`crate::header::Flags`], for the snapshot's object map.
    pub flags: u64,
    /// Who made it, and for what.
    pub namespace: SnapshotNamespace,
    /// When it was taken; `None` when it was taken before Luminous, which did not record it.
    pub created: Option<Timestamp>,
    /// How many clones of format 2 it has. Those of format 1 are not counted.
    pub child_count: u32,
    /// How much of the parent was visible through the image then; `None` when the image had no parent.
    pub parent_overlap_bytes: Option<u64>,
}

impl Snapshot {
    /// Decodes the value of one `snapshot_<id>` key of a header, without the rest of the header.
    ///
    /// # Errors
    /// When the value is damaged.
    pub fn decode(value: &[u8]) -> Result<Self> {
        decode_snapshot(value).map(|(snapshot, _)| snapshot)
    }
}

/// Whether a snapshot is protected from removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// It is not.
    Unprotected,
    /// Unprotecting was begun and is looking for clones.
    Unprotecting,
    /// It is.
    Protected,
    /// A state that newer releases may add.
    Unknown(u8),
}

/// Who made a snapshot, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotNamespace {
    /// A person or program, by `rbd snap create`.
    User,
    /// Part of a snapshot of a group.
    Group {
        /// The group's pool.
        pool_id: i64,
        /// The group's id.
        group_id: String,
        /// The group snapshot's id.
        group_snapshot_id: String,
    },
    /// Removed while clones of format 2 still need it; it goes with the last of them.
    Trash {
        /// The name that it had.
        original_name: Name,
        /// The kind of namespace it was in: 0 user, 1 group, 3 mirror.
        original_kind: u32,
    },
    /// Made by mirroring.
    Mirror(MirrorSnapshot),
    /// A kind that newer releases may add, with its number.
    Unknown(u32),
}

/// What mirroring notes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorSnapshot {
    /// 0 primary, 1 primary and demoted, 2 non-primary, 3 non-primary and demoted.
    pub state: u8,
    /// Whether all its data has arrived.
    pub complete: bool,
    /// The peers that still need it.
    pub peer_uuids: Vec<String>,
    /// Of a non-primary snapshot: where it was copied from.
    pub primary_mirror_uuid: String,
    /// Of a non-primary snapshot: the snapshot that it copies, there. Of a primary one: the snapshot since which
    /// nothing was written.
    pub primary_snap_id: u64,
    /// How far copying has come, in data objects.
    pub last_copied_object: u64,
    /// Snapshot ids there and here.
    pub snap_ids: BTreeMap<u64, u64>,
}

/// Decodes the value of `snapshot_<snapshot id>`. Records of before Nautilus repeat the image's parent in each
/// snapshot: it comes beside, for the header to take.
pub(crate) fn decode_snapshot(value: &[u8]) -> Result<(Snapshot, Option<Parent>)> {
    let (version, mut value) = Cursor::new(value).structure("cls_rbd_snap", 8)?;
    let id = value.u64("snapshot id")?;
    let name = value.name("snapshot name")?;
    let size_bytes = value.u64("snapshot size")?;
    let mut parent = None;
    if version.compat < 8 {
        // A copy of the image's features, which nothing reads any more.
        value.u64("snapshot features")?;
        if version.written >= 2 {
            parent = decode_parent(&mut value)?;
        }
    }
    let protection = if version.written >= 3 { value.u8("protection status")? } else { 0 };
    let flags = if version.written >= 4 { value.u64("snapshot flags")? } else { 0 };
    let namespace = if version.written >= 5 { decode_namespace(&mut value)? } else { SnapshotNamespace::User };
    let created = if version.written >= 6 { value.timestamp("snapshot timestamp")?.recorded() } else { None };
    let child_count = if version.written >= 7 { value.u32("child count")? } else { 0 };
    let parent_overlap_bytes = if version.written >= 8 { value.optional_u64("parent overlap")? } else { None };
    let snapshot = Snapshot {
        id,
        name,
        size_bytes,
        protection: match protection {
            0 => Protection::Unprotected,
            1 => Protection::Unprotecting,
            2 => Protection::Protected,
            other => Protection::Unknown(other),
        },
        flags,
        namespace,
        created,
        child_count,
        parent_overlap_bytes: parent_overlap_bytes.or(parent.as_ref().and_then(|parent| parent.overlap_bytes)),
    };
    Ok((snapshot, parent))
}

fn decode_namespace(outer: &mut Cursor<'_>) -> Result<SnapshotNamespace> {
    let (_, mut value) = outer.structure("SnapshotNamespace", 2)?;
    Ok(match value.u32("snapshot namespace type")? {
        0 => SnapshotNamespace::User,
        1 => SnapshotNamespace::Group {
            pool_id: value.i64("group pool id")?,
            group_id: value.text("group id")?,
            group_snapshot_id: value.text("group snapshot id")?,
        },
        2 => SnapshotNamespace::Trash {
            original_name: value.name("original snapshot name")?,
            original_kind: value.u32("original snapshot namespace type")?,
        },
        3 => SnapshotNamespace::Mirror(MirrorSnapshot {
            state: value.u8("mirror snapshot state")?,
            complete: value.bool("mirror snapshot completeness")?,
            peer_uuids: value.list("mirror peers", 4, |item| item.text("mirror peer"))?,
            primary_mirror_uuid: value.text("primary mirror uuid")?,
            primary_snap_id: value.u64("primary snapshot id")?,
            last_copied_object: value.u64("last copied object")?,
            snap_ids: value
                .list("snapshot ids", 16, |item| Ok((item.u64("snapshot id")?, item.u64("snapshot id")?)))?
                .into_iter()
                .collect(),
        }),
        other => SnapshotNamespace::Unknown(other),
    })
}
