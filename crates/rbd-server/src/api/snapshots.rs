//! Snapshots of an image.

use ceph::{Errno, ImageSize, ImageSpec, IoContext};
use rbd::children::{Clones, clones};
use rbd::found_image::FoundImage;
use rbd::image_mutex::ImageMutexGuard;
use rbd::layout::{check_with_cluster, spec};
use rbd::{obstacles, pool_applications};
use rbd_api::answer::{Content, Created, CreatedOrFound, Either, NoContent};
use rbd_api::endpoints::snapshots as declared;
use rbd_api::endpoints::snapshots::{NewClone, NewSnapshot, TakenSnapshot};
use rbd_api::input::{Input, Json, NoQuery};
use rbd_api::list::List;
use rbd_api::names::{encode_segment, place_path};
use rbd_api::path::{ImagePath, SnapshotPath};
use rbd_api::problem::Problem;
use rbd_api::role::Role;
use rbd_format::{Name, Protection, Snapshot as RawSnapshot, SnapshotNamespace};
use rbd_model::child::Child;
use rbd_model::fault::{Fault, Kind, members};
use rbd_model::features::LAYERING;
use rbd_model::image::{Image, NamedImage};
use rbd_model::names::{Place, check_new_name};
use rbd_model::obstacle::{Act, Obstacle};
use rbd_model::snapshot::{KRBD_SNAPSHOTS, Snapshot};

use super::image_creation::{location, name_taken, retry_put};
use super::image_lineage::{ancestors, chain_warning};
use super::images::read_image;
use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![
        bind(&declared::LIST_SNAPSHOTS, list),
        bind(&declared::CREATE_SNAPSHOT, create),
        bind(&declared::GET_SNAPSHOT, get),
        bind(&declared::PUT_SNAPSHOT, put),
        bind(&declared::DELETE_SNAPSHOT, delete),
        bind(&declared::RENAME_SNAPSHOT, rename),
        bind(&declared::PROTECT_SNAPSHOT, protect),
        bind(&declared::UNPROTECT_SNAPSHOT, unprotect),
        bind(&declared::CLONE_SNAPSHOT, clone),
    ]
}

async fn list(call: Call, Input { path, .. }: Input<ImagePath>) -> Result<Content<List<Snapshot>>, Problem> {
    let (name, deadline) = (path.image, call.deadline);
    let snapshots = call
        .ceph(move |io| {
            let found = rbd::found_image::find(io, &name, deadline)?;
            Ok(found.header.snapshots.iter().map(Snapshot::from).collect())
        })
        .await?;
    Ok(Content::of(List::new("SnapshotList", snapshots)))
}

async fn get(
    call: Call,
    Input { path: SnapshotPath { image, snapshot: name, .. }, .. }: Input<SnapshotPath>,
) -> Result<Content<Snapshot>, Problem> {
    let deadline = call.deadline;
    let snapshot =
        call.ceph(move |io| Ok(Snapshot::from(rbd::found_image::find(io, &image, deadline)?.snapshot(&name)?))).await?;
    Ok(Content::of(snapshot))
}

async fn create(
    call: Call,
    Input { path, body: Json(NewSnapshot { name }), .. }: Input<ImagePath, NoQuery, Json<NewSnapshot>>,
) -> Result<Created<TakenSnapshot>, Problem> {
    let location = snapshot_location(&call, &path, &name);
    let (_, value) = take(&call, path.image, name, false).await?;
    Ok(Created { location, value })
}

async fn put(call: Call, Input { path, .. }: Input<SnapshotPath>) -> Result<CreatedOrFound<TakenSnapshot>, Problem> {
    let SnapshotPath { place, image, snapshot: name } = path;
    let path = ImagePath { place, image };
    let location = snapshot_location(&call, &path, &name);
    let (made, value) = take(&call, path.image, name, true).await?;
    Ok(if made { Either::First(Created { location, value }) } else { Either::Second(Content::of(value)) })
}

fn snapshot_location(call: &Call, ImagePath { place, image }: &ImagePath, snapshot: &str) -> String {
    call.url(&format!("{}/images/{}/snapshots/{}", place_path(place), encode_segment(image), encode_segment(snapshot)))
}

