//! What changed between two snapshots, as a list of parts or as the stream of `rbd export-diff`; and applying one.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use ceph::{Access, Errno, ImageSize};
use futures_util::stream;
use jiff::Timestamp;
use rbd::layout::check_object_map;
use rbd::workers::{Slot, deadline_in};
use rbd_api::answer::{Content, Either, Media, StreamedJson};
use rbd_api::endpoints::data::{ChangedExtent, DiffAnswer, DiffFormat, DiffQuery};
use rbd_api::input::{self, Input, NoQuery};
use rbd_api::media::{MediaType as _, RbdDiff};
use rbd_api::path::ImagePath;
use rbd_api::problem::Problem;
use rbd_format::Name;
use rbd_format::diff::{DiffError, DiffEvent, DiffParser, DiffRecord, DiffVersion};
use rbd_model::fault::{Fault, Kind};
use rbd_model::image::{INCOMPLETE_KEY, Image};
use rbd_model::obstacle::Act;
use serde_json::Value;

use super::export::{ExportSource, open_source};
use super::import::{read, unmark};
use super::sink::{ImageSink, IncomingBody, SinkFault};
use super::source::{Layout, Piece, PieceFinder, PieceSearch, StreamFormat, StreamReader, is_zero};
use super::streamed_image::StreamedImage;
use super::{lane, open, slot, snapshot_not_found};
use crate::call::Call;
use crate::streams::HeldImage;

fn accepts_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|item| {
        let essence = item.split(';').next().unwrap_or("").trim();
        essence.eq_ignore_ascii_case(RbdDiff::NAME)
    })
}

pub async fn get(
    call: Call,
    Input { path: ImagePath { image, .. }, query, .. }: Input<ImagePath, DiffQuery>,
) -> Result<DiffAnswer, Problem> {
    let slot = slot(&call)?;
    let ExportSource { image: streamed, held, size_bytes, layout, .. } =
        open_source(&call, image.clone(), query.to.clone()).await?;
    let held = match &query.from {
        Some(from) => started_from(&call, held, image, from, query.to.as_deref()).await?,
        None => held,
    };
    let range = 0..size_bytes;
    let DiffQuery { from, to, whole_objects, format } = query;
    let stream = format.map_or_else(|| accepts_stream(&call.headers), |format| format == DiffFormat::Stream);
    let search = PieceSearch { from: from.clone(), range, whole_objects, contiguous: false };
    let mut finder = PieceFinder::new(streamed, layout, search);
    // The first window decides the status; what fails later can only cut the answer off.
    let (held, pieces) = if size_bytes == 0 { (held, Vec::new()) } else { finder.next(held).await? };
    let headers = HeaderMap::from_iter([(header::VARY, HeaderValue::from_static("accept"))]);
    Ok(if stream {
        let form = DiffStreamFormat { from, to, size_bytes };
        let request_id = call.request_id.clone();
        let body = StreamReader::start(slot, request_id, finder, (held, pieces), form);
        Either::Second(Media::of(body, headers))
    } else {
        Either::First(StreamedJson::of(listed(call.request_id, slot, finder, held, pieces), headers))
    })
}

/// Checks that the diff can start from a snapshot.
async fn started_from(
    call: &Call,
    held: HeldImage,
    image: String,
    from: &str,
    to: Option<&str>,
) -> Result<HeldImage, Fault> {
    let (from, to) = (from.to_owned(), to.map(str::to_owned));
    let run = move |_: &rbd::ceph_link::Connection| {
        let snapshots = held.image().map(ceph::Image::snapshots).transpose()?.unwrap_or_default();
        let id = |name: &str| snapshots.iter().find(|snapshot| snapshot.name == name).map(|snapshot| snapshot.id);
        let first = id(&from).ok_or_else(|| snapshot_not_found(&image, &from))?;
        match to.as_deref().and_then(id) {
            Some(last) if last < first => {
                Err(Fault::field_conflict("from", "is newer than `to`", "a snapshot older than the one in `to`"))
            }
            _ => Ok(held),
        }
    };
    call.in_lane(&lane(&call.place()), run).await
}

