//! Export: an image's bytes, whole or a range of them.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use ceph::Access;
use rbd_api::answer::{HeadersOnly, RangeContent};
use rbd_api::endpoints::data::ExportQuery;
use rbd_api::input::Input;
use rbd_api::media::Raw;
use rbd_api::path::ImagePath;
use rbd_api::problem::{self, Problem};
use rbd_model::fault::{Fault, Kind};

use super::source::{Layout, PieceFinder, PieceSearch, StreamFormat, StreamReader};
use super::streamed_image::StreamedImage;
use super::{incomplete, lane, open, slot, snapshot_not_found};
use crate::call::Call;
use crate::streams::HeldImage;

/// What is exported: an open image, switched to the snapshot asked for.
pub struct ExportSource {
    pub image: Arc<StreamedImage>,
    pub held: HeldImage,
    pub size_bytes: u64,
    pub layout: Layout,
    /// The name that these bytes and no others have; only what never changes has one.
    pub etag: Option<String>,
}

/// Opens an image for reading, at a snapshot if one is named.
///
/// # Errors
/// `image-not-found`, `snapshot-not-found`, `removing`; `conflict` for the head of an incomplete image.
pub async fn open_source(call: &Call, name: String, snapshot: Option<String>) -> Result<ExportSource, Fault> {
    let (app, place, deadline) = (Arc::clone(&call.app), call.place(), call.deadline);
    call.in_lane(&lane(&call.place()), move |connection| {
        let io = connection.context(&place.pool, &place.namespace)?;
        let mut image = open(&io, &name, Access::ReadOnly, deadline)?;
        let mut etag = None;
        if let Some(snapshot) = &snapshot {
            let snapshots = image.snapshots()?;
            let found = snapshots.iter().find(|known| known.name == *snapshot);
            let id = found.ok_or_else(|| snapshot_not_found(&name, snapshot))?.id;
            image.set_snapshot(Some(id)).map_err(|error| match rbd::found_image::find(&io, &name, deadline) {
                Ok(found) => found.explain(&io, error, deadline),
                Err(problem) => problem,
            })?;
            etag = Some(format!("\"{}-{id}\"", image.id()?));
        } else if let Some(reason) = incomplete(&image)? {
            return Err(Fault::new(Kind::Conflict, format!("The data of image {name:?} is not whole."))
                .cause(reason)
                .correction("Delete it and import it again; snapshots from before can be exported."));
        }
        let size_bytes = image.stat()?.size_bytes;
        let layout = Layout::of(&image)?;
        let streamed = StreamedImage::of(app, place, name, &image);
        Ok(ExportSource { image: streamed, held: HeldImage::new(image), size_bytes, layout, etag })
    })
    .await
}

/// What a request wants of `size_bytes` bytes.
#[derive(Debug, PartialEq, Eq)]
enum RequestedRange {
    All,
    Part(Range<u64>),
    Unsatisfiable,
}

/// Reads `Range` (RFC 9110, section 14.1.2). What is not a single range of bytes is passed over, as the RFC allows.
fn parse_range(value: &str, size_bytes: u64) -> RequestedRange {
    let Some((unit, spec)) = value.split_once('=') else { return RequestedRange::All };
    let Some((first, last)) = spec.trim().split_once('-') else { return RequestedRange::All };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return RequestedRange::All;
    }
    // Digits only: `parse` alone would take a sign.
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return RequestedRange::All;
    }
    // A number too large for a u64 is past every end.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let range = match (first, last) {
        ("", "") => return RequestedRange::All,
        ("", suffix) => size_bytes.saturating_sub(number(suffix))..size_bytes,
        (first, "") => number(first)..size_bytes,
        (first, last) if number(last) < number(first) => return RequestedRange::All,
        (first, last) => number(first)..number(last).saturating_add(1).min(size_bytes),
    };
    if range.is_empty() { RequestedRange::Unsatisfiable } else { RequestedRange::Part(range) }
}