/// Takes a snapshot, and whether it was taken: one that is there is accepted if the call may be repeated.
async fn take(call: &Call, image: String, name: String, repeatable: bool) -> Result<(bool, TakenSnapshot), Fault> {
    check_new_name("name", &name)?;
    let deadline = call.deadline;
    call.ceph(move |io| {
        let once = || take_once(io, &image, &name, repeatable, deadline);
        if repeatable { retry_put(once) } else { once() }
    })
    .await
}

/// Takes a snapshot, or finds the one that is there.
fn take_once(
    io: &IoContext,
    image: &str,
    name: &str,
    repeatable: bool,
    deadline: std::time::Instant,
) -> Result<(bool, TakenSnapshot), Fault> {
    let found = rbd::found_image::find(io, image, deadline)?;
    let _guard = ImageMutexGuard::acquire(io.pool_id(), &found.id, deadline)?;
    let found = rbd::found_image::find(io, image, deadline)?;
    // Without opening, which would ask other clients for the exclusive lock for nothing.
    let mut taken = false;
    if found.snapshot(name).is_err() {
        match found.change(io, deadline, |open| open.create_snapshot(name))? {
            Ok(()) => taken = true,
            Err(error) if error.is(Errno::EEXIST) => {}
            Err(error) if error.is(Errno::EDQUOT) && found.header.snapshot_limit.is_some() => {
                return Err(at_limit(&found));
            }
            Err(error) => return Err(found.explain(io, error, deadline)),
        }
    }
    if !taken && !repeatable {
        return Err(Fault::new(Kind::Exists, format!("Image {image:?} has a snapshot {name:?} already."))
            .correction("Choose another name, or PUT the snapshot to accept the one that is there.")
            .errno(Errno::EEXIST));
    }
    let found = rbd::found_image::find(io, image, deadline)?;
    let snapshot = Snapshot::from(found.snapshot(name)?);
    Ok((taken, TakenSnapshot { snapshot, warnings: warnings(&found) }))
}

fn at_limit(found: &FoundImage) -> Fault {
    let limit = found.header.snapshot_limit.unwrap_or_default();
    let names: Vec<String> = found.header.snapshots.iter().map(|raw| Snapshot::from(raw).name).collect();
    Fault::new(Kind::Conflict, format!("Image {:?} has as many snapshots as it may have, {limit}.", found.name))
        .correction("Delete snapshots, or raise the limit with `rbd snap limit set`.")
        .errno(Errno::EDQUOT)
        .with("snapshots", names)
}

fn warnings(found: &FoundImage) -> Vec<String> {
    let count = found.header.snapshots.len();
    let warning = (count > KRBD_SNAPSHOTS)
        .then(|| format!("The image has {count} snapshots; the Linux kernel maps images with up to {KRBD_SNAPSHOTS}."));
    warning.into_iter().collect()
}

/// A snapshot that this API may change.
///
/// # Errors
/// `snapshot-not-found`; `conflict` for one that belongs to a group or to mirroring.
fn changeable<'a>(found: &'a FoundImage, name: &str) -> Result<&'a RawSnapshot, Fault> {
    let raw = found.snapshot(name)?;
    let owner = match &raw.namespace {
        SnapshotNamespace::User => return Ok(raw),
        SnapshotNamespace::Group { .. } => "a snapshot of a group",
        SnapshotNamespace::Mirror(_) => "mirroring",
        SnapshotNamespace::Trash { .. } | SnapshotNamespace::Unknown(_) => "something that this service does not know",
    };
    Err(Fault::new(Kind::Conflict, format!("Snapshot {name:?} of image {:?} belongs to {owner}.", found.name))
        .correction("Change or delete it there: a group's snapshot as a whole, below the pool's groups."))
}

