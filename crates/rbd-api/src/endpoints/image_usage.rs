//! The space that an image takes.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::Content;
use crate::endpoint::Endpoint;
use crate::input::NoBody;
use crate::path::ImagePath;

const TAG: &str = "images";

endpoints! {
    /// Get the space an image takes.
    GET_USAGE: Endpoint<ImagePath, UsageQuery, NoBody, Content<ImageUsage>> =
        Endpoint::new(Method::GET, "{scope}/images/{image}/usage", TAG, "getUsage", "Get the space an image takes")
            .describe(
                "Of the image and of each of its snapshots, without what a clone takes from its parent, as `rbd du` \
                 counts: with a valid fast-diff in whole objects, which is quick; else, or with `exact=true`, in \
                 bytes, for which every object is looked at. What could not be counted within the request's time is \
                 null.",
            )
            .answers(&["The space."]);
}

/// How space is counted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsageQuery {
    /// Counts bytes even where whole objects would be quicker.
    #[serde(default)]
    pub exact: bool,
}

/// The space an image takes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageUsage {
    /// The image's size, in bytes: what it may come to take.
    pub provisioned_bytes: u64,
    /// What it takes with all its snapshots, in bytes; null when not all was counted.
    pub used_bytes: Option<u64>,
    /// Whether bytes were counted; else whole objects.
    pub exact: bool,
    /// Why something is null.
    pub reason: Option<String>,
    /// The image itself: what was written since its newest snapshot.
    pub head: UsedSpace,
    /// Its snapshots, oldest first; only those that users took. What others hold is counted with the next.
    pub snapshots: Vec<UsedSpace>,
}

/// The space that a snapshot, or the image since the last of them, takes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsedSpace {
    /// The snapshot; null for the image itself.
    pub snapshot: Option<String>,
    /// Its size, in bytes.
    pub provisioned_bytes: u64,
    /// What was written since the snapshot before, in bytes; null when it was not counted.
    pub used_bytes: Option<u64>,
}
