//! Images as the API shows them, read from RADOS without opening them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use ceph::{Entry, Errno, IoContext, OmapPage, OmapRange, omap_values};
use jiff::Timestamp;
use rbd_format::directory::{DIRECTORY_OBJECT, ID_PREFIX, NAME_PREFIX};
use rbd_format::group::GROUP_DIRECTORY_OBJECT;
use rbd_format::header::{Migration as RawMigration, MigrationRole, header_object};
use rbd_format::trash::TRASH_OBJECT;
use rbd_format::{
    DirectoryEntry, ImageHeader, Name, Protection, Snapshot as RawSnapshot, SnapshotNamespace, TrashEntry, TrashSource,
    decode_header,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::encryption::{self, Encryption};
use crate::fault::{Fault as Problem, Kind};
use crate::format_1;
use crate::link::Connection;
use crate::mirroring::{self, Mirroring};
use crate::names::NotText;
use crate::why::{self, Act, Reason};

/// RADOS reads in flight per listing.
const IN_FLIGHT: usize = 256;

/// The field of an image in `unknown` when it cannot be told whether it is mirrored.
pub const UNKNOWN_MIRRORING: &str = "mirroring";

/// How often a name is looked up anew that is renamed at the same time.
const RENAMES: usize = 3;

/// How long names are waited for that only another pool knows, such as those of a clone's parent: one pool that does not
/// answer keeps no list of another.
const FOREIGN: Duration = Duration::from_secs(2);

/// The metadata key that marks an image whose data has not all arrived.
pub const INCOMPLETE_KEY: &str = "sparrow.incomplete";

/// Whether an image is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageState {
    /// It can be used.
    Ready,
    /// Its removal was begun and not finished; it can only be removed again.
    Removing,
    /// Its import or copy was begun and not finished; it can be deleted.
    Incomplete,
    /// What Ceph holds of it cannot be read.
    Damaged,
    /// It cannot be worked with: a pool that it needs is gone, it is too large, or its name is not UTF-8. The reason says more.
    Unusable,
}

/// An image. What is null is not known, for the reason in `stateReason`, or does not apply.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Its name. One that is not UTF-8 is only shown, with a slash before it and `\xNN` for such bytes.
    pub name: String,
    /// The bytes of a name that is not UTF-8, in base64; absent when the name is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_base64: Option<String>,
    /// Its id, which stays through renames; empty for an image of format 1, which has none, and where the directory has none that
    /// could be its own.
    pub id: String,
    /// Its format: 2, or 1, which is deprecated and only shown.
    pub format: u8,
    /// The pool.
    pub pool: String,
    /// The namespace; empty for the default one.
    pub namespace: String,
    /// Whether it is whole.
    pub state: ImageState,
    /// Why it is not.
    pub state_reason: Option<String>,
    /// Its size, in bytes.
    pub size_bytes: Option<u64>,
    /// The size of its objects, in bytes.
    pub object_size_bytes: Option<u64>,
    /// Its features, as `rbd info` names them.
    pub features: Vec<&'static str>,
    /// What is wrong with its object map, as `rbd info` names it.
    pub flags: Vec<&'static str>,
    /// The striping unit, in bytes; null for the default, one object.
    pub stripe_unit_bytes: Option<u64>,
    /// The number of objects a stripe goes over; null for the default, 1.
    pub stripe_count: Option<u64>,
    /// The pool of its data objects; null when they are in the image's own.
    pub data_pool: Option<String>,
    /// The snapshot it is a clone of.
    pub parent: Option<Parent>,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// How many snapshots it may have; null for no limit.
    pub snapshot_limit: Option<u64>,
    /// The group it is in.
    pub group: Option<Group>,
    /// The live migration it is part of.
    pub migration: Option<Migration>,
    /// How it is mirrored to other clusters; null when it is not.
    pub mirroring: Option<Mirroring>,
    /// How its data is encrypted by librbd; null when that is not known, for the reason in `unknown`.
    pub encryption: Option<Encryption>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it was last read, to the cluster's granularity.
    pub accessed_at: Option<Timestamp>,
    /// When it was last written, to the cluster's granularity.
    pub modified_at: Option<Timestamp>,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// Why a field is null that could have a value, by the field's name.
    pub unknown: BTreeMap<String, String>,
    /// The object that its first bytes are in.
    #[serde(skip)]
    pub first_object: Option<String>,
    /// What will give trouble, and with what; absent when nothing will.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What its header says that stands in the way of something.
    #[serde(skip)]
    pub reasons: Vec<Reason>,
}

