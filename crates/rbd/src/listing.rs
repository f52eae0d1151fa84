//! Images as the API shows them, read from RADOS without opening them.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use ceph::{Entry, Errno, IoContext, OmapRange};
use rbd_format::directory::ID_PREFIX;
use rbd_format::header::{Migration as RawMigration, MigrationRole, header_object};
use rbd_format::trash::TRASH_OBJECT;
use rbd_format::{ImageHeader, decode_header};
use rbd_model::fault::Fault;
use rbd_model::image::{GroupOfImage, INCOMPLETE_KEY, Image, ImageState, Migration, NamedImage};
use rbd_model::names::NonUtf8Name;
use rbd_model::obstacle::Obstacle;
use rbd_model::snapshot::{KRBD_SNAPSHOTS, Snapshot};
use rbd_model::time::timestamp;

use crate::ancestors::Ancestors;
use crate::ceph_link::Connection;
use crate::directory::{self, DirectoryPage, place_of};
use crate::encryption;
use crate::format_1;
use crate::group_names::group_names;
use crate::image_names::{self, ImageKey, ImageNames, name_listed_parents, parents_of, shown_parent};
use crate::mirroring;
use crate::obstacles;
use crate::trash_directory;

/// RADOS reads in flight per listing.
const IN_FLIGHT: usize = 256;

/// The field of an image in `unknown` when it cannot be told whether it is mirrored.
pub const UNKNOWN_MIRRORING: &str = "mirroring";

/// How a list begins.
pub struct ListingStart {
    /// The first page of the directory.
    pub directory: DirectoryPage,
    /// The names of the images of format 1.
    pub format_1: Vec<String>,
    /// The images of [`trash_directory::removing`], if the page is all of the directory.
    pub removing: Option<Vec<Image>>,
}

/// How a list begins: the first page of the directory and, if that is all of it, the images of [`trash_directory::removing`]. Both are
/// read at the same time, which halves the time to list the names of a small pool; so are the names of images of format 1.
///
/// # Errors
/// As [`directory::page`] and [`trash_directory::removing`].
pub fn begin_listing(io: &IoContext, prefix: &str, limit: usize, deadline: Instant) -> Result<ListingStart, Fault> {
    let images = OmapRange { data_bytes: format_1::MOST_BYTES, ..directory::range(None, prefix, limit) };
    let trash = OmapRange { object: TRASH_OBJECT.to_owned(), prefix: ID_PREFIX.to_owned(), ..OmapRange::default() };
    let [images, trash] = io.omap_page_each([&images, &trash], Some(deadline))?;
    let page = directory::or_empty(images)?;
    let format_1 = format_1::names(io, &page.data, prefix);
    let directory = directory::page_of(&page);
    if directory.next.is_some() {
        return Ok(ListingStart { directory, format_1, removing: None });
    }
    let trash = directory::or_empty(trash)?;
    let removing = if trash.more {
        trash_directory::removing(io, prefix, deadline)?
    } else {
        trash_directory::only_removing(io, trash_directory::entries_of(&trash.entries), prefix)
    };
    Ok(ListingStart { directory, format_1, removing: Some(removing) })
}

/// Details of images of one pool and namespace, in the order given, which is that of their names. One that vanished meanwhile is left out.
///
/// # Errors
/// What reading gives as a whole; an image that cannot be read is in the result, with the reason.
pub fn details(
    connection: &Connection,
    io: &IoContext,
    images: Vec<NamedImage>,
    deadline: Instant,
) -> Result<Vec<Image>, Fault> {
    let images = directory::with_owners(io, images, deadline)?;
    let mut images = headers(connection, io, images, deadline)?;
    encryption::read_encryption(io, &mut images, deadline);
    Ok(images)
}

