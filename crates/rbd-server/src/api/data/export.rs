//! Export: an image's bytes, whole or a range of them.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use ceph::Access;
use rbd_model::fault::{Fault, Kind};
use schemars::JsonSchema;
use serde::Deserialize;

use super::source::{Finder, Form, Layout, Reader, Search};
use super::{RAW_TYPE, incomplete, lane, open, slot, snapshot_not_found};
use crate::call::Call;
use crate::endpoint::Answer;
use crate::problem;
use crate::streams::Held;

pub const DESCRIPTION: &str = "The same bytes as `rbd export` writes, streamed. Parts without data are not read from \
Ceph. Takes one `Range` of bytes (RFC 9110, section 14). A snapshot never changes: its answer has an `ETag`, which \
`If-Range` and `If-None-Match` compare, so a download that broke off can go on. What is written to an image during its \
export may be in it or not: export a snapshot where that matters. A body that ends early was cut off: by a Ceph that does \
not deliver in time, or because the client took nothing for too long.";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Export {
    /// The snapshot; without one the image as it is now.
    snapshot: Option<String>,
}

/// What is exported: an open image, switched to the snapshot asked for.
pub struct Opened {
    pub held: Held,
    pub size_bytes: u64,
    pub layout: Layout,
    /// The name that these bytes and no others have; only what never changes has one.
    pub etag: Option<String>,
}

/// Opens the image of the path for reading, at a snapshot if one is named.
///
/// # Errors
/// `image-not-found`, `snapshot-not-found`, `removing`; `conflict` for the head of an incomplete image.
pub async fn opened(call: &Call, snapshot: Option<String>) -> Result<Opened, Fault> {
    let (place, name, deadline) = (call.place(), call.param("image").to_owned(), call.deadline);
    call.in_lane(&lane(&call.place()), move |connection| {
        let io = connection.context(&place.pool, &place.namespace)?;
        let mut image = open(&io, &name, Access::ReadOnly, deadline)?;
        let mut etag = None;
        if let Some(snapshot) = &snapshot {
            let snapshots = image.snapshots()?;
            let found = snapshots.iter().find(|known| known.name == *snapshot);
            let id = found.ok_or_else(|| snapshot_not_found(&name, snapshot))?.id;
            image.set_snapshot(Some(id)).map_err(|error| match rbd::found::find(&io, &name, deadline) {
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
        Ok(Opened { held: Held::new(image), size_bytes, layout, etag })
    })
    .await
}

/// What a request wants of `size_bytes` bytes.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    Unsatisfiable,
}

/// Reads `Range` (RFC 9110, section 14.1.2). What is not a single range of bytes is passed over, as the RFC allows.
fn wanted(value: &str, size_bytes: u64) -> Wanted {
    let Some((unit, spec)) = value.split_once('=') else { return Wanted::All };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::All };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::All;
    }
    // Digits only: `parse` alone would take a sign.
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return Wanted::All;
    }
    // A number too large for a u64 is past every end.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let range = match (first, last) {
        ("", "") => return Wanted::All,
        ("", suffix) => size_bytes.saturating_sub(number(suffix))..size_bytes,
        (first, "") => number(first)..size_bytes,
        (first, last) if number(last) < number(first) => return Wanted::All,
        (first, last) => number(first)..number(last).saturating_add(1).min(size_bytes),
    };
    if range.is_empty() { Wanted::Unsatisfiable } else { Wanted::Part(range) }
}

/// Whether a list of entity tags has this one, by the weak comparison that `If-None-Match` asks for.
fn lists(value: &str, etag: &str) -> bool {
    value.trim() == "*" || value.split(',').any(|known| known.trim().trim_start_matches("W/") == etag)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Headers of every answer that went well.
fn headed(status: StatusCode, etag: Option<&str>, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(RAW_TYPE));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
        headers.insert(header::ETAG, etag);
    }
    response
}

