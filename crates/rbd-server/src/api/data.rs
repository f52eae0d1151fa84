//! An image's bytes: export, import, differences. Always streams: nothing is kept but what is on its way.

mod diff;
mod export;
mod import;
mod sink;
mod source;

use axum::http::{Method, StatusCode};
use ceph::{Access, Errno, Image, ImageRef, IoContext};
use rbd::workers::Slot;
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::Place;
use rbd_model::reason::Act;

use crate::app::App;
use crate::auth::Role;
use crate::call::Call;
use crate::endpoint::Endpoint;
use crate::envelope::List;

const TAG: &str = "data";

/// The media type of an image's bytes.
const RAW_TYPE: &str = "application/octet-stream";
/// The media type of what `rbd export-diff` writes. Not registered; `format=stream` asks for the same.
const DIFF_TYPE: &str = "application/vnd.ceph.rbd-diff";

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    let data = "{scope}/images/{image}/data";
    let diff = "{scope}/images/{image}/diff";
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
        Endpoint::new(Method::PUT, data, TAG, "importImage", "Make an image from bytes", import::put)
            .describe(import::DESCRIPTION)
            .names("image")
            .query::<import::Import>()
            .takes_stream(RAW_TYPE)
            .answers::<rbd_model::image::Image>(StatusCode::CREATED, "The image was made and has all bytes."),
        Endpoint::new(Method::GET, diff, TAG, "diffImage", "See what changed between snapshots", diff::get)
            .describe(diff::DESCRIPTION)
            .role(Role::Operator)
            .query::<diff::Diff>()
            .answers::<List<diff::Changed>>(StatusCode::OK, "The parts, by offset.")
            .answers_media(StatusCode::OK, "The same with data, for `rbd import-diff`.", DIFF_TYPE),
        Endpoint::new(Method::POST, diff, TAG, "applyDiff", "Apply a diff to an image", diff::post)
            .describe(diff::APPLY_DESCRIPTION)
            // Generators know no other type of bytes. The diff's own is taken, too.
            .takes_stream(RAW_TYPE)
            .answers::<rbd_model::image::Image>(StatusCode::OK, "The image has the state the diff leads to."),
    ]
}

/// A place among the streams of a call's pool.
fn slot(call: &Call) -> Result<Slot, Fault> {
    let lane = format!("streams of pool {}", call.place().pool);
    call.app.workers.try_slot(&lane, call.app.streams.limits().per_pool)
}

/// The lane of the workers that blocking parts of a stream run in: that of the pool's other calls.
fn lane(place: &Place) -> String {
    format!("pool {}", place.pool)
}

/// Opens an image whose data is to be read or written, or says why it cannot be.
fn open(io: &IoContext, name: &str, access: Access, deadline: std::time::Instant) -> Result<Image, Fault> {
    let found = match rbd::found::find(io, name, deadline) {
        Ok(found) => found,
        Err(problem) if problem.kind() == Kind::ImageNotFound => {
            // Of format 1, which has no header to be found.
            let opened = io.open_image(ImageRef::Name(name), None, access);
            return opened.map_err(|error| if error.is(Errno::ENOENT) { problem } else { error.into() });
        }
        Err(problem) => return Err(problem),
    };
    found.ready_for(io, Act::Read, deadline)?;
    found.open(io, access, deadline)
}

/// Why an image's data is not whole, if it is not.
fn incomplete(image: &Image) -> Result<Option<String>, Fault> {
    match image.metadata(rbd_model::image::INCOMPLETE_KEY) {
        Ok(reason) => Ok(Some(reason)),
        Err(error) if error.is(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A problem from Ceph in a stream, told to whoever keeps the connection.
fn trouble(app: &App, error: ceph::Error) -> Fault {
    if let Some(errno) = error.errno() {
        app.link.suspect(errno);
    }
    error.into()
}

/// There is no such snapshot.
fn snapshot_not_found(image: &str, snapshot: &str) -> Fault {
    Fault::new(Kind::SnapshotNotFound, format!("Image {image:?} has no snapshot {snapshot:?}."))
        .correction("GET the image; it lists its snapshots.")
}
