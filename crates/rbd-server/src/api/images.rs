//! Images: listing and reading. Making them is in `image_creation.rs`.

pub use rbd::found_image::image_not_found;

use axum::body::Body;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ceph::IoContext;
use futures_util::stream;
use rbd::ceph_link::Connection;
use rbd::operations::mark_being_filled;
use rbd::{format_1, listing};
use rbd_api::answer::{Content, StreamedJson};
use rbd_api::endpoints::images as declared;
use rbd_api::endpoints::images::{ImageItem, ImageName, ImageView, ListImages};
use rbd_api::input::Input;
use rbd_api::list::List;
use rbd_api::path::{ImagePath, PlacePath};
use rbd_api::problem::Problem;
use rbd_model::fault::{Fault, Kind};
use rbd_model::image::Image;
use rbd_model::names::Place;
use serde::Serialize;

use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![bind(&declared::LIST_IMAGES, list), bind(&declared::GET_IMAGE, get)]
}

/// Images read per step of a listing.
const PAGE: usize = 1024;

/// Where a listing stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ListingCursor {
    /// In the directory, after this name.
    Directory(Option<Vec<u8>>),
    /// Among the images of format 1, after this name.
    Format1(Option<String>),
    /// In the trash, after this id.
    Trash(Option<String>),
    /// At the end.
    End,
}

impl ListingCursor {
    fn encode(&self) -> Option<String> {
        let (place, after) = match self {
            Self::Directory(after) => (b'd', after.as_deref()),
            Self::Format1(after) => (b'f', after.as_deref().map(str::as_bytes)),
            Self::Trash(after) => (b't', after.as_deref().map(str::as_bytes)),
            Self::End => return None,
        };
        Some(URL_SAFE_NO_PAD.encode([&[place], after.unwrap_or_default()].concat()))
    }

    fn decode(token: &str) -> Result<Self, Fault> {
        let wrong = || Fault::field("continue", "is not one of ours", "the Continue of the answer before");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
        let (place, after) = bytes.split_first().ok_or_else(wrong)?;
        let after = (!after.is_empty()).then(|| after.to_vec());
        match place {
            b'd' => Ok(Self::Directory(after)),
            // A name or an id that is none leads to no other place.
            b'f' => Ok(Self::Format1(after.map(|after| String::from_utf8_lossy(&after).into_owned()))),
            b't' => Ok(Self::Trash(after.map(|after| String::from_utf8_lossy(&after).into_owned()))),
            _ => Err(wrong()),
        }
    }
}

/// One step of a listing: the JSON of its items with commas between, how many, and where it stands then.
struct ListingStep {
    json: Vec<u8>,
    items: usize,
    cursor: ListingCursor,
}

impl ListingStep {
    fn at(cursor: ListingCursor) -> Self {
        Self { json: Vec::new(), items: 0, cursor }
    }

    fn write(&mut self, item: &impl Serialize) -> Result<(), Fault> {
        if self.items > 0 {
            self.json.push(b',');
        }
        self.items += 1;
        serde_json::to_writer(&mut self.json, item)
            .map_err(|error| Fault::new(Kind::Internal, format!("The answer cannot be written: {error}.")))
    }
}

