//! A group as RADOS has it, and whether something stands in the way of what is done with all its images.

use std::collections::BTreeSet;
use std::time::Instant;

use ceph::{Errno, IoContext, OmapChange, OmapRange};
use rbd_format::directory::{DIRECTORY_OBJECT, ID_PREFIX, NAME_PREFIX};
use rbd_format::group::{GROUP_DIRECTORY_OBJECT, GroupImage, GroupSnapshot, group_header_object};
use rbd_format::{DirectoryEntry, GroupEntry, ImageHeader, Name};
use rbd_model::fault::{Fault, Kind};
use rbd_model::obstacle::{Act, MissingPool, Obstacle};
use serde_json::Value;

use crate::obstacles;

/// A group, read from RADOS and not asked of librbd, whose list of a group's images is empty as soon as one of them is in
/// the trash.
#[derive(Debug, Clone)]
pub struct RawGroup {
    /// Its id.
    pub id: String,
    /// Its images.
    pub images: Vec<GroupImage>,
    /// Its snapshots.
    pub snapshots: Vec<GroupSnapshot>,
    /// What is wrong with those of its entries that cannot be read.
    pub damaged: Vec<String>,
}

/// A group in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its name.
    pub name: Name,
    /// Its id, or what is wrong with its entry.
    pub id: Result<String, String>,
}

/// The groups of a pool and namespace, by name.
///
/// # Errors
/// What reading gives; a directory that is missing is an empty one.
pub fn list(io: &IoContext, deadline: Instant) -> Result<Vec<ListedGroup>, Fault> {
    let entries = match io.omap_all(GROUP_DIRECTORY_OBJECT, NAME_PREFIX, Some(deadline)) {
        Err(error) if error.is(Errno::ENOENT) => Vec::new(),
        entries => entries?,
    };
    Ok(entries.iter().filter_map(|(key, value)| listed(key, value)).collect())
}

fn listed(key: &[u8], value: &[u8]) -> Option<ListedGroup> {
    let name = Name::from(key.strip_prefix(NAME_PREFIX.as_bytes())?);
    let id = match DirectoryEntry::decode(key, value) {
        Ok(Some(DirectoryEntry::Name { id, .. })) => Ok(id),
        Ok(_) => return None,
        Err(error) => Err(format!("Its entry in {GROUP_DIRECTORY_OBJECT} is damaged: {error}.")),
    };
    Some(ListedGroup { name, id })
}

/// Takes the damaged entry of a name out of the directory, so that the name is free; whether there was one. Blocks.
///
/// # Errors
/// What Ceph gives.
pub fn drop_damaged_entry(io: &IoContext, group: &str, deadline: Instant) -> Result<bool, Fault> {
    let key = format!("{NAME_PREFIX}{group}").into_bytes();
    let entries = match io.omap_all(GROUP_DIRECTORY_OBJECT, &format!("{NAME_PREFIX}{group}"), Some(deadline)) {
        Err(error) if error.is(Errno::ENOENT) => return Ok(false),
        entries => entries?,
    };
    let Some((_, value)) = entries.into_iter().find(|(found, _)| *found == key) else { return Ok(false) };
    if listed(&key, &value).is_none_or(|group| group.id.is_ok()) {
        return Ok(false);
    }
    let change = OmapChange { guards: vec![(key.clone(), value)], set: Vec::new(), remove: vec![key] };
    io.omap_change(GROUP_DIRECTORY_OBJECT, &change)?;
    Ok(true)
}

/// Whether the pool of a group is gone, and with it the group.
pub fn pool_is_gone(io: &IoContext, pool_id: i64) -> bool {
    io.cluster().pool_name(pool_id).is_err_and(|error| error.is(Errno::ENOENT))
}

/// Takes an image out of a group whose pool is gone: nothing else can, and librbd removes no image of a group. Blocks.
///
/// # Errors
/// What Ceph gives.
pub fn leave_missing_group(io: &IoContext, image_id: &str, header: &ImageHeader) -> ceph::Result<()> {
    match &header.group {
        Some(group) if pool_is_gone(io, group.pool_id) => io.forget_group(image_id, group.pool_id, &group.group_id),
        _ => Ok(()),
    }
}

