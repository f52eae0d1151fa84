//! Groups of images: `rbd_group_directory`, whose entries are as those of `rbd_directory`
//! ([`crate::DirectoryEntry::decode`]), and `rbd_group_header.<group id>`.
//!
//! Source: `group_image_set`, `group_snap_set` in Ceph's `src/cls/rbd/cls_rbd.cc`, `GroupImageSpec::image_key` and
//! `GroupSnapshot` in `cls_rbd_types.cc`.

use crate::Name;
use crate::decode::{Cursor, DecodeError, Result, hex_id};
use crate::id::id;

/// The object that maps group names to ids and back, in each namespace of a pool.
pub const GROUP_DIRECTORY_OBJECT: &str = "rbd_group_directory";

/// The name of the object that describes the group with this id.
pub fn group_header_object(group_id: &str) -> String {
    format!("rbd_group_header.{group_id}")
}

/// One omap entry of `rbd_group_header.<group id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEntry {
    /// Key `image_<pool id>_<image id>`.
    Image(GroupImage),
    /// Key `snapshot_<group snapshot id>`.
    Snapshot(GroupSnapshot),
}

/// An image in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupImage {
    /// The image's pool.
    pub pool_id: i64,
    /// The image's id.
    pub image_id: String,
    /// False while it is being added or removed, or when that was interrupted.
    pub attached: bool,
}

/// A snapshot of all images of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSnapshot {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Name,
    /// False while it is being taken, or when that was interrupted.
    pub complete: bool,
    /// The snapshots of the images that make it up.
    pub images: Vec<GroupSnapshotImage>,
}

/// The snapshot of one image that is part of a group's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSnapshotImage {
    /// The image's pool.
    pub pool_id: i64,
    /// The image's id.
    pub image_id: String,
    /// The snapshot of the image; Ceph's "no snapshot" (`u64::MAX - 1`) before it is taken.
    pub snap_id: u64,
}

impl GroupEntry {
    /// Decodes one entry; `None` when the key is of no known kind.
    ///
    /// # Errors
    /// When the key or the value is damaged; the error names the key, and other entries are not affected.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Option<Self>, DecodeError> {
        decode_entry(key, value).map_err(|error| error.at_key(key))
    }
}

fn decode_entry(key: &[u8], value: &[u8]) -> Result<Option<GroupEntry>> {
    const INVALID_KEY: DecodeError =
        DecodeError::Invalid { what: "group image key", reason: "is not image_<16 hexadecimal digits>_<id>" };
    let mut value = Cursor::new(value);
    if let Some(image) = key.strip_prefix(b"image_") {
        let (pool_id, rest) = image.split_at_checked(16).ok_or(INVALID_KEY)?;
        let image_id = rest.strip_prefix(b"_").ok_or(INVALID_KEY)?;
        let pool_id = i64::try_from(hex_id(pool_id, "group image key")?).map_err(|_| INVALID_KEY)?;
        return Ok(Some(GroupEntry::Image(GroupImage {
            pool_id,
            image_id: id(image_id, "image id")?,
            attached: value.u8("group image state")? == 0,
        })));
    }
    if key.starts_with(b"snapshot_") {
        // Version and compat byte, length, pool id, an empty image id, snapshot id.
        const MIN_IMAGE_BYTES: usize = 2 + 4 + 8 + 4 + 8;
        let (_, mut value) = value.structure("GroupSnapshot", 2)?;
        return Ok(Some(GroupEntry::Snapshot(GroupSnapshot {
            id: value.text("group snapshot id")?,
            name: value.name("group snapshot name")?,
            complete: value.u8("group snapshot state")? == 1,
            images: value.list("group snapshot images", MIN_IMAGE_BYTES, |item| {
                let (_, mut image) = item.structure("ImageSnapshotSpec", 1)?;
                Ok(GroupSnapshotImage {
                    pool_id: image.i64("pool id")?,
                    image_id: image.id("image id")?,
                    snap_id: image.u64("snapshot id")?,
                })
            })?,
        })));
    }
    Ok(None)
}
