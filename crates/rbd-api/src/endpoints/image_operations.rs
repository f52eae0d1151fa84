//! Long work on images: deleting, resizing, flattening, copying, sparsifying, rolling back.

use http::Method;
use jiff::Timestamp;
use rbd_model::image::Image;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::{Accepted, Content, Either};
use crate::endpoint::Endpoint;
use crate::input::{Json, NoBody, NoQuery, OptionalJson};
use crate::path::{GroupSnapshotPath, ImagePath, PlacePath, SnapshotPath, TrashPath};
use crate::schema;

const TAG: &str = "images";
const ACCEPTED: &str = "The operation has begun: follow it at `Location`.";
const ROLLBACK: &str = "What was written since is lost. Rejected while a client has the image, or one of the images, open, \
unless forced. Cannot be cancelled.";

endpoints! {
    /// Delete an image.
    DELETE_IMAGE: Endpoint<ImagePath, DeleteImage, NoBody, Either<Content<TrashedImage>, Accepted>> =
        Endpoint::new(Method::DELETE, "{scope}/images/{image}", TAG, "deleteImage", "Delete an image")
            .describe(
                "Moves it to the trash, from which it can be restored until its retention is over. With \
                 permanent=true it is removed for good. Rejected while a client has it open, unless forced.",
            )
            .answers(&["The image is in the trash.", ACCEPTED]);

    /// Resize an image.
    RESIZE_IMAGE: Endpoint<ImagePath, ForceOption, Json<ResizeImage>, Either<Content<Image>, Accepted>> =
        Endpoint::new(Method::POST, "{scope}/images/{image}/resize", TAG, "resizeImage", "Resize an image")
            .describe(
                "Growing is done at once. Shrinking deletes data, must be asked for, is rejected while a client has \
                 the image open, unless forced, and is an operation.",
            )
            .answers(&["The image has its new size.", ACCEPTED]);

    /// Flatten a clone.
    FLATTEN_IMAGE: Endpoint<ImagePath, NoQuery, NoBody, Accepted> =
        Endpoint::new(Method::POST, "{scope}/images/{image}/flatten", TAG, "flattenImage", "Flatten a clone")
            .describe("Copies what it still takes from its parent, after which it has none.")
            .answers(&[ACCEPTED]);

    /// Copy an image.
    COPY_IMAGE: Endpoint<ImagePath, NoQuery, Json<CopyImage>, Accepted> =
        Endpoint::new(Method::POST, "{scope}/images/{image}/copy", TAG, "copyImage", "Copy an image")
            .answers(&[ACCEPTED]);

    /// Give back space that holds only zeros.
    SPARSIFY_IMAGE: Endpoint<ImagePath, NoQuery, OptionalJson<SparsifyImage>, Accepted> =
        Endpoint::new(
            Method::POST,
            "{scope}/images/{image}/sparsify",
            TAG,
            "sparsifyImage",
            "Give back space that holds only zeros",
        )
            .answers(&[ACCEPTED]);

    /// Make the object map anew.
    REBUILD_OBJECT_MAP: Endpoint<ImagePath, NoQuery, NoBody, Accepted> =
        Endpoint::new(
            Method::POST,
            "{scope}/images/{image}/rebuild-object-map",
            TAG,
            "rebuildObjectMap",
            "Make the object map anew",
        )
            .answers(&[ACCEPTED]);

    /// Set an image back to a snapshot.
    ROLLBACK_IMAGE: Endpoint<SnapshotPath, ForceOption, OptionalJson<ForceOption>, Accepted> =
        Endpoint::new(
            Method::POST,
            "{scope}/images/{image}/snapshots/{snapshot}/rollback",
            "snapshots",
            "rollbackImage",
            "Set an image back to a snapshot",
        )
            .describe(ROLLBACK)
            .answers(&[ACCEPTED]);

    /// Set all images of a group back to a snapshot of it.
    ROLLBACK_GROUP: Endpoint<GroupSnapshotPath, ForceOption, OptionalJson<ForceOption>, Accepted> =
        Endpoint::new(
            Method::POST,
            "{scope}/groups/{group}/snapshots/{snapshot}/rollback",
            "groups",
            "rollbackGroup",
            "Set all images of a group back to a snapshot of it",
        )
            .describe(ROLLBACK)
            .answers(&[ACCEPTED]);

    /// Remove an image in the trash for good.
    REMOVE_TRASH: Endpoint<TrashPath, RemoveTrash, NoBody, Accepted> =
        Endpoint::new(
            Method::DELETE,
            "{scope}/trash/{id}",
            "trash",
            "removeTrash",
            "Remove an image in the trash for good",
        )
            .describe(
                "Before its retention is over only with force=true. One with snapshots only with \
                 deleteSnapshots=true; when some of them cannot be deleted, the answer is 409 with all \
                 of these, and nothing is.",
            )
            .answers(&[ACCEPTED]);

    /// Remove for good what the trash need not keep any more.
    PURGE_TRASH: Endpoint<PlacePath, NoQuery, NoBody, Accepted> =
        Endpoint::new(
            Method::POST,
            "{scope}/trash/purge",
            "trash",
            "purgeTrash",
            "Remove for good what the trash need not keep any more",
        )
            .describe(
                "Again and again until nothing changes: a clone that goes frees its parent. The operation fails when \
                 some could not be removed, and names each in `failures`; the others are gone.",
            )
            .answers(&[ACCEPTED]);
}