/// At most `limit` more images from where a listing stands.
fn step(
    connection: &Connection,
    io: &IoContext,
    query: &ListImages,
    cursor: ListingCursor,
    limit: usize,
    deadline: std::time::Instant,
) -> Result<ListingStep, Fault> {
    let mut step = ListingStep::at(cursor);
    if let ListingCursor::Directory(after) = &step.cursor {
        // What follows comes with the directory's last page, so that a small pool takes one step.
        let opening = match after {
            None => listing::begin_listing(io, &query.prefix, limit, deadline)?,
            Some(after) => {
                let directory = rbd::directory::page(io, Some(after), &query.prefix, limit, deadline)?;
                listing::ListingStart { directory, format_1: Vec::new(), removing: None }
            }
        };
        let page = opening.directory;
        let next = page.next.map_or(ListingCursor::Format1(None), |last| ListingCursor::Directory(Some(last)));
        match query.view {
            ImageView::Names => {
                page.images.iter().try_for_each(|image| step.write(&ImageName::of(image)))?;
            }
            ImageView::Full => {
                let mut images = listing::details(connection, io, page.images, deadline)?;
                mark_being_filled(io, &mut images, deadline)?;
                images.iter().try_for_each(|image| step.write(image))?;
            }
        }
        step.cursor = next;
        if let Some(removing) = opening.removing {
            let step = with_format_1(step, io, query.view, opening.format_1, limit, deadline)?;
            return with_removing(step, query.view, removing, limit);
        }
    }
    if matches!(step.cursor, ListingCursor::Format1(_)) && step.items < limit {
        let names = format_1::all_names(io, &query.prefix, deadline)?;
        step = with_format_1(step, io, query.view, names, limit, deadline)?;
    }
    if matches!(step.cursor, ListingCursor::Trash(_)) && step.items < limit {
        let removing = rbd::trash_directory::removing(io, &query.prefix, deadline)?;
        return with_removing(step, query.view, removing, limit);
    }
    Ok(step)
}

/// Adds images of format 1, by their names, up to the limit.
fn with_format_1(
    mut step: ListingStep,
    io: &IoContext,
    view: ImageView,
    mut names: Vec<String>,
    limit: usize,
    deadline: std::time::Instant,
) -> Result<ListingStep, Fault> {
    let ListingCursor::Format1(after) = &step.cursor else { return Ok(step) };
    names.retain(|name| after.as_ref().is_none_or(|after| name > after));
    let fitting = names.len().min(limit - step.items);
    for name in &names[..fitting] {
        match view {
            ImageView::Names => step.write(&ImageName { name: name.clone(), name_base64: None })?,
            // One that is gone meanwhile is left out.
            ImageView::Full => format_1::find(io, name, deadline)?.iter().try_for_each(|image| step.write(image))?,
        }
    }
    if fitting == names.len() {
        step.cursor = ListingCursor::Trash(None);
    } else if let Some(last) = names[..fitting].last() {
        step.cursor = ListingCursor::Format1(Some(last.clone()));
    }
    Ok(step)
}

/// Adds images whose removal was cut off in the trash, by their ids, up to the limit.
fn with_removing(
    mut step: ListingStep,
    view: ImageView,
    mut removing: Vec<Image>,
    limit: usize,
) -> Result<ListingStep, Fault> {
    let ListingCursor::Trash(after) = &step.cursor else { return Ok(step) };
    removing.retain(|image| after.as_ref().is_none_or(|after| image.id > *after));
    removing.sort_by(|a, b| a.id.cmp(&b.id));
    let fitting = removing.len().min(limit - step.items);
    for image in &removing[..fitting] {
        match view {
            ImageView::Names => {
                step.write(&ImageName { name: image.name.clone(), name_base64: image.name_base64.clone() })?;
            }
            ImageView::Full => step.write(image)?,
        }
    }
    if fitting == removing.len() {
        step.cursor = ListingCursor::End;
    } else if let Some(last) = removing[..fitting].last() {
        step.cursor = ListingCursor::Trash(Some(last.id.clone()));
    }
    Ok(step)
}

/// A listing that goes on while its answer is sent.
struct RunningListing {
    call: Call,
    query: ListImages,
    cursor: ListingCursor,
    left: usize,
    sent: usize,
}

