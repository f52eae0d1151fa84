//! Making images.

use std::collections::BTreeMap;

use http::Method;
use rbd_model::image::Image;

use super::layout_fields::with_layout;
use crate::answer::{Created, CreatedOrFound};
use crate::endpoint::Endpoint;
use crate::input::{Json, NoQuery};
use crate::path::{ImagePath, PlacePath};
use crate::schema;

const TAG: &str = "images";

endpoints! {
    /// Make an image.
    CREATE_IMAGE: Endpoint<PlacePath, NoQuery, Json<NewImage>, Created<Image>> =
        Endpoint::new(Method::POST, "{scope}/images", TAG, "createImage", "Make an image")
            .answers(&["The image was made."]);

    /// Make an image, unless there is one like it.
    PUT_IMAGE: Endpoint<ImagePath, NoQuery, Json<WantedImage>, CreatedOrFound<Image>> =
        Endpoint::new(
            Method::PUT,
            "{scope}/images/{image}",
            TAG,
            "putImage",
            "Make an image, unless there is one like it",
        )
            .describe(
                "Safe to repeat. An image that is there must have the size, and every property that is sent; what is \
                 absent from the body is not compared. Metadata that it lacks is added, so that a request that was \
                 cut off is finished by repeating it.",
            )
            .names("image")
            .answers(&["The image was made.", "It was there, as asked for."]);
}

with_layout! {
    /// An image to be made.
    pub struct NewImage {
        /// Its name: 1 to 128 characters without `/`, `@` and control characters, not beginning with a dot.
        #[schemars(with = "schema::NewName")]
        pub name: String,
        /// Its size, in bytes: 1 to 1152921504606846976 (1 EiB).
        #[schemars(with = "schema::Size")]
        pub size_bytes: u64,
        /// Its metadata. Set one by one after the image was made: who lists meanwhile sees it without, and a failure in
        /// between leaves it with a part; `PUT` with the same body then adds the rest.
        #[serde(default)]
        #[schemars(with = "schema::Entries")]
        pub metadata: BTreeMap<String, String>,
    }
}

with_layout! {
    /// An image that shall be there.
    pub struct WantedImage {
        /// Its size, in bytes: 1 to 1152921504606846976 (1 EiB).
        #[schemars(with = "schema::Size")]
        pub size_bytes: u64,
        /// Its metadata. Set one by one after the image was made: who lists meanwhile sees it without.
        #[serde(default)]
        #[schemars(with = "schema::Entries")]
        pub metadata: BTreeMap<String, String>,
    }
}
