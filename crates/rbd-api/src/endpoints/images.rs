//! Images: listing and reading. Making them is in `image_creation.rs`.

use http::Method;
use rbd_model::image::{Image, NamedImage};
use rbd_model::names::NonUtf8Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::{Content, StreamedJson};
use crate::endpoint::Endpoint;
use crate::input::{NoBody, NoQuery};
use crate::list::List;
use crate::path::{ImagePath, PlacePath};
use crate::schema;

const TAG: &str = "images";

endpoints! {
    /// List the images.
    LIST_IMAGES: Endpoint<PlacePath, ListImages, NoBody, StreamedJson<List<ImageItem>>> =
        Endpoint::new(Method::GET, "{scope}/images", TAG, "listImages", "List the images")
            .describe(
                "By name; after them those of format 1, and last those whose removal was cut off in the trash. \
                 Streamed.",
            )
            .answers(&["The images; with view=names, as without a view, only their names."]);

    /// Get an image.
    GET_IMAGE: Endpoint<ImagePath, NoQuery, NoBody, Content<Image>> =
        Endpoint::new(Method::GET, "{scope}/images/{image}", TAG, "getImage", "Get an image")
            .answers(&["The image."]);
}

/// How much of each image a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageView {
    /// Everything.
    Full,
    /// The names.
    #[default]
    Names,
}

/// Which images a list has, and how much of each.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListImages {
    /// How much of each image is shown.
    #[serde(default)]
    pub view: ImageView,
    /// At most this many images; then `Continue` in the answer says where to go on.
    #[schemars(range(min = 1))]
    pub limit: Option<usize>,
    /// The `Continue` of the answer before.
    #[serde(rename = "continue")]
    #[schemars(with = "Option<schema::Continue>")]
    pub from: Option<String>,
    /// Only images whose names begin so.
    #[serde(default)]
    pub prefix: String,
}

/// An image, or its name alone.
#[derive(JsonSchema)]
#[serde(untagged)]
pub enum ImageItem {
    /// With view=full.
    Full(Box<Image>),
    /// With view=names.
    Name(ImageName),
}

/// The name of an image.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ImageName {
    /// Its name. One that is not UTF-8 is only shown, with a slash before it and `\xNN` for such bytes; with view=full its
    /// `stateReason` says what to do.
    pub name: String,
    /// The bytes of a name that is not UTF-8, in base64; absent when the name is text.
    #[serde(rename = "nameBase64", skip_serializing_if = "Option::is_none")]
    pub name_base64: Option<String>,
}

impl ImageName {
    /// Of an image in the directory.
    pub fn of(image: &NamedImage) -> Self {
        Self { name: image.name.clone(), name_base64: image.not_text.as_ref().map(NonUtf8Name::base64) }
    }
}
