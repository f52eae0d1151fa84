//! Asking Ceph what stands in the way of an image.

use std::time::Instant;

use ceph::{Access, Cluster, Errno, Image, ImageRef, IoContext};
use rbd_format::directory::ID_PREFIX;
use rbd_format::group::GROUP_DIRECTORY_OBJECT;
use rbd_format::header::{Migration, MigrationRole, MigrationState};
use rbd_format::{DirectoryEntry, ImageHeader};

use super::reason::{Act, MissingPool, Other, Reason};
use crate::fault::{Fault as Problem, Kind};
use crate::image::{self, locks, watchers};
use crate::layout::{EXCLUSIVE_LOCK, JOURNALING};
use crate::listing;

/// Bit of the feature `non-primary`, which mirroring by snapshots sets.
const NON_PRIMARY: u64 = 1 << 10;

/// What the header of an image alone says, worst first. Asks nobody, but for the monitors about a pool that is gone; the name
/// of a group is its id here.
pub fn standing(io: &IoContext, header: &ImageHeader) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = header.check_bounds().err().map(Reason::Unbounded).into_iter().collect();
    reasons.extend(header.check_openable().err().map(Reason::Unopenable));
    reasons.extend(missing_pools(io.cluster(), header).into_iter().map(Reason::PoolGone));
    if header.features.0 & NON_PRIMARY != 0 {
        reasons.push(Reason::NonPrimary);
    }
    reasons.extend(header.migration.as_ref().and_then(|migration| migrating(io.cluster(), migration)));
    if let Some(group) = &header.group {
        let pool = io.cluster().pool_name(group.pool_id).ok();
        reasons.push(Reason::Member { pool, group: group.group_id.clone() });
    }
    reasons
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

