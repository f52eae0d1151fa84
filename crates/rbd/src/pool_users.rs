//! What of other pools needs a pool: clones of images in it, images whose data is in it, groups and their images.

use std::time::Instant;

use ceph::{Cluster, Errno, IoContext, OmapRange};
use rbd_format::group::group_header_object;
use rbd_format::header::{MigrationRole, header_object};
use rbd_format::{GroupEntry, ImageHeader, decode_header};
use rbd_model::fault::{Fault, Kind, members};
use rbd_model::image::NamedImage;
use rbd_model::namespace::NamespaceState;
use rbd_model::pool::PoolUser;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{group, namespaces, pool_applications};

/// Headers read at once, and images read per page.
const IN_FLIGHT: usize = 256;
const PAGE: usize = 1024;
/// How many images a fault names in its text, and in its list.
const MAX_NAMED: usize = 5;
const MAX_LISTED: usize = 1000;

/// A group that has images of a pool other than its own.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupUser {
    /// Its pool.
    pub pool: String,
    /// Its namespace; empty for the default one.
    pub namespace: String,
    /// Its name.
    pub group: String,
    /// The number of its images, and of parts of its snapshots, in the pool.
    pub holds: usize,
}

impl GroupUser {
    fn text(&self) -> String {
        let place =
            if self.namespace.is_empty() { self.pool.clone() } else { format!("{}/{}", self.pool, self.namespace) };
        format!("{place}/{}", self.group)
    }
}

/// What of one pool needs another.
#[derive(Debug, Default)]
struct PoolUsers {
    images: Vec<PoolUser>,
    groups: Vec<GroupUser>,
}

/// Refuses to delete a pool that images of other pools need. All pools that may hold images are read, at once.
///
/// # Errors
/// `in-use` with those images; `ceph-unavailable` with the pools that do not answer in time; what reading gives.
pub fn reject_needed(io: &IoContext, deadline: Instant) -> Result<(), Fault> {
    let (pool, pool_id) = (io.pool(), io.pool_id());
    let others = others(io.cluster(), pool_id)?;
    // Early enough to name those that do not answer.
    let now = Instant::now();
    let until = now + deadline.saturating_duration_since(now) * 3 / 4;
    let read: Vec<Result<PoolUsers, Fault>> = std::thread::scope(|scope| {
        let threads: Vec<_> = others.iter().map(|io| scope.spawn(move || users(io, pool_id, until))).collect();
        let panicked = || Fault::new(Kind::Internal, "Reading a pool panicked.");
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(panicked()))).collect()
    });
    let (mut found, mut silent) = (PoolUsers::default(), Vec::new());
    for (io, read) in others.iter().zip(read) {
        match read {
            Ok(users) => {
                found.images.extend(users.images);
                found.groups.extend(users.groups);
            }
            // Without omaps, as erasure-coded ones are, or gone: without images.
            Err(fault) if matches!(fault.ceph_errno(), Some(Errno::EOPNOTSUPP | Errno::ENOENT)) => {}
            Err(fault) => silent.push((io.pool().to_owned(), fault)),
        }
    }
    if !found.images.is_empty() {
        return Err(needed_fault(pool, &found));
    }
    if !found.groups.is_empty() {
        return Err(grouped_fault(pool, &found.groups));
    }
    match silent.first() {
        None => Ok(()),
        Some((_, first)) => Err(unknown(pool, first, silent.iter().map(|(name, _)| name.clone()).collect())),
    }
}

fn needed_fault(pool: &str, PoolUsers { images: users, groups }: &PoolUsers) -> Fault {
    let names: Vec<String> = users.iter().take(MAX_NAMED).map(PoolUser::text).collect();
    let more = if users.len() > MAX_NAMED { format!(" and {} more", users.len() - MAX_NAMED) } else { String::new() };
    let detail =
        format!("Pool {pool:?} holds what {} image(s) of other pools need: {}{more}.", users.len(), names.join(", "));
    Fault::new(Kind::InUse, detail)
        .cause("They cannot be used any more when the pool is gone.")
        .correction("Flatten, copy or delete those images first; or repeat with force=true to lose them.")
        .with("images", members(&users[..users.len().min(MAX_LISTED)]))
        .with("groups", members(&groups[..groups.len().min(MAX_LISTED)]))
}

fn grouped_fault(pool: &str, groups: &[GroupUser]) -> Fault {
    let names: Vec<String> = groups.iter().take(MAX_NAMED).map(GroupUser::text).collect();
    let more = if groups.len() > MAX_NAMED { format!(" and {} more", groups.len() - MAX_NAMED) } else { String::new() };
    let detail =
        format!("Pool {pool:?} holds images of {} group(s) of other pools: {}{more}.", groups.len(), names.join(", "));
    Fault::new(Kind::InUse, detail)
        .cause("librbd does nothing more with a group of which a pool is gone.")
        .correction(
            "Take those images out of the groups, and delete the groups' snapshots first; or repeat with force=true.",
        )
        .with("groups", members(&groups[..groups.len().min(MAX_LISTED)]))
}

fn unknown(pool: &str, first: &Fault, silent: Vec<String>) -> Fault {
    let detail =
        format!("Whether images of {} need pool {pool:?} cannot be told: {}", silent.join(", "), first.detail());
    Fault::new(Kind::CephUnavailable, detail)
        .correction(
            "Look at `ceph -s` and the rights of this service; or repeat with force=true to delete it all the same.",
        )
        .with("pools", silent)
        .retry_after(5)
}

