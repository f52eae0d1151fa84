//! Long work on images: deleting, resizing, flattening, copying, sparsifying, rolling back.

use std::time::Instant;

use ceph::{Access, Errno, ImageRef, ImageSize, IoContext, OmapChange, ignore_progress};
use jiff::{SignedDuration, Timestamp};
use rbd::ceph_link::Connection;
use rbd::found_image::{FoundImage, image_not_found};
use rbd::layout::{check_object_map, image_size, order};
use rbd::listing::UNKNOWN_MIRRORING;
use rbd::mirroring::{reject_damaged, reject_primary};
use rbd::operations::snapshot_purge;
use rbd::{format_1, group, obstacles, pool_applications, trash};
use rbd_api::answer::{Accepted, Content, Either};
use rbd_api::duration::parse_duration;
use rbd_api::endpoints::image_operations as declared;
use rbd_api::endpoints::image_operations::{
    CopyImage, DeleteImage, ForceOption, RemoveTrash, ResizeImage, SparsifyImage, TrashedImage,
};
use rbd_api::input::{Input, Json, NoQuery, OptionalJson};
use rbd_api::path::{GroupSnapshotPath, ImagePath, PlacePath, SnapshotPath, TrashPath};
use rbd_api::problem::Problem;
use rbd_api::role::Role;
use rbd_format::trash::TRASH_OBJECT;
use rbd_model::fault::{Fault, Kind};
use rbd_model::features::OBJECT_MAP;
use rbd_model::image::{Image, ImageState};
use rbd_model::names::{Place, check_new_name};
use rbd_model::obstacle::Act;
use rbd_model::operation::Work;

use super::images::read_image;
use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![
        bind(&declared::DELETE_IMAGE, delete),
        bind(&declared::RESIZE_IMAGE, resize),
        bind(&declared::FLATTEN_IMAGE, flatten),
        bind(&declared::COPY_IMAGE, copy),
        bind(&declared::SPARSIFY_IMAGE, sparsify),
        bind(&declared::REBUILD_OBJECT_MAP, rebuild_object_map),
        bind(&declared::ROLLBACK_IMAGE, rollback),
        bind(&declared::ROLLBACK_GROUP, rollback_group),
        bind(&declared::REMOVE_TRASH, remove_trash),
        bind(&declared::PURGE_TRASH, purge),
    ]
}

impl Call {
    /// Reads an image, and what `more` finds out of it, in a worker.
    async fn image<T: Send + 'static>(
        &self,
        name: String,
        more: impl FnOnce(&Connection, &IoContext, &Image) -> Result<T, Fault> + Send + 'static,
    ) -> Result<(Image, T), Fault> {
        let (place, deadline) = (self.place(), self.deadline);
        self.in_lane(&format!("pool {}", place.pool), move |connection| {
            let io = connection.context(&place.pool, &place.namespace)?;
            let image = read_image(connection, &io, &name, deadline)?;
            if image.format == 1 {
                return Err(format_1::not_supported(&name));
            }
            let found = more(connection, &io, &image)?;
            Ok((image, found))
        })
        .await
    }

    /// An image, if it is whole and nothing stands in the way of the act.
    async fn image_for(&self, name: String, act: Act) -> Result<Image, Fault> {
        let deadline = self.deadline;
        let (image, ()) =
            self.image(name, move |_, io, image| obstacles::check_ready(io, image, act, deadline)).await?;
        Ok(image)
    }
}

