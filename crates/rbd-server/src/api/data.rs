//! An image's bytes: export, import, differences. Always streams: nothing is kept but what is on its way.

mod diff;
mod export;
mod import;
mod sink;
mod source;
mod streamed_image;

use ceph::{Access, Errno, Image, ImageRef, IoContext};
use rbd::workers::Slot;
use rbd_api::endpoints::data as declared;
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::Place;
use rbd_model::obstacle::Act;

use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![
        bind(&declared::EXPORT_IMAGE, export::get),
        bind(&declared::EXPORT_IMAGE_HEAD, export::head),
        bind(&declared::IMPORT_IMAGE, import::put),
        bind(&declared::DIFF_IMAGE, diff::get),
        bind(&declared::APPLY_DIFF, diff::post),
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
    let found = match rbd::found_image::find(io, name, deadline) {
        Ok(found) => found,
        Err(problem) if problem.kind() == Kind::ImageNotFound => {
            // Of format 1, which has no header to be found.
            let opened = io.open_image(ImageRef::Name(name), None, access);
            return opened.map_err(|error| if error.is(Errno::ENOENT) { problem } else { error.into() });
        }
        Err(problem) => return Err(problem),
    };
    found.check_ready(io, Act::Read, deadline)?;
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

/// There is no such snapshot.
fn snapshot_not_found(image: &str, snapshot: &str) -> Fault {
    Fault::new(Kind::SnapshotNotFound, format!("Image {image:?} has no snapshot {snapshot:?}."))
        .correction("GET the image; it lists its snapshots.")
}