async fn delete(
    call: Call,
    Input { path: SnapshotPath { image, snapshot: name, .. }, .. }: Input<SnapshotPath>,
) -> Result<Either<NoContent, Content<Snapshot>>, Problem> {
    let deadline = call.deadline;
    let kept = call
        .ceph(move |io| {
            let found = rbd::found_image::find(io, &image, deadline)?;
            let _guard = ImageMutexGuard::acquire(io.pool_id(), &found.id, deadline)?;
            let found = rbd::found_image::find(io, &image, deadline)?;
            let raw = changeable(&found, &name)?;
            if let Some(reason) = obstacles::header_obstacles(io, &found.header)
                .into_iter()
                .find(|reason| reason.blocks(Act::DropSnapshot))
            {
                return Err(reason.fault(&image));
            }
            if raw.protection != Protection::Unprotected {
                return Err(protected(io, &found, raw, deadline));
            }
            let id = raw.id;
            match found.change(io, deadline, |open| open.remove_snapshot(&name))? {
                Ok(()) => {}
                Err(error) if error.is(Errno::ENOENT) => return Err(gone(io, &found, &name, error, deadline)),
                Err(error) if error.is(Errno::EBUSY) => {
                    // Protected meanwhile, or the exclusive lock is elsewhere.
                    let now = rbd::found_image::find(io, &image, deadline)?;
                    let raw = changeable(&now, &name)?;
                    if raw.protection != Protection::Unprotected {
                        return Err(protected(io, &now, raw, deadline));
                    }
                    return Err(found.explain(io, error, deadline));
                }
                Err(error) => return Err(found.explain(io, error, deadline)),
            }
            // Only one that has clones can be in the trash of snapshots now.
            if raw.child_count == 0 {
                return Ok(None);
            }
            let now = rbd::found_image::find(io, &image, deadline)?;
            Ok(now.header.snapshots.iter().find(|raw| raw.id == id).map(Snapshot::from))
        })
        .await?;
    Ok(match kept {
        Some(snapshot) => Either::Second(Content::of(snapshot)),
        None => Either::First(NoContent),
    })
}

fn protected(io: &IoContext, found: &FoundImage, raw: &RawSnapshot, deadline: std::time::Instant) -> Fault {
    let problem = Fault::new(
        Kind::InUse,
        format!("Snapshot {:?} of image {:?} is protected from deletion.", raw.name.to_string(), found.name),
    )
    .errno(Errno::EBUSY);
    with_children(problem, io, found, raw, deadline)
}

/// Adds the clones that stand in the way, and what to do about them or without them.
fn with_children(
    problem: Fault,
    io: &IoContext,
    found: &FoundImage,
    raw: &RawSnapshot,
    deadline: std::time::Instant,
) -> Fault {
    match clones(io, found, Some(raw.id), deadline).and_then(Clones::all) {
        Ok(children) if children.iter().all(|child| child.format != 1) => problem
            .correction("DELETE the snapshot's protection, then the snapshot.")
            .with("children", members(&children)),
        Ok(children) => problem
            .cause("It has clones of format 1.")
            .correction(
                "Flatten or delete the clones, those in the trash too; then DELETE the snapshot's protection, then the \
                 snapshot.",
            )
            .with("children", members(&children)),
        Err(unknown) => problem.cause(format!("Its clones cannot be listed: {}", unknown.detail())),
    }
}

/// `ENOENT` from a change of a snapshot: the image or the snapshot went meanwhile.
fn gone(io: &IoContext, found: &FoundImage, name: &str, error: ceph::Error, deadline: std::time::Instant) -> Fault {
    match rbd::found_image::find(io, &found.name, deadline) {
        Err(problem) => problem,
        Ok(now) => match now.snapshot(name) {
            Err(problem) => problem,
            Ok(_) => found.explain(io, error, deadline),
        },
    }
}

async fn rename(
    call: Call,
    Input { path, body: Json(NewSnapshot { name: to }), .. }: Input<SnapshotPath, NoQuery, Json<NewSnapshot>>,
) -> Result<Content<Snapshot>, Problem> {
    let SnapshotPath { image, snapshot: from, .. } = path;
    check_new_name("name", &to)?;
    let deadline = call.deadline;
    let snapshot = call
        .ceph(move |io| {
            let found = rbd::found_image::find(io, &image, deadline)?;
            changeable(&found, &from)?;
            if from != to {
                match found.change(io, deadline, |open| open.rename_snapshot(&from, &to))? {
                    Ok(()) => {}
                    Err(error) if error.is(Errno::EEXIST) => {
                        return Err(Fault::new(
                            Kind::Exists,
                            format!("Image {image:?} has a snapshot {to:?} already."),
                        )
                        .correction("Choose another name.")
                        .errno(Errno::EEXIST));
                    }
                    Err(error) if error.is(Errno::ENOENT) => return Err(gone(io, &found, &from, error, deadline)),
                    Err(error) => return Err(found.explain(io, error, deadline)),
                }
            }
            Ok(Snapshot::from(rbd::found_image::find(io, &image, deadline)?.snapshot(&to)?))
        })
        .await?;
    Ok(Content::of(snapshot))
}

