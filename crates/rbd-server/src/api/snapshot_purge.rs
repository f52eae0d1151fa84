//! All snapshots of an image at once, also of one in the trash.

use ceph::IoContext;
use rbd::found_image::FoundImage;
use rbd::operations::snapshot_purge::{newest_snapshot_id, reject_kept};
use rbd::trash;
use rbd_api::answer::{Accepted, Content};
use rbd_api::endpoints::snapshot_purge as declared;
use rbd_api::endpoints::snapshot_purge::PurgeSnapshots;
use rbd_api::input::Input;
use rbd_api::list::List;
use rbd_api::path::{ImagePath, TrashPath};
use rbd_api::problem::Problem;
use rbd_model::fault::Fault;
use rbd_model::operation::Work;
use rbd_model::snapshot::Snapshot;

use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![
        bind(&declared::PURGE_SNAPSHOTS, purge),
        bind(&declared::LIST_TRASH_SNAPSHOTS, list_in_trash),
        bind(&declared::PURGE_TRASH_SNAPSHOTS, purge_in_trash),
    ]
}

async fn purge(call: Call, Input { path, query, .. }: Input<ImagePath, PurgeSnapshots>) -> Result<Accepted, Problem> {
    let deadline = call.deadline;
    begin(call, query, move |io| rbd::found_image::find(io, &path.image, deadline)).await
}

async fn purge_in_trash(
    call: Call,
    Input { path, query, .. }: Input<TrashPath, PurgeSnapshots>,
) -> Result<Accepted, Problem> {
    let deadline = call.deadline;
    begin(call, query, move |io| trash::find(io, &path.id, deadline)?.found()).await
}

async fn begin(
    call: Call,
    PurgeSnapshots { unprotect }: PurgeSnapshots,
    find: impl FnOnce(&IoContext) -> Result<FoundImage, Fault> + Send + 'static,
) -> Result<Accepted, Problem> {
    let deadline = call.deadline;
    let work = call
        .ceph(move |io| {
            let found = find(io)?;
            let through = newest_snapshot_id(&found);
            reject_kept(io, &found, through, unprotect, deadline)?;
            Ok(Work::PurgeSnapshots { image: found.name, image_id: found.id, through, unprotect })
        })
        .await?;
    call.operate(&call.place(), work).await
}

async fn list_in_trash(
    call: Call,
    Input { path: TrashPath { id, .. }, .. }: Input<TrashPath>,
) -> Result<Content<List<Snapshot>>, Problem> {
    let deadline = call.deadline;
    let snapshots = call
        .ceph(move |io| {
            let found = trash::find(io, &id, deadline)?.found()?;
            Ok(found.header.snapshots.iter().map(Snapshot::from).collect())
        })
        .await?;
    Ok(Content::of(List::new("SnapshotList", snapshots)))
}
