//! An image's bytes: export, import, differences. Always streams: nothing is kept but what is on its way.

mod export;
mod source;

use axum::http::{Method, StatusCode};
use ceph::{Access, Errno, Image, ImageRef, IoContext};

use super::images::read_image;
use crate::app::App;
use crate::auth::Role;
use crate::call::Call;
use crate::endpoint::Endpoint;
use crate::link::Connection;
use crate::listing::{self, ImageState};
use crate::names::Place;
use crate::problem::{Kind, Problem};
use crate::workers::Slot;

const TAG: &str = "data";

/// The media type of an image's bytes.
const RAW_TYPE: &str = "application/octet-stream";
/// The media type of what `rbd export-diff` writes. Not registered; `format=stream` asks for the same.
#[expect(dead_code)]
const DIFF_TYPE: &str = "application/vnd.ceph.rbd-diff";

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    let data = "{scope}/images/{image}/data";
    vec![
        Endpoint::new(Method::GET, data, TAG, "exportImage", "Read an image's bytes", export::get)
            .describe(export::DESCRIPTION)
            .role(Role::Operator)
            .query::<export::Export>()
            .answers_media(StatusCode::OK, "All bytes.", RAW_TYPE)
            .answers_media(StatusCode::PARTIAL_CONTENT, "The bytes of the range asked for.", RAW_TYPE)
            .answers_nothing(StatusCode::NOT_MODIFIED, "The bytes are those of the ETag in If-None-Match."),
        Endpoint::new(Method::HEAD, data, TAG, "exportImageHead", "See how many bytes an export has", export::head)
            .role(Role::Operator)
            .query::<export::Export>()
            .answers_nothing(StatusCode::OK, "The headers of the export."),
    ]
}

/// A place among the streams of a call's pool.
fn slot(call: &Call) -> Result<Slot, Problem> {
    let lane = format!("streams of pool {}", call.place().pool);
    call.app.workers.try_slot(&lane, call.app.streams.limits().per_pool)
}

/// The lane of the workers that blocking parts of a stream run in: that of the pool's other calls.
fn lane(place: &Place) -> String {
    format!("pool {}", place.pool)
}

/// Opens an image, or says why it cannot be: missing, or its removal was begun.
fn open(
    connection: &Connection,
    io: &IoContext,
    name: &str,
    access: Access,
    deadline: std::time::Instant,
) -> Result<Image, Problem> {
    io.open_image(ImageRef::Name(name), None, access).map_err(|error| {
        if !error.is(Errno::ENOENT) {
            return error.into();
        }
        match read_image(connection, io, name, deadline) {
            Ok(image) if image.state == ImageState::Removing => {
                Problem::new(Kind::Removing, format!("Image {name:?} is being removed."))
                    .cause(image.state_reason.unwrap_or_default())
                    .correction("Delete it again to finish its removal.")
            }
            Ok(_) => error.into(),
            Err(problem) => problem,
        }
    })
}

/// Why an image's data is not whole, if it is not.
fn incomplete(image: &Image) -> Result<Option<String>, Problem> {
    match image.metadata(listing::INCOMPLETE_KEY) {
        Ok(reason) => Ok(Some(reason)),
        Err(error) if error.is(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A problem from Ceph in a stream, told to whoever keeps the connection.
fn trouble(app: &App, error: ceph::Error) -> Problem {
    if let Some(errno) = error.errno() {
        app.link.suspect(errno);
    }
    error.into()
}

/// There is no such snapshot.
fn snapshot_not_found(image: &str, snapshot: &str) -> Problem {
    Problem::new(Kind::SnapshotNotFound, format!("Image {image:?} has no snapshot {snapshot:?}."))
        .correction("GET the image; it lists its snapshots.")
}
