//! Snapshots of an image.

use axum::http::{Method, StatusCode};
use ceph::{Errno, ImageSize, ImageSpec, IoContext};
use rbd::children::{Clones, clones};
use rbd::found::Found;
use rbd::layout::check_with_cluster;
use rbd::turn::Turn;
use rbd::{pool_use, why};
use rbd_format::{Name, Protection, Snapshot as RawSnapshot, SnapshotNamespace};
use rbd_model::child::Child;
use rbd_model::fault::{Fault, Kind, members};
use rbd_model::features::LAYERING;
use rbd_model::image::{Image, Named};
use rbd_model::names::{Place, check_new};
use rbd_model::reason::{Act, Reason};
use rbd_model::snapshot::{KRBD_SNAPSHOTS, Snapshot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::image_new::{or_again, taken};
use super::image_use::{ancestors, chain_warning};
use super::images::read_image;
use super::layout_fields::with_layout;
use crate::auth::Role;
use crate::call::{Call, json, located, nothing};
use crate::endpoint::{Answer, Endpoint};
use crate::envelope::List;
use crate::names::{path_of, segment};
use crate::schema;

const TAG: &str = "snapshots";

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "{scope}/images/{image}/snapshots", TAG, "listSnapshots", "List the snapshots of an image", list)
            .describe("Oldest first; with those of groups and of mirroring, and those in the trash of snapshots.")
            .answers::<List<Snapshot>>(StatusCode::OK, "The snapshots."),
        Endpoint::new(Method::POST, "{scope}/images/{image}/snapshots", TAG, "createSnapshot", "Take a snapshot", create)
            .takes::<NewSnapshot>()
            .answers::<Taken>(StatusCode::CREATED, "The snapshot was taken."),
        Endpoint::new(Method::GET, "{scope}/images/{image}/snapshots/{snapshot}", TAG, "getSnapshot", "Get a snapshot", get)
            .answers::<Snapshot>(StatusCode::OK, "The snapshot."),
        Endpoint::new(
            Method::PUT,
            "{scope}/images/{image}/snapshots/{snapshot}",
            TAG,
            "putSnapshot",
            "Take a snapshot, unless there is one of that name",
            put,
        )
        .describe("Safe to repeat. One that is there is left as it is.")
        .names("snapshot")
        .answers::<Taken>(StatusCode::CREATED, "The snapshot was taken.")
        .answers::<Taken>(StatusCode::OK, "It was there."),
        Endpoint::new(
            Method::DELETE,
            "{scope}/images/{image}/snapshots/{snapshot}",
            TAG,
            "deleteSnapshot",
            "Delete a snapshot",
            delete,
        )
        .describe(
            "A protected one is refused. One with clones of format 2 loses its name and stays in the image's trash of \
             snapshots, listed with kind `trash`, until the last of its clones is deleted or flattened; then it goes by \
             itself.",
        )
        .answers_nothing(StatusCode::NO_CONTENT, "It is gone.")
        .answers::<Snapshot>(StatusCode::OK, "It is in the trash of snapshots, kept for its clones."),
        Endpoint::new(
            Method::POST,
            "{scope}/images/{image}/snapshots/{snapshot}/rename",
            TAG,
            "renameSnapshot",
            "Rename a snapshot",
            rename,
        )
        .takes::<NewSnapshot>()
        .answers::<Snapshot>(StatusCode::OK, "The snapshot, under its new name."),
        Endpoint::new(
            Method::PUT,
            "{scope}/images/{image}/snapshots/{snapshot}/protection",
            TAG,
            "protectSnapshot",
            "Protect a snapshot from deletion",
            protect,
        )
        .describe("What clones of format 1 need. Safe to repeat.")
        .answers::<Snapshot>(StatusCode::OK, "The snapshot, protected."),
        Endpoint::new(
            Method::DELETE,
            "{scope}/images/{image}/snapshots/{snapshot}/protection",
            TAG,
            "unprotectSnapshot",
            "Lift a snapshot's protection",
            unprotect,
        )
        .describe("Refused while it has clones of format 1. Safe to repeat.")
        .answers_nothing(StatusCode::NO_CONTENT, "The snapshot is not protected."),
        Endpoint::new(
            Method::POST,
            "{scope}/images/{image}/snapshots/{snapshot}/clone",
            TAG,
            "cloneSnapshot",
            "Make a clone of a snapshot",
            clone,
        )
        .describe(
            "In the image's own pool and namespace unless others are named. Format 2 needs no protection and may cross \
             namespaces; the cluster uses it by itself once `ceph osd set-require-min-compat-client mimic` was run.",
        )
        .takes::<NewClone>()
        .answers::<Image>(StatusCode::CREATED, "The clone was made."),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewSnapshot {
    /// Its name: 1 to 128 characters without `/`, `@` and control characters, not beginning with a dot.
    #[schemars(with = "schema::NewName")]
    name: String,
}

