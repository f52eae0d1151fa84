//! Images of format 1, deprecated since Jewel: `<name>.rbd`, the header, and the data of `rbd_directory`, the list.
//!
//! Source: `struct rbd_obj_header_ondisk` in Ceph's `src/include/rbd_types.h`; the map of `CEPH_OSD_TMAP_SET`, as
//! `src/librbd/api/Image.cc` reads it.

use crate::Name;
use crate::decode::{Cursor, DecodeError, Result, text};

/// What a header begins with (`RBD_HEADER_TEXT`).
const TEXT: &[u8] = b"<<< Rados Block Device Image >>>\n";
/// What comes after the prefix of the data objects (`RBD_HEADER_SIGNATURE`).
const SIGNATURE: &[u8; 4] = b"RBD\0";

/// The name of the object that describes the image of format 1 with this name.
pub fn header_object(name: &str) -> String {
    format!("{name}.rbd")
}

/// An image of format 1, as its header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format1Header {
    /// The image's size.
    pub size_bytes: u64,
    /// The data objects' size is two to the power of this; always less than 64.
    pub order: u8,
    /// What the names of its data objects begin with.
    pub object_prefix: String,
    /// The newest snapshot id that the image has used.
    pub snap_seq: u64,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<Format1Snapshot>,
}

impl Format1Header {
    /// The size of one data object.
    pub fn object_size_bytes(&self) -> u64 {
        1u64.checked_shl(u32::from(self.order)).unwrap_or(u64::MAX)
    }
}

/// A snapshot of an image of format 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format1Snapshot {
    /// Its id, unique in its pool.
    pub id: u64,
    /// Its name.
    pub name: Name,
    /// The image's size when it was taken.
    pub size_bytes: u64,
}

/// Whether bytes are the beginning of a header. A few dozen of them tell.
pub fn is_header(data: &[u8]) -> bool {
    data.starts_with(TEXT)
}

/// Decodes the data of `<name>.rbd`.
///
/// # Errors
/// When it is damaged.
pub fn decode_format_1_header(data: &[u8]) -> Result<Format1Header, DecodeError> {
    let mut cursor = Cursor::new(data);
    if !is_header(cursor.take(40, "header text")?) {
        return Err(DecodeError::Invalid { what: "header text", reason: "is not that of an image" });
    }
    let prefix = until_nul(cursor.take(24, "object prefix")?);
    let object_prefix = text(prefix, "object prefix")?;
    if &cursor.array::<4>("signature")? != SIGNATURE {
        return Err(DecodeError::Invalid { what: "signature", reason: "is not RBD" });
    }
    cursor.take(8, "version")?;
    let order = cursor.u8("order")?;
    if order >= 64 {
        return Err(DecodeError::Invalid { what: "order", reason: "is 64 or more" });
    }
    cursor.take(3, "options")?;
    let size_bytes = cursor.u64("size")?;
    let snap_seq = cursor.u64("newest snapshot id")?;
    let count = cursor.u32("snapshot count")?;
    cursor.take(4, "reserved")?;
    let names_len = cursor.u64("length of the snapshot names")?;
    let snapshots = decode_snapshots(&mut cursor, count, names_len)?;
    Ok(Format1Header { size_bytes, order, object_prefix, snap_seq, snapshots })
}

/// The snapshots' ids and sizes, newest first, then their names, each ended by a NUL.
fn decode_snapshots(cursor: &mut Cursor<'_>, count: u32, names_len: u64) -> Result<Vec<Format1Snapshot>> {
    let needed = usize::try_from(count).ok().and_then(|count| count.checked_mul(16)).unwrap_or(usize::MAX);
    let mut ids = Cursor::new(cursor.take(needed, "snapshots")?);
    let names = cursor.take(usize::try_from(names_len).unwrap_or(usize::MAX), "snapshot names")?;
    let mut names = names.split(|byte| *byte == 0);
    let mut snapshots = Vec::new();
    for _ in 0..count {
        let id = ids.u64("snapshot id")?;
        let size_bytes = ids.u64("snapshot size")?;
        let name = names.next().ok_or(DecodeError::Missing("snapshot name"))?;
        snapshots.push(Format1Snapshot { id, name: Name::from(name), size_bytes });
    }
    snapshots.reverse();
    Ok(snapshots)
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The names of the images of format 1, in the data of `rbd_directory`. An object without data has none.
///
/// # Errors
/// When it is damaged.
pub fn decode_format_1_directory(data: &[u8]) -> Result<Vec<Name>, DecodeError> {
    if data.is_empty() {
        return Ok(Vec::new());
    }
    let mut cursor = Cursor::new(data);
    cursor.bytes("directory header")?;
    cursor.list("directory", 8, |entry| {
        let name = entry.name("image name")?;
        entry.bytes("directory entry")?;
        Ok(name)
    })
}
