//! Where an image comes from: its parent and its clones.

use http::Method;
use rbd_model::child::Child;
use rbd_model::image::Parent;
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Content;
use crate::endpoint::Endpoint;
use crate::input::{NoBody, NoQuery};
use crate::list::PartialList;
use crate::path::ImagePath;

const TAG: &str = "images";

endpoints! {
    /// What an image is a clone of.
    GET_PARENT: Endpoint<ImagePath, NoQuery, NoBody, Content<Ancestry>> =
        Endpoint::new(Method::GET, "{scope}/images/{image}/parent", TAG, "getParent", "What an image is a clone of")
            .answers(&["The snapshot it is a clone of, and what that is a clone of, and so on."]);

    /// List the clones of an image.
    LIST_CHILDREN: Endpoint<ImagePath, NoQuery, NoBody, Content<PartialList<Child>>> =
        Endpoint::new(
            Method::GET,
            "{scope}/images/{image}/children",
            TAG,
            "listChildren",
            "List the clones of an image",
        )
            .describe("Those of all its snapshots, of both formats, also those in the trash.")
            .answers(&["The clones, and the pools that could not be read."]);
}

/// Where an image comes from.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ancestry {
    /// The snapshot it is a clone of; null when it is none.
    pub parent: Option<Parent>,
    /// The parent, the parent's parent and so on; the chain ends where one cannot be read.
    pub ancestors: Vec<Parent>,
    /// What will give trouble, and with what.
    pub warnings: Vec<String>,
}