impl RunningListing {
    /// The next bytes of `Items` and what follows; `None` when all is sent.
    async fn next(&mut self) -> Result<Vec<u8>, Fault> {
        let limit = self.left.min(PAGE);
        let (query, cursor, deadline) = (self.query.clone(), self.cursor.clone(), self.call.deadline);
        let place = self.call.place();
        let step = self
            .call
            .in_lane(&format!("pool {}", place.pool), move |connection| {
                let io = connection.context(&place.pool, &place.namespace)?;
                step(connection, &io, &query, cursor, limit, deadline)
            })
            .await?;
        let mut bytes = Vec::with_capacity(step.json.len() + 64);
        if self.sent == 0 {
            bytes.extend_from_slice(br#"{"Kind":"ImageList","APIVersion":"v1","Items":["#);
        } else if step.items > 0 {
            bytes.push(b',');
        }
        bytes.extend(step.json);
        self.sent += step.items;
        self.left -= step.items.min(self.left);
        self.cursor = step.cursor;
        if self.done() {
            bytes.push(b']');
            if let Some(token) = self.cursor.encode() {
                bytes.extend_from_slice(format!(r#","Continue":"{token}""#).as_bytes());
            }
            bytes.push(b'}');
        }
        Ok(bytes)
    }

    fn done(&self) -> bool {
        self.left == 0 || self.cursor == ListingCursor::End
    }
}

async fn list(
    call: Call,
    Input { query, .. }: Input<PlacePath, ListImages>,
) -> Result<StreamedJson<List<ImageItem>>, Problem> {
    if query.limit == Some(0) {
        return Err(Fault::field("limit", "is 0", "a number from 1 on").into());
    }
    let cursor = match &query.from {
        Some(token) => ListingCursor::decode(token)?,
        None => ListingCursor::Directory(None),
    };
    let left = query.limit.unwrap_or(usize::MAX);
    let mut listing = RunningListing { call, query, cursor, left, sent: 0 };
    // The first step decides the status; what fails later can only cut the answer off.
    let first = listing.next().await?;
    let body = if listing.done() {
        Body::from(first)
    } else {
        let rest = stream::unfold(Some((Some(first), listing)), |state| async move {
            let (ready, mut listing) = state?;
            if let Some(ready) = ready {
                return Some((Ok(Bytes::from(ready)), Some((None, listing))));
            }
            if listing.done() {
                return None;
            }
            // Each step gets the time of a request: a long list to a slow reader is not late.
            listing.call.deadline = rbd::workers::deadline_in(listing.call.app.deadline);
            match listing.next().await {
                Ok(bytes) => Some((Ok(Bytes::from(bytes)), Some((None, listing)))),
                Err(problem) => {
                    tracing::warn!(request_id = listing.call.request_id, %problem, "a listing was cut off");
                    Some((Err(problem), None))
                }
            }
        });
        Body::from_stream(rest)
    };
    Ok(StreamedJson::of(body, HeaderMap::new()))
}

/// One image by name, read without opening it; also one whose removal was cut off.
pub fn read_image(
    connection: &Connection,
    io: &IoContext,
    name: &str,
    deadline: std::time::Instant,
) -> Result<Image, Fault> {
    if let Some(named) = rbd::directory::entry(io, name, deadline)?
        && let mut images = listing::details(connection, io, vec![named], deadline)?
        && !images.is_empty()
    {
        mark_being_filled(io, &mut images, deadline)?;
        return Ok(images.remove(0));
    }
    if let Some(image) = format_1::find(io, name, deadline)? {
        return Ok(image);
    }
    let place = Place { pool: io.pool().to_owned(), namespace: io.namespace().to_owned() };
    let mut removing = rbd::trash_directory::removing(io, name, deadline)?;
    removing.retain(|image| image.name == name);
    removing.pop().ok_or_else(|| image_not_found(&place, name))
}

async fn get(
    call: Call,
    Input { path: ImagePath { image: name, .. }, .. }: Input<ImagePath>,
) -> Result<Content<Image>, Problem> {
    let deadline = call.deadline;
    let image = call.in_place_lane(move |connection, io| read_image(connection, io, &name, deadline)).await?;
    Ok(Content::of(image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_is_read_back_from_its_token() {
        for cursor in [
            ListingCursor::Directory(Some("a/ü".into())),
            ListingCursor::Directory(Some(vec![0xff, b'a'])),
            ListingCursor::Directory(None),
            ListingCursor::Format1(None),
            ListingCursor::Format1(Some("ü".into())),
            ListingCursor::Trash(Some("1f".into())),
        ] {
            let token = cursor.encode().unwrap();
            assert_eq!(ListingCursor::decode(&token).unwrap(), cursor);
        }
        assert_eq!(ListingCursor::End.encode(), None);
        assert!(ListingCursor::decode("!!").is_err());
        assert!(ListingCursor::decode(&URL_SAFE_NO_PAD.encode("x1")).is_err());
    }
}
