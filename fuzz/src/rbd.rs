//! `rbd-format`.
//!
//! The input of [`header`], [`directory`], [`trash`], [`children`], [`group`] and [`mirror`] is a list of omap entries: the key's
//! length in one byte, the key, the value's length in two bytes (little-endian), the value. What is cut off at the end
//! counts as shorter. That of [`snapshot`], [`lock`] and [`diff`] is the bytes themselves, that of
//! [`format1`] after one that says which.

use rbd_format::diff::{DiffError, DiffEvent, DiffParser};
use rbd_format::mirror::TAG_PREFIX;
use rbd_format::{
    DirectoryEntry, GroupEntry, HeaderBuilder, LockInfo, MirrorImage, TrashEntry, children as clones,
    decode_format_1_directory, decode_format_1_header, decode_header, decode_journal_tag,
};

/// Whether an input is well-formed.
type Target = fn(&[u8]) -> bool;

/// The functions of this module, by the names of their targets.
pub const TARGETS: &[(&str, Target)] = &[
    ("rbd_header", header),
    ("rbd_snapshot", snapshot),
    ("rbd_directory", directory),
    ("rbd_trash", trash),
    ("rbd_children", children),
    ("rbd_group", group),
    ("rbd_lock", lock),
    ("rbd_diff", diff),
    ("rbd_format1", format1),
    ("rbd_mirror", mirror),
];

fn take<'a>(data: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, left) = data.split_at(len.min(data.len()));
    *data = left;
    taken
}

fn entries(mut data: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(*take(&mut data, 1).first()?);
        let key = take(&mut data, len);
        let len = take(&mut data, 2).iter().rev().fold(0, |len, byte| len << 8 | usize::from(*byte));
        Some((key, take(&mut data, len)))
    })
}

pub fn header(data: &[u8]) -> bool {
    let Ok(header) = decode_header(entries(data)) else { return false };
    assert!(header.object_size_bytes().is_power_of_two());
    assert!(header.snapshots.is_sorted_by_key(|snapshot| snapshot.id));
    true
}

/// The id in the key is that of the value, so that the value alone decides.
pub fn snapshot(data: &[u8]) -> bool {
    let id = data.get(6..).and_then(|data| data.first_chunk()).map_or(0, |id| u64::from_le_bytes(*id));
    HeaderBuilder::default().entry(format!("snapshot_{id:016x}").as_bytes(), data).is_ok()
}

pub fn directory(data: &[u8]) -> bool {
    entries(data).all(|(key, value)| DirectoryEntry::decode(key, value).is_ok())
}

pub fn trash(data: &[u8]) -> bool {
    entries(data).all(|(key, value)| TrashEntry::decode(key, value).is_ok())
}

pub fn children(data: &[u8]) -> bool {
    entries(data).all(|(key, value)| clones::decode_children_entry(key, value).is_ok())
}

pub fn group(data: &[u8]) -> bool {
    entries(data).all(|(key, value)| GroupEntry::decode(key, value).is_ok())
}

pub fn lock(data: &[u8]) -> bool {
    LockInfo::decode(data).is_ok()
}

/// The first byte says of what: a directory, or a header.
pub fn format1(data: &[u8]) -> bool {
    match data.split_first() {
        Some((b'd', data)) => decode_format_1_directory(data).is_ok(),
        Some((b'h', data)) => {
            decode_format_1_header(data).is_ok_and(|header| header.object_size_bytes().is_power_of_two())
        }
        _ => false,
    }
}

/// Entries of the list of mirrored images, and tags of a journal.
pub fn mirror(data: &[u8]) -> bool {
    entries(data).all(|(key, value)| {
        if key.starts_with(TAG_PREFIX.as_bytes()) {
            decode_journal_tag(value).is_ok()
        } else {
            MirrorImage::decode(key, value).is_ok()
        }
    })
}

/// A stream says the same at once and byte by byte, and never writes outside the size that it gives.
pub fn diff(data: &[u8]) -> bool {
    let whole = replay(data, usize::MAX);
    assert_eq!(whole, replay(data, 1));
    whole.is_ok()
}

/// A description of all events and the number of bytes of data.
fn replay(data: &[u8], chunk: usize) -> Result<(Vec<String>, u64), DiffError> {
    let mut parser = DiffParser::new();
    let (mut events, mut data_bytes, mut size_bytes) = (Vec::new(), 0, u64::MAX);
    for mut piece in data.chunks(chunk) {
        while let Some(event) = parser.next(&mut piece)? {
            let end_bytes = match &event {
                DiffEvent::Size(size) => {
                    size_bytes = size.bytes();
                    0
                }
                DiffEvent::Data { offset_bytes, bytes } => {
                    data_bytes += bytes.len() as u64;
                    offset_bytes + bytes.len() as u64
                }
                DiffEvent::Zero { offset_bytes, length_bytes } => offset_bytes + length_bytes,
                _ => 0,
            };
            assert!(end_bytes <= size_bytes);
            if !matches!(event, DiffEvent::Data { .. }) {
                events.push(format!("{event:?}"));
            }
        }
    }
    parser.finish()?;
    Ok((events, data_bytes))
}
