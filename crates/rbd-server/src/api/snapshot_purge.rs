//! All snapshots of an image at once, also of one in the trash.

use axum::http::{Method, StatusCode};
use ceph::IoContext;
use rbd::found::Found;
use rbd::operations::snapshot_purge::{newest, refuse_kept};
use rbd::trash;
use rbd_model::fault::Fault;
use rbd_model::operation::{Operation, Work};
use rbd_model::snapshot::Snapshot;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::call::{Call, json};
use crate::endpoint::{Answer, Endpoint};
use crate::envelope::List;

const TAG: &str = "snapshots";
const ACCEPTED: &str = "The operation has begun: follow it at `Location`.";

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::DELETE,
            "{scope}/images/{image}/snapshots",
            TAG,
            "purgeSnapshots",
            "Delete all snapshots of an image",
            purge,
        )
        .describe(
            "Those that are there now. When one is protected, has clones, or belongs to a group or to mirroring, the answer \
             is 409 with all of these, and none is deleted.",
        )
        .query::<Purge>()
        .answers::<Operation>(StatusCode::ACCEPTED, ACCEPTED),
        Endpoint::new(
            Method::GET,
            "{scope}/trash/{id}/snapshots",
            TAG,
            "listTrashSnapshots",
            "List the snapshots of an image in the trash",
            list_in_trash,
        )
        .describe("Oldest first.")
        .answers::<List<Snapshot>>(StatusCode::OK, "The snapshots."),
        Endpoint::new(
            Method::DELETE,
            "{scope}/trash/{id}/snapshots",
            TAG,
            "purgeTrashSnapshots",
            "Delete all snapshots of an image in the trash",
            purge_in_trash,
        )
        .describe("As of an image that is not in the trash. Afterwards it can be removed for good, or restored without them.")
        .query::<Purge>()
        .answers::<Operation>(StatusCode::ACCEPTED, ACCEPTED),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "PurgeSnapshots")]
struct Purge {
    /// Lifts the protection of those that no clone needs.
    #[serde(default)]
    unprotect: bool,
}

async fn purge(call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let deadline = call.deadline;
    begin(call, move |io| rbd::found::find(io, &name, deadline)).await
}

async fn purge_in_trash(call: Call) -> Answer {
    let id = call.param("id").to_owned();
    let deadline = call.deadline;
    begin(call, move |io| trash::find(io, &id, deadline)?.found()).await
}

async fn begin(call: Call, find: impl FnOnce(&IoContext) -> Result<Found, Fault> + Send + 'static) -> Answer {
    let Purge { unprotect } = call.query()?;
    let deadline = call.deadline;
    let work = call
        .ceph(move |io| {
            let found = find(io)?;
            let through = newest(&found);
            refuse_kept(io, &found, through, unprotect, deadline)?;
            Ok(Work::PurgeSnapshots { image: found.name, image_id: found.id, through, unprotect })
        })
        .await?;
    call.operate(&call.place(), work).await
}

async fn list_in_trash(call: Call) -> Answer {
    let id = call.param("id").to_owned();
    let deadline = call.deadline;
    let snapshots = call
        .ceph(move |io| {
            let found = trash::find(io, &id, deadline)?.found()?;
            Ok(found.header.snapshots.iter().map(Snapshot::from).collect())
        })
        .await?;
    json(StatusCode::OK, &List::new("SnapshotList", snapshots))
}