async fn protect(
    call: Call,
    Input { path: SnapshotPath { image, snapshot: name, .. }, .. }: Input<SnapshotPath>,
) -> Result<Content<Snapshot>, Problem> {
    let deadline = call.deadline;
    let snapshot = call
        .ceph(move |io| {
            let found = rbd::found_image::find(io, &image, deadline)?;
            if changeable(&found, &name)?.protection != Protection::Protected {
                match found.change(io, deadline, |open| open.protect_snapshot(&name))? {
                    Ok(()) => {}
                    Err(error) if error.is(Errno::ENOENT) => return Err(gone(io, &found, &name, error, deadline)),
                    // Another client did it meanwhile, or keeps the exclusive lock: seen below.
                    Err(error) if error.is(Errno::EBUSY) => {
                        let now = rbd::found_image::find(io, &image, deadline)?;
                        if now.snapshot(&name)?.protection != Protection::Protected {
                            return Err(found.explain(io, error, deadline));
                        }
                    }
                    Err(error) if error.is(Errno::ENOSYS) => {
                        return Err(Fault::new(
                            Kind::Conflict,
                            format!("Image {image:?} does not have the feature layering, so that it cannot be cloned."),
                        )
                        .errno(Errno::ENOSYS));
                    }
                    Err(error) => return Err(found.explain(io, error, deadline)),
                }
            }
            Ok(Snapshot::from(rbd::found_image::find(io, &image, deadline)?.snapshot(&name)?))
        })
        .await?;
    Ok(Content::of(snapshot))
}

async fn unprotect(
    call: Call,
    Input { path: SnapshotPath { image, snapshot: name, .. }, .. }: Input<SnapshotPath>,
) -> Result<NoContent, Problem> {
    let deadline = call.deadline;
    call.ceph(move |io| {
        let found = rbd::found_image::find(io, &image, deadline)?;
        let raw = changeable(&found, &name)?;
        if raw.protection == Protection::Unprotected {
            return Ok(());
        }
        // librbd looks for clones in every pool, and waits for ever for one that does not answer: so it is not asked
        // while there are some, nor while that cannot be told.
        let children = clones(io, &found, Some(raw.id), deadline)?.all()?;
        if let Some(problem) = held_by_clones(&image, &name, &children) {
            return Err(problem);
        }
        match found.change(io, deadline, |open| open.unprotect_snapshot(&name))? {
            Ok(()) => Ok(()),
            // Another client did it meanwhile.
            Err(error) if error.is(Errno::EINVAL) => Ok(()),
            Err(error) if error.is(Errno::ENOENT) => Err(gone(io, &found, &name, error, deadline)),
            Err(error) if error.is(Errno::EBUSY) => {
                let children = clones(io, &found, Some(raw.id), deadline)?.all()?;
                Err(held_by_clones(&image, &name, &children).unwrap_or_else(|| found.explain(io, error, deadline)))
            }
            Err(error) => Err(found.explain(io, error, deadline)),
        }
    })
    .await?;
    Ok(NoContent)
}

/// The clones of format 1 that a snapshot must stay protected for. Those of format 2 need no protection.
fn held_by_clones(image: &str, snapshot: &str, children: &[Child]) -> Option<Fault> {
    let held: Vec<&Child> = children.iter().filter(|child| child.format == 1).collect();
    (!held.is_empty()).then(|| {
        Fault::new(Kind::InUse, format!("Snapshot {snapshot:?} of image {image:?} has clones of format 1."))
            .correction("Flatten or delete the clones, those in the trash too, then lift the protection.")
            .errno(Errno::EBUSY)
            .with("children", members(&held))
    })
}