/// Rejects when the image has snapshots: librbd would, but for those of mirroring.
fn no_snapshots(image: &Image) -> Result<(), Fault> {
    let kept = image.snapshots.iter().filter(|snapshot| snapshot.kind != "mirror");
    let names: Vec<_> = kept.map(|snapshot| snapshot.name.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let clones: u32 = image.snapshots.iter().map(|snapshot| snapshot.clones).sum();
    Err(Fault::new(Kind::InUse, format!("Image {:?} has {} snapshot(s).", image.name, names.len()))
        .cause(if clones > 0 { "Clones need some of them." } else { "They would be lost with it." })
        .correction(
            "Flatten or delete the clones, then repeat with ?deleteSnapshots=true, or move the image to the trash, which keeps \
             its snapshots.",
        )
        .with("snapshots", names))
}

/// Rejects when some of the snapshots that are to go with the image cannot.
fn reject_kept_snapshots(io: &IoContext, image: &Image, deadline: Instant) -> Result<(), Fault> {
    let Some(header) = rbd::header::read_header(io, &image.id, deadline)? else { return Ok(()) };
    let found = FoundImage { name: image.name.clone(), id: image.id.clone(), header };
    snapshot_purge::reject_kept(io, &found, snapshot_purge::ALL_FOR_REMOVAL, false, deadline)
}

fn reject_unknown_mirroring(image: &Image) -> Result<(), Fault> {
    reject_damaged(&image.pool, &image.name, &image.id, image.unknown.get(UNKNOWN_MIRRORING))
}

async fn delete(
    call: Call,
    Input { path: ImagePath { place, image: name }, query, .. }: Input<ImagePath, DeleteImage>,
) -> Result<Either<Content<TrashedImage>, Accepted>, Problem> {
    let deadline = call.deadline;
    if query.permanent {
        if query.retention.is_some() {
            return Err(Fault::field_conflict("retention", "does not go with permanent=true", "one of the two").into());
        }
        let (image, ()) = call
            .image(name, move |_, io, image| {
                if image.state == ImageState::Removing || image.is_only_a_name() {
                    return Ok(());
                }
                reject_unknown_mirroring(image)?;
                if !query.force {
                    reject_primary(&image.name, image.mirroring.as_ref())?;
                }
                if query.delete_snapshots {
                    reject_kept_snapshots(io, image, deadline)?;
                } else {
                    no_snapshots(image)?;
                }
                obstacles::check_act(io, &image.name, &image.id, Act::Remove { force: query.force }, deadline)
            })
            .await?;
        let delete_snapshots = query.delete_snapshots;
        let work = Work::RemoveImage { image: image.name, image_id: image.id, delete_snapshots };
        return Ok(Either::Second(call.operate(&place, work).await?));
    }
    if query.delete_snapshots {
        let allowed = "permanent=true with it, or neither: in the trash an image keeps its snapshots";
        return Err(Fault::field_conflict("deleteSnapshots", "is without permanent=true", allowed).into());
    }
    let retention = match &query.retention {
        None => call.app.trash_retention,
        Some(text) => parse_duration(text)
            .map_err(|wrong| Fault::field("retention", format!("{text:?}: {wrong}"), "a time such as 12h or 30d"))?,
    };
    let expires_at = SignedDuration::try_from(retention)
        .ok()
        .and_then(|retention| Timestamp::now().checked_add(retention).ok())
        .filter(|at| u32::try_from(at.as_second()).is_ok())
        .ok_or_else(|| Fault::field("retention", "is too long", "a time that ends before the year 2106"))?;
    let (image, ()) = call
        .image(name, move |_, io, image| {
            if image.state == ImageState::Removing || image.is_only_a_name() {
                return image.check_whole();
            }
            reject_unknown_mirroring(image)?;
            if !query.force {
                reject_primary(&image.name, image.mirroring.as_ref())?;
            }
            obstacles::check_act(io, &image.name, &image.id, Act::Trash { force: query.force }, deadline)?;
            move_to_trash(io, image, retention.as_secs(), deadline).map_err(|error| match error.errno() {
                Some(Errno::ENOENT) => image_not_found(
                    &Place { pool: image.pool.clone(), namespace: image.namespace.clone() },
                    &image.name,
                ),
                Some(Errno::EDQUOT | Errno::ENOSPC) => Fault::from(error)
                    .correction("A full pool may have no room for the trash: delete with ?permanent=true."),
                _ => obstacles::explain_error(io, &image.name, &image.id, error, deadline),
            })
        })
        .await?;
    Ok(Either::First(Content::of(TrashedImage { id: image.id, name: image.name, expires_at })))
}

/// Moves an image to the trash.
fn move_to_trash(io: &IoContext, image: &Image, delay_seconds: u64, deadline: Instant) -> ceph::Result<()> {
    let moved = io.trash_move(&image.name, delay_seconds);
    let Err(error) = &moved else { return moved };
    // ENOENT also means that there is no trash and no room to make one. An empty one takes none, and then librbd only
    // exchanges entries of lists, which a full pool allows.
    let there = || rbd::directory::find(io, &image.name, deadline).ok().flatten().is_some_and(|now| now.id == image.id);
    if error.is(Errno::ENOENT) && there() {
        io.omap_change(TRASH_OBJECT, &OmapChange::default())?;
        return io.trash_move(&image.name, delay_seconds);
    }
    moved
}

async fn resize(
    call: Call,
    Input { path: ImagePath { place, image: name }, query, body: Json(body) }: Input<
        ImagePath,
        ForceOption,
        Json<ResizeImage>,
    >,
) -> Result<Either<Content<Image>, Accepted>, Problem> {
    let ResizeImage { size_bytes, allow_shrink, force } = body;
    let force = query.force || force;
    let size = image_size("sizeBytes", size_bytes)?;
    let deadline = call.deadline;
    let (image, grown) = call
        .image(name, move |connection, io, image| {
            let now = image.size_bytes.unwrap_or(0);
            if size_bytes < now {
                if !allow_shrink {
                    return Err(shrinks(image, size));
                }
                obstacles::check_ready(io, image, Act::Shrink { force }, deadline)?;
                return Ok(None);
            }
            image.check_whole()?;
            if size_bytes > now {
                grow(io, image, size, deadline)?;
            }
            Ok(Some(read_image(connection, io, &image.name, deadline)?))
        })
        .await?;
    if let Some(grown) = grown {
        return Ok(Either::First(Content::of(grown)));
    }
    let from_bytes = image.size_bytes.unwrap_or(0);
    let work = Work::Shrink { image: image.name, image_id: image.id, from_bytes, to_bytes: size_bytes, force };
    Ok(Either::Second(call.operate(&place, work).await?))
}

/// Shrinking was not asked for.
fn shrinks(image: &Image, size: ImageSize) -> Fault {
    let from_bytes = image.size_bytes.unwrap_or(0);
    Fault::new(Kind::Conflict, format!("Image {:?} has {from_bytes} bytes, and {size} are asked for.", image.name))
        .cause("Shrinking deletes what lies beyond the new size.")
        .correction("Repeat with allowShrink: true if that is wanted.")
        .with("sizeBytes", from_bytes)
}

fn grow(io: &IoContext, image: &Image, size: ImageSize, deadline: Instant) -> Result<(), Fault> {
    obstacles::check_ready(io, image, Act::Rewrite, deadline)?;
    let features = if image.features.contains(&"object-map") { OBJECT_MAP } else { 0 };
    let order = image.object_size_bytes.map_or(22, u64::trailing_zeros);
    check_object_map(size, features, u8::try_from(order).unwrap_or(22))?;
    let grow = || -> ceph::Result<()> {
        let opened = io.open_image(ImageRef::Id(&image.id), None, Access::ReadWrite)?;
        opened.resize(size, false, &ignore_progress)?;
        opened.close()
    };
    grow().map_err(|error| obstacles::explain_error(io, &image.name, &image.id, error, deadline))
}

async fn flatten(
    call: Call,
    Input { path: ImagePath { place, image }, .. }: Input<ImagePath>,
) -> Result<Accepted, Problem> {
    let image = call.image_for(image, Act::Rewrite).await?;
    if image.parent.is_none() {
        return Err(Fault::new(Kind::Conflict, format!("Image {:?} has no parent.", image.name))
            .correction("Only clones can be flattened, once.")
            .into());
    }
    call.operate(&place, Work::Flatten { image: image.name, image_id: image.id }).await
}

async fn copy(
    call: Call,
    Input { path, body: Json(body), .. }: Input<ImagePath, NoQuery, Json<CopyImage>>,
) -> Result<Accepted, Problem> {
    check_new_name("name", &body.name)?;
    let source = path.place;
    let target = match (&body.pool, &body.namespace) {
        (None, None) => source.clone(),
        (None, Some(namespace)) => Place { pool: source.pool.clone(), namespace: namespace.clone() },
        (Some(pool), namespace) => Place { pool: pool.clone(), namespace: namespace.clone().unwrap_or_default() },
    };
    if body.deep && body.snapshot.is_some() {
        return Err(Fault::field_conflict("deep", "does not go with a snapshot", "one of the two").into());
    }
    call.authorize_place(&target, Role::Operator).await?;
    call.authorize_data_pool(body.data_pool.as_deref(), &target).await?;
    let image = call.image_for(path.image, Act::Read).await?;
    if let Some(snapshot) = &body.snapshot
        && !image.snapshots.iter().any(|known| known.name == *snapshot)
    {
        return Err(snapshot_not_found(&image, snapshot).into());
    }
    // Say now what would fail later.
    let (to, name, data_pool, deadline) = (target.clone(), body.name.clone(), body.data_pool.clone(), call.deadline);
    call.in_lane(&format!("pool {}", target.pool), move |connection| {
        let io = connection.context(&to.pool, &to.namespace)?;
        pool_applications::reject_foreign(&io)?;
        pool_applications::reject_foreign_data_pool(io.cluster(), data_pool.as_deref())?;
        if rbd::directory::find(&io, &name, deadline)?.is_some() {
            return Err(Fault::new(Kind::Exists, format!("There is an image {name:?} already."))
                .correction("Choose another name for the copy."));
        }
        match data_pool {
            Some(pool) => connection.context(&pool, "").map(drop),
            None => Ok(()),
        }
    })
    .await?;
    let work = Work::Copy {
        image: body.name,
        source,
        source_image: image.name,
        source_id: image.id,
        source_snapshot: body.snapshot,
        deep: body.deep,
        flatten: body.flatten,
        data_pool: body.data_pool,
    };
    call.operate(&target, work).await
}

async fn sparsify(
    call: Call,
    Input { path, body: OptionalJson(SparsifyImage { run_bytes }), .. }: Input<
        ImagePath,
        NoQuery,
        OptionalJson<SparsifyImage>,
    >,
) -> Result<Accepted, Problem> {
    if let Some(wrong) = run_bytes.filter(|bytes| order("runBytes", *bytes).is_err()) {
        return Err(
            Fault::field("runBytes", format!("is {wrong}"), "a power of two from 4096 to the object size").into()
        );
    }
    let image = call.image_for(path.image, Act::Rewrite).await?;
    let object = image.object_size_bytes.unwrap_or(4 << 20);
    let run_bytes = run_bytes.unwrap_or(4096);
    if run_bytes > object {
        return Err(Fault::field_conflict(
            "runBytes",
            format!("is {run_bytes}"),
            format!("a power of two from 4096 to the object size, {object}"),
        )
        .into());
    }
    call.operate(&path.place, Work::Sparsify { image: image.name, image_id: image.id, run_bytes }).await
}

async fn rebuild_object_map(
    call: Call,
    Input { path: ImagePath { place, image }, .. }: Input<ImagePath>,
) -> Result<Accepted, Problem> {
    let image = call.image_for(image, Act::Rewrite).await?;
    if !image.features.contains(&"object-map") {
        return Err(Fault::new(Kind::Conflict, format!("Image {:?} has no object map.", image.name))
            .correction("Enable the feature object-map first.")
            .into());
    }
    call.operate(&place, Work::RebuildObjectMap { image: image.name, image_id: image.id }).await
}

async fn rollback(
    call: Call,
    Input { path, query, body: OptionalJson(body) }: Input<SnapshotPath, ForceOption, OptionalJson<ForceOption>>,
) -> Result<Accepted, Problem> {
    let SnapshotPath { place, image, snapshot } = path;
    let (force, deadline) = (query.force || body.force, call.deadline);
    let wanted = snapshot.clone();
    let (image, ()) = call
        .image(image, move |_, io, image| {
            if !image.snapshots.iter().any(|known| known.name == wanted && known.kind != "trash") {
                return Err(snapshot_not_found(image, &wanted));
            }
            obstacles::check_ready(io, image, Act::Overwrite { force }, deadline)
        })
        .await?;
    call.operate(&place, Work::Rollback { image: image.name, image_id: image.id, snapshot, force }).await
}

fn snapshot_not_found(image: &Image, snapshot: &str) -> Fault {
    let names: Vec<_> = image.snapshots.iter().map(|known| known.name.clone()).collect();
    Fault::new(Kind::SnapshotNotFound, format!("Image {:?} has no snapshot {snapshot:?}.", image.name))
        .correction("GET the snapshots of the image.")
        .with("snapshots", names)
}

async fn rollback_group(
    call: Call,
    Input { path, query, body: OptionalJson(body) }: Input<GroupSnapshotPath, ForceOption, OptionalJson<ForceOption>>,
) -> Result<Accepted, Problem> {
    let GroupSnapshotPath { place, group, snapshot } = path;
    let force = query.force || body.force;
    let (named_group, named_snapshot, deadline) = (group.clone(), snapshot.clone(), call.deadline);
    call.ceph(move |io| group::check_rollback(io, &named_group, &named_snapshot, force, deadline)).await?;
    call.operate(&place, Work::RollbackGroup { group, snapshot, force }).await
}

async fn remove_trash(
    call: Call,
    Input { path: TrashPath { place, id: image_id }, query, .. }: Input<TrashPath, RemoveTrash>,
) -> Result<Accepted, Problem> {
    let RemoveTrash { force, delete_snapshots } = query;
    let (id, deadline) = (image_id.clone(), call.deadline);
    let image = call
        .ceph(move |io| {
            if trash::damaged(io, &id, deadline)?.is_some() {
                return Ok(String::new());
            }
            let image = trash::find(io, &id, deadline)?;
            trash::reject_kept(io, &image, force, delete_snapshots)?;
            let name = image.entry.name.to_string();
            if delete_snapshots && image.header.is_some() {
                snapshot_purge::reject_kept(io, &image.found()?, snapshot_purge::ALL_FOR_REMOVAL, false, deadline)?;
            }
            Ok(name)
        })
        .await?;
    let work = Work::RemoveTrash { image, image_id, delete_snapshots };
    call.operate(&place, work).await
}

async fn purge(call: Call, Input { path, .. }: Input<PlacePath>) -> Result<Accepted, Problem> {
    // A missing pool or namespace is said now.
    call.ceph(|_| Ok(())).await?;
    call.operate(&path.place, Work::PurgeTrash { expired_before: Timestamp::now(), deleted_before: None }).await
}