/// A list that goes on while its answer is sent: a window of the image at a time.
fn listed(request_id: String, slot: Slot, finder: PieceFinder, held: HeldImage, pieces: Vec<Piece>) -> Body {
    struct Listing {
        request_id: String,
        /// Given back with the image.
        slot: Slot,
        finder: PieceFinder,
        held: HeldImage,
        begun: bool,
    }
    let listing = Listing { request_id, slot, finder, held, begun: false };
    let parts = stream::unfold(Some((listing, pieces)), |state| async move {
        let (mut listing, pieces) = state?;
        let mut bytes = Vec::new();
        if !listing.begun {
            bytes.extend_from_slice(br#"{"Kind":"ExtentList","APIVersion":"v1","Items":["#);
        }
        for Piece { offset, length, data } in pieces {
            if listing.begun {
                bytes.push(b',');
            }
            listing.begun = true;
            let item = ChangedExtent { offset_bytes: offset, length_bytes: length, exists: data };
            if let Err(error) = serde_json::to_writer(&mut bytes, &item) {
                return Some((Err(Fault::new(Kind::Internal, error.to_string())), None));
            }
        }
        if listing.finder.done() {
            bytes.extend_from_slice(b"]}");
            return Some((Ok(Bytes::from(bytes)), None));
        }
        let Listing { request_id, slot, mut finder, held, begun } = listing;
        match finder.next(held).await {
            Ok((held, pieces)) => {
                let listing = Listing { request_id, slot, finder, held, begun };
                Some((Ok(Bytes::from(bytes)), Some((listing, pieces))))
            }
            Err(problem) => {
                tracing::warn!(request_id, %problem, "a diff was cut off");
                Some((Err(problem), None))
            }
        }
    });
    Body::from_stream(parts)
}

/// The stream of `rbd export-diff`.
struct DiffStreamFormat {
    from: Option<String>,
    to: Option<String>,
    size_bytes: u64,
}

fn encoded(records: &[DiffRecord<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        // Names of snapshots that exist are short enough, and parts lie within an image.
        let _ = record.encode(DiffVersion::V1, &mut bytes);
    }
    bytes
}

impl StreamFormat for DiffStreamFormat {
    fn begin(&mut self) -> Bytes {
        let mut bytes = DiffVersion::V1.banner().to_vec();
        if let Some(from) = &self.from {
            bytes.extend(encoded(&[DiffRecord::FromSnapshot(from.as_bytes())]));
        }
        if let Some(to) = &self.to {
            bytes.extend(encoded(&[DiffRecord::ToSnapshot(to.as_bytes())]));
        }
        bytes.extend(encoded(&[DiffRecord::Size(self.size_bytes)]));
        bytes.into()
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> Option<Bytes> {
        if is_zero(bytes) {
            return None;
        }
        let record = DiffRecord::Data { offset_bytes: offset, length_bytes: bytes.len() as u64 };
        Some(encoded(&[record]).into())
    }

    fn hole(&mut self, offset: u64, length: u64) -> (Bytes, u64) {
        (encoded(&[DiffRecord::Zero { offset_bytes: offset, length_bytes: length }]).into(), 0)
    }

    fn end(&mut self) -> Bytes {
        encoded(&[DiffRecord::End]).into()
    }
}

pub async fn post(
    mut call: Call,
    Input { path, body, .. }: Input<ImagePath, NoQuery, input::Bytes<RbdDiff>>,
) -> Result<Content<Image>, Problem> {
    let slot = slot(&call)?;
    let body = IncomingBody::of(&mut call, body)?;
    // A task of its own: when the client leaves, this handler is dropped, but the image must be closed.
    let task = tokio::spawn(apply(call, path.image, body, slot));
    task.await.map_err(|error| Fault::new(Kind::Internal, error.to_string()))?
}

async fn apply(mut call: Call, name: String, mut body: IncomingBody, slot: Slot) -> Result<Content<Image>, Problem> {
    let mut parser = DiffParser::new();
    let (plan, first) = match plan(&mut parser, &mut body).await {
        Ok(planned) => planned,
        Err(problem) => {
            body.linger();
            return Err(problem.into());
        }
    };
    let (image, held, layout) = match begin(&call, &name, plan.clone()).await {
        Ok(begun) => begun,
        Err(problem) => {
            body.linger();
            return Err(problem.into());
        }
    };
    let mut sink = ImageSink::new(image, held, layout.chunk_bytes(), false);
    let applied = match receive(&mut sink, &mut parser, &mut body, first).await {
        Ok(()) => finish(sink, plan).await,
        Err(problem) => Err(SinkFault { problem, sink: Some(Box::new(sink)) }),
    };
    match applied {
        Ok(sink) => sink.abandon(|_| {}).await,
        Err(SinkFault { problem, sink }) => {
            body.linger();
            tracing::warn!(request_id = call.request_id, image = name, %problem, "applying a diff was cut off");
            if let Some(sink) = sink {
                // Not waited for: Ceph may be what does not answer.
                tokio::spawn(async move {
                    sink.abandon(|_| {}).await;
                    drop(slot);
                });
            }
            return Err(problem.into());
        }
    }
    drop(slot);
    call.deadline = deadline_in(call.app.deadline);
    Ok(Content::of(read(&call, name).await?))
}

/// What a diff says of itself before its data.
#[derive(Debug, Clone, Default)]
struct DiffHead {
    from: Option<Name>,
    to: Option<Name>,
    protect: bool,
    size: Option<ImageSize>,
}

/// What came first of the data: kept, since the image is not open yet.
enum FirstData {
    Data(u64, Bytes),
    Zero(u64, u64),
    End,
}

fn wrong(error: &DiffError) -> Fault {
    Fault::new(Kind::NotADiff, format!("The body is no diff: {error}."))
        .correction("Send what `rbd export-diff` or GET of a diff with format=stream gives.")
}

/// Reads up to the first data. What came of it, and what came after it in the same piece, is returned.
async fn plan(parser: &mut DiffParser, body: &mut IncomingBody) -> Result<(DiffHead, (FirstData, Bytes)), Fault> {
    let mut plan = DiffHead::default();
    while let Some(bytes) = body.next().await? {
        let mut input: &[u8] = &bytes;
        while let Some(event) = parser.next(&mut input).map_err(|error| wrong(&error))? {
            let first = match event {
                DiffEvent::FromSnapshot(name) => {
                    plan.from = Some(name);
                    continue;
                }
                DiffEvent::ToSnapshot(name) => {
                    plan.to = Some(name);
                    continue;
                }
                DiffEvent::Protection(protect) => {
                    plan.protect = protect;
                    continue;
                }
                DiffEvent::Size(size) => {
                    plan.size = Some(size);
                    continue;
                }
                DiffEvent::Begin(_) | DiffEvent::Skipped { .. } => continue,
                DiffEvent::Data { offset_bytes, bytes: data } => FirstData::Data(offset_bytes, bytes.slice_ref(data)),
                DiffEvent::Zero { offset_bytes, length_bytes } => FirstData::Zero(offset_bytes, length_bytes),
                DiffEvent::End => FirstData::End,
            };
            let rest = bytes.slice_ref(input);
            return Ok((plan, (first, rest)));
        }
    }
    Err(parser.finish().err().map_or_else(
        || Fault::new(Kind::NotADiff, "The body is empty; a diff has a header at least."),
        |error| wrong(&error),
    ))
}

/// Checks that the diff fits the image, marks that as incomplete, and gives it its size.
async fn begin(call: &Call, name: &str, plan: DiffHead) -> Result<(Arc<StreamedImage>, HeldImage, Layout), Fault> {
    let (app, name, place, deadline) = (Arc::clone(&call.app), name.to_owned(), call.place(), call.deadline);
    let reason = format!(
        "A diff was begun to be applied by {} at {:.0} and has not finished.",
        call.principal.name,
        Timestamp::now()
    );
    call.in_lane(&lane(&call.place()), move |connection| {
        let io = connection.context(&place.pool, &place.namespace)?;
        let reader = open(&io, &name, Access::ReadOnly, deadline)?;
        let snapshots = reader.snapshots()?;
        let has = |snapshot: &Name| snapshots.iter().any(|known| known.name == snapshot.to_string());
        if let Some(from) = plan.from.as_ref().filter(|from| !has(from)) {
            let from = from.to_string();
            return Err(snapshot_not_found(&name, &from).cause("The diff starts from it."));
        }
        if let Some(to) = plan.to.as_ref().filter(|to| has(to)) {
            let to = to.to_string();
            return Err(Fault::new(Kind::Exists, format!("Image {name:?} has the snapshot {to:?} already."))
                .cause("The diff leads to it: it seems to be applied already.")
                .with("snapshots", vec![Value::from(to)]));
        }
        drop(reader);
        let found = rbd::found_image::find(&io, &name, deadline)?;
        // Ours comes with opening for writing.
        found.check_ready(&io, Act::Overwrite { force: false }, deadline)?;
        let size = plan.size.filter(|wanted| wanted.bytes() != found.header.size_bytes);
        if let Some(size) = size {
            check_object_map(size, found.header.features.0, found.header.order)?;
        }
        let image = found.open(&io, Access::ReadWrite, deadline)?;
        let resized = image
            .set_metadata(INCOMPLETE_KEY, &reason)
            .and_then(|()| size.map_or(Ok(()), |size| image.resize(size, true, &in_time(deadline))));
        resized.map_err(
            |error| if error.is(Errno::ECANCELED) { late(&name) } else { found.explain(&io, error, deadline) },
        )?;
        let layout = Layout::of(&image)?;
        Ok((StreamedImage::of(app, place, name, &image), HeldImage::new(image), layout))
    })
    .await
}

/// Progress that ends what takes longer than a request may.
fn in_time(deadline: Instant) -> impl Fn(u64, u64) -> ControlFlow<()> + Sync {
    move |_, _| if Instant::now() < deadline { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// Giving the image its size took too long.
fn late(image: &str) -> Fault {
    Fault::new(
        Kind::Conflict,
        format!("Shrinking image {image:?} to the size of the diff takes longer than a request."),
    )
    .correction("Resize it to that size first, which is an operation; then apply the diff again.")
    .errno(Errno::ECANCELED)
}

/// Writes what the diff holds, up to its end.
async fn receive(
    sink: &mut ImageSink,
    parser: &mut DiffParser,
    body: &mut IncomingBody,
    (first, mut rest): (FirstData, Bytes),
) -> Result<(), Fault> {
    let mut ended = false;
    match first {
        FirstData::Data(offset, bytes) => sink.write(offset, &bytes).await?,
        FirstData::Zero(offset, length) => sink.zero(offset, length).await?,
        FirstData::End => ended = true,
    }
    loop {
        let mut input: &[u8] = &rest;
        while let Some(event) = parser.next(&mut input).map_err(|error| wrong(&error))? {
            match event {
                DiffEvent::Data { offset_bytes, bytes } => sink.write(offset_bytes, bytes).await?,
                DiffEvent::Zero { offset_bytes, length_bytes } => sink.zero(offset_bytes, length_bytes).await?,
                DiffEvent::End => ended = true,
                // The parser lets nothing that describes the diff follow its data.
                _ => {}
            }
        }
        if ended && !input.is_empty() {
            return Err(Fault::new(Kind::NotADiff, "The body goes on after the end of the diff.")
                .correction("Send one diff and nothing after it: to apply it again finishes the image."));
        }
        match body.next().await? {
            Some(bytes) => rest = bytes,
            None => break,
        }
    }
    parser.finish().map_err(|error| wrong(&error))?;
    sink.flush().await
}

/// Takes the mark off and makes the snapshot. In this order: what is cut off between the two is whole, and can be applied
/// again.
async fn finish(sink: ImageSink, plan: DiffHead) -> Result<ImageSink, SinkFault> {
    let sink = unmark(sink).await?;
    let Some(to) = plan.to else { return Ok(sink) };
    let (sink, ()) = sink
        .call(move |image, explain| {
            let to = to.to_string();
            match image.create_snapshot(&to) {
                Err(error) if error.is(Errno::EEXIST) => {
                    return Err(Fault::new(Kind::Exists, format!("Another client has made the snapshot {to:?} meanwhile."))
                        .correction("Look at that snapshot; if it is not what the diff leads to, delete it and apply the diff again."));
                }
                made => made.map_err(explain)?,
            }
            if plan.protect {
                image.protect_snapshot(&to).map_err(explain)?;
            }
            Ok(())
        })
        .await?;
    Ok(sink)
}
