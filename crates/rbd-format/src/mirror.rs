//! `rbd_mirroring`: which images of a pool or namespace are mirrored, and how; and of journaled ones, who is the primary.
//!
//! Source: `MirrorImage` in Ceph's `src/cls/rbd/cls_rbd_types.cc`, `mirror_image_set` in `cls_rbd.cc`; `cls::journal::Tag` in
//! `src/cls/journal/cls_journal_types.cc`, `TagData` in `src/librbd/journal/Types.cc`.

use crate::decode::{Cursor, DecodeError, Result};
use crate::id::id;

/// The object that lists mirrored images, in each namespace of a pool.
pub const MIRRORING_OBJECT: &str = "rbd_mirroring";
/// What the keys of images begin with there.
pub const IMAGE_PREFIX: &str = "image_";
/// What the keys of tags begin with in [`journal_object`].
pub const TAG_PREFIX: &str = "tag_";

/// The uuid that stands for this cluster in a journal (`Journal<>::LOCAL_MIRROR_UUID`).
const LOCAL: &str = "";
/// The uuid of an image that was demoted, and whose next primary is not known (`ORPHAN_MIRROR_UUID`).
const ORPHAN: &str = "<orphan>";

/// The name of the object that describes the journal of the image with this id.
pub fn journal_object(image_id: &str) -> String {
    format!("journal.{image_id}")
}

/// How an image is mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorImage {
    /// The image's id.
    pub image_id: String,
    /// Its id in all clusters that it is mirrored to.
    pub global_id: String,
    /// Whether mirroring is on.
    pub state: MirrorState,
    /// How changes get there.
    pub mode: MirrorMode,
}

/// Whether an image is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorState {
    /// It ends.
    Disabling,
    /// It is.
    Enabled,
    /// It is not.
    Disabled,
    /// It begins.
    Creating,
    /// A state that newer releases may add.
    Unknown(u8),
}

/// How changes of an image get to other clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorMode {
    /// By its journal.
    Journal,
    /// By snapshots.
    Snapshot,
    /// A mode that newer releases may add.
    Unknown(u8),
}

/// Whether an image is the one that is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorRole {
    /// It is.
    Primary,
    /// It was, and was demoted.
    Demoted,
    /// It is a copy of one in another cluster.
    NonPrimary,
}

impl MirrorImage {
    /// Decodes one omap entry of `rbd_mirroring`; `None` when it is not that of an image.
    ///
    /// # Errors
    /// When the value is damaged; the error names the key, and other entries are not affected.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Option<Self>, DecodeError> {
        let Some(id) = key.strip_prefix(IMAGE_PREFIX.as_bytes()) else { return Ok(None) };
        decode_image(id, value).map(Some).map_err(|error| error.at_key(key))
    }
}

fn decode_image(key_id: &[u8], value: &[u8]) -> Result<MirrorImage> {
    let (version, mut value) = Cursor::new(value).structure("MirrorImage", 2)?;
    Ok(MirrorImage {
        image_id: id(key_id, "image id")?,
        global_id: value.text("global image id")?,
        state: match value.u8("mirror image state")? {
            0 => MirrorState::Disabling,
            1 => MirrorState::Enabled,
            2 => MirrorState::Disabled,
            3 => MirrorState::Creating,
            other => MirrorState::Unknown(other),
        },
        mode: match if version.written >= 2 { value.u8("mirror image mode")? } else { 0 } {
            0 => MirrorMode::Journal,
            1 => MirrorMode::Snapshot,
            other => MirrorMode::Unknown(other),
        },
    })
}

/// The role that the newest tag of an image's journal gives it, from the value of its key.
///
/// # Errors
/// When the value is damaged.
pub fn decode_journal_tag(value: &[u8]) -> Result<MirrorRole, DecodeError> {
    let (_, mut tag) = Cursor::new(value).structure("cls journal tag", 1)?;
    tag.u64("tag id")?;
    tag.u64("tag class")?;
    let mut data = Cursor::new(tag.bytes("tag data")?);
    Ok(match data.text("mirror uuid")?.as_str() {
        LOCAL => MirrorRole::Primary,
        ORPHAN => MirrorRole::Demoted,
        _ => MirrorRole::NonPrimary,
    })
}