/// The group of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GroupOfImage")]
pub struct Group {
    /// Its pool; null when the pool is gone.
    pub pool: Option<String>,
    /// Its namespace, which is the image's; empty for the default one.
    pub namespace: String,
    /// Its name; null when it cannot be read.
    pub name: Option<String>,
    /// Its id.
    pub id: String,
}

/// A live migration of an image. Where one from outside RBD reads from is not shown: that may hold credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// `source`, `destination` or `unknown`: which end of it this image is.
    pub role: &'static str,
    /// `error`, `preparing`, `prepared`, `executing`, `executed`, `aborting` or `unknown`.
    pub state: &'static str,
    /// The pool of the image at the other end; null when data comes from outside RBD or the pool is gone.
    pub pool: Option<String>,
    /// Its namespace; empty for the default one.
    pub namespace: String,
    /// Its name.
    pub image: String,
}

/// How many snapshots of an image the kernel's client can map
/// (`RBD_MAX_SNAP_COUNT` in Linux' `drivers/block/rbd.c`).
pub const KRBD_SNAPSHOTS: usize = 510;

impl Image {
    /// Refuses when it is not whole, or something stands in the way of the act. Blocks.
    ///
    /// # Errors
    /// As [`Image::whole`] and [`why::before`].
    pub fn ready_for(&self, io: &IoContext, act: Act, deadline: Instant) -> Result<(), Problem> {
        if self.state != ImageState::Unusable {
            self.whole()?;
        }
        why::before(io, &self.name, &self.id, act, deadline)
    }

    /// Whether its entry in the directory is damaged, so that its name leads to no image.
    pub fn is_only_a_name(&self) -> bool {
        self.state == ImageState::Damaged && self.id.is_empty()
    }

    /// Refuses when it cannot be used as it is.
    ///
    /// # Errors
    /// `removing`, `conflict` for one that is incomplete, `damaged`, `image-unusable`, `pool-missing`.
    pub fn whole(&self) -> Result<(), Problem> {
        let problem = match self.state {
            ImageState::Ready => return Ok(()),
            ImageState::Unusable => match self.reasons.iter().find(|reason| reason.unusable()) {
                Some(reason) => return Err(reason.problem(&self.name)),
                None => return Ok(()),
            },
            ImageState::Removing => {
                Problem::new(Kind::Removing, format!("The removal of image {:?} was begun.", self.name))
                    .correction("It can only be removed: DELETE it with ?permanent=true.")
            }
            ImageState::Damaged if self.is_only_a_name() => damaged_entry(&self.name),
            ImageState::Damaged => Problem::new(Kind::Damaged, format!("Image {:?} cannot be read.", self.name))
                .correction(
                    "Look at its header with `rados listomapvals`, and restore the image from a backup, or remove it.",
                ),
            ImageState::Incomplete => {
                Problem::new(Kind::Conflict, format!("The data of image {:?} has not all arrived.", self.name))
                    .correction("Wait for the import or copy to end; if it was cut off, DELETE the image.")
            }
        };
        Err(problem.cause(self.state_reason.clone().unwrap_or_default()))
    }
}

/// The parent of a clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// Its pool; null when the pool is gone.
    pub pool: Option<String>,
    /// Its namespace; empty for the default one.
    pub namespace: String,
    /// Its name; null when it cannot be read.
    pub image: Option<String>,
    /// Its id.
    pub image_id: String,
    /// The snapshot's name; null when it cannot be read.
    pub snapshot: Option<String>,
    /// The snapshot's id.
    pub snapshot_id: u64,
    /// How much of the parent the clone still covers, in bytes.
    pub overlap_bytes: Option<u64>,
    /// Whether the parent is in the trash.
    pub in_trash: bool,
}

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

fn timestamp(at: rbd_format::Timestamp) -> Option<Timestamp> {
    Timestamp::new(i64::from(at.seconds), i32::try_from(at.nanoseconds).ok()?).ok()
}

/// A snapshot as the API shows it.
pub fn snapshot(raw: &RawSnapshot) -> Snapshot {
    let (kind, name) = match &raw.namespace {
        SnapshotNamespace::User => ("user", &raw.name),
        SnapshotNamespace::Group { .. } => ("group", &raw.name),
        SnapshotNamespace::Trash { original_name, .. } => ("trash", original_name),
        SnapshotNamespace::Mirror { .. } => ("mirror", &raw.name),
        SnapshotNamespace::Unknown { .. } => ("unknown", &raw.name),
    };
    Snapshot {
        name: name.to_string(),
        name_base64: NotText::of(name).map(|name| name.base64()),
        id: raw.id,
        size_bytes: raw.size_bytes,
        protected: raw.protection == Protection::Protected,
        kind,
        clones: raw.child_count,
        created_at: raw.created.and_then(timestamp),
    }
}