/// The id of a group.
///
/// # Errors
/// `group-not-found`; what reading gives.
pub fn group_id(io: &IoContext, group: &str, deadline: Instant) -> Result<String, Fault> {
    let range = OmapRange {
        object: GROUP_DIRECTORY_OBJECT.to_owned(),
        // The first key with the prefix is the name itself, if it is there.
        prefix: format!("{NAME_PREFIX}{group}"),
        limit: 1,
        ..OmapRange::default()
    };
    let page = match io.omap_page(&range, Some(deadline)) {
        Ok(page) => page,
        Err(error) if error.is(Errno::ENOENT) => return Err(group_not_found(io, group)),
        Err(error) => return Err(error.into()),
    };
    let found = page.entries.iter().filter_map(|(key, value)| listed(key, value)).find(|listed| listed.name == *group);
    match found.map(|listed| listed.id) {
        Some(Ok(id)) => Ok(id),
        Some(Err(damage)) => Err(Fault::new(
            Kind::Damaged,
            format!("The entry of group {group:?} in the directory of its pool is damaged."),
        )
        .cause(damage)
        .correction("DELETE it to free the name; no image is touched by that.")),
        None => Err(group_not_found(io, group)),
    }
}

/// Reads a group by its name.
///
/// # Errors
/// `group-not-found`; what reading gives.
pub fn read(io: &IoContext, group: &str, deadline: Instant) -> Result<RawGroup, Fault> {
    let id = group_id(io, group, deadline)?;
    let entries = match io.omap_all(&group_header_object(&id), "", Some(deadline)) {
        Ok(entries) => entries,
        Err(error) if error.is(Errno::ENOENT) => return Err(group_not_found(io, group)),
        Err(error) => return Err(error.into()),
    };
    let mut raw = RawGroup { id, images: Vec::new(), snapshots: Vec::new(), damaged: Vec::new() };
    for (key, value) in &entries {
        match GroupEntry::decode(key, value) {
            Ok(Some(GroupEntry::Image(image))) => raw.images.push(image),
            Ok(Some(GroupEntry::Snapshot(snapshot))) => raw.snapshots.push(snapshot),
            Ok(None) => {}
            Err(error) => raw.damaged.push(error.to_string()),
        }
    }
    Ok(raw)
}

/// There is no such group.
pub fn group_not_found(io: &IoContext, group: &str) -> Fault {
    Fault::new(Kind::GroupNotFound, format!("{:?} has no group {group:?}.", io.subject("")))
        .correction("GET the groups of the pool or namespace.")
}

/// The group has no such snapshot.
pub fn snapshot_not_found(group: &str, snapshot: &str) -> Fault {
    Fault::new(Kind::SnapshotNotFound, format!("Group {group:?} has no snapshot {snapshot:?}."))
        .correction("GET the snapshots of the group.")
}