/// How an image is deleted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteImage {
    /// Removes it for good, now.
    #[serde(default)]
    pub permanent: bool,
    /// Goes on although a client has the image open, whose writes will fail, or although it is mirrored and the primary, whose
    /// copies in other clusters will be deleted.
    #[serde(default)]
    pub force: bool,
    /// Deletes its snapshots with it, for good: only with permanent=true. In the trash an image keeps its snapshots.
    #[serde(default)]
    pub delete_snapshots: bool,
    /// How long the trash keeps it, such as `12h` or `30d`.
    #[schemars(with = "Option<schema::Retention>")]
    pub retention: Option<String>,
}

/// An image that was moved to the trash.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrashedImage {
    /// Its id, by which the trash knows it.
    pub id: String,
    /// The name it had.
    pub name: String,
    /// Until when it is kept.
    pub expires_at: Timestamp,
}

/// A new size for an image.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResizeImage {
    /// The size it shall have, in bytes.
    #[schemars(with = "schema::Size")]
    pub size_bytes: u64,
    /// Whether data beyond a smaller size may be deleted.
    #[serde(default)]
    pub allow_shrink: bool,
    /// Goes on with shrinking although clients have the image open.
    #[serde(default)]
    pub force: bool,
}

/// Whether clients are passed over.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForceOption {
    /// Goes on although clients have an image open.
    #[serde(default)]
    pub force: bool,
}

/// A copy to be made of an image.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CopyImage {
    /// The copy's name.
    #[schemars(with = "schema::NewName")]
    pub name: String,
    /// The copy's pool; the image's own if absent.
    #[schemars(with = "Option<schema::Name>")]
    pub pool: Option<String>,
    /// The copy's namespace; with `pool` absent the image's own, else the default one.
    pub namespace: Option<String>,
    /// The snapshot to copy; the image as it is now if absent.
    #[schemars(with = "Option<schema::Name>")]
    pub snapshot: Option<String>,
    /// Whether snapshots and the link to the parent go along.
    #[serde(default)]
    pub deep: bool,
    /// With `deep`: whether the copy is made independent of the parent.
    #[serde(default)]
    pub flatten: bool,
    /// The pool of the copy's data objects.
    #[schemars(with = "Option<schema::Name>")]
    pub data_pool: Option<String>,
}

/// How zeros are looked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SparsifyImage {
    /// The length of the runs of zeros looked for, in bytes: a power of two, 4,096 up to the object size; 4,096 if
    /// absent.
    #[schemars(with = "Option<schema::ObjectSize>")]
    pub run_bytes: Option<u64>,
}

/// How an image in the trash is removed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoveTrash {
    /// Removes it before its retention is over.
    #[serde(default)]
    pub force: bool,
    /// Deletes its snapshots with it.
    #[serde(default)]
    pub delete_snapshots: bool,
}