/// An image in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// What is known of a name that is no text.
    pub not_text: Option<NotText>,
    /// Its id; empty when its entry is damaged.
    pub id: String,
    /// What is wrong with its entry, so that the name leads to no image.
    pub damage: Option<String>,
}

impl Named {
    /// An image by its name as stored.
    pub fn new(name: &Name, id: String) -> Self {
        Self { name: name.to_string(), not_text: NotText::of(name), id, damage: None }
    }

    /// The name as stored.
    fn stored(&self) -> &[u8] {
        self.not_text.as_ref().map_or(self.name.as_bytes(), NotText::as_bytes)
    }

    /// The same name, whose entry is damaged.
    fn damaged(self, damage: String) -> Self {
        Self { id: String::new(), damage: Some(damage), ..self }
    }

    /// Itself, unless its entry is damaged.
    ///
    /// # Errors
    /// `damaged`.
    pub fn sound(self) -> Result<Self, Problem> {
        match &self.damage {
            None => Ok(self),
            Some(damage) => Err(damaged_entry(&self.name).cause(damage)),
        }
    }
}

/// The name of an image is there and leads to none.
fn damaged_entry(name: &str) -> Problem {
    Problem::new(Kind::Damaged, format!("The entry of image {name:?} in the directory of its pool is damaged."))
        .correction("DELETE it with ?permanent=true to free the name; no image is touched by that.")
}

/// A page of the directory.
pub struct DirectoryPage {
    /// The images, by name.
    pub images: Vec<Named>,
    /// Where more follow, if they do: after this name, as the directory has it. Names are bytes there.
    pub next: Option<Vec<u8>>,
}

fn directory_range(after: Option<&[u8]>, prefix: &str, limit: usize) -> OmapRange {
    OmapRange {
        object: DIRECTORY_OBJECT.to_owned(),
        after: after.map(|name| [NAME_PREFIX.as_bytes(), name].concat()).unwrap_or_default(),
        prefix: format!("{NAME_PREFIX}{prefix}"),
        limit: limit as u64,
        ..OmapRange::default()
    }
}

/// An object that is missing is an empty one: both are made with their first entry.
fn or_empty(page: ceph::Result<OmapPage>) -> Result<OmapPage, Problem> {
    match page {
        Err(error) if error.is(Errno::ENOENT) => Ok(OmapPage::default()),
        page => Ok(page?),
    }
}

