//! The trash.

use std::collections::HashMap;
use std::time::Instant;

use axum::http::{Method, StatusCode};
use ceph::{Errno, IoContext, OmapRange};
use jiff::Timestamp;
use rbd_format::header::header_object;
use rbd_format::{ImageHeader, SnapshotNamespace, TrashEntry, TrashSource, TrashState, decode_header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::images::read_image;
use crate::call::{Call, json, located};
use crate::endpoint::{Answer, Endpoint};
use crate::envelope::List;
use crate::listing::{self, Image};
use crate::names::{check_new, segment};
use crate::problem::{Kind, Problem};

const TAG: &str = "trash";

/// RADOS reads in flight.
const IN_FLIGHT: usize = 256;

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "{scope}/trash", TAG, "listTrash", "List what is in the trash", list)
            .describe("Also images whose removal was begun and not finished.")
            .answers::<List<TrashItem>>(StatusCode::OK, "The images, the one deleted last first."),
        Endpoint::new(Method::GET, "{scope}/trash/{id}", TAG, "getTrash", "Get an image in the trash", get)
            .answers::<TrashItem>(StatusCode::OK, "The image."),
        Endpoint::new(
            Method::POST,
            "{scope}/trash/{id}/restore",
            TAG,
            "restoreTrash",
            "Take an image out of the trash",
            restore,
        )
        .takes::<Restore>()
        .answers::<Image>(StatusCode::OK, "The image, which can be used again."),
    ]
}

/// An image in the trash.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrashItem {
    /// Its id, by which it is restored and removed.
    pub id: String,
    /// The name that it had.
    pub name: String,
    /// The pool.
    pub pool: String,
    /// The namespace; empty for the default one.
    pub namespace: String,
    /// Who put it there.
    pub source: Source,
    /// What is being done to it.
    pub state: State,
    /// Its size, in bytes; null when its header cannot be read.
    pub size_bytes: Option<u64>,
    /// The names of its snapshots; null when its header cannot be read.
    pub snapshots: Option<Vec<String>>,
    /// When it was put there.
    #[schemars(with = "Option<String>")]
    pub deleted_at: Option<Timestamp>,
    /// When its retention ends; before that it is removed only when forced.
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Timestamp>,
    /// Whether it can be removed for good now, without force.
    pub removable: bool,
    /// Why not.
    pub not_removable_reason: Option<String>,
}

/// Who put an image into the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TrashSource")]
pub enum Source {
    /// A person or program, to be restored or removed later.
    User,
    /// rbd-mirror.
    Mirroring,
    /// A migration: it is its source.
    Migration,
    /// A removal that was begun.
    Removing,
    /// A removal, while clones still need it: it goes with the last of them.
    UserParent,
    /// None of these.
    Unknown,
}

/// What is being done to an image in the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "TrashState")]
pub enum State {
    /// Nothing: it can be restored.
    Trashed,
    /// It is being moved in, or that was cut off.
    Moving,
    /// Its removal was begun; it can only be removed again.
    Removing,
    /// It is being restored, or that was cut off: restoring it again finishes it.
    Restoring,
    /// None of these.
    Unknown,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RestoreTrash")]
struct Restore {
    /// Its name from now on; without it, the one that it had.
    name: Option<String>,
}

fn timestamp(at: rbd_format::Timestamp) -> Option<Timestamp> {
    Timestamp::new(i64::from(at.seconds), i32::try_from(at.nanoseconds).ok()?).ok()
}

fn state(entry: &TrashEntry) -> State {
    match (entry.source, entry.state) {
        (TrashSource::Removing, _) | (_, TrashState::Removing) => State::Removing,
        (_, TrashState::Normal) => State::Trashed,
        (_, TrashState::Moving) => State::Moving,
        (_, TrashState::Restoring) => State::Restoring,
        (_, TrashState::Unknown(_)) => State::Unknown,
    }
}

fn item(io: &IoContext, entry: &TrashEntry, header: Option<&ImageHeader>, now: Timestamp) -> TrashItem {
    let state = state(entry);
    let expires_at = timestamp(entry.deferment_end);
    // The snapshots of an image that clones hold are in its own trash, under names that mean nothing.
    let names = header.map(|header| {
        let name = |snapshot: &rbd_format::Snapshot| match &snapshot.namespace {
            SnapshotNamespace::Trash { original_name, .. } => original_name.to_string(),
            _ => snapshot.name.to_string(),
        };
        header.snapshots.iter().map(name).collect::<Vec<_>>()
    });
    let clones: u32 = header.map_or(0, |header| header.snapshots.iter().map(|snapshot| snapshot.child_count).sum());
    let not_removable_reason = if state == State::Removing {
        None
    } else if clones > 0 {
        Some(format!("{clones} clone(s) of its snapshots need it: flatten or delete them first."))
    } else if names.as_ref().is_some_and(|names| !names.is_empty()) {
        Some("It has snapshots: restore it and delete them first.".to_owned())
    } else if let Some(expires_at) = expires_at.filter(|expires_at| *expires_at > now) {
        Some(format!("Its retention ends at {expires_at}: force its removal, or wait."))
    } else if state != State::Trashed {
        Some("Something else is being done to it.".to_owned())
    } else {
        None
    };
    TrashItem {
        id: entry.image_id.clone(),
        name: entry.name.to_string(),
        pool: io.pool().to_owned(),
        namespace: io.namespace().to_owned(),
        source: match entry.source {
            TrashSource::User => Source::User,
            TrashSource::Mirroring => Source::Mirroring,
            TrashSource::Migration => Source::Migration,
            TrashSource::Removing => Source::Removing,
            TrashSource::UserParent => Source::UserParent,
            TrashSource::Unknown(_) => Source::Unknown,
        },
        state,
        size_bytes: header.map(|header| header.size_bytes),
        snapshots: names,
        deleted_at: timestamp(entry.deleted),
        expires_at,
        removable: not_removable_reason.is_none(),
        not_removable_reason,
    }
}

/// What is in the trash, with what the images' headers say, read without opening them.
///
/// # Errors
/// What reading gives as a whole; an image without a header is in the result.
pub fn items(io: &IoContext, deadline: Instant) -> Result<Vec<TrashItem>, Problem> {
    let entries = listing::trash(io, deadline)?;
    let ranges: Vec<OmapRange> = entries
        .iter()
        .map(|entry| OmapRange { object: header_object(&entry.image_id), ..OmapRange::default() })
        .collect();
    let mut headers: HashMap<usize, ImageHeader> = HashMap::new();
    io.omaps(&ranges, IN_FLIGHT, Some(deadline), |index, result| {
        let Ok(pairs) = result else { return };
        if let Ok(header) = decode_header(pairs.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))) {
            headers.insert(index, header);
        }
    })?;
    let now = Timestamp::now();
    let mut items: Vec<TrashItem> =
        entries.iter().enumerate().map(|(index, entry)| item(io, entry, headers.get(&index), now)).collect();
    items.sort_by(|a, b| b.deleted_at.cmp(&a.deleted_at).then_with(|| a.id.cmp(&b.id)));
    Ok(items)
}

