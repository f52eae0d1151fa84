//! Import: a new image from a body of bytes.

use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, header};
use ceph::{Access, Errno, ImageRef, ImageSize, ImageSpec, IoContext};
use jiff::Timestamp;
use rbd::ceph_link::Connection;
use rbd::layout::{check_with_cluster, image_size_or_empty, spec};
use rbd::operations::RequestOperation;
use rbd::workers::{Slot, deadline_in};
use rbd::{format_1, pool_applications};
use rbd_api::answer::Created;
use rbd_api::endpoints::data::ImportQuery;
use rbd_api::input::{Bytes, Input};
use rbd_api::media::Raw;
use rbd_api::path::ImagePath;
use rbd_api::problem::Problem;
use rbd_model::fault::{Fault, Kind};
use rbd_model::image::{INCOMPLETE_KEY, Image};
use rbd_model::names::check_new_name;

use super::sink::{ImageSink, IncomingBody, SinkFault};
use super::source::Layout;
use super::streamed_image::StreamedImage;
use super::{lane, slot};
use crate::api::image_creation::{explain_creation, location};
use crate::api::images::read_image;
use crate::call::Call;
use crate::streams::HeldImage;

/// The size the image gets: what the query says, or the body's length.
fn size(query: &ImportQuery, headers: &HeaderMap) -> Result<ImageSize, Fault> {
    let length = match headers.get(header::CONTENT_LENGTH) {
        Some(value) => Some(
            value
                .to_str()
                .ok()
                .and_then(|text| text.parse::<u64>().ok())
                .ok_or_else(|| Fault::field("Content-Length", "is not a number", "the body's length in bytes"))?,
        ),
        None => None,
    };
    let size = match (length, query.size_bytes) {
        (Some(length), Some(size)) if length != size => {
            let wrong = format!("is {size}, and the Content-Length is {length}");
            return Err(Fault::field_conflict("sizeBytes", wrong, "the same as the Content-Length, or nothing"));
        }
        (Some(size), _) | (None, Some(size)) => size,
        (None, None) => {
            let allowed = "the number of bytes that come, or a Content-Length";
            return Err(Fault::field_conflict("sizeBytes", "is missing, as is the Content-Length", allowed));
        }
    };
    image_size_or_empty("sizeBytes", size)
}

pub async fn put(
    mut call: Call,
    Input { path, query, body }: Input<ImagePath, ImportQuery, Bytes<Raw>>,
) -> Result<Created<Image>, Problem> {
    let ImagePath { place, image: name } = path;
    let size = size(&query, &call.headers)?;
    let spec = spec(&query.layout())?;
    check_new_name("image", &name)?;
    call.authorize_data_pool(query.data_pool.as_deref(), &place).await?;
    let slot = slot(&call)?;
    let body = IncomingBody::of(&mut call, body)?;
    // A task of its own: when the client leaves, this handler is dropped, but the image must be marked and closed.
    let task = tokio::spawn(import(call, name, body, size, spec, slot));
    task.await.map_err(|error| Fault::new(Kind::Internal, error.to_string()))?
}

async fn import(
    mut call: Call,
    name: String,
    mut body: IncomingBody,
    size: ImageSize,
    spec: ImageSpec,
    slot: Slot,
) -> Result<Created<Image>, Problem> {
    let filling = match begin(&call, &name).await {
        Ok(filling) => filling,
        Err(problem) => {
            body.linger();
            return Err(problem.into());
        }
    };
    let (image, held, layout) = match create(&call, &name, size, spec).await {
        Ok(created) => created,
        Err(problem) => {
            filling.fail(problem.clone());
            body.linger();
            return Err(problem.into());
        }
    };
    let sink = ImageSink::new(image, held, layout.chunk_bytes(), true);
    let made = match received(sink, &mut body, size.bytes()).await {
        Ok(sink) => unmark(sink).await,
        Err(failed) => Err(failed),
    };
    match made {
        Ok(sink) => {
            sink.abandon(|_| {}).await;
            filling.succeed().await;
        }
        Err(SinkFault { problem, sink }) => {
            filling.fail(problem.clone());
            body.linger();
            let reason = format!("Its import was cut off: {}", problem.detail());
            tracing::warn!(request_id = call.request_id, image = name, %problem, "an import was cut off");
            let problem = problem.with("imageState", "incomplete");
            if let Some(sink) = sink {
                // Not waited for: Ceph may be what does not answer.
                tokio::spawn(async move {
                    sink.abandon(move |image| {
                        // The mark is there already; this only says more.
                        let _ = image.set_metadata(INCOMPLETE_KEY, &reason);
                    })
                    .await;
                    drop(slot);
                });
            }
            return Err(problem.into());
        }
    }
    drop(slot);
    call.deadline = deadline_in(call.app.deadline);
    let location = location(&call, &call.place(), &name);
    Ok(Created { location, value: read(&call, name).await? })
}

