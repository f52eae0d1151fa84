//! The names of images that are known by their ids, such as those of a clone's parent.

use std::collections::HashMap;
use std::time::Instant;

use ceph::{Cluster, IoContext, OmapRange};
use rbd_format::directory::{DIRECTORY_OBJECT, ID_PREFIX};
use rbd_format::header::header_object;
use rbd_format::trash::TRASH_OBJECT;
use rbd_format::{DirectoryEntry, ImageHeader, Snapshot as RawSnapshot, TrashEntry, decode_header};
use rbd_model::fault::Fault;
use rbd_model::image::{NamedImage, Parent};
use rbd_model::snapshot::Snapshot;

use crate::many_pools::{deadline_for_other_pools, read_at_once};

/// How the keys of a header begin that are snapshots.
const SNAPSHOT_PREFIX: &str = "snapshot_";

/// RADOS reads in flight.
const IN_FLIGHT: usize = 256;

/// An image by its pool's id, its namespace and its own id.
pub type ImageKey = (i64, String, String);

/// What is known of images that are named by their ids.
pub type NamesByKey = HashMap<ImageKey, ImageNames>;

/// What is known of an image that is named by its id: its name, whether it is in the trash, its snapshots' names.
#[derive(Debug, Default)]
pub struct ImageNames {
    /// Its name; of one in the trash, the name it had.
    pub image: Option<String>,
    /// Whether it is in the trash.
    pub in_trash: bool,
    /// The names of its snapshots by their ids.
    pub snapshots: HashMap<u64, String>,
    /// The image that it takes data from itself.
    pub origin: Option<ImageKey>,
}

impl ImageNames {
    /// Takes one entry of the three objects that name an image, by their number in [`names_in`].
    fn take(&mut self, id: &str, object: usize, key: &[u8], value: &[u8]) {
        match object {
            0 if key.starts_with(SNAPSHOT_PREFIX.as_bytes()) => {
                if let Ok(raw) = RawSnapshot::decode(value) {
                    self.snapshots.insert(raw.id, Snapshot::from(&raw).name);
                }
            }
            0 => {}
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

/// The ids of images by the pool and namespace that they are in; a place that is gone, or cannot be entered, is left out.
pub fn by_place(cluster: &Cluster, images: impl IntoIterator<Item = ImageKey>) -> Vec<(IoContext, Vec<String>)> {
    let mut ids: HashMap<(i64, String), Vec<String>> = HashMap::new();
    for (pool_id, namespace, id) in images {
        ids.entry((pool_id, namespace)).or_default().push(id);
    }
    ids.into_iter()
        .filter_map(|((pool_id, namespace), ids)| {
            let pool = cluster.pool_name(pool_id).ok()?;
            Some((cluster.io_context(&pool, &namespace).ok()?, ids))
        })
        .collect()
}

/// The image that another is opened with, by its header: its parent, or the source of its migration.
pub fn origin_of(header: &ImageHeader) -> Option<ImageKey> {
    let origin = header.origin()?;
    Some((origin.pool_id, origin.namespace.to_string(), origin.image_id.to_owned()))
}

/// The parents that images with these headers have; their names are not known yet.
pub fn parents_of<'a>(headers: impl Iterator<Item = &'a ImageHeader>) -> HashMap<ImageKey, ImageNames> {
    headers
        .filter_map(|header| header.parent.as_ref())
        .map(|raw| ((raw.pool_id, raw.namespace.to_string(), raw.image_id.clone()), ImageNames::default()))
        .collect()
}

/// Takes the names of parents that are themselves among the images of a listing, so that they need not be read again.
pub fn name_listed_parents<'a>(
    parents: &mut NamesByKey,
    io: &IoContext,
    images: impl Iterator<Item = (&'a NamedImage, &'a ImageHeader)>,
) {
    if parents.is_empty() {
        return;
    }
    for (named, header) in images {
        if let Some(names) = parents.get_mut(&(io.pool_id(), io.namespace().to_owned(), named.id.clone())) {
            names.image = Some(named.name.clone());
            names.snapshots = header.snapshots.iter().map(|raw| (raw.id, Snapshot::from(raw).name)).collect();
        }
    }
}

/// Reads the names of images that are not known yet, in all their pools at once. One in a pool that is gone, or that this
/// entity may not read, stays without names; so does one in a pool other than `own` that does not answer: the names of those
/// pools are the result.
///
/// # Errors
/// What reading gives.
pub fn read_names(
    cluster: &Cluster,
    own: i64,
    known: &mut NamesByKey,
    deadline: Instant,
) -> Result<Vec<String>, Fault> {
    let unnamed = known.iter().filter(|(_, names)| names.image.is_none()).map(|(key, _)| key.clone());
    let places = by_place(cluster, unnamed);
    let foreign = deadline_for_other_pools(deadline);
    let read = read_at_once(&places, |(io, ids)| {
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

/// The names of images of one place, by their ids, as far as they came in time.
fn names_in(io: &IoContext, ids: &[String], until: Instant) -> (HashMap<String, ImageNames>, ceph::Result<()>) {
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
                range(&header_object(id), String::new(), 0),
                range(DIRECTORY_OBJECT, format!("{ID_PREFIX}{id}"), 1),
                range(TRASH_OBJECT, format!("{ID_PREFIX}{id}"), 1),
            ]
        })
        .collect();
    let mut known: HashMap<String, ImageNames> = HashMap::new();
    let ended = io.omaps(&ranges, IN_FLIGHT, Some(until), |index, result| {
        let id = &ids[index / 3];
        let names = known.entry(id.clone()).or_default();
        let entries = result.unwrap_or_default();
        for (key, value) in &entries {
            names.take(id, index % 3, key, value);
        }
        if index % 3 == 0 {
            let header = decode_header(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice())));
            names.origin = header.ok().and_then(|header| origin_of(&header));
        }
    });
    (known, ended)
}

/// The parent of an image with this header: three RADOS reads, at once.
///
/// # Errors
/// What reading gives as a whole; a parent that cannot be read has no names.
pub fn parent(cluster: &Cluster, header: &ImageHeader, deadline: Instant) -> Result<Option<Parent>, Fault> {
    let Some(raw) = &header.parent else { return Ok(None) };
    let mut known = parents_of(std::iter::once(header));
    // That pool is what is asked about.
    read_names(cluster, raw.pool_id, &mut known, deadline)?;
    Ok(Some(shown_parent(cluster, raw, &known)))
}

/// The parent of an image, with the names that are known.
pub fn shown_parent(cluster: &Cluster, raw: &rbd_format::Parent, parents: &NamesByKey) -> Parent {
    let known = parents.get(&(raw.pool_id, raw.namespace.to_string(), raw.image_id.clone()));
    Parent {
        pool: cluster.pool_name(raw.pool_id).ok(),
        namespace: raw.namespace.to_string(),
        image: known.and_then(|known| known.image.clone()),
        image_id: raw.image_id.clone(),
        snapshot: known.and_then(|known| known.snapshots.get(&raw.snap_id).cloned()),
        snapshot_id: raw.snap_id,
        overlap_bytes: raw.overlap_bytes,
        in_trash: known.is_some_and(|known| known.in_trash),
    }
}
