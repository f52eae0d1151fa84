//! The directory of a trash: which images are in it.

use std::time::Instant;

use ceph::{Entry, Errno, IoContext};
use rbd_format::directory::ID_PREFIX;
use rbd_format::trash::TRASH_OBJECT;
use rbd_format::{Name, TrashEntry, TrashSource};
use rbd_model::fault::Fault;
use rbd_model::image::{Image, ImageState, NamedImage};

use crate::directory::place_of;

/// The images in the trash whose removal was begun: librbd's own lists hide them.
///
/// # Errors
/// What reading gives.
pub fn removing(io: &IoContext, prefix: &str, deadline: Instant) -> Result<Vec<Image>, Fault> {
    Ok(only_removing(io, entries(io, deadline)?, prefix))
}

/// Those of some entries of the trash whose removal was begun.
pub fn only_removing(io: &IoContext, trash: Trash, prefix: &str) -> Vec<Image> {
    trash
        .entries
        .into_iter()
        .filter(|item| item.source == TrashSource::Removing)
        .filter(|item| item.name.as_bytes().starts_with(prefix.as_bytes()))
        .map(|item| {
            let named = NamedImage::new(&item.name, item.image_id);
            Image::unreadable(place_of(io), named, ImageState::Removing, "Its removal was begun and has not finished.")
        })
        .collect()
}

/// Everything in the trash.
///
/// # Errors
/// What reading gives; a trash that is missing is an empty one.
pub fn entries(io: &IoContext, deadline: Instant) -> Result<Trash, Fault> {
    match io.omap_all(TRASH_OBJECT, ID_PREFIX, Some(deadline)) {
        Ok(entries) => Ok(entries_of(&entries)),
        Err(error) if error.is(Errno::ENOENT) => Ok(Trash::default()),
        Err(error) => Err(error.into()),
    }
}

/// What a trash holds.
#[derive(Debug, Default)]
pub struct Trash {
    /// The images.
    pub entries: Vec<TrashEntry>,
    /// Entries that cannot be read.
    pub damaged: Vec<DamagedTrash>,
}

/// An entry of a trash that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedTrash {
    /// What its key gives for an id. It need not be one.
    pub id: Name,
    /// What is wrong with it.
    pub reason: String,
    /// Its value.
    pub value: Vec<u8>,
}

/// Entries of `rbd_trash`, those that can be read and those that cannot.
pub fn entries_of(entries: &[Entry]) -> Trash {
    let mut trash = Trash::default();
    for (key, value) in entries {
        match TrashEntry::decode(key, value) {
            Ok(entry) => trash.entries.extend(entry),
            Err(error) => trash.damaged.push(DamagedTrash {
                id: Name::from(key.strip_prefix(ID_PREFIX.as_bytes()).unwrap_or(key)),
                reason: format!("Its entry in {TRASH_OBJECT} is damaged: {error}."),
                value: value.clone(),
            }),
        }
    }
    trash
}