/// A snapshot that was taken.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TakenSnapshot")]
struct Taken {
    /// The snapshot.
    #[serde(flatten)]
    snapshot: Snapshot,
    /// What will give trouble, and with what; absent when nothing will.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Image and snapshot of the path.
fn named(call: &Call) -> (String, String) {
    (call.param("image").to_owned(), call.param("snapshot").to_owned())
}

async fn list(call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let deadline = call.deadline;
    let snapshots = call
        .ceph(move |io| {
            let found = rbd::found::find(io, &name, deadline)?;
            Ok(found.header.snapshots.iter().map(Snapshot::from).collect())
        })
        .await?;
    json(StatusCode::OK, &List::new("SnapshotList", snapshots))
}

async fn get(call: Call) -> Answer {
    let (image, name) = named(&call);
    let deadline = call.deadline;
    let snapshot =
        call.ceph(move |io| Ok(Snapshot::from(rbd::found::find(io, &image, deadline)?.snapshot(&name)?))).await?;
    json(StatusCode::OK, &snapshot)
}

async fn create(mut call: Call) -> Answer {
    let NewSnapshot { name } = call.json().await?;
    take(call, name, false).await
}

async fn put(call: Call) -> Answer {
    let name = call.param("snapshot").to_owned();
    take(call, name, true).await
}

async fn take(call: Call, name: String, repeatable: bool) -> Answer {
    check_new("name", &name)?;
    let image = call.param("image").to_owned();
    let path = format!("{}/images/{}/snapshots/{}", path_of(&call.place()), segment(&image), segment(&name));
    let location = call.link(&path);
    let deadline = call.deadline;
    let (status, taken) = call
        .ceph(move |io| {
            let once = || take_once(io, &image, &name, repeatable, deadline);
            if repeatable { or_again(once) } else { once() }
        })
        .await?;
    let answer = json(status, &taken)?;
    Ok(if status == StatusCode::CREATED { located(answer, &location) } else { answer })
}

/// Takes a snapshot, or finds the one that is there.
fn take_once(
    io: &IoContext,
    image: &str,
    name: &str,
    repeatable: bool,
    deadline: std::time::Instant,
) -> Result<(StatusCode, Taken), Fault> {
    let found = rbd::found::find(io, image, deadline)?;
    let _turn = Turn::at(io.pool_id(), &found.id, deadline)?;
    let found = rbd::found::find(io, image, deadline)?;
    // Without opening, which would ask other clients for the exclusive lock for nothing.
    let mut status = StatusCode::OK;
    if found.snapshot(name).is_err() {
        match found.change(io, deadline, |open| open.create_snapshot(name))? {
            Ok(()) => status = StatusCode::CREATED,
            Err(error) if error.is(Errno::EEXIST) => {}
            Err(error) if error.is(Errno::EDQUOT) && found.header.snapshot_limit.is_some() => {
                return Err(at_limit(&found));
            }
            Err(error) => return Err(found.explain(io, error, deadline)),
        }
    }
    if status == StatusCode::OK && !repeatable {
        return Err(Fault::new(Kind::Exists, format!("Image {image:?} has a snapshot {name:?} already."))
            .correction("Choose another name, or PUT the snapshot to accept the one that is there.")
            .errno(Errno::EEXIST));
    }
    let found = rbd::found::find(io, image, deadline)?;
    let snapshot = Snapshot::from(found.snapshot(name)?);
    Ok((status, Taken { snapshot, warnings: warnings(&found) }))
}

fn at_limit(found: &Found) -> Fault {
    let limit = found.header.snapshot_limit.unwrap_or_default();
    let names: Vec<String> = found.header.snapshots.iter().map(|raw| Snapshot::from(raw).name).collect();
    Fault::new(Kind::Conflict, format!("Image {:?} has as many snapshots as it may have, {limit}.", found.name))
        .correction("Delete snapshots, or raise the limit with `rbd snap limit set`.")
        .errno(Errno::EDQUOT)
        .with("snapshots", names)
}

fn warnings(found: &Found) -> Vec<String> {
    let count = found.header.snapshots.len();
    let warning = (count > KRBD_SNAPSHOTS)
        .then(|| format!("The image has {count} snapshots; the Linux kernel maps images with up to {KRBD_SNAPSHOTS}."));
    warning.into_iter().collect()
}

/// A snapshot that this API may change.
///
/// # Errors
/// `snapshot-not-found`; `conflict` for one that belongs to a group or to mirroring.
fn changeable<'a>(found: &'a Found, name: &str) -> Result<&'a RawSnapshot, Fault> {
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

