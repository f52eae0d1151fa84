//! What the header of an image alone says.

use ceph::{Cluster, Errno, IoContext};
use rbd_format::ImageHeader;
use rbd_format::header::{Migration, MigrationRole, MigrationState};
use rbd_model::obstacle::{MigrationPeer, MissingPool, Obstacle};

/// Bit of the feature `non-primary`, which mirroring by snapshots sets.
const NON_PRIMARY: u64 = 1 << 10;

/// What the header of an image alone says, worst first. Asks nobody, but for the monitors about a pool that is gone; the name
/// of a group is its id here.
pub fn header_obstacles(io: &IoContext, header: &ImageHeader) -> Vec<Obstacle> {
    let mut obstacles: Vec<Obstacle> = header.check_bounds().err().map(Obstacle::Unbounded).into_iter().collect();
    obstacles.extend(header.check_openable().err().map(Obstacle::Unopenable));
    obstacles.extend(missing_pools(io.cluster(), header).into_iter().map(Obstacle::PoolGone));
    if header.features.0 & NON_PRIMARY != 0 {
        obstacles.push(Obstacle::NonPrimary);
    }
    obstacles.extend(header.migration.as_ref().and_then(|migration| migrating(io.cluster(), migration)));
    if let Some(group) = &header.group {
        let pool = io.cluster().pool_name(group.pool_id).ok();
        obstacles.push(Obstacle::GroupMember { pool, group: group.group_id.clone() });
    }
    obstacles
}

/// The pools that an image needs by its header and that are gone.
fn missing_pools(cluster: &Cluster, header: &ImageHeader) -> Vec<MissingPool> {
    let source = header.migration.as_ref().filter(|migration| migration.role == MigrationRole::Destination);
    let needed = [
        (header.data_pool_id, "its data"),
        (header.parent.as_ref().filter(|_| header.takes_from_parent()).map(|parent| parent.pool_id), "its parent"),
        (source.map(|source| source.pool_id), "the source of its migration"),
    ];
    let gone = |id: i64| cluster.pool_name(id).is_err_and(|error| error.is(Errno::ENOENT));
    let needed = needed.into_iter().filter_map(|(id, held)| Some((id.filter(|id| *id >= 0)?, held)));
    needed
        .filter(|(id, _)| gone(*id))
        .map(|(id, held)| MissingPool { id, name: cluster.former_pool_name(id), held })
        .collect()
}

fn migrating(cluster: &Cluster, migration: &Migration) -> Option<Obstacle> {
    let place = match cluster.pool_name(migration.pool_id) {
        Ok(pool) if migration.namespace.to_string().is_empty() => pool,
        Ok(pool) => format!("{pool}/{}", migration.namespace),
        Err(_) => "elsewhere".to_owned(),
    };
    let state = migration_state(migration.state);
    let other = MigrationPeer { subject: format!("{place}/{}", migration.image_name), state };
    match migration.role {
        MigrationRole::Source => Some(Obstacle::MigrationSource(other)),
        MigrationRole::Destination => Some(Obstacle::MigrationDestination(other)),
        MigrationRole::Unknown(_) => None,
    }
}

/// How far a migration is, as the API names it.
pub fn migration_state(state: MigrationState) -> &'static str {
    match state {
        MigrationState::Error => "error",
        MigrationState::Preparing => "preparing",
        MigrationState::Prepared => "prepared",
        MigrationState::Executing => "executing",
        MigrationState::Executed => "executed",
        MigrationState::Aborting => "aborting",
        MigrationState::Unknown(_) => "unknown",
    }
}