/// The pools other than this one that may hold images.
fn others(cluster: &Cluster, pool_id: i64) -> Result<Vec<IoContext>, Fault> {
    let pools = pool_applications::pools_with_images(cluster)?;
    // One that was deleted since holds none.
    let contexts = pools.iter().filter_map(|pool| cluster.io_context(pool, "").ok());
    Ok(contexts.filter(|io| io.pool_id() != pool_id).collect())
}

/// The images of one pool, in all its namespaces, that need another.
fn users(io: &IoContext, pool_id: i64, until: Instant) -> Result<PoolUsers, Fault> {
    let (mut found, mut groups) = (Vec::new(), Vec::new());
    for namespace in namespaces(io, until)? {
        let place = io.in_namespace(&namespace)?;
        for page in images(&place, until)?.chunks(PAGE) {
            found.extend(find_users(&place, page, false, pool_id, until)?);
        }
        let trashed: Vec<NamedImage> = crate::trash_directory::entries(&place, until)?
            .entries
            .into_iter()
            .map(|entry| NamedImage::new(&entry.name, entry.image_id))
            .collect();
        found.extend(find_users(&place, &trashed, true, pool_id, until)?);
        groups.extend(groups_with(&place, pool_id, until)?);
    }
    Ok(PoolUsers { images: found, groups })
}

/// The groups of one namespace that have images of a pool. What cannot be read of one is passed over.
fn groups_with(place: &IoContext, pool_id: i64, until: Instant) -> Result<Vec<GroupUser>, Fault> {
    let groups: Vec<(String, String)> = group::list(place, until)?
        .into_iter()
        .filter_map(|group| Some((group.name.to_string(), group.id.ok()?)))
        .collect();
    let range = |id: &str| OmapRange { object: group_header_object(id), ..OmapRange::default() };
    let ranges: Vec<OmapRange> = groups.iter().map(|(_, id)| range(id)).collect();
    let mut found = Vec::new();
    place.omaps(&ranges, IN_FLIGHT, Some(until), |index, result| {
        let entries = result.unwrap_or_default();
        let decoded = entries.iter().filter_map(|(key, value)| GroupEntry::decode(key, value).ok().flatten());
        let holds = decoded.map(|entry| in_pool(&entry, pool_id)).sum();
        if holds > 0 {
            let (pool, namespace) = (place.pool().to_owned(), place.namespace().to_owned());
            found.push(GroupUser { pool, namespace, group: groups[index].0.clone(), holds });
        }
    })?;
    found.sort_by(|a, b| a.group.cmp(&b.group));
    Ok(found)
}

/// How much of a pool an entry of a group is about.
fn in_pool(entry: &GroupEntry, pool_id: i64) -> usize {
    match entry {
        GroupEntry::Image(image) => usize::from(image.pool_id == pool_id),
        GroupEntry::Snapshot(snapshot) => snapshot.images.iter().filter(|image| image.pool_id == pool_id).count(),
    }
}

/// The images of one namespace.
pub(crate) fn images(place: &IoContext, until: Instant) -> Result<Vec<NamedImage>, Fault> {
    let (mut all, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let page = crate::directory::page(place, after.as_deref(), "", PAGE, until)?;
        all.extend(page.images);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// The namespaces of a pool, with the default one. librbd's own call has no deadline.
pub(crate) fn namespaces(io: &IoContext, until: Instant) -> Result<Vec<String>, Fault> {
    let named = namespaces::list(io, until)?.into_iter().filter(|listed| listed.state != NamespaceState::Unusable);
    Ok(std::iter::once(String::new()).chain(named.map(|listed| listed.name.to_string())).collect())
}

/// Those of some images that need a pool. One whose header cannot be read is passed over.
fn find_users(
    io: &IoContext,
    images: &[NamedImage],
    in_trash: bool,
    pool_id: i64,
    until: Instant,
) -> Result<Vec<PoolUser>, Fault> {
    let ranges: Vec<OmapRange> =
        images.iter().map(|image| OmapRange { object: header_object(&image.id), ..OmapRange::default() }).collect();
    let mut found = Vec::new();
    io.omaps(&ranges, IN_FLIGHT, Some(until), |index, result| {
        let Ok(entries) = result else { return };
        let header = decode_header(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice())));
        let Some(holds) = header.ok().and_then(|header| needs(&header, pool_id)) else { return };
        let NamedImage { name, id, .. } = images[index].clone();
        let (pool, namespace) = (io.pool().to_owned(), io.namespace().to_owned());
        found.push(PoolUser { pool, namespace, image: name, id, in_trash, holds });
    })?;
    Ok(found)
}

/// What of an image a pool holds.
fn needs(header: &ImageHeader, pool_id: i64) -> Option<&'static str> {
    if header.data_pool_id == Some(pool_id) {
        return Some("its data");
    }
    if header.parent.as_ref().is_some_and(|parent| parent.pool_id == pool_id) {
        return Some("its parent");
    }
    if header.group.as_ref().is_some_and(|group| group.pool_id == pool_id) {
        return Some("its group");
    }
    let source = header.migration.as_ref().filter(|migration| migration.pool_id == pool_id)?;
    Some(if source.role == MigrationRole::Source {
        "the destination of its migration"
    } else {
        "the source of its migration"
    })
}
