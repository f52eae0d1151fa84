//! `rbd_trash`: images that were moved to the trash, and images of which removal was begun.
//!
//! Source: `TrashImageSpec` in Ceph's `src/cls/rbd/cls_rbd_types.cc`, `trash_add` in `cls_rbd.cc`.

use crate::Name;
use crate::decode::{Cursor, DecodeError, Result, Timestamp};
use crate::directory::ID_PREFIX;
use crate::id::id;

/// The object with one entry per image in the trash, in each namespace of a pool.
pub const TRASH_OBJECT: &str = "rbd_trash";

/// One image in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashEntry {
    /// The image's id, as in `rbd_header.<id>`. It stays while the name is free for another image.
    pub image_id: String,
    /// Who put it there.
    pub source: TrashSource,
    /// The name that it had.
    pub name: Name,
    /// When it was put there.
    pub deleted: Timestamp,
    /// Until when removing it for good is rejected unless forced; the same as `deleted` when no delay was asked for.
    pub deferment_end: Timestamp,
    /// What is being done to it.
    pub state: TrashState,
}

/// Who moved an image to the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrashSource {
    /// A person or program, by `rbd trash mv`.
    User,
    /// rbd-mirror, after the image's primary was removed.
    Mirroring,
    /// `rbd migration prepare`: the source of a migration.
    Migration,
    /// `rbd rm`, which passes through the trash. An entry that stays is an interrupted removal: removing again ends it.
    Removing,
    /// `rbd rm` of an image that clones still need: it goes when the last of them does.
    UserParent,
    /// A source that newer releases may add.
    Unknown(u8),
}

/// What is being done to an image in the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrashState {
    /// Nothing.
    Normal,
    /// It is being moved in.
    Moving,
    /// It is being removed for good.
    Removing,
    /// It is being moved out.
    Restoring,
    /// A state that newer releases may add.
    Unknown(u8),
}

impl TrashEntry {
    /// The value under which the entry is kept, in the version that Ceph has written since Nautilus. A source or a state that is
    /// not known here keeps its number.
    pub fn value(&self) -> Vec<u8> {
        let source = match self.source {
            TrashSource::User => 0,
            TrashSource::Mirroring => 1,
            TrashSource::Migration => 2,
            TrashSource::Removing => 3,
            TrashSource::UserParent => 4,
            TrashSource::Unknown(other) => other,
        };
        let state = match self.state {
            TrashState::Normal => 0,
            TrashState::Moving => 1,
            TrashState::Removing => 2,
            TrashState::Restoring => 3,
            TrashState::Unknown(other) => other,
        };
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let name = self.name.as_bytes();
        let mut content = [&[source][..], &length(name), name].concat();
        for moment in [self.deleted, self.deferment_end] {
            content.extend(moment.seconds.to_le_bytes());
            content.extend(moment.nanoseconds.to_le_bytes());
        }
        content.push(state);
        // Written in version 2, for readers of version 1 and newer.
        [&[2, 1][..], &length(&content), &content].concat()
    }

    /// Decodes one omap entry of `rbd_trash`; `None` when the key is of no known kind.
    ///
    /// # Errors
    /// When the value is damaged; the error names the key, and other entries are not affected.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Option<Self>, DecodeError> {
        let Some(id) = key.strip_prefix(ID_PREFIX.as_bytes()) else { return Ok(None) };
        decode_entry(id, value).map(Some).map_err(|error| error.at_key(key))
    }
}

fn decode_entry(key_id: &[u8], value: &[u8]) -> Result<TrashEntry> {
    let (version, mut value) = Cursor::new(value).structure("TrashImageSpec", 2)?;
    Ok(TrashEntry {
        image_id: id(key_id, "image id")?,
        source: match value.u8("trash source")? {
            0 => TrashSource::User,
            1 => TrashSource::Mirroring,
            2 => TrashSource::Migration,
            3 => TrashSource::Removing,
            4 => TrashSource::UserParent,
            other => TrashSource::Unknown(other),
        },
        name: value.name("image name")?,
        deleted: value.timestamp("deletion time")?,
        deferment_end: value.timestamp("deferment end time")?,
        state: match if version.written >= 2 { value.u8("trash state")? } else { 0 } {
            0 => TrashState::Normal,
            1 => TrashState::Moving,
            2 => TrashState::Removing,
            3 => TrashState::Restoring,
            other => TrashState::Unknown(other),
        },
    })
}
