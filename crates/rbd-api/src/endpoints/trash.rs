//! The trash.

use http::Method;
use rbd_model::image::Image;
use rbd_model::trash::TrashItem;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::Content;
use crate::endpoint::Endpoint;
use crate::input::{NoBody, NoQuery, OptionalJson};
use crate::list::List;
use crate::path::{PlacePath, TrashPath};
use crate::schema;

const TAG: &str = "trash";

endpoints! {
    /// List what is in the trash.
    LIST_TRASH: Endpoint<PlacePath, NoQuery, NoBody, Content<List<TrashItem>>> =
        Endpoint::new(Method::GET, "{scope}/trash", TAG, "listTrash", "List what is in the trash")
            .describe("Also images whose removal was begun and not finished.")
            .answers(&["The images, the one deleted last first."]);

    /// Get an image in the trash.
    GET_TRASH: Endpoint<TrashPath, NoQuery, NoBody, Content<TrashItem>> =
        Endpoint::new(Method::GET, "{scope}/trash/{id}", TAG, "getTrash", "Get an image in the trash")
            .answers(&["The image."]);

    /// Take an image out of the trash.
    RESTORE_TRASH: Endpoint<TrashPath, NoQuery, OptionalJson<RestoreTrash>, Content<Image>> =
        Endpoint::new(Method::POST, "{scope}/trash/{id}/restore", TAG, "restoreTrash", "Take an image out of the trash")
            .answers(&["The image, which can be used again."]);
}

/// How an image is taken out of the trash.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreTrash {
    /// Its name from now on; without it, the one that it had.
    #[schemars(with = "Option<schema::NewName>")]
    pub name: Option<String>,
}
