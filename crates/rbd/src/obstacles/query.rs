//! Asking Ceph what stands in the way of an image.

use std::time::Instant;

use ceph::{Access, Cluster, Errno, Image, ImageRef, IoContext};
use rbd_format::directory::ID_PREFIX;
use rbd_format::group::GROUP_DIRECTORY_OBJECT;
use rbd_format::{DirectoryEntry, ImageHeader};
use rbd_model::fault::{Fault, Kind};
use rbd_model::features::{EXCLUSIVE_LOCK, JOURNALING};
use rbd_model::image::{Image as Shown, ImageState};
use rbd_model::obstacle::{Act, MissingPool, Obstacle};

use super::header::header_obstacles;
use crate::clients::{locks, watchers};
use crate::header::read_header;
use crate::{directory, found_image};

/// Rejects when an image as it was listed is not whole, or something stands in the way of the act. Blocks.
///
/// # Errors
/// As [`Shown::check_whole`] and [`check_act`].
pub fn check_ready(io: &IoContext, image: &Shown, act: Act, deadline: Instant) -> Result<(), Fault> {
    if image.state != ImageState::Unusable {
        image.check_whole()?;
    }
    check_act(io, &image.name, &image.id, act, deadline)
}

/// Rejects an act that something stands in the way of. Ask before a change is accepted, and again when it starts: what an
/// operation waited for may have changed. Blocks.
///
/// # Errors
/// What stands in the way; what reading gives. An image that is gone, or whose removal was begun, is left to the act.
pub fn check_act(io: &IoContext, name: &str, id: &str, act: Act, deadline: Instant) -> Result<(), Fault> {
    let header = match read_header(io, id, deadline) {
        Ok(Some(header)) => Some(header),
        Ok(None) => return Ok(()),
        // What cannot be read can still be removed.
        Err(fault) if fault.kind() == Kind::Damaged && act.removes() => None,
        Err(fault) => return Err(fault),
    };
    if let Some(header) = &header
        && let Some(obstacle) = header_obstacles(io, header).into_iter().find(|obstacle| obstacle.blocks(act))
    {
        return Err(with_group_name(io, header, obstacle, deadline).fault(name));
    }
    if act.walks() {
        io.check_walkable(name, id).map_err(|error| explain_error(io, name, id, error, deadline))?;
    }
    if act == Act::Read {
        return Ok(());
    }
    let asked = match io.open_image(ImageRef::Id(id), None, Access::ReadOnly) {
        Ok(image) => open_image_obstacle(&image, header.as_ref(), act),
        Err(error) if error.is(Errno::ENOENT) => Ok(None),
        Err(error) => match Obstacle::from_error(&error) {
            // No client can have it open either.
            Some(obstacle) if !obstacle.blocks(act) => Ok(None),
            Some(obstacle) => Ok(Some(obstacle)),
            None => Err(error.into()),
        },
    };
    match asked {
        Ok(None) => Ok(()),
        Ok(Some(obstacle)) => Err(obstacle.fault(name)),
        // Removed since it was opened.
        Err(fault) if fault.ceph_errno() == Some(Errno::ENOENT) => Ok(()),
        Err(fault) => Err(fault),
    }
}

/// What an open image says that its header does not.
fn open_image_obstacle(image: &Image, header: Option<&ImageHeader>, act: Act) -> Result<Option<Obstacle>, Fault> {
    if Obstacle::NonPrimary.blocks(act) && header.is_some_and(|header| is_not_primary(image, header)) {
        return Ok(Some(Obstacle::NonPrimary));
    }
    if act.needs_no_clients() {
        return client_obstacle(image);
    }
    let exclusive = header.is_some_and(|header| header.features.0 & EXCLUSIVE_LOCK != 0);
    if act.needs_lock() && exclusive { lock_obstacle(image) } else { Ok(None) }
}

/// Whether an image is the end of mirroring by journal that is not changed. An entity that may not see that sees none.
fn is_not_primary(image: &Image, header: &ImageHeader) -> bool {
    header.features.0 & JOURNALING != 0
        && image.mirroring().is_ok_and(|mirroring| mirroring.is_some_and(|mirroring| !mirroring.primary))
}