fn migrating(cluster: &Cluster, migration: &Migration) -> Option<Reason> {
    let place = match cluster.pool_name(migration.pool_id) {
        Ok(pool) if migration.namespace.to_string().is_empty() => pool,
        Ok(pool) => format!("{pool}/{}", migration.namespace),
        Err(_) => "elsewhere".to_owned(),
    };
    let state = migration_state(migration.state);
    let other = Other { subject: format!("{place}/{}", migration.image_name), state };
    match migration.role {
        MigrationRole::Source => Some(Reason::MigrationSource(other)),
        MigrationRole::Destination => Some(Reason::MigrationDestination(other)),
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

/// Refuses an act that something stands in the way of. Ask before a change is accepted, and again when it starts: what an
/// operation waited for may have changed. Blocks.
///
/// # Errors
/// What stands in the way; what reading gives. An image that is gone, or whose removal was begun, is left to the act.
pub fn before(io: &IoContext, name: &str, id: &str, act: Act, deadline: Instant) -> Result<(), Problem> {
    let header = match image::read_header(io, id, deadline) {
        Ok(Some(header)) => Some(header),
        Ok(None) => return Ok(()),
        // What cannot be read can still be removed.
        Err(problem) if problem.kind() == Kind::Damaged && act.removes() => None,
        Err(problem) => return Err(problem),
    };
    if let Some(header) = &header
        && let Some(reason) = standing(io, header).into_iter().find(|reason| reason.keeps(act))
    {
        return Err(named(io, header, reason, deadline).problem(name));
    }
    if act.walks() {
        io.check_walkable(name, id).map_err(|error| explain(io, name, id, error, deadline))?;
    }
    if act == Act::Read {
        return Ok(());
    }
    let asked = match io.open_image(ImageRef::Id(id), None, Access::ReadOnly) {
        Ok(image) => asked(&image, header.as_ref(), act),
        Err(error) if error.is(Errno::ENOENT) => Ok(None),
        Err(error) => match Reason::of(&error) {
            // No client can have it open either.
            Some(reason) if !reason.keeps(act) => Ok(None),
            Some(reason) => Ok(Some(reason)),
            None => Err(error.into()),
        },
    };
    match asked {
        Ok(None) => Ok(()),
        Ok(Some(reason)) => Err(reason.problem(name)),
        // Removed since it was opened.
        Err(problem) if problem.ceph_errno() == Some(Errno::ENOENT) => Ok(()),
        Err(problem) => Err(problem),
    }
}

/// What an open image says that its header does not.
fn asked(image: &Image, header: Option<&ImageHeader>, act: Act) -> Result<Option<Reason>, Problem> {
    if Reason::NonPrimary.keeps(act) && header.is_some_and(|header| not_primary(image, header)) {
        return Ok(Some(Reason::NonPrimary));
    }
    if act.needs_quiet() {
        return clients(image);
    }
    let exclusive = header.is_some_and(|header| header.features.0 & EXCLUSIVE_LOCK != 0);
    if act.needs_lock() && exclusive { locked(image) } else { Ok(None) }
}

/// Whether an image is the end of mirroring by journal that is not changed. An entity that may not see that sees none.
fn not_primary(image: &Image, header: &ImageHeader) -> bool {
    header.features.0 & JOURNALING != 0
        && image.mirroring().is_ok_and(|mirroring| mirroring.is_some_and(|mirroring| !mirroring.primary))
}

/// The clients that have an open image open for writing, or that have locked it on purpose. The lock that librbd takes by
/// itself (`auto …`) counts only together with a client: that of one that has died is taken over.
///
/// # Errors
/// What librbd gives.
pub fn clients(image: &Image) -> Result<Option<Reason>, Problem> {
    let watchers = watchers(image)?;
    if watchers.is_empty() {
        return locked(image);
    }
    Ok(Some(Reason::Open { watchers, locks: locks(image)? }))
}

/// The clients that have locked an open image on purpose.
fn locked(image: &Image) -> Result<Option<Reason>, Problem> {
    let locks = locks(image)?;
    let on_purpose = locks.iter().any(|lock| !lock.cookie.starts_with("auto "));
    Ok(on_purpose.then_some(Reason::Locked { locks }))
}

/// The reason with the name of the group in it.
fn named(io: &IoContext, header: &ImageHeader, reason: Reason, deadline: Instant) -> Reason {
    let (Reason::Member { pool, group }, Some(member)) = (&reason, &header.group) else { return reason };
    let name = pool.as_deref().and_then(|pool| group_name(io, pool, &member.group_id, deadline));
    Reason::Member { pool: pool.clone(), group: name.unwrap_or_else(|| group.clone()) }
}

/// The name of a group, which is in the namespace of its images.
fn group_name(io: &IoContext, pool: &str, id: &str, deadline: Instant) -> Option<String> {
    let place = io.cluster().io_context(pool, io.namespace()).ok()?;
    let entries = place.omap_all(GROUP_DIRECTORY_OBJECT, &format!("{ID_PREFIX}{id}"), Some(deadline)).ok()?;
    entries.iter().find_map(|(key, value)| match DirectoryEntry::decode(key, value).ok().flatten() {
        Some(DirectoryEntry::Id { id: found, name }) if found == id => Some(name.to_string()),
        _ => None,
    })
}

/// What a failed call on an image means. Blocks.
pub fn explain(io: &IoContext, name: &str, id: &str, error: ceph::Error, deadline: Instant) -> Problem {
    if let Some(reason) = Reason::of(&error) {
        return with_name(io.cluster(), reason).problem(name);
    }
    let Some(errno) = error.errno() else { return error.into() };
    let header = match image::read_header(io, id, deadline) {
        Ok(Some(header)) => header,
        Ok(None) if matches!(errno, Errno::ENOENT | Errno::ESTALE) => return image::gone(io, name, deadline),
        Ok(None) | Err(_) => return error.into(),
    };
    match reason(io, &header, id, errno, deadline) {
        Some(reason) => {
            let problem = named(io, &header, reason, deadline).problem(name).errno(errno);
            if problem.why().is_some() { problem } else { problem.cause(error.to_string()) }
        }
        None if errno == Errno::ENOENT && !names(io, name, id, deadline) => image::gone(io, name, deadline),
        None => unexplained(name, errno, error),
    }
}

/// Whether a name still is that of an image.
fn names(io: &IoContext, name: &str, id: &str, deadline: Instant) -> bool {
    listing::find(io, name, deadline).is_ok_and(|found| found.is_some_and(|found| found.id == id))
}

/// The state of an image that explains an errno, of a call on more than this image.
pub fn obstacle(io: &IoContext, id: &str, errno: Errno, deadline: Instant) -> Option<Reason> {
    let header = image::read_header(io, id, deadline).ok().flatten()?;
    let reason = reason(io, &header, id, errno, deadline)?;
    Some(named(io, &header, reason, deadline))
}

fn with_name(cluster: &Cluster, reason: Reason) -> Reason {
    match reason {
        Reason::PoolGone(pool) => {
            Reason::PoolGone(MissingPool { name: cluster.former_pool_name(pool.id).or(pool.name), ..pool })
        }
        reason => reason,
    }
}

/// The state of an image that explains an errno.
fn reason(io: &IoContext, header: &ImageHeader, id: &str, errno: Errno, deadline: Instant) -> Option<Reason> {
    let explains = |reason: &Reason| match reason {
        Reason::Unbounded(_) => errno == Errno::EINVAL,
        Reason::Unopenable(_) => true,
        Reason::PoolGone(_) | Reason::ParentGone { .. } => matches!(errno, Errno::ENOENT | Errno::ENODEV),
        Reason::NonPrimary => matches!(errno, Errno::EROFS | Errno::EPERM | Errno::EINVAL | Errno::EBUSY),
        Reason::MigrationSource(_) => matches!(errno, Errno::EBUSY | Errno::EROFS | Errno::EINVAL | Errno::EPERM),
        Reason::MigrationDestination(_) => errno == Errno::EBUSY,
        Reason::Member { .. } => errno == Errno::EMLINK,
        Reason::Open { .. } | Reason::Locked { .. } => matches!(errno, Errno::EBUSY | Errno::EROFS | Errno::EAGAIN),
    };
    if let Some(reason) = standing(io, header).into_iter().find(explains) {
        return Some(reason);
    }
    if errno == Errno::ENOENT {
        return parent_gone(io, header, deadline);
    }
    let image = io.open_image(ImageRef::Id(id), None, Access::ReadOnly).ok()?;
    if not_primary(&image, header) && explains(&Reason::NonPrimary) {
        return Some(Reason::NonPrimary);
    }
    let held = clients(&image).ok().flatten().or_else(|| {
        let locks = locks(&image).ok().filter(|locks| !locks.is_empty())?;
        Some(Reason::Locked { locks })
    });
    held.filter(explains)
}

/// A parent whose header, snapshot or pool is missing: one that only snapshots need is none of [`standing`].
fn parent_gone(io: &IoContext, header: &ImageHeader, deadline: Instant) -> Option<Reason> {
    let parent = header.parent.as_ref()?;
    let id = parent.pool_id;
    let pool = match io.cluster().pool_name(id) {
        Err(error) if error.is(Errno::ENOENT) => {
            let name = io.cluster().former_pool_name(id);
            return Some(Reason::PoolGone(MissingPool { id, name, held: "its parent" }));
        }
        pool => pool.ok()?,
    };
    let place = io.cluster().io_context(&pool, &parent.namespace.to_string()).ok()?;
    let (image_id, snapshot) = (parent.image_id.clone(), parent.snap_id);
    match image::read_header(&place, &parent.image_id, deadline) {
        Ok(None) => Some(Reason::ParentGone { pool, image_id, snapshot_id: None }),
        Ok(Some(header)) if !header.snapshots.iter().any(|existing| existing.id == snapshot) => {
            Some(Reason::ParentGone { pool, image_id, snapshot_id: Some(snapshot) })
        }
        _ => None,
    }
}

/// The image is as it should be, by all that can be seen of it now.
fn unexplained(name: &str, errno: Errno, error: ceph::Error) -> Problem {
    let words = error.to_string();
    match errno {
        Errno::EBUSY | Errno::EROFS | Errno::EAGAIN => {
            Problem::new(Kind::InUse, format!("Image {name:?} was in use; by whom cannot be seen any more."))
                .cause(words)
                .correction("Repeat the call.")
                .retry_after(1)
        }
        Errno::ESTALE => {
            Problem::new(Kind::Conflict, format!("Image {name:?} was changed by another client meanwhile."))
                .cause(words)
                .correction("GET the image, and repeat the call if it is still wanted.")
                .retry_after(1)
        }
        Errno::EINVAL | Errno::EDOM | Errno::ERANGE | Errno::ENODEV | Errno::EMLINK => {
            Problem::new(Kind::Conflict, format!("librbd refuses this for image {name:?} as it is."))
                .cause(words)
                .correction("GET the image: its features, snapshots and parent may not allow it.")
        }
        _ => return error.into(),
    }
    .errno(errno)
}