/// Refuses to set a group back to a snapshot of it when that cannot be done, or when something stands in the way at one of
/// its images: all of those are named. `force` goes on although clients have them open.
///
/// # Errors
/// `group-not-found`, `snapshot-not-found`, `conflict`; what stands in the way.
pub fn check_rollback(
    io: &IoContext,
    group: &str,
    snapshot: &str,
    force: bool,
    deadline: Instant,
) -> Result<(), Fault> {
    let raw = read(io, group, deadline)?;
    let Some(found) = raw.snapshots.iter().find(|known| known.name == snapshot) else {
        return Err(snapshot_not_found(group, snapshot));
    };
    if !found.complete {
        return Err(Fault::new(Kind::Conflict, format!("Snapshot {snapshot:?} was not completed."))
            .correction("It can only be deleted."));
    }
    same_images(io, group, &raw, found, deadline)?;
    let problems: Vec<Fault> = raw
        .images
        .iter()
        .filter_map(|image| check_image_act(io, image, Act::Overwrite { force }, deadline).err())
        .collect();
    match join_faults(group, &problems) {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

/// Rejects a snapshot of other images than those that the group has now.
fn same_images(
    io: &IoContext,
    group: &str,
    raw: &RawGroup,
    snapshot: &GroupSnapshot,
    deadline: Instant,
) -> Result<(), Fault> {
    let now: BTreeSet<(i64, &str)> = raw.images.iter().map(|image| (image.pool_id, image.image_id.as_str())).collect();
    let then: BTreeSet<(i64, &str)> =
        snapshot.images.iter().map(|part| (part.pool_id, part.image_id.as_str())).collect();
    let names = |ids: Vec<&(i64, &str)>| -> Vec<String> {
        ids.into_iter().map(|(pool_id, id)| image_name(io, *pool_id, id, deadline)).collect()
    };
    let (added, gone) = (names(now.difference(&then).collect()), names(then.difference(&now).collect()));
    if added.is_empty() && gone.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "The images of group {group:?} are others than when snapshot {:?} was taken.",
        snapshot.name.to_string()
    );
    Err(Fault::new(Kind::Conflict, detail)
        .cause(format!("Since then: added {added:?}, taken out {gone:?}."))
        .correction("Make the group have the same images again, or roll the images back one by one.")
        .with("added", added)
        .with("removed", gone))
}

/// Rejects an act on one image of a group.
fn check_image_act(io: &IoContext, image: &GroupImage, act: Act, deadline: Instant) -> Result<(), Fault> {
    let name = image_name(io, image.pool_id, &image.image_id, deadline);
    match place(io, image.pool_id) {
        Ok(place) => obstacles::check_act(&place, &name, &image.image_id, act, deadline),
        Err(error) if error.is(Errno::ENOENT) => Err(pool_gone(io, image.pool_id).fault(&name)),
        Err(error) => Err(error.into()),
    }
}

/// Where an image of a group is.
fn place(io: &IoContext, pool_id: i64) -> ceph::Result<IoContext> {
    io.cluster().io_context(&io.cluster().pool_name(pool_id)?, io.namespace())
}

fn pool_gone(io: &IoContext, id: i64) -> Obstacle {
    Obstacle::PoolGone(MissingPool { id, name: io.cluster().former_pool_name(id), held: "it" })
}

/// What a failed call on all images of a group means: the state of the first image that explains it. Blocks.
pub fn explain(io: &IoContext, group: &str, error: ceph::Error, deadline: Instant) -> Fault {
    let raw = match read(io, group, deadline) {
        Ok(raw) => raw,
        Err(fault) => return fault,
    };
    if !raw.damaged.is_empty() {
        return damaged(io, group, &raw);
    }
    let Some(errno) = error.errno() else { return error.into() };
    let obstacle = raw.images.iter().find_map(|image| {
        let reason = match place(io, image.pool_id) {
            Ok(place) => obstacles::find_obstacle(&place, &image.image_id, errno, deadline),
            Err(gone) => gone.is(Errno::ENOENT).then(|| pool_gone(io, image.pool_id)),
        };
        Some((image, reason?))
    });
    match obstacle {
        Some((image, reason)) => reason.fault(&image_name(io, image.pool_id, &image.image_id, deadline)).errno(errno),
        None => error.into(),
    }
}

/// A group of which librbd reads nothing as long as it has entries that cannot be read.
pub fn damaged(io: &IoContext, group: &str, raw: &RawGroup) -> Fault {
    let object = group_header_object(&raw.id);
    Fault::new(Kind::Damaged, format!("Group {group:?} has {} entries that cannot be read.", raw.damaged.len()))
        .cause(raw.damaged.join("; "))
        .correction(format!(
            "Take them away with `rados -p {} rmomapkey {object} KEY`; images whose entries go must leave the group by hand.",
            io.pool()
        ))
        .with("entries", raw.damaged.clone())
}

/// The name of an image by its id; the id where it cannot be read.
fn image_name(io: &IoContext, pool_id: i64, id: &str, deadline: Instant) -> String {
    let read = || -> ceph::Result<Option<String>> {
        let entries = place(io, pool_id)?.omap_all(DIRECTORY_OBJECT, &format!("{ID_PREFIX}{id}"), Some(deadline))?;
        Ok(entries.iter().find_map(|(key, value)| match DirectoryEntry::decode(key, value).ok().flatten() {
            Some(DirectoryEntry::Id { id: found, name }) if found == id => Some(name.to_string()),
            _ => None,
        }))
    };
    read().ok().flatten().unwrap_or_else(|| format!("id {id}"))
}

/// Problems of several images of a group as one, with all clients.
fn join_faults(group: &str, problems: &[Fault]) -> Option<Fault> {
    let first = problems.first()?;
    let details: Vec<&str> = problems.iter().map(Fault::detail).collect();
    let detail = format!("Group {group:?} cannot be rolled back: {}", details.join(" "));
    let mut fault = first.clone().about(detail);
    for member in ["watchers", "locks"] {
        let all: Vec<Value> = problems
            .iter()
            .filter_map(|fault| fault.member(member).and_then(Value::as_array).cloned())
            .flatten()
            .collect();
        if !all.is_empty() {
            fault = fault.with(member, all);
        }
    }
    Some(fault)
}