/// The clients that have an open image open for writing, or that have locked it on purpose. The lock that librbd takes by
/// itself (`auto …`) counts only together with a client: that of one that has died is taken over.
///
/// # Errors
/// What librbd gives.
pub fn client_obstacle(image: &Image) -> Result<Option<Obstacle>, Fault> {
    let watchers = watchers(image)?;
    if watchers.is_empty() {
        return lock_obstacle(image);
    }
    Ok(Some(Obstacle::Open { watchers, locks: locks(image)? }))
}

/// The clients that have locked an open image on purpose.
fn lock_obstacle(image: &Image) -> Result<Option<Obstacle>, Fault> {
    let locks = locks(image)?;
    let on_purpose = locks.iter().any(|lock| !lock.cookie.starts_with("auto "));
    Ok(on_purpose.then_some(Obstacle::Locked { locks }))
}

/// The reason with the name of the group in it.
pub fn with_group_name(io: &IoContext, header: &ImageHeader, obstacle: Obstacle, deadline: Instant) -> Obstacle {
    let (Obstacle::GroupMember { pool, group }, Some(member)) = (&obstacle, &header.group) else { return obstacle };
    let name = pool.as_deref().and_then(|pool| group_name(io, pool, &member.group_id, deadline));
    Obstacle::GroupMember { pool: pool.clone(), group: name.unwrap_or_else(|| group.clone()) }
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
pub fn explain_error(io: &IoContext, name: &str, id: &str, error: ceph::Error, deadline: Instant) -> Fault {
    if let Some(obstacle) = Obstacle::from_error(&error) {
        return with_pool_name(io.cluster(), obstacle).fault(name);
    }
    let Some(errno) = error.errno() else { return error.into() };
    let header = match read_header(io, id, deadline) {
        Ok(Some(header)) => header,
        Ok(None) if matches!(errno, Errno::ENOENT | Errno::ESTALE) => {
            return found_image::image_gone(io, name, deadline);
        }
        Ok(None) | Err(_) => return error.into(),
    };
    match explaining_obstacle(io, &header, id, errno, deadline) {
        Some(obstacle) => {
            let fault = with_group_name(io, &header, obstacle, deadline).fault(name).errno(errno);
            if fault.why().is_some() { fault } else { fault.cause(error.to_string()) }
        }
        None if errno == Errno::ENOENT && !is_name_of(io, name, id, deadline) => {
            found_image::image_gone(io, name, deadline)
        }
        None => unexplained_fault(name, errno, error),
    }
}

/// Whether a name still is that of an image.
fn is_name_of(io: &IoContext, name: &str, id: &str, deadline: Instant) -> bool {
    directory::find(io, name, deadline).is_ok_and(|found| found.is_some_and(|found| found.id == id))
}

/// The state of an image that explains an errno, of a call on more than this image.
pub fn find_obstacle(io: &IoContext, id: &str, errno: Errno, deadline: Instant) -> Option<Obstacle> {
    let header = read_header(io, id, deadline).ok().flatten()?;
    let obstacle = explaining_obstacle(io, &header, id, errno, deadline)?;
    Some(with_group_name(io, &header, obstacle, deadline))
}

fn with_pool_name(cluster: &Cluster, obstacle: Obstacle) -> Obstacle {
    match obstacle {
        Obstacle::PoolGone(pool) => {
            Obstacle::PoolGone(MissingPool { name: cluster.former_pool_name(pool.id).or(pool.name), ..pool })
        }
        obstacle => obstacle,
    }
}

/// The state of an image that explains an errno.
fn explaining_obstacle(
    io: &IoContext,
    header: &ImageHeader,
    id: &str,
    errno: Errno,
    deadline: Instant,
) -> Option<Obstacle> {
    let explains = |obstacle: &Obstacle| match obstacle {
        Obstacle::Unbounded(_) => errno == Errno::EINVAL,
        Obstacle::Unopenable(_) => true,
        Obstacle::PoolGone(_) | Obstacle::ParentGone { .. } => matches!(errno, Errno::ENOENT | Errno::ENODEV),
        Obstacle::NonPrimary => matches!(errno, Errno::EROFS | Errno::EPERM | Errno::EINVAL | Errno::EBUSY),
        Obstacle::MigrationSource(_) => matches!(errno, Errno::EBUSY | Errno::EROFS | Errno::EINVAL | Errno::EPERM),
        Obstacle::MigrationDestination(_) => errno == Errno::EBUSY,
        Obstacle::GroupMember { .. } => errno == Errno::EMLINK,
        Obstacle::Open { .. } | Obstacle::Locked { .. } => matches!(errno, Errno::EBUSY | Errno::EROFS | Errno::EAGAIN),
        // Said of images in the trash, by their entries there.
        Obstacle::ClientsUnknown
        | Obstacle::Clones(_)
        | Obstacle::Snapshots(_)
        | Obstacle::Moving
        | Obstacle::Retained(_) => false,
    };
    if let Some(obstacle) = header_obstacles(io, header).into_iter().find(explains) {
        return Some(obstacle);
    }
    if errno == Errno::ENOENT {
        return missing_parent(io, header, deadline);
    }
    let image = io.open_image(ImageRef::Id(id), None, Access::ReadOnly).ok()?;
    if is_not_primary(&image, header) && explains(&Obstacle::NonPrimary) {
        return Some(Obstacle::NonPrimary);
    }
    let held = client_obstacle(&image).ok().flatten().or_else(|| {
        let locks = locks(&image).ok().filter(|locks| !locks.is_empty())?;
        Some(Obstacle::Locked { locks })
    });
    held.filter(explains)
}

/// A parent whose header, snapshot or pool is missing: one that only snapshots need is none of [`header_obstacles`].
fn missing_parent(io: &IoContext, header: &ImageHeader, deadline: Instant) -> Option<Obstacle> {
    let parent = header.parent.as_ref()?;
    let id = parent.pool_id;
    let pool = match io.cluster().pool_name(id) {
        Err(error) if error.is(Errno::ENOENT) => {
            let name = io.cluster().former_pool_name(id);
            return Some(Obstacle::PoolGone(MissingPool { id, name, held: "its parent" }));
        }
        pool => pool.ok()?,
    };
    let place = io.cluster().io_context(&pool, &parent.namespace.to_string()).ok()?;
    let (image_id, snapshot) = (parent.image_id.clone(), parent.snap_id);
    match read_header(&place, &parent.image_id, deadline) {
        Ok(None) => Some(Obstacle::ParentGone { pool, image_id, snapshot_id: None }),
        Ok(Some(header)) if !header.snapshots.iter().any(|existing| existing.id == snapshot) => {
            Some(Obstacle::ParentGone { pool, image_id, snapshot_id: Some(snapshot) })
        }
        _ => None,
    }
}

/// The image is as it should be, by all that can be seen of it now.
fn unexplained_fault(name: &str, errno: Errno, error: ceph::Error) -> Fault {
    let words = error.to_string();
    match errno {
        Errno::EBUSY | Errno::EROFS | Errno::EAGAIN => {
            Fault::new(Kind::InUse, format!("Image {name:?} was in use; by whom cannot be seen any more."))
                .cause(words)
                .correction("Repeat the call.")
                .retry_after(1)
        }
        Errno::ESTALE => Fault::new(Kind::Conflict, format!("Image {name:?} was changed by another client meanwhile."))
            .cause(words)
            .correction("GET the image, and repeat the call if it is still wanted.")
            .retry_after(1),
        Errno::EINVAL | Errno::EDOM | Errno::ERANGE | Errno::ENODEV | Errno::EMLINK => {
            Fault::new(Kind::Conflict, format!("librbd rejects this for image {name:?} as it is."))
                .cause(words)
                .correction("GET the image: its features, snapshots and parent may not allow it.")
        }
        _ => return error.into(),
    }
    .errno(errno)
}
