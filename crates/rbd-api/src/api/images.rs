//! Images: listing and reading. Making them is in `image_new.rs`.

use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ceph::IoContext;
use futures_util::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call::{Call, JSON_TYPE, json};
use crate::endpoint::{Answer, Endpoint};
use crate::envelope::List;
pub use crate::image::image_not_found;
pub use crate::layout::check_size;
use crate::link::Connection;
use crate::listing::{self, Image};
use crate::names::Place;
use crate::problem::Problem;

const TAG: &str = "images";

/// Images read per step of a listing.
const PAGE: usize = 1024;

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "{scope}/images", TAG, "listImages", "List the images", list)
            .describe("By name; those whose removal was cut off in the trash come last. Streamed.")
            .query::<ListImages>()
            .answers::<List<Image>>(StatusCode::OK, "The images; with view=names only their names."),
        Endpoint::new(Method::GET, "{scope}/images/{image}", TAG, "getImage", "Get an image", get)
            .answers::<Image>(StatusCode::OK, "The image."),
    ]
}

/// How much of each image a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum View {
    /// Everything.
    Full,
    /// The names.
    #[default]
    Names,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListImages {
    /// How much of each image is shown.
    #[serde(default)]
    view: View,
    /// At most this many images; then `Continue` in the answer says where to go on.
    limit: Option<usize>,
    /// The `Continue` of the answer before.
    #[serde(rename = "continue")]
    from: Option<String>,
    /// Only images whose names begin so.
    #[serde(default)]
    prefix: String,
}

#[derive(Debug, Serialize)]
struct OnlyName<'a> {
    name: &'a str,
}

/// Where a listing stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cursor {
    /// In the directory, after this name.
    Directory(Option<String>),
    /// In the trash, after this id.
    Trash(Option<String>),
    /// At the end.
    End,
}

impl Cursor {
    fn encode(&self) -> Option<String> {
        let text = match self {
            Self::Directory(after) => format!("d{}", after.as_deref().unwrap_or("")),
            Self::Trash(after) => format!("t{}", after.as_deref().unwrap_or("")),
            Self::End => return None,
        };
        Some(URL_SAFE_NO_PAD.encode(text))
    }

    fn decode(token: &str) -> Result<Self, Problem> {
        let wrong = || Problem::field("continue", "is not one of ours", "the Continue of the answer before");
        let text =
            URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
        let after = |rest: &str| (!rest.is_empty()).then(|| rest.to_owned());
        if let Some(rest) = text.strip_prefix('d') {
            Ok(Self::Directory(after(rest)))
        } else if let Some(rest) = text.strip_prefix('t') {
            Ok(Self::Trash(after(rest)))
        } else {
            Err(wrong())
        }
    }
}

/// One step of a listing: the JSON of its items with commas between, how many, and where it stands then.
struct Step {
    json: Vec<u8>,
    items: usize,
    cursor: Cursor,
}

fn step(
    connection: &Connection,
    io: &IoContext,
    query: &ListImages,
    cursor: Cursor,
    limit: usize,
    deadline: std::time::Instant,
) -> Result<Step, Problem> {
    let mut json = Vec::new();
    let mut items = 0;
    let mut write = |value: &dyn erased::Json| -> Result<(), Problem> {
        if items > 0 {
            json.push(b',');
        }
        items += 1;
        value.write(&mut json)
    };
    let cursor = match cursor {
        Cursor::Directory(after) => {
            let page = listing::directory(io, after.as_deref(), &query.prefix, limit, deadline)?;
            let last = page.images.last().map(|image| image.name.clone());
            match query.view {
                View::Names => {
                    for image in &page.images {
                        write(&OnlyName { name: &image.name })?;
                    }
                }
                View::Full => {
                    for image in listing::details(connection, io, page.images, deadline)? {
                        write(&image)?;
                    }
                }
            }
            if page.more { Cursor::Directory(last) } else { Cursor::Trash(None) }
        }
        Cursor::Trash(after) => {
            let mut removing = listing::removing(io, &query.prefix, deadline)?;
            removing.sort_by(|a, b| a.id.cmp(&b.id));
            let mut rest = removing.into_iter().filter(|image| after.as_ref().is_none_or(|after| image.id > *after));
            let mut last = None;
            for image in rest.by_ref().take(limit) {
                match query.view {
                    View::Names => write(&OnlyName { name: &image.name })?,
                    View::Full => write(&image)?,
                }
                last = Some(image.id);
            }
            if rest.next().is_some() { Cursor::Trash(last) } else { Cursor::End }
        }
        Cursor::End => Cursor::End,
    };
    Ok(Step { json, items, cursor })
}