async fn delete(call: Call) -> Answer {
    let (image, name) = named(&call);
    let deadline = call.deadline;
    let kept = call
        .ceph(move |io| {
            let found = rbd::found::find(io, &image, deadline)?;
            let _turn = Turn::at(io.pool_id(), &found.id, deadline)?;
            let found = rbd::found::find(io, &image, deadline)?;
            let raw = changeable(&found, &name)?;
            if let Some(reason) =
                why::standing(io, &found.header).into_iter().find(|reason| reason.keeps(Act::DropSnapshot))
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
                    let now = rbd::found::find(io, &image, deadline)?;
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
            let now = rbd::found::find(io, &image, deadline)?;
            Ok(now.header.snapshots.iter().find(|raw| raw.id == id).map(Snapshot::from))
        })
        .await?;
    match kept {
        Some(snapshot) => json(StatusCode::OK, &snapshot),
        None => nothing(),
    }
}

fn protected(io: &IoContext, found: &Found, raw: &RawSnapshot, deadline: std::time::Instant) -> Fault {
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
    found: &Found,
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
fn gone(io: &IoContext, found: &Found, name: &str, error: ceph::Error, deadline: std::time::Instant) -> Fault {
    match rbd::found::find(io, &found.name, deadline) {
        Err(problem) => problem,
        Ok(now) => match now.snapshot(name) {
            Err(problem) => problem,
            Ok(_) => found.explain(io, error, deadline),
        },
    }
}

async fn rename(mut call: Call) -> Answer {
    let (image, from) = named(&call);
    let NewSnapshot { name: to } = call.json().await?;
    check_new("name", &to)?;
    let deadline = call.deadline;
    let snapshot = call
        .ceph(move |io| {
            let found = rbd::found::find(io, &image, deadline)?;
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
            Ok(Snapshot::from(rbd::found::find(io, &image, deadline)?.snapshot(&to)?))
        })
        .await?;
    json(StatusCode::OK, &snapshot)
}

async fn protect(call: Call) -> Answer {
    let (image, name) = named(&call);
    let deadline = call.deadline;
    let snapshot = call
        .ceph(move |io| {
            let found = rbd::found::find(io, &image, deadline)?;
            if changeable(&found, &name)?.protection != Protection::Protected {
                match found.change(io, deadline, |open| open.protect_snapshot(&name))? {
                    Ok(()) => {}
                    Err(error) if error.is(Errno::ENOENT) => return Err(gone(io, &found, &name, error, deadline)),
                    // Another client did it meanwhile, or keeps the exclusive lock: seen below.
                    Err(error) if error.is(Errno::EBUSY) => {
                        let now = rbd::found::find(io, &image, deadline)?;
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
            Ok(Snapshot::from(rbd::found::find(io, &image, deadline)?.snapshot(&name)?))
        })
        .await?;
    json(StatusCode::OK, &snapshot)
}

async fn unprotect(call: Call) -> Answer {
    let (image, name) = named(&call);
    let deadline = call.deadline;
    call.ceph(move |io| {
        let found = rbd::found::find(io, &image, deadline)?;
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
    nothing()
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

with_layout! {
    /// A clone to be made.
    struct NewClone {
        /// Its name: 1 to 128 characters without `/`, `@` and control characters, not beginning with a dot.
        #[schemars(with = "schema::NewName")]
        name: String,
        /// Its pool. Default: the image's.
        #[schemars(with = "Option<schema::Name>")]
        pool: Option<String>,
        /// Its namespace; empty for the default one. Default: the image's if the pool is the image's, else the default one.
        namespace: Option<String>,
        /// 1: the snapshot must be protected, and stay so. 2: it need not, and clients older than Mimic cannot open the
        /// clone. Default: as the cluster has it (`rbd_default_clone_format`).
        #[schemars(range(min = 1, max = 2))]
        clone_format: Option<u64>,
    }
}

async fn clone(mut call: Call) -> Answer {
    let (image, snapshot) = named(&call);
    let body: NewClone = call.json().await?;
    check_new("name", &body.name)?;
    let mut spec = body.layout().spec()?;
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
    let source = call.place();
    let pool = body.pool.unwrap_or_else(|| source.pool.clone());
    let namespace =
        body.namespace.unwrap_or_else(|| if pool == source.pool { source.namespace.clone() } else { String::new() });
    let target = Place { pool, namespace };
    call.authorize_place(&target, Role::Operator).await?;
    call.authorize_data_pool(spec.data_pool.as_deref(), &target).await?;
    let name = body.name;
    let location = call.link(&format!("{}/images/{}", path_of(&target), segment(&name)));
    let deadline = call.deadline;
    let made = call
        .placed(move |connection, io| {
            let found = rbd::found::find(io, &image, deadline)?;
            let raw = found.snapshot(&snapshot)?;
            let to = connection.context(&target.pool, &target.namespace)?;
            // What is not asked for is as the parent has it.
            let whole = ImageSpec {
                order: spec.order.or(Some(found.header.order)),
                features: spec.features.or(Some(found.header.features.0)),
                ..spec.clone()
            };
            pool_use::refuse_foreign(&to)?;
            let size = ImageSize::try_from(raw.size_bytes).map_err(|source| Reason::Unbounded(source).fault(&image))?;
            check_with_cluster(connection.cluster(), size, &whole)?;
            match to.clone_image(io, &image, &snapshot, &name, &spec) {
                Ok(()) => {}
                Err(error) if error.is(Errno::EEXIST) => return Err(taken(&to, &name, deadline)),
                Err(error) if error.is(Errno::ENOENT) => return Err(gone(io, &found, &snapshot, error, deadline)),
                Err(error) => return Err(not_cloned(io, &found, raw, &target, error, deadline)),
            }
            let mut made = read_image(connection, &to, &name, deadline)?;
            let clone = Named::new(&Name::from(&*made.name), made.id.clone());
            made.warnings.extend(chain_warning(ancestors(connection, &to, clone, deadline)?.len()));
            Ok(made)
        })
        .await?;
    Ok(located(json(StatusCode::CREATED, &made)?, &location))
}

/// Why librbd refused to make a clone.
fn not_cloned(
    io: &IoContext,
    found: &Found,
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
            format!("The cluster refuses this layout of a clone: {error}."),
        )
        .correction("Leave out what may be as the parent's. `rbd clone` with the same settings prints librbd's own words.")
        .errno(Errno::EINVAL),
        _ => found.explain(io, error, deadline),
    }
}