/// Whether a list of entity tags has this one, by the weak comparison that `If-None-Match` asks for.
fn has_etag(value: &str, etag: &str) -> bool {
    value.trim() == "*" || value.split(',').any(|known| known.trim().trim_start_matches("W/") == etag)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Headers of every answer that went well.
fn headed(etag: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::from_iter([(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))]);
    if let Some(etag) = etag {
        insert(&mut headers, header::ETAG, etag);
    }
    headers
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

pub async fn head(
    call: Call,
    Input { path, query, .. }: Input<ImagePath, ExportQuery>,
) -> Result<HeadersOnly<Raw>, Problem> {
    // Takes no place among the streams: it is one short call.
    let ExportSource { held, size_bytes, etag, .. } = open_source(&call, path.image, query.snapshot).await?;
    drop(held);
    let mut headers = headed(etag.as_deref());
    insert(&mut headers, header::CONTENT_LENGTH, &size_bytes.to_string());
    Ok(HeadersOnly::of(headers))
}

pub async fn get(
    call: Call,
    Input { path, query, .. }: Input<ImagePath, ExportQuery>,
) -> Result<RangeContent<Raw>, Problem> {
    let slot = slot(&call)?;
    let ExportSource { image, held, size_bytes, layout, etag } = open_source(&call, path.image, query.snapshot).await?;
    let etag = etag.as_deref();
    let mut headers = headed(etag);
    if let (Some(etag), Some(known)) = (etag, text(&call.headers, header::IF_NONE_MATCH))
        && has_etag(known, etag)
    {
        return Ok(RangeContent::not_modified(headers));
    }
    if let Some(known) = text(&call.headers, header::IF_MATCH)
        && !etag.is_some_and(|etag| has_etag(known, etag))
    {
        let wrong = "The bytes are not those that If-Match asks for.";
        return Err(Fault::new(problem::Kind::PreconditionFailed, wrong)
            .cause("Only the bytes of a snapshot have an entity tag.")
            .correction("GET them without If-Match, and use the ETag of that answer.")
            .into());
    }
    let wanted = match (text(&call.headers, header::RANGE), text(&call.headers, header::IF_RANGE)) {
        (None, _) => RequestedRange::All,
        // What changes has no tag, so a range of it is never a part of what the client has.
        (Some(_), Some(condition)) if Some(condition.trim()) != etag => RequestedRange::All,
        (Some(range), _) => parse_range(range, size_bytes),
    };
    let (part, range) = match wanted {
        RequestedRange::All => (false, 0..size_bytes),
        RequestedRange::Part(range) => (true, range),
        RequestedRange::Unsatisfiable => {
            let detail = format!("The image has {size_bytes} bytes, of which none is in the range.");
            let fault = Fault::new(problem::Kind::Range, detail)
                .correction("Send a Range that begins before the end, or none.");
            return Err(Problem::from(fault).header(header::CONTENT_RANGE, &format!("bytes */{size_bytes}")));
        }
    };
    let length = range.end - range.start;
    let content_range = format!("bytes {}-{}/{size_bytes}", range.start, range.end.saturating_sub(1));
    let search = PieceSearch { from: None, range, whole_objects: layout.mapped, contiguous: true };
    let mut finder = PieceFinder::new(image, layout, search);
    let body = if length == 0 {
        Body::empty()
    } else {
        // The first window decides the status; what fails later can only cut the body off.
        let first = finder.next(held).await?;
        StreamReader::start(slot, call.request_id.clone(), finder, first, RawFormat)
    };
    insert(&mut headers, header::CONTENT_LENGTH, &length.to_string());
    if !part {
        return Ok(RangeContent::whole(headers, body));
    }
    insert(&mut headers, header::CONTENT_RANGE, &content_range);
    Ok(RangeContent::part(headers, body))
}

/// The bytes as they are.
struct RawFormat;

impl StreamFormat for RawFormat {
    fn data(&mut self, _offset: u64, _bytes: &[u8]) -> Option<Bytes> {
        Some(Bytes::new())
    }

    fn hole(&mut self, _offset: u64, length: u64) -> (Bytes, u64) {
        (Bytes::new(), length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let part = |range| RequestedRange::Part(range);
        for (value, expected) in [
            ("bytes=0-0", part(0..1)),
            ("bytes=0-99", part(0..100)),
            ("bytes=10-", part(10..100)),
            ("bytes=-10", part(90..100)),
            ("bytes=-1000", part(0..100)),
            ("bytes=99-1000", part(99..100)),
            ("Bytes=1-99999999999999999999999", part(1..100)),
            ("bytes=100-", RequestedRange::Unsatisfiable),
            ("bytes=-0", RequestedRange::Unsatisfiable),
            ("bytes=99999999999999999999999-", RequestedRange::Unsatisfiable),
            ("bytes=5-4", RequestedRange::All),
            ("bytes=0-1,3-4", RequestedRange::All),
            ("bytes=+1-2", RequestedRange::All),
            ("bytes=-", RequestedRange::All),
            ("lines=1-2", RequestedRange::All),
            ("bytes", RequestedRange::All),
        ] {
            assert_eq!(parse_range(value, 100), expected, "{value}");
        }
        assert_eq!(parse_range("bytes=0-", 0), RequestedRange::Unsatisfiable);
        assert_eq!(parse_range("bytes=-1", 0), RequestedRange::Unsatisfiable);
    }

    #[test]
    fn etag_is_found_in_a_list() {
        assert!(has_etag("\"a-1\"", "\"a-1\""));
        assert!(has_etag("\"b\", W/\"a-1\"", "\"a-1\""));
        assert!(has_etag("*", "\"a-1\""));
        assert!(!has_etag("\"a-11\"", "\"a-1\""));
    }
}