mod erased {
    //! Writing JSON of different types through one closure.
    use crate::problem::{Kind, Problem};

    pub trait Json {
        fn write(&self, to: &mut Vec<u8>) -> Result<(), Problem>;
    }

    impl<T: serde::Serialize> Json for T {
        fn write(&self, to: &mut Vec<u8>) -> Result<(), Problem> {
            serde_json::to_writer(to, self)
                .map_err(|error| Problem::new(Kind::Internal, format!("The answer cannot be written: {error}.")))
        }
    }
}

/// A listing that goes on while its answer is sent.
struct Listing {
    call: Call,
    query: ListImages,
    cursor: Cursor,
    left: usize,
    sent: usize,
}

impl Listing {
    /// The next bytes of `Items` and what follows; `None` when all is sent.
    async fn next(&mut self) -> Result<Vec<u8>, Problem> {
        let limit = self.left.min(PAGE);
        let (query, cursor, deadline) = (self.query.clone(), self.cursor.clone(), self.call.deadline);
        let place = self.call.place();
        let step = self
            .call
            .in_lane(&format!("pool {}", place.pool), move |connection| {
                let io = connection.context(&place.pool, &place.namespace)?;
                let first = step(connection, &io, &query, cursor, limit, deadline)?;
                // The trash comes with the directory's last page, so that a small pool takes one step.
                if matches!(first.cursor, Cursor::Trash(None)) && first.items < limit {
                    let second = step(connection, &io, &query, first.cursor, limit - first.items, deadline)?;
                    let mut json = first.json;
                    if first.items > 0 && second.items > 0 {
                        json.push(b',');
                    }
                    json.extend(second.json);
                    return Ok(Step { json, items: first.items + second.items, cursor: second.cursor });
                }
                Ok(first)
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
        self.left == 0 || self.cursor == Cursor::End
    }
}

async fn list(call: Call) -> Answer {
    let query: ListImages = call.query()?;
    if query.limit == Some(0) {
        return Err(Problem::field("limit", "is 0", "a number from 1 on"));
    }
    let cursor = match &query.from {
        Some(token) => Cursor::decode(token)?,
        None => Cursor::Directory(None),
    };
    let left = query.limit.unwrap_or(usize::MAX);
    let mut listing = Listing { call, query, cursor, left, sent: 0 };
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
            listing.call.deadline = crate::workers::within(listing.call.app.deadline);
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
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON_TYPE));
    Ok(response)
}

/// One image by name, read without opening it; also one whose removal was cut off.
pub fn read_image(
    connection: &Connection,
    io: &IoContext,
    name: &str,
    deadline: std::time::Instant,
) -> Result<Image, Problem> {
    if let Some(named) = listing::find(io, name, deadline)?
        && let Some(image) = listing::details(connection, io, vec![named], deadline)?.pop()
    {
        return Ok(image);
    }
    let place = Place { pool: io.pool().to_owned(), namespace: io.namespace().to_owned() };
    let mut removing = listing::removing(io, name, deadline)?;
    removing.retain(|image| image.name == name);
    removing.pop().ok_or_else(|| image_not_found(&place, name))
}

async fn get(call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let deadline = call.deadline;
    let image = call.placed(move |connection, io| read_image(connection, io, &name, deadline)).await?;
    json(StatusCode::OK, &image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_their_tokens() {
        for cursor in [Cursor::Directory(Some("a/ü".into())), Cursor::Directory(None), Cursor::Trash(Some("1f".into()))]
        {
            let token = cursor.encode().unwrap();
            assert_eq!(Cursor::decode(&token).unwrap(), cursor);
        }
        assert_eq!(Cursor::End.encode(), None);
        assert!(Cursor::decode("!!").is_err());
        assert!(Cursor::decode(&URL_SAFE_NO_PAD.encode("x1")).is_err());
    }
}
