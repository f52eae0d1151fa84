//! The directory of a place: which images it has, by their names.

use std::collections::HashMap;
use std::time::Instant;

use ceph::{Entry, Errno, IoContext, OmapPage, OmapRange, omap_values};
use rbd_format::directory::{DIRECTORY_OBJECT, ID_PREFIX, NAME_PREFIX};
use rbd_format::{DirectoryEntry, Name};
use rbd_model::fault::Fault;
use rbd_model::image::NamedImage;
use rbd_model::names::Place;

/// The place of a context.
pub fn place_of(io: &IoContext) -> Place {
    Place { pool: io.pool().to_owned(), namespace: io.namespace().to_owned() }
}

/// How often a name is looked up anew that is renamed at the same time.
const RENAMES: usize = 3;

/// A page of the directory.
pub struct DirectoryPage {
    /// The images, by name.
    pub images: Vec<NamedImage>,
    /// Where more follow, if they do: after this name, as the directory has it. Names are bytes there.
    pub next: Option<Vec<u8>>,
}

/// What to read for a page of the directory.
pub fn range(after: Option<&[u8]>, prefix: &str, limit: usize) -> OmapRange {
    OmapRange {
        object: DIRECTORY_OBJECT.to_owned(),
        after: after.map(|name| [NAME_PREFIX.as_bytes(), name].concat()).unwrap_or_default(),
        prefix: format!("{NAME_PREFIX}{prefix}"),
        limit: limit as u64,
        ..OmapRange::default()
    }
}

/// What was read of a directory. An object that is missing is an empty one: both are made with their first entry.
///
/// # Errors
/// What reading gave.
pub fn or_empty(page: ceph::Result<OmapPage>) -> Result<OmapPage, Fault> {
    match page {
        Err(error) if error.is(Errno::ENOENT) => Ok(OmapPage::default()),
        page => Ok(page?),
    }
}

/// The images in what was read of the directory.
pub fn page_of(page: &OmapPage) -> DirectoryPage {
    let images = page
        .entries
        .iter()
        .filter_map(|(key, value)| match DirectoryEntry::decode(key, value) {
            Ok(Some(DirectoryEntry::Name { name, id })) => Some(NamedImage::new(&name, id)),
            Ok(_) => None,
            Err(error) => {
                let name = Name::from(key.strip_prefix(NAME_PREFIX.as_bytes())?);
                let damage = format!("Its entry in {DIRECTORY_OBJECT} is damaged: {error}.");
                Some(NamedImage::new(&name, String::new()).damaged(damage))
            }
        })
        .collect();
    let last = page.entries.last().filter(|_| page.more);
    let next = last.and_then(|(key, _)| key.strip_prefix(NAME_PREFIX.as_bytes())).map(<[u8]>::to_vec);
    DirectoryPage { images, next }
}

/// Up to `limit` images of the directory after a name, with a prefix.
///
/// # Errors
/// What reading gives; a directory that is missing is an empty one.
pub fn page(
    io: &IoContext,
    after: Option<&[u8]>,
    prefix: &str,
    limit: usize,
    deadline: Instant,
) -> Result<DirectoryPage, Fault> {
    let page = io.omap_page(&range(after, prefix, limit), Some(deadline));
    Ok(page_of(&or_empty(page)?))
}

/// The image of a name, if the directory has it. An entry with the id of another image is a damaged one.
///
/// # Errors
/// What reading gives.
pub fn find(io: &IoContext, name: &str, deadline: Instant) -> Result<Option<NamedImage>, Fault> {
    find_stored(io, name.as_bytes(), deadline)
}

/// The image of a name as stored, as [`find`].
///
/// # Errors
/// What reading gives.
pub fn find_stored(io: &IoContext, name: &[u8], deadline: Instant) -> Result<Option<NamedImage>, Fault> {
    let mut id = None;
    // Renamed again and again, it is what was read last.
    for _ in 0..RENAMES {
        match look_up(io, name, id.as_deref(), deadline)? {
            Some(named) if named.damage.is_none() && id.as_ref() != Some(&named.id) => id = Some(named.id),
            found => return Ok(found),
        }
    }
    look_up(io, name, None, deadline)
}