/// One image in the trash.
///
/// # Errors
/// `trash-not-found`.
pub fn find(io: &IoContext, id: &str, deadline: Instant) -> Result<TrashItem, Problem> {
    items(io, deadline)?.into_iter().find(|item| item.id == id).ok_or_else(|| {
        Problem::new(
            Kind::TrashNotFound,
            format!("The trash of {:?} holds no image with the id {id:?}.", io.subject("")),
        )
        .correction("GET the trash: it lists ids and names.")
    })
}

async fn list(call: Call) -> Answer {
    let deadline = call.deadline;
    let items = call.ceph(move |io| items(io, deadline)).await?;
    json(StatusCode::OK, &List::new("TrashList", items))
}

async fn get(call: Call) -> Answer {
    let id = call.param("id").to_owned();
    let deadline = call.deadline;
    json(StatusCode::OK, &call.ceph(move |io| find(io, &id, deadline)).await?)
}

async fn restore(mut call: Call) -> Answer {
    let Restore { name } = call.json_or_default().await?;
    if let Some(name) = &name {
        check_new("name", name)?;
    }
    let id = call.param("id").to_owned();
    let place = call.place();
    let deadline = call.deadline;
    let image = call
        .in_lane(&format!("pool {}", place.pool), move |connection| {
            let io = connection.context(&place.pool, &place.namespace)?;
            let item = find(&io, &id, deadline)?;
            let name = name.unwrap_or_else(|| item.name.clone());
            refuse_unrestorable(&item)?;
            io.trash_restore(&id, &name).map_err(|error| match error.errno() {
                Some(Errno::EEXIST) => Problem::new(Kind::Exists, format!("There is an image {name:?} already."))
                    .correction("Restore it under another name: {\"name\": \"…\"}.")
                    .errno(Errno::EEXIST),
                Some(Errno::ENOENT) => {
                    Problem::new(Kind::TrashNotFound, format!("Image {id:?} has left the trash in the meantime."))
                        .errno(Errno::ENOENT)
                }
                _ => error.into(),
            })?;
            read_image(connection, &io, &name, deadline)
        })
        .await?;
    let location = call.link(&format!("{}/images/{}", call.place().path(), segment(&image.name)));
    Ok(located(json(StatusCode::OK, &image)?, &location))
}

fn refuse_unrestorable(item: &TrashItem) -> Result<(), Problem> {
    if item.state == State::Removing {
        return Err(Problem::new(Kind::Removing, format!("Image {:?} is being removed for good.", item.name))
            .cause("A part of its data is gone already, so that nothing whole can be restored.")
            .correction("Remove it again to finish that."));
    }
    if item.source == Source::Migration {
        return Err(Problem::new(Kind::Conflict, format!("Image {:?} is the source of a migration.", item.name))
            .correction("Finish or abort the migration with `rbd migration`."));
    }
    Ok(())
}
