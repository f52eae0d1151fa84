//! Snapshots of an image.

use http::Method;
use rbd_model::image::Image;
use rbd_model::snapshot::Snapshot;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::layout_fields::with_layout;
use crate::answer::{Content, Created, CreatedOrFound, Either, NoContent};
use crate::endpoint::Endpoint;
use crate::input::{Json, NoBody, NoQuery};
use crate::list::List;
use crate::path::{ImagePath, SnapshotPath};
use crate::schema;

const TAG: &str = "snapshots";

endpoints! {
    /// List the snapshots of an image.
    LIST_SNAPSHOTS: Endpoint<ImagePath, NoQuery, NoBody, Content<List<Snapshot>>> =
        Endpoint::new(
            Method::GET,
            "{scope}/images/{image}/snapshots",
            TAG,
            "listSnapshots",
            "List the snapshots of an image",
        )
            .describe("Oldest first; with those of groups and of mirroring, and those in the trash of snapshots.")
            .answers(&["The snapshots."]);

    /// Take a snapshot.
    CREATE_SNAPSHOT: Endpoint<ImagePath, NoQuery, Json<NewSnapshot>, Created<TakenSnapshot>> =
        Endpoint::new(Method::POST, "{scope}/images/{image}/snapshots", TAG, "createSnapshot", "Take a snapshot")
            .answers(&["The snapshot was taken."]);

    /// Get a snapshot.
    GET_SNAPSHOT: Endpoint<SnapshotPath, NoQuery, NoBody, Content<Snapshot>> =
        Endpoint::new(Method::GET, "{scope}/images/{image}/snapshots/{snapshot}", TAG, "getSnapshot", "Get a snapshot")
            .answers(&["The snapshot."]);

    /// Take a snapshot, unless there is one of that name.
    PUT_SNAPSHOT: Endpoint<SnapshotPath, NoQuery, NoBody, CreatedOrFound<TakenSnapshot>> =
        Endpoint::new(
            Method::PUT,
            "{scope}/images/{image}/snapshots/{snapshot}",
            TAG,
            "putSnapshot",
            "Take a snapshot, unless there is one of that name",
        )
            .describe("Safe to repeat. One that is there is left as it is.")
            .names("snapshot")
            .answers(&["The snapshot was taken.", "It was there."]);

    /// Delete a snapshot.
    DELETE_SNAPSHOT: Endpoint<SnapshotPath, NoQuery, NoBody, Either<NoContent, Content<Snapshot>>> =
        Endpoint::new(
            Method::DELETE,
            "{scope}/images/{image}/snapshots/{snapshot}",
            TAG,
            "deleteSnapshot",
            "Delete a snapshot",
        )
            .describe(
                "A protected one is rejected. One with clones of format 2 loses its name and stays in the image's \
                 trash of snapshots, listed with kind `trash`, until the last of its clones is deleted or flattened; \
                 then it goes by itself.",
            )
            .answers(&["It is gone.", "It is in the trash of snapshots, kept for its clones."]);

    /// Rename a snapshot.
    RENAME_SNAPSHOT: Endpoint<SnapshotPath, NoQuery, Json<NewSnapshot>, Content<Snapshot>> =
        Endpoint::new(
            Method::POST,
            "{scope}/images/{image}/snapshots/{snapshot}/rename",
            TAG,
            "renameSnapshot",
            "Rename a snapshot",
        )
            .answers(&["The snapshot, under its new name."]);

    /// Protect a snapshot from deletion.
    PROTECT_SNAPSHOT: Endpoint<SnapshotPath, NoQuery, NoBody, Content<Snapshot>> =
        Endpoint::new(
            Method::PUT,
            "{scope}/images/{image}/snapshots/{snapshot}/protection",
            TAG,
            "protectSnapshot",
            "Protect a snapshot from deletion",
        )
            .describe("What clones of format 1 need. Safe to repeat.")
            .answers(&["The snapshot, protected."]);

    /// Lift a snapshot's protection.
    UNPROTECT_SNAPSHOT: Endpoint<SnapshotPath, NoQuery, NoBody, NoContent> =
        Endpoint::new(
            Method::DELETE,
            "{scope}/images/{image}/snapshots/{snapshot}/protection",
            TAG,
            "unprotectSnapshot",
            "Lift a snapshot's protection",
        )
            .describe("Rejected while it has clones of format 1. Safe to repeat.")
            .answers(&["The snapshot is not protected."]);

    /// Make a clone of a snapshot.
    CLONE_SNAPSHOT: Endpoint<SnapshotPath, NoQuery, Json<NewClone>, Created<Image>> =
        Endpoint::new(
            Method::POST,
            "{scope}/images/{image}/snapshots/{snapshot}/clone",
            TAG,
            "cloneSnapshot",
            "Make a clone of a snapshot",
        )
            .describe(
                "In the image's own pool and namespace unless others are named. Format 2 needs no protection and may \
                 cross namespaces; the cluster uses it by itself once `ceph osd set-require-min-compat-client mimic` \
                 was run.",
            )
            .answers(&["The clone was made."]);
}

/// A name for a snapshot.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewSnapshot {
    /// Its name: 1 to 128 characters without `/`, `@` and control characters, not beginning with a dot.
    #[schemars(with = "schema::NewName")]
    pub name: String,
}

/// A snapshot that was taken.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TakenSnapshot {
    /// The snapshot.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// What will give trouble, and with what; absent when nothing will.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

with_layout! {
    /// A clone to be made.
    pub struct NewClone {
        /// Its name: 1 to 128 characters without `/`, `@` and control characters, not beginning with a dot.
        #[schemars(with = "schema::NewName")]
        pub name: String,
        /// Its pool. Default: the image's.
        #[schemars(with = "Option<schema::Name>")]
        pub pool: Option<String>,
        /// Its namespace; empty for the default one. Default: the image's if the pool is the image's, else the default one.
        pub namespace: Option<String>,
        /// 1: the snapshot must be protected, and stay so. 2: it need not, and clients older than Mimic cannot open the
        /// clone. Default: as the cluster has it (`rbd_default_clone_format`).
        #[schemars(range(min = 1, max = 2))]
        pub clone_format: Option<u64>,
    }
}