fn directory_page(page: &OmapPage) -> DirectoryPage {
    let images = page
        .entries
        .iter()
        .filter_map(|(key, value)| match DirectoryEntry::decode(key, value) {
            Ok(Some(DirectoryEntry::Name { name, id })) => Some(Named::new(&name, id)),
            Ok(_) => None,
            Err(error) => {
                let name = Name::from(key.strip_prefix(NAME_PREFIX.as_bytes())?);
                let damage = format!("Its entry in {DIRECTORY_OBJECT} is damaged: {error}.");
                Some(Named::new(&name, String::new()).damaged(damage))
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
pub fn directory(
    io: &IoContext,
    after: Option<&[u8]>,
    prefix: &str,
    limit: usize,
    deadline: Instant,
) -> Result<DirectoryPage, Problem> {
    let page = io.omap_page(&directory_range(after, prefix, limit), Some(deadline));
    Ok(directory_page(&or_empty(page)?))
}

/// How a list begins.
pub struct Opening {
    /// The first page of the directory.
    pub directory: DirectoryPage,
    /// The names of the images of format 1.
    pub format_1: Vec<String>,
    /// The images of [`removing`], if the page is all of the directory.
    pub removing: Option<Vec<Image>>,
}

/// How a list begins: the first page of the directory and, if that is all of it, the images of [`removing`]. Both are
/// read at the same time, which halves the time to list the names of a small pool; so are the names of images of format 1.
///
/// # Errors
/// As [`directory`] and [`removing`].
pub fn opening(io: &IoContext, prefix: &str, limit: usize, deadline: Instant) -> Result<Opening, Problem> {
    let images = OmapRange { data_bytes: format_1::MOST_BYTES, ..directory_range(None, prefix, limit) };
    let trash = OmapRange { object: TRASH_OBJECT.to_owned(), prefix: ID_PREFIX.to_owned(), ..OmapRange::default() };
    let [images, trash] = io.omap_page_each([&images, &trash], Some(deadline))?;
    let page = or_empty(images)?;
    let format_1 = format_1::names(io, &page.data, prefix);
    let directory = directory_page(&page);
    if directory.next.is_some() {
        return Ok(Opening { directory, format_1, removing: None });
    }
    let trash = or_empty(trash)?;
    let removing = if trash.more {
        removing(io, prefix, deadline)?
    } else {
        only_removing(io, trash_entries(&trash.entries), prefix)
    };
    Ok(Opening { directory, format_1, removing: Some(removing) })
}

/// The image of a name, if the directory has it. An entry with the id of another image is a damaged one.
///
/// # Errors
/// What reading gives.
pub fn find(io: &IoContext, name: &str, deadline: Instant) -> Result<Option<Named>, Problem> {
    find_stored(io, name.as_bytes(), deadline)
}

fn find_stored(io: &IoContext, name: &[u8], deadline: Instant) -> Result<Option<Named>, Problem> {
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

/// What the directory has for a name and, in the same step, whether an id is that of this name.
fn look_up(io: &IoContext, name: &[u8], id: Option<&str>, deadline: Instant) -> Result<Option<Named>, Problem> {
    let keys: Vec<Vec<u8>> = id.map(id_key).into_iter().chain([name_key(name)]).collect();
    let entries = directory_values(io, &keys, deadline)?;
    let owners = owners(&entries);
    let found = directory_page(&OmapPage { entries, ..OmapPage::default() }).images.pop();
    Ok(found.map(|named| match owners.get(&named.id) {
        Some(owner) if owner.as_bytes() != named.stored() => another_image(named, owner),
        _ => named,
    }))
}

/// The values of some keys of the directory.
fn directory_values(io: &IoContext, keys: &[Vec<u8>], deadline: Instant) -> Result<Vec<Entry>, Problem> {
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
fn another_image(named: Named, owner: &Name) -> Named {
    let (id, owner) = (&named.id, owner.to_string());
    let damage = format!("Its entry in {DIRECTORY_OBJECT} gives the id {id}, which is that of image {owner:?}.");
    named.damaged(damage)
}

/// Some images of the directory, each that has the id of another one as damaged. One that was renamed meanwhile is looked up
/// again.
fn with_owners(io: &IoContext, images: Vec<Named>, deadline: Instant) -> Result<Vec<Named>, Problem> {
    let keys: Vec<Vec<u8>> =
        images.iter().filter(|named| named.damage.is_none()).map(|named| id_key(&named.id)).collect();
    if keys.is_empty() {
        return Ok(images);
    }
    let owners = owners(&directory_values(io, &keys, deadline)?);
    let mut checked = Vec::with_capacity(images.len());
    for named in images {
        match owners.get(&named.id) {
            Some(owner) if owner.as_bytes() != named.stored() => {
                checked.extend(find_stored(io, named.stored(), deadline)?);
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
pub fn owner(io: &IoContext, id: &str, deadline: Instant) -> Result<Option<Name>, Problem> {
    Ok(owners(&directory_values(io, &[id_key(id)], deadline)?).remove(id))
}

/// The entry of a damaged name, as the directory holds it; `None` when it is sound, or there is none.
///
/// # Errors
/// What reading gives.
pub fn damaged(io: &IoContext, name: &str, deadline: Instant) -> Result<Option<Entry>, Problem> {
    if find(io, name, deadline)?.is_none_or(|named| named.damage.is_none()) {
        return Ok(None);
    }
    Ok(directory_values(io, &[name_key(name.as_bytes())], deadline)?.pop())
}

/// The images in the trash whose removal was begun: librbd's own lists hide them.
///
/// # Errors
/// What reading gives.
pub fn removing(io: &IoContext, prefix: &str, deadline: Instant) -> Result<Vec<Image>, Problem> {
    Ok(only_removing(io, trash(io, deadline)?, prefix))
}

fn only_removing(io: &IoContext, trash: Trash, prefix: &str) -> Vec<Image> {
    trash
        .entries
        .into_iter()
        .filter(|item| item.source == TrashSource::Removing)
        .filter(|item| item.name.as_bytes().starts_with(prefix.as_bytes()))
        .map(|item| {
            let named = Named::new(&item.name, item.image_id);
            unreadable(io, named, ImageState::Removing, "Its removal was begun and has not finished.")
        })
        .collect()
}

/// Everything in the trash.
///
/// # Errors
/// What reading gives; a trash that is missing is an empty one.
pub fn trash(io: &IoContext, deadline: Instant) -> Result<Trash, Problem> {
    match io.omap_all(TRASH_OBJECT, ID_PREFIX, Some(deadline)) {
        Ok(entries) => Ok(trash_entries(&entries)),
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
pub(crate) fn trash_entries(entries: &[Entry]) -> Trash {
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

/// An image of which nothing but its name is known, with its state and the reason for that.
pub fn unreadable(io: &IoContext, named: Named, state: ImageState, reason: &str) -> Image {
    Image {
        name_base64: named.not_text.as_ref().map(NotText::base64),
        name: named.name,
        id: named.id,
        format: 2,
        pool: io.pool().to_owned(),
        namespace: io.namespace().to_owned(),
        state,
        state_reason: Some(reason.to_owned()),
        size_bytes: None,
        object_size_bytes: None,
        features: Vec::new(),
        flags: Vec::new(),
        stripe_unit_bytes: None,
        stripe_count: None,
        data_pool: None,
        parent: None,
        snapshots: Vec::new(),
        snapshot_limit: None,
        group: None,
        migration: None,
        mirroring: None,
        encryption: None,
        unknown: BTreeMap::new(),
        first_object: None,
        created_at: None,
        accessed_at: None,
        modified_at: None,
        metadata: BTreeMap::new(),
        warnings: Vec::new(),
        reasons: Vec::new(),
    }
}

/// An image by its pool's id, its namespace and its own id.
pub type ParentKey = (i64, String, String);

/// What is known of images that are named by their ids.
pub type NamesByKey = HashMap<ParentKey, ParentNames>;

/// What is known of an image that is named by its id: its name, whether it is in the trash, its snapshots' names.
#[derive(Debug, Default)]
pub struct ParentNames {
    /// Its name; of one in the trash, the name it had.
    pub image: Option<String>,
    /// Whether it is in the trash.
    pub in_trash: bool,
    /// The names of its snapshots by their ids.
    pub snapshots: HashMap<u64, String>,
}

/// Details of images of one pool and namespace, in the order given, which is that of their names. One that vanished meanwhile is left out.
///
/// # Errors
/// What reading gives as a whole; an image that cannot be read is in the result, with the reason.
pub fn details(
    connection: &Connection,
    io: &IoContext,
    images: Vec<Named>,
    deadline: Instant,
) -> Result<Vec<Image>, Problem> {
    let mut images = headers(connection, io, images, deadline)?;
    encryption::look(io, &mut images, deadline);
    Ok(images)
}

/// As [`details`], without what the images' data says.
///
/// # Errors
/// As [`details`].
pub fn headers(
    connection: &Connection,
    io: &IoContext,
    images: Vec<Named>,
    deadline: Instant,
) -> Result<Vec<Image>, Problem> {
    let (images, damaged): (Vec<Named>, Vec<Named>) =
        with_owners(io, images, deadline)?.into_iter().partition(|named| named.damage.is_none());
    let ranges: Vec<OmapRange> =
        images.iter().map(|image| OmapRange { object: header_object(&image.id), ..OmapRange::default() }).collect();
    let mut headers: Vec<Option<Result<ImageHeader, Unread>>> = Vec::new();
    headers.resize_with(images.len(), || None);
    io.omaps(&ranges, IN_FLIGHT, Some(deadline), |index, result| {
        headers[index] = Some(decoded(result));
    })?;
    let mut parents = parents_of(headers.iter().flatten().flatten());
    let whole =
        images.iter().zip(&headers).filter_map(|(named, header)| Some((named, header.as_ref()?.as_ref().ok()?)));
    name_listed_parents(&mut parents, io, whole);
    read_parent_names(connection.cluster(), io.pool_id(), &mut parents, deadline)?;
    let groups = group_names(io, headers.iter().flatten().flatten(), deadline)?;
    let whole = images
        .iter()
        .zip(&headers)
        .filter_map(|(named, header)| Some((named.id.as_str(), header.as_ref()?.as_ref().ok()?)));
    let known = Names { parents, groups, mirroring: mirroring::read(io, whole, deadline)? };
    let mut shown = Vec::with_capacity(images.len() + damaged.len());
    for (named, header) in images.into_iter().zip(headers) {
        match header {
            Some(Ok(header)) => shown.push(image(connection, io, named, &header, &known)),
            other => {
                // It may have been removed since the directory was read.
                if find_stored(io, named.stored(), deadline)?.is_some_and(|now| now.id == named.id) {
                    let (state, reason) = match other {
                        Some(Err(Unread::Damaged(reason))) => (ImageState::Damaged, reason),
                        _ => (
                            ImageState::Removing,
                            "Its header is missing: its removal, or its making, was begun and has not finished."
                                .to_owned(),
                        ),
                    };
                    shown.push(unreadable(io, named, state, &reason));
                }
            }
        }
    }
    if !damaged.is_empty() {
        shown.extend(damaged.into_iter().map(|named| {
            let reason = named.damage.clone().unwrap_or_default();
            unreadable(io, named, ImageState::Damaged, &reason)
        }));
        shown.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(shown)
}

/// Why there is no header.
enum Unread {
    /// The object is missing.
    Missing,
    /// It is there and cannot be read.
    Damaged(String),
}

/// What is read besides the headers, to show names for ids.
struct Names {
    parents: HashMap<ParentKey, ParentNames>,
    groups: HashMap<(i64, String), String>,
    mirroring: mirroring::Known,
}

fn decoded(result: Result<Vec<Entry>, Errno>) -> Result<ImageHeader, Unread> {
    let entries = result.map_err(|errno| match errno {
        Errno::ENOENT => Unread::Missing,
        other => Unread::Damaged(format!("Its header cannot be read: {other}.")),
    })?;
    decode_header(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice())))
        .map_err(|error| Unread::Damaged(format!("Its header is damaged: {error}.")))
}

/// Until when to wait for a pool that is not the one asked for.
fn foreign(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + FOREIGN.min(deadline.saturating_duration_since(now) / 2)
}

/// The names of the groups that images of one namespace are in: one read per group, of all pools at once. A group is in the
/// namespace of its images, and may be in another pool.
///
/// # Errors
/// What reading the images' own pool gives.
pub(crate) fn group_names<'a>(
    io: &IoContext,
    headers: impl Iterator<Item = &'a ImageHeader>,
    deadline: Instant,
) -> Result<HashMap<(i64, String), String>, Problem> {
    let mut pools: HashMap<i64, BTreeSet<&str>> = HashMap::new();
    for group in headers.filter_map(|header| header.group.as_ref()) {
        pools.entry(group.pool_id).or_default().insert(&group.group_id);
    }
    let cluster = io.cluster();
    let places: Vec<(IoContext, BTreeSet<&str>)> = pools
        .into_iter()
        .filter_map(|(pool_id, ids)| {
            let pool = cluster.pool_name(pool_id).ok()?;
            Some((cluster.io_context(&pool, io.namespace()).ok()?, ids))
        })
        .collect();
    let (own, foreign) = (io.pool_id(), foreign(deadline));
    let read = at_once(&places, |(place, ids)| {
        group_names_in(place, ids, if place.pool_id() == own { deadline } else { foreign })
    });
    let mut known = HashMap::new();
    for ((place, _), (names, ended)) in places.iter().zip(read) {
        known.extend(names.into_iter().map(|(id, name)| ((place.pool_id(), id), name)));
        if place.pool_id() == own {
            ended?;
        }
    }
    Ok(known)
}

/// The names of groups of one place, by their ids, as far as they came in time.
fn group_names_in(io: &IoContext, ids: &BTreeSet<&str>, until: Instant) -> (HashMap<String, String>, ceph::Result<()>) {
    let ranges: Vec<OmapRange> = ids
        .iter()
        .map(|id| OmapRange {
            object: GROUP_DIRECTORY_OBJECT.to_owned(),
            prefix: format!("{ID_PREFIX}{id}"),
            limit: 1,
            ..OmapRange::default()
        })
        .collect();
    let mut known = HashMap::new();
    let ended = io.omaps(&ranges, IN_FLIGHT, Some(until), |_, result| {
        for (key, value) in result.unwrap_or_default() {
            if let Ok(Some(DirectoryEntry::Id { id, name })) = DirectoryEntry::decode(&key, &value) {
                known.insert(id, name.to_string());
            }
        }
    });
    (known, ended)
}

/// The parents that images with these headers have; their names are not known yet.
fn parents_of<'a>(headers: impl Iterator<Item = &'a ImageHeader>) -> HashMap<ParentKey, ParentNames> {
    headers
        .filter_map(|header| header.parent.as_ref())
        .map(|raw| ((raw.pool_id, raw.namespace.to_string(), raw.image_id.clone()), ParentNames::default()))
        .collect()
}

/// Takes the names of parents that are themselves among the images of a listing, so that they need not be read again.
fn name_listed_parents<'a>(
    parents: &mut HashMap<ParentKey, ParentNames>,
    io: &IoContext,
    images: impl Iterator<Item = (&'a Named, &'a ImageHeader)>,
) {
    if parents.is_empty() {
        return;
    }
    for (named, header) in images {
        if let Some(names) = parents.get_mut(&(io.pool_id(), io.namespace().to_owned(), named.id.clone())) {
            names.image = Some(named.name.clone());
            names.snapshots = header.snapshots.iter().map(|raw| (raw.id, snapshot(raw).name)).collect();
        }
    }
}

/// Reads the names of images that are not known yet, in all their pools at once. One in a pool that is gone, or that this
/// entity may not read, stays without names; so does one in a pool other than `own` that does not answer: the names of those
/// pools are the result.
///
/// # Errors
/// What reading gives.
pub fn read_parent_names(
    cluster: &ceph::Cluster,
    own: i64,
    known: &mut NamesByKey,
    deadline: Instant,
) -> Result<Vec<String>, Problem> {
    let mut ids: HashMap<(i64, String), Vec<String>> = HashMap::new();
    for (pool_id, namespace, id) in known.iter().filter(|(_, names)| names.image.is_none()).map(|(key, _)| key) {
        ids.entry((*pool_id, namespace.clone())).or_default().push(id.clone());
    }
    let places: Vec<(IoContext, Vec<String>)> = ids
        .into_iter()
        .filter_map(|((pool_id, namespace), ids)| {
            let pool = cluster.pool_name(pool_id).ok()?;
            Some((cluster.io_context(&pool, &namespace).ok()?, ids))
        })
        .collect();
    let foreign = foreign(deadline);
    let read = at_once(&places, |(io, ids)| {
        let until = if io.pool_id() == own { deadline } else { foreign };
        names_in(io, ids, until)
    });
    let mut silent = Vec::new();
    for ((io, _), (names, ended)) in places.iter().zip(read) {
        for (id, names) in names {
            known.insert((io.pool_id(), io.namespace().to_owned(), id), names);
        }
        match ended {
            Err(error) if io.pool_id() == own => return Err(error.into()),
            Err(_) => silent.push(io.pool().to_owned()),
            Ok(()) => {}
        }
    }
    Ok(silent)
}

/// Calls `read` for all places, one after the other only if there is one: a place that does not answer takes no time from
/// another.
pub(crate) fn at_once<P: Sync, T: Send>(places: &[P], read: impl Fn(&P) -> T + Sync) -> Vec<T> {
    if let [place] = places {
        return vec![read(place)];
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = places.iter().map(|place| scope.spawn(|| read(place))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

/// The names of images of one place, by their ids, as far as they came in time.
fn names_in(io: &IoContext, ids: &[String], until: Instant) -> (HashMap<String, ParentNames>, ceph::Result<()>) {
    let range = |object: &str, prefix: String, limit| OmapRange {
        object: object.to_owned(),
        prefix,
        limit,
        ..OmapRange::default()
    };
    let ranges: Vec<OmapRange> = ids
        .iter()
        .flat_map(|id| {
            [
                range(&header_object(id), "snapshot_".into(), 0),
                range(DIRECTORY_OBJECT, format!("{ID_PREFIX}{id}"), 1),
                range(TRASH_OBJECT, format!("{ID_PREFIX}{id}"), 1),
            ]
        })
        .collect();
    let mut known: HashMap<String, ParentNames> = HashMap::new();
    let ended = io.omaps(&ranges, IN_FLIGHT, Some(until), |index, result| {
        let id = &ids[index / 3];
        let names = known.entry(id.clone()).or_default();
        for (key, value) in result.unwrap_or_default() {
            names.take(id, index % 3, &key, &value);
        }
    });
    (known, ended)
}

impl ParentNames {
    /// Takes one entry of the three objects that name an image, by their number in [`names_in`].
    fn take(&mut self, id: &str, object: usize, key: &[u8], value: &[u8]) {
        match object {
            0 => {
                if let Ok(raw) = RawSnapshot::decode(value) {
                    self.snapshots.insert(raw.id, snapshot(&raw).name);
                }
            }
            1 => {
                if let Ok(Some(DirectoryEntry::Id { id: found, name })) = DirectoryEntry::decode(key, value)
                    && found == id
                {
                    self.image = Some(name.to_string());
                }
            }
            _ => {
                if let Ok(Some(entry)) = TrashEntry::decode(key, value)
                    && entry.image_id == id
                {
                    self.image = Some(entry.name.to_string());
                    self.in_trash = true;
                }
            }
        }
    }
}

/// The parent of an image with this header: three RADOS reads, at once.
///
/// # Errors
/// What reading gives as a whole; a parent that cannot be read has no names.
pub fn parent(connection: &Connection, header: &ImageHeader, deadline: Instant) -> Result<Option<Parent>, Problem> {
    let Some(raw) = &header.parent else { return Ok(None) };
    let mut known = parents_of(std::iter::once(header));
    // That pool is what is asked about.
    read_parent_names(connection.cluster(), raw.pool_id, &mut known, deadline)?;
    Ok(Some(shown_parent(connection, raw, &known)))
}

fn shown_parent(
    connection: &Connection,
    raw: &rbd_format::Parent,
    parents: &HashMap<ParentKey, ParentNames>,
) -> Parent {
    let known = parents.get(&(raw.pool_id, raw.namespace.to_string(), raw.image_id.clone()));
    Parent {
        pool: connection.cluster().pool_name(raw.pool_id).ok(),
        namespace: raw.namespace.to_string(),
        image: known.and_then(|known| known.image.clone()),
        image_id: raw.image_id.clone(),
        snapshot: known.and_then(|known| known.snapshots.get(&raw.snap_id).cloned()),
        snapshot_id: raw.snap_id,
        overlap_bytes: raw.overlap_bytes,
        in_trash: known.is_some_and(|known| known.in_trash),
    }
}

fn image(connection: &Connection, io: &IoContext, named: Named, header: &ImageHeader, known: &Names) -> Image {
    let parent = header.parent.as_ref().map(|raw| shown_parent(connection, raw, &known.parents));
    let metadata: BTreeMap<String, String> = header
        .metadata
        .iter()
        .map(|(key, value)| (key.to_string(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    let incomplete = metadata.get(INCOMPLETE_KEY).cloned();
    let data_pool = header.data_pool_id.filter(|id| *id != io.pool_id());
    let group = header.group.as_ref().map(|group| Group {
        pool: connection.cluster().pool_name(group.pool_id).ok(),
        namespace: io.namespace().to_owned(),
        name: known.groups.get(&(group.pool_id, group.group_id.clone())).cloned(),
        id: group.group_id.clone(),
    });
    let damaged = known.mirroring.damaged.get(&named.id).cloned();
    let unknown = damaged.map(|reason| (UNKNOWN_MIRRORING.to_owned(), reason)).into_iter().collect();
    let reasons = why::standing(io, header);
    let (state, state_reason) = match &named.not_text {
        Some(name) => (ImageState::Unusable, Some(name.reason(io.pool(), io.namespace()))),
        None => state(&reasons, incomplete),
    };
    let mut warnings = Vec::new();
    if header.snapshots.len() > KRBD_SNAPSHOTS {
        warnings.push(format!(
            "It has {} snapshots; the Linux kernel maps images with up to {KRBD_SNAPSHOTS}.",
            header.snapshots.len()
        ));
    }
    Image {
        mirroring: known.mirroring.mirrored.get(&named.id).cloned(),
        encryption: None,
        unknown,
        first_object: Some(format!("{}.{:016x}", header.object_prefix, 0)),
        name_base64: named.not_text.as_ref().map(NotText::base64),
        name: named.name,
        id: named.id,
        format: 2,
        pool: io.pool().to_owned(),
        namespace: io.namespace().to_owned(),
        state,
        state_reason,
        size_bytes: Some(header.size_bytes),
        object_size_bytes: Some(header.object_size_bytes()),
        features: header.features.names().collect(),
        flags: header.flags.names().collect(),
        stripe_unit_bytes: header.striping.as_ref().map(|striping| striping.unit_bytes),
        stripe_count: header.striping.as_ref().map(|striping| striping.count),
        data_pool: data_pool.and_then(|id| connection.cluster().pool_name(id).ok()),
        parent,
        snapshots: header.snapshots.iter().map(snapshot).collect(),
        snapshot_limit: header.snapshot_limit.filter(|limit| *limit != u64::MAX),
        group,
        migration: header.migration.as_ref().map(|raw| migration(connection, raw)),
        created_at: header.created.and_then(timestamp),
        accessed_at: header.accessed.and_then(timestamp),
        modified_at: header.modified.and_then(timestamp),
        metadata,
        warnings,
        reasons,
    }
}

/// The state of an image with a header, and why it is not ready.
fn state(reasons: &[Reason], incomplete: Option<String>) -> (ImageState, Option<String>) {
    match reasons.iter().find(|reason| reason.unusable()) {
        Some(reason) => (ImageState::Unusable, Some(format!("It {}.", reason.text()))),
        None if incomplete.is_some() => (ImageState::Incomplete, incomplete),
        None => (ImageState::Ready, None),
    }
}

fn migration(connection: &Connection, raw: &RawMigration) -> Migration {
    Migration {
        role: match raw.role {
            MigrationRole::Source => "source",
            MigrationRole::Destination => "destination",
            MigrationRole::Unknown(_) => "unknown",
        },
        state: why::migration_state(raw.state),
        pool: connection.cluster().pool_name(raw.pool_id).ok(),
        namespace: raw.namespace.to_string(),
        image: raw.image_name.to_string(),
    }
}
