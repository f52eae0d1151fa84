//! All snapshots of an image at once, also of one in the trash.

use http::Method;
use rbd_model::snapshot::Snapshot;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::{Accepted, Content};
use crate::endpoint::Endpoint;
use crate::input::{NoBody, NoQuery};
use crate::list::List;
use crate::path::{ImagePath, TrashPath};

const TAG: &str = "snapshots";
const ACCEPTED: &str = "The operation has begun: follow it at `Location`.";

endpoints! {
    /// Delete all snapshots of an image.
    PURGE_SNAPSHOTS: Endpoint<ImagePath, PurgeSnapshots, NoBody, Accepted> =
        Endpoint::new(
            Method::DELETE,
            "{scope}/images/{image}/snapshots",
            TAG,
            "purgeSnapshots",
            "Delete all snapshots of an image",
        )
            .describe(
                "Those that are there now. When one is protected, has clones, or belongs to a group or to mirroring, \
                 the answer is 409 with all of these, and none is deleted.",
            )
            .answers(&[ACCEPTED]);

    /// List the snapshots of an image in the trash.
    LIST_TRASH_SNAPSHOTS: Endpoint<TrashPath, NoQuery, NoBody, Content<List<Snapshot>>> =
        Endpoint::new(
            Method::GET,
            "{scope}/trash/{id}/snapshots",
            TAG,
            "listTrashSnapshots",
            "List the snapshots of an image in the trash",
        )
            .describe("Oldest first.")
            .answers(&["The snapshots."]);

    /// Delete all snapshots of an image in the trash.
    PURGE_TRASH_SNAPSHOTS: Endpoint<TrashPath, PurgeSnapshots, NoBody, Accepted> =
        Endpoint::new(
            Method::DELETE,
            "{scope}/trash/{id}/snapshots",
            TAG,
            "purgeTrashSnapshots",
            "Delete all snapshots of an image in the trash",
        )
            .describe(
                "As of an image that is not in the trash. Afterwards it can be removed for good, or restored without \
                 them.",
            )
            .answers(&[ACCEPTED]);
}

/// How snapshots are deleted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PurgeSnapshots {
    /// Lifts the protection of those that no clone needs.
    #[serde(default)]
    pub unprotect: bool,
}