/// As [`details`], without what the images' data says, of images whose ids are known to be theirs.
///
/// # Errors
/// As [`details`].
pub fn headers(
    connection: &Connection,
    io: &IoContext,
    images: Vec<NamedImage>,
    deadline: Instant,
) -> Result<Vec<Image>, Fault> {
    let (images, damaged): (Vec<NamedImage>, Vec<NamedImage>) =
        images.into_iter().partition(|named| named.damage.is_none());
    let ranges: Vec<OmapRange> =
        images.iter().map(|image| OmapRange { object: header_object(&image.id), ..OmapRange::default() }).collect();
    let mut headers: Vec<Option<Result<ImageHeader, HeaderFault>>> = Vec::new();
    headers.resize_with(images.len(), || None);
    io.omaps(&ranges, IN_FLIGHT, Some(deadline), |index, result| {
        headers[index] = Some(decoded(result));
    })?;
    let mut parents = parents_of(headers.iter().flatten().flatten());
    let whole =
        images.iter().zip(&headers).filter_map(|(named, header)| Some((named, header.as_ref()?.as_ref().ok()?)));
    name_listed_parents(&mut parents, io, whole);
    image_names::read_names(connection.cluster(), io.pool_id(), &mut parents, deadline)?;
    let groups = group_names(io, headers.iter().flatten().flatten(), deadline)?;
    let whole = images
        .iter()
        .zip(&headers)
        .filter_map(|(named, header)| Some((named.id.as_str(), header.as_ref()?.as_ref().ok()?)));
    let mut ancestors = Ancestors::default();
    for (id, header) in whole.clone() {
        ancestors.insert(key_of(io, id), header);
    }
    ancestors.insert_named(&parents);
    ancestors.read_missing(connection.cluster(), deadline);
    let known = ListingContext { parents, groups, mirroring: mirroring::read(io, whole, deadline)?, ancestors };
    let mut shown = Vec::with_capacity(images.len() + damaged.len());
    for (named, header) in images.into_iter().zip(headers) {
        match header {
            Some(Ok(header)) => shown.push(image(connection, io, named, &header, &known)),
            other => {
                // It may have been removed since the directory was read.
                if directory::find_stored(io, named.stored_name(), deadline)?.is_some_and(|now| now.id == named.id) {
                    let (state, reason) = match other {
                        Some(Err(HeaderFault::Damaged(reason))) => (ImageState::Damaged, reason),
                        _ => (
                            ImageState::Removing,
                            "Its header is missing: its removal, or its making, was begun and has not finished."
                                .to_owned(),
                        ),
                    };
                    shown.push(Image::unreadable(place_of(io), named, state, &reason));
                }
            }
        }
    }
    if !damaged.is_empty() {
        shown.extend(damaged.into_iter().map(|named| {
            let reason = named.damage.clone().unwrap_or_default();
            Image::unreadable(place_of(io), named, ImageState::Damaged, &reason)
        }));
        shown.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(shown)
}

/// Why there is no header.
enum HeaderFault {
    /// The object is missing.
    Missing,
    /// It is there and cannot be read.
    Damaged(String),
}

/// What is read besides the headers: names for ids, and what only other objects tell.
struct ListingContext {
    parents: HashMap<ImageKey, ImageNames>,
    groups: HashMap<(i64, String), String>,
    mirroring: mirroring::MirroringByImage,
    ancestors: Ancestors,
}

/// An image of a place, by its id.
fn key_of(io: &IoContext, id: &str) -> ImageKey {
    (io.pool_id(), io.namespace().to_owned(), id.to_owned())
}

fn decoded(result: Result<Vec<Entry>, Errno>) -> Result<ImageHeader, HeaderFault> {
    let entries = result.map_err(|errno| match errno {
        Errno::ENOENT => HeaderFault::Missing,
        other => HeaderFault::Damaged(format!("Its header cannot be read: {other}.")),
    })?;
    decode_header(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice())))
        .map_err(|error| HeaderFault::Damaged(format!("Its header is damaged: {error}.")))
}

fn image(
    connection: &Connection,
    io: &IoContext,
    named: NamedImage,
    header: &ImageHeader,
    known: &ListingContext,
) -> Image {
    let parent = header.parent.as_ref().map(|raw| shown_parent(connection.cluster(), raw, &known.parents));
    let metadata: BTreeMap<String, String> = header
        .metadata
        .iter()
        .map(|(key, value)| (key.to_string(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    let incomplete = metadata.get(INCOMPLETE_KEY).cloned();
    let data_pool = header.data_pool_id.filter(|id| *id != io.pool_id());
    let group = header.group.as_ref().map(|group| GroupOfImage {
        pool: connection.cluster().pool_name(group.pool_id).ok(),
        namespace: io.namespace().to_owned(),
        name: known.groups.get(&(group.pool_id, group.group_id.clone())).cloned(),
        id: group.group_id.clone(),
    });
    let damaged = known.mirroring.damaged.get(&named.id).cloned();
    let unknown = damaged.map(|reason| (UNKNOWN_MIRRORING.to_owned(), reason)).into_iter().collect();
    let mut reasons = obstacles::header_obstacles(io, header);
    reasons.extend(known.ancestors.check(&key_of(io, &named.id)).err().map(Obstacle::Unopenable));
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
        name_base64: named.not_text.as_ref().map(NonUtf8Name::base64),
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
        snapshots: header.snapshots.iter().map(Snapshot::from).collect(),
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
fn state(reasons: &[Obstacle], incomplete: Option<String>) -> (ImageState, Option<String>) {
    match reasons.iter().find(|reason| reason.makes_unusable()) {
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
        state: obstacles::migration_state(raw.state),
        pool: connection.cluster().pool_name(raw.pool_id).ok(),
        namespace: raw.namespace.to_string(),
        image: raw.image_name.to_string(),
    }
}
