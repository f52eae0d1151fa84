//! The clones of an image, read from RADOS.
//!
//! librbd's own list looks into every pool of the cluster for clones of format 1 and waits for ever for one that does
//! not answer, even where there can be no such clone.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use ceph::{Errno, IoContext, omap_values};
use rbd_format::children::{CHILDREN_OBJECT, decode_children_entry};
use rbd_format::{ParentSnapshot, Protection, Snapshot as RawSnapshot};
use rbd_model::child::Child;
use rbd_model::fault::Fault;
use rbd_model::snapshot::Snapshot;
use rbd_model::unread::UnreadPool;

use crate::found_image::FoundImage;
use crate::image_names::{ImageKey, ImageNames};
use crate::{pool_applications, unread};

/// The clones of snapshots, as far as they could be found.
#[derive(Debug, Default)]
pub struct Clones {
    /// Those that were found.
    pub children: Vec<Child>,
    /// The pools that did not answer: more clones may be in them, or the names of those that were found.
    pub unread: Vec<UnreadPool>,
}

impl Clones {
    /// All of them.
    ///
    /// # Errors
    /// `ceph-unavailable` with the pools that did not answer.
    pub fn all(self) -> Result<Vec<Child>, Fault> {
        unread::reject_unread("Whether there are clones of format 1", &self.unread)?;
        Ok(self.children)
    }
}

/// The clones of an image, or of one of its snapshots, by snapshot. Those of format 2 are in the image's own header. For
/// those of format 1, which only a protected snapshot can have, every pool that may hold images is asked, all at once.
///
/// # Errors
/// What reading the image's own pool gives.
pub fn clones(io: &IoContext, found: &FoundImage, snapshot: Option<u64>, deadline: Instant) -> Result<Clones, Fault> {
    let header = &found.header;
    let wanted: Vec<&RawSnapshot> =
        header.snapshots.iter().filter(|raw| snapshot.is_none_or(|id| raw.id == id)).collect();
    let protected: Vec<u64> =
        wanted.iter().filter(|raw| raw.protection != Protection::Unprotected).map(|raw| raw.id).collect();
    let mut silent = BTreeSet::new();
    let mut first = format_1(io, &found.id, &protected, deadline, &mut silent)?;
    let mut clones: Vec<(&RawSnapshot, u8, ImageKey)> = Vec::new();
    for raw in wanted {
        let second = header.children.get(&raw.id).into_iter().flatten();
        clones
            .extend(second.map(|child| (raw, 2, (child.pool_id, child.namespace.to_string(), child.image_id.clone()))));
        clones.extend(first.remove(&raw.id).unwrap_or_default().into_iter().map(|key| (raw, 1, key)));
    }
    let mut names: HashMap<ImageKey, ImageNames> =
        clones.iter().map(|(_, _, key)| (key.clone(), ImageNames::default())).collect();
    silent.extend(crate::image_names::read_names(io.cluster(), io.pool_id(), &mut names, deadline)?);
    let child = |(raw, format, key): (&RawSnapshot, u8, ImageKey)| {
        let known = names.get(&key);
        let (pool_id, namespace, id) = key;
        Child {
            pool: io.cluster().pool_name(pool_id).ok(),
            namespace,
            image: known.and_then(|known| known.image.clone()),
            id,
            in_trash: known.is_some_and(|known| known.in_trash),
            snapshot: Snapshot::from(raw).name,
            format,
        }
    };
    Ok(Clones {
        children: clones.into_iter().map(child).collect(),
        unread: silent.iter().map(|pool| UnreadPool::silent(pool)).collect(),
    })
}

/// Clones of format 1, by snapshot. They are in any pool, but in the namespace of their parent. Pools that do not answer are
/// added to `silent`.
fn format_1(
    io: &IoContext,
    image_id: &str,
    snapshots: &[u64],
    deadline: Instant,
    silent: &mut BTreeSet<String>,
) -> Result<HashMap<u64, Vec<ImageKey>>, Fault> {
    let mut children: HashMap<u64, Vec<ImageKey>> = HashMap::new();
    let Ok(pool_id) = u64::try_from(io.pool_id()) else { return Ok(children) };
    if snapshots.is_empty() {
        return Ok(children);
    }
    let keys: Vec<Vec<u8>> = snapshots
        .iter()
        .map(|snap_id| ParentSnapshot { pool_id, image_id: image_id.to_owned(), snap_id: *snap_id }.key())
        .collect();
    io.cluster().refresh()?;
    let pools = pool_applications::pools_with_images(io.cluster())?;
    // One that was deleted since has no clones.
    let places: Vec<IoContext> =
        pools.iter().filter_map(|pool| io.cluster().io_context(pool, io.namespace()).ok()).collect();
    let until = unread::deadline_per_pool(deadline);
    for (place, read) in places.iter().zip(omap_values(&places, CHILDREN_OBJECT, &keys, Some(until))) {
        let entries = match read {
            Ok(entries) => entries,
            Err(ceph::Error::Deadline { .. }) => {
                silent.insert(place.pool().to_owned());
                continue;
            }
            // Without clones of format 1; without omaps, as erasure-coded ones are; or of no concern to this entity.
            Err(error)
                if matches!(error.errno(), Some(Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EPERM | Errno::EACCES)) =>
            {
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        for (key, value) in entries {
            let (parent, ids) = decode_children_entry(&key, &value)
                .map_err(|source| ceph::Error::Decode { subject: place.subject(CHILDREN_OBJECT), source })?;
            children
                .entry(parent.snap_id)
                .or_default()
                .extend(ids.into_iter().map(|id| (place.pool_id(), place.namespace().to_owned(), id)));
        }
    }
    Ok(children)
}