async fn clone(
    call: Call,
    Input { path, body: Json(body), .. }: Input<SnapshotPath, NoQuery, Json<NewClone>>,
) -> Result<Created<Image>, Problem> {
    let SnapshotPath { place: source, image, snapshot } = path;
    check_new_name("name", &body.name)?;
    let mut spec = spec(&body.layout())?;
    if spec.features.is_some_and(|features| features & LAYERING == 0) {
        return Err(Fault::field_conflict(
            "features",
            "are without \"layering\"",
            "\"layering\" too, which every clone needs",
        )
        .into());
    }
    if !matches!(body.clone_format, None | Some(1 | 2)) {
        return Err(Fault::field("cloneFormat", "is neither 1 nor 2", "1, 2 or nothing").into());
    }
    spec.clone_format = body.clone_format;
    let pool = body.pool.unwrap_or_else(|| source.pool.clone());
    let namespace =
        body.namespace.unwrap_or_else(|| if pool == source.pool { source.namespace.clone() } else { String::new() });
    let target = Place { pool, namespace };
    call.authorize_place(&target, Role::Operator).await?;
    call.authorize_data_pool(spec.data_pool.as_deref(), &target).await?;
    let name = body.name;
    let location = location(&call, &target, &name);
    let deadline = call.deadline;
    let made = call
        .in_place_lane(move |connection, io| {
            let found = rbd::found_image::find(io, &image, deadline)?;
            let raw = found.snapshot(&snapshot)?;
            let to = connection.context(&target.pool, &target.namespace)?;
            // What is not asked for is as the parent has it.
            let whole = ImageSpec {
                order: spec.order.or(Some(found.header.order)),
                features: spec.features.or(Some(found.header.features.0)),
                ..spec.clone()
            };
            pool_applications::reject_foreign(&to)?;
            let size =
                ImageSize::try_from(raw.size_bytes).map_err(|source| Obstacle::Unbounded(source).fault(&image))?;
            check_with_cluster(connection.cluster(), size, &whole)?;
            match to.clone_image(io, &image, &snapshot, &name, &spec) {
                Ok(()) => {}
                Err(error) if error.is(Errno::EEXIST) => return Err(name_taken(&to, &name, deadline)),
                Err(error) if error.is(Errno::ENOENT) => return Err(gone(io, &found, &snapshot, error, deadline)),
                Err(error) => return Err(not_cloned(io, &found, raw, &target, error, deadline)),
            }
            let mut made = read_image(connection, &to, &name, deadline)?;
            let clone = NamedImage::new(&Name::from(&*made.name), made.id.clone());
            made.warnings.extend(chain_warning(ancestors(connection, &to, clone, deadline)?.len()));
            Ok(made)
        })
        .await?;
    Ok(Created { location, value: made })
}

/// Why librbd refused to make a clone.
fn not_cloned(
    io: &IoContext,
    found: &FoundImage,
    raw: &RawSnapshot,
    target: &Place,
    error: ceph::Error,
    deadline: std::time::Instant,
) -> Fault {
    let name = raw.name.to_string();
    let image = &found.name;
    if found.header.features.0 & LAYERING == 0 {
        let detail = format!("Image {image:?} does not have the feature layering, so that it cannot be cloned.");
        return Fault::new(Kind::Conflict, detail)
            .correction("Copy the image instead.")
            .errno(error.errno().unwrap_or(Errno::EINVAL));
    }
    match error.errno() {
        Some(Errno::EXDEV) => Fault::new(
            Kind::Conflict,
            format!("A clone of format 1 cannot be in another namespace, here {:?}.", target.namespace),
        )
        .correction(
            "Send \"cloneFormat\": 2, or let the cluster use it by itself with \
             `ceph osd set-require-min-compat-client mimic`.",
        )
        .errno(Errno::EXDEV),
        Some(Errno::EINVAL) if raw.protection != Protection::Protected => Fault::new(
            Kind::Conflict,
            format!("Snapshot {name:?} of image {image:?} is not protected, which a clone of format 1 needs."),
        )
        .correction(
            "PUT the snapshot's protection first, or send \"cloneFormat\": 2, or let the cluster use that by itself with \
             `ceph osd set-require-min-compat-client mimic`.",
        )
        .errno(Errno::EINVAL),
        Some(Errno::EINVAL | Errno::ENOSYS) => Fault::new(
            Kind::FieldConflict,
            format!("The cluster rejects this layout of a clone: {error}."),
        )
        .correction("Leave out what may be as the parent's. `rbd clone` with the same settings prints librbd's own words.")
        .errno(Errno::EINVAL),
        _ => found.explain(io, error, deadline),
    }
}
