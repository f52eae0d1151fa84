//! Long work on images: deleting, resizing, flattening, copying, sparsifying, rolling back.

use axum::http::{Method, StatusCode};
use ceph::Errno;

use super::images::image_not_found;
use crate::call::{Call, nothing};
use crate::endpoint::{Answer, Endpoint};

const TAG: &str = "images";

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::DELETE, "{scope}/images/{image}", TAG, "deleteImage", "Delete an image", delete)
            .answers_nothing(StatusCode::NO_CONTENT, "The image is in the trash."),
    ]
}

async fn delete(call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let place = call.place();
    call.ceph(move |io| {
        io.trash_move(&name, 7 * 24 * 3600)
            .map_err(|error| if error.is(Errno::ENOENT) { image_not_found(&place, &name) } else { error.into() })
    })
    .await?;
    nothing()
}