/// Records that an image is about to be filled: for as long as that is unfinished the image is shown as incomplete, and
/// when this process is killed, another marks it. So nothing of an import is ever taken for a whole image.
async fn begin(call: &Call, name: &str) -> Result<RequestOperation, Fault> {
    let (owned, deadline) = (name.to_owned(), call.deadline);
    call.in_place_lane(move |connection, io| match rbd::directory::find(io, &owned, deadline)? {
        None => Ok(()),
        Some(_) => Err(exists(connection, io, &owned, deadline)),
    })
    .await?;
    call.app.operations.begin_in_request(call.operation_request(), &call.place(), name).await
}

fn exists(connection: &Connection, io: &IoContext, name: &str, deadline: Instant) -> Fault {
    let problem = Fault::new(Kind::Exists, format!("There is an image {name:?} already."));
    let image = read_image(connection, io, name, deadline);
    if image.as_ref().is_ok_and(|image| image.format == 1) {
        return format_1::name_taken(name);
    }
    match image.map(|image| image.state_reason) {
        Ok(Some(reason)) => problem.cause(reason).correction("Delete it first."),
        _ => problem.correction("Choose another name, or delete the image first."),
    }
    .errno(Errno::EEXIST)
}

/// Makes the image, marks it as incomplete, and opens it.
async fn create(
    call: &Call,
    name: &str,
    size: ImageSize,
    spec: ImageSpec,
) -> Result<(Arc<StreamedImage>, HeldImage, Layout), Fault> {
    let (app, name, place, deadline) = (Arc::clone(&call.app), name.to_owned(), call.place(), call.deadline);
    let reason =
        format!("Its import by {} was begun at {:.0} and has not finished.", call.principal.name, Timestamp::now());
    call.in_lane(&lane(&call.place()), move |connection| {
        let io = connection.context(&place.pool, &place.namespace)?;
        pool_applications::reject_foreign(&io)?;
        check_with_cluster(io.cluster(), size, &spec)?;
        io.create_image(&name, size, &spec).map_err(|error| {
            if error.is(Errno::EEXIST) { exists(connection, &io, &name, deadline) } else { explain_creation(error) }
        })?;
        let image = io.open_image(ImageRef::Name(&name), None, Access::ReadWrite)?;
        image.set_metadata(INCOMPLETE_KEY, &reason)?;
        let layout = Layout::of(&image)?;
        Ok((StreamedImage::of(app, place, name, &image), HeldImage::new(image), layout))
    })
    .await
}

/// Writes the whole body and makes it last.
async fn received(mut sink: ImageSink, body: &mut IncomingBody, size_bytes: u64) -> Result<ImageSink, SinkFault> {
    match receive(&mut sink, body, size_bytes).await {
        Ok(()) => Ok(sink),
        Err(problem) => Err(SinkFault { problem, sink: Some(Box::new(sink)) }),
    }
}

async fn receive(sink: &mut ImageSink, body: &mut IncomingBody, size_bytes: u64) -> Result<(), Fault> {
    let mut offset = 0;
    while let Some(bytes) = body.next().await? {
        if body.came > size_bytes {
            let text = format!("More than the {size_bytes} bytes came that were promised.");
            return Err(Fault::new(Kind::FieldConflict, text).correction("Send sizeBytes as it is."));
        }
        sink.write(offset, &bytes).await?;
        offset += bytes.len() as u64;
    }
    if offset != size_bytes {
        let text = format!("{offset} bytes came instead of {size_bytes}.");
        return Err(Fault::new(Kind::FieldConflict, text)
            .correction("Delete the image and send all bytes, or sizeBytes as it is."));
    }
    sink.flush().await
}

/// Takes the mark off: the image is whole.
pub async fn unmark(sink: ImageSink) -> Result<ImageSink, SinkFault> {
    let (sink, ()) = sink
        .call(|image, explain| match image.remove_metadata(INCOMPLETE_KEY) {
            Err(error) if !error.is(Errno::ENOENT) => Err(explain(error)),
            _ => Ok(()),
        })
        .await?;
    Ok(sink)
}

/// The image as the API shows it.
pub async fn read(call: &Call, name: String) -> Result<Image, Fault> {
    let (place, deadline) = (call.place(), call.deadline);
    call.in_lane(&lane(&call.place()), move |connection| {
        let io = connection.context(&place.pool, &place.namespace)?;
        read_image(connection, &io, &name, deadline)
    })
    .await
}