fn insert(response: &mut Response<Body>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

pub async fn head(call: Call) -> Answer {
    let query: Export = call.query()?;
    // Takes no place among the streams: it is one short call.
    let Opened { held, size_bytes, etag, .. } = opened(&call, query.snapshot).await?;
    drop(held);
    let mut response = headed(StatusCode::OK, etag.as_deref(), Body::empty());
    insert(&mut response, header::CONTENT_LENGTH, &size_bytes.to_string());
    Ok(response)
}

pub async fn get(call: Call) -> Answer {
    let query: Export = call.query()?;
    let slot = slot(&call)?;
    let Opened { held, size_bytes, layout, etag } = opened(&call, query.snapshot).await?;
    let etag = etag.as_deref();
    if let (Some(etag), Some(known)) = (etag, text(&call.headers, header::IF_NONE_MATCH))
        && lists(known, etag)
    {
        return Ok(headed(StatusCode::NOT_MODIFIED, Some(etag), Body::empty()));
    }
    if let Some(known) = text(&call.headers, header::IF_MATCH)
        && !etag.is_some_and(|etag| lists(known, etag))
    {
        let wrong = "The bytes are not those that If-Match asks for.";
        return Err(problem::Problem::new(problem::Kind::PreconditionFailed, wrong)
            .cause("Only the bytes of a snapshot have an entity tag.")
            .correction("GET them without If-Match, and use the ETag of that answer."));
    }
    let wanted = match (text(&call.headers, header::RANGE), text(&call.headers, header::IF_RANGE)) {
        (None, _) => Wanted::All,
        // What changes has no tag, so a range of it is never a part of what the client has.
        (Some(_), Some(condition)) if Some(condition.trim()) != etag => Wanted::All,
        (Some(range), _) => wanted(range, size_bytes),
    };
    let (status, range) = match wanted {
        Wanted::All => (StatusCode::OK, 0..size_bytes),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Unsatisfiable => {
            let range = problem::Problem::new(
                problem::Kind::Range,
                format!("The image has {size_bytes} bytes, of which none is in the range."),
            )
            .correction("Send a Range that begins before the end, or none.");
            let mut response = range.response(Some(&call.request_id));
            insert(&mut response, header::CONTENT_RANGE, &format!("bytes */{size_bytes}"));
            return Ok(response);
        }
    };
    let length = range.end - range.start;
    let content_range = format!("bytes {}-{}/{size_bytes}", range.start, range.end.saturating_sub(1));
    let search = Search { from: None, range, whole_objects: layout.mapped, contiguous: true };
    let mut finder = Finder::new(Arc::clone(&call.app), lane(&call.place()), layout, search);
    let body = if length == 0 {
        Body::empty()
    } else {
        // The first window decides the status; what fails later can only cut the body off.
        let first = finder.next(held).await?;
        Reader::start(Arc::clone(&call.app), slot, call.request_id.clone(), finder, first, Raw)
    };
    let mut response = headed(status, etag, body);
    insert(&mut response, header::CONTENT_LENGTH, &length.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        insert(&mut response, header::CONTENT_RANGE, &content_range);
    }
    Ok(response)
}

/// The bytes as they are.
struct Raw;

impl Form for Raw {
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
        let part = |range| Wanted::Part(range);
        for (value, expected) in [
            ("bytes=0-0", part(0..1)),
            ("bytes=0-99", part(0..100)),
            ("bytes=10-", part(10..100)),
            ("bytes=-10", part(90..100)),
            ("bytes=-1000", part(0..100)),
            ("bytes=99-1000", part(99..100)),
            ("Bytes=1-99999999999999999999999", part(1..100)),
            ("bytes=100-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=5-4", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=-", Wanted::All),
            ("lines=1-2", Wanted::All),
            ("bytes", Wanted::All),
        ] {
            assert_eq!(wanted(value, 100), expected, "{value}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(wanted("bytes=-1", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn tags_are_found_in_lists() {
        assert!(lists("\"a-1\"", "\"a-1\""));
        assert!(lists("\"b\", W/\"a-1\"", "\"a-1\""));
        assert!(lists("*", "\"a-1\""));
        assert!(!lists("\"a-11\"", "\"a-1\""));
    }
}