/// As [`find`], without asking whether the id is its own: librbd has just written it, or [`with_owners`] asks later.
///
/// # Errors
/// What reading gives.
pub fn entry(io: &IoContext, name: &str, deadline: Instant) -> Result<Option<NamedImage>, Fault> {
    look_up(io, name.as_bytes(), None, deadline)
}

/// What the directory has for a name and, in the same step, whether an id is that of this name.
fn look_up(io: &IoContext, name: &[u8], id: Option<&str>, deadline: Instant) -> Result<Option<NamedImage>, Fault> {
    let keys: Vec<Vec<u8>> = id.map(id_key).into_iter().chain([name_key(name)]).collect();
    let entries = values(io, &keys, deadline)?;
    let owners = owners(&entries);
    let found = page_of(&OmapPage { entries, ..OmapPage::default() }).images.pop();
    Ok(found.map(|named| match owners.get(&named.id) {
        Some(owner) if owner.as_bytes() != named.stored_name() => another_image(named, owner),
        _ => named,
    }))
}

/// The values of some keys of the directory.
fn values(io: &IoContext, keys: &[Vec<u8>], deadline: Instant) -> Result<Vec<Entry>, Fault> {
    let read = omap_values(std::slice::from_ref(io), DIRECTORY_OBJECT, keys, Some(deadline)).pop();
    let entries = read.unwrap_or_else(|| Ok(Vec::new()));
    Ok(or_empty(entries.map(|entries| OmapPage { entries, ..OmapPage::default() }))?.entries)
}

fn name_key(name: &[u8]) -> Vec<u8> {
    [NAME_PREFIX.as_bytes(), name].concat()
}

fn id_key(id: &str) -> Vec<u8> {
    format!("{ID_PREFIX}{id}").into_bytes()
}

/// The names that ids have, of those entries that say one.
fn owners(entries: &[Entry]) -> HashMap<String, Name> {
    let decoded = entries.iter().filter_map(|(key, value)| DirectoryEntry::decode(key, value).ok().flatten());
    decoded
        .filter_map(|entry| match entry {
            DirectoryEntry::Id { id, name } => Some((id, name)),
            _ => None,
        })
        .collect()
}

/// A name that was given the id of another image: what is done to it would be done to that one.
fn another_image(named: NamedImage, owner: &Name) -> NamedImage {
    let (id, owner) = (&named.id, owner.to_string());
    let damage = format!("Its entry in {DIRECTORY_OBJECT} gives the id {id}, which is that of image {owner:?}.");
    named.damaged(damage)
}

/// Some images of the directory, each that has the id of another one as damaged. One that was renamed meanwhile is looked up
/// again.
///
/// # Errors
/// What reading gives.
pub fn with_owners(io: &IoContext, images: Vec<NamedImage>, deadline: Instant) -> Result<Vec<NamedImage>, Fault> {
    let keys: Vec<Vec<u8>> =
        images.iter().filter(|named| named.damage.is_none()).map(|named| id_key(&named.id)).collect();
    if keys.is_empty() {
        return Ok(images);
    }
    let owners = owners(&values(io, &keys, deadline)?);
    let mut checked = Vec::with_capacity(images.len());
    for named in images {
        match owners.get(&named.id) {
            Some(owner) if owner.as_bytes() != named.stored_name() => {
                checked.extend(find_stored(io, named.stored_name(), deadline)?);
            }
            _ => checked.push(named),
        }
    }
    Ok(checked)
}

/// The name that the directory has for an id.
///
/// # Errors
/// What reading gives.
pub fn owner(io: &IoContext, id: &str, deadline: Instant) -> Result<Option<Name>, Fault> {
    Ok(owners(&values(io, &[id_key(id)], deadline)?).remove(id))
}

/// The entry of a damaged name, as the directory holds it; `None` when it is sound, or there is none.
///
/// # Errors
/// What reading gives.
pub fn damaged(io: &IoContext, name: &str, deadline: Instant) -> Result<Option<Entry>, Fault> {
    if find(io, name, deadline)?.is_none_or(|named| named.damage.is_none()) {
        return Ok(None);
    }
    Ok(values(io, &[name_key(name.as_bytes())], deadline)?.pop())
}
