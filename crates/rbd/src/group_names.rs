//! The names of groups that are known by their ids.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use ceph::{IoContext, OmapRange};
use rbd_format::directory::ID_PREFIX;
use rbd_format::group::GROUP_DIRECTORY_OBJECT;
use rbd_format::{DirectoryEntry, ImageHeader};
use rbd_model::fault::Fault;

use crate::many_pools::{deadline_for_other_pools, read_at_once};

/// RADOS reads in flight.
const IN_FLIGHT: usize = 256;

/// The names of the groups that images of one namespace are in: one read per group, of all pools at once. A group is in the
/// namespace of its images, and may be in another pool.
///
/// # Errors
/// What reading the images' own pool gives.
pub fn group_names<'a>(
    io: &IoContext,
    headers: impl Iterator<Item = &'a ImageHeader>,
    deadline: Instant,
) -> Result<HashMap<(i64, String), String>, Fault> {
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
    let (own, foreign) = (io.pool_id(), deadline_for_other_pools(deadline));
    let read = read_at_once(&places, |(place, ids)| {
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
