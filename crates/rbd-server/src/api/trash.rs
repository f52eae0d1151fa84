//! The trash.

use std::time::Instant;

use axum::http::{Method, StatusCode};
use ceph::{Errno, IoContext};
use rbd::{trash, why};
use rbd_model::fault::{Fault, Kind};
use rbd_model::image::Image;
use rbd_model::names::check_new;
use rbd_model::trash::{TrashItem, TrashSource, TrashState};
use schemars::JsonSchema;
use serde::Deserialize;

use super::images::read_image;
use crate::call::{Call, json, located};
use crate::endpoint::{Answer, Endpoint};
use crate::envelope::List;
use crate::names::{path_of, segment};
use crate::schema;

const TAG: &str = "trash";

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
        .may_take::<Restore>()
        .answers::<Image>(StatusCode::OK, "The image, which can be used again."),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RestoreTrash")]
struct Restore {
    /// Its name from now on; without it, the one that it had.
    #[schemars(with = "Option<schema::NewName>")]
    name: Option<String>,
}

async fn list(call: Call) -> Answer {
    let deadline = call.deadline;
    let items = call.ceph(move |io| trash::items(io, deadline)).await?;
    json(StatusCode::OK, &List::new("TrashList", items))
}

async fn get(call: Call) -> Answer {
    let id = call.param("id").to_owned();
    let deadline = call.deadline;
    json(StatusCode::OK, &call.ceph(move |io| trash::item(io, &id, deadline)).await?)
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
            let item = trash::item(&io, &id, deadline)?;
            let name = name.unwrap_or_else(|| item.name.clone());
            refuse_unrestorable(&io, &item, deadline)?;
            io.trash_restore(&id, &name).map_err(|error| match error.errno() {
                Some(Errno::EEXIST) => Fault::new(Kind::Exists, format!("There is an image {name:?} already."))
                    .correction("Restore it under another name: {\"name\": \"…\"}.")
                    .errno(Errno::EEXIST),
                // With EBADF its id is in the directory already: another call has restored it.
                Some(Errno::ENOENT | Errno::EBADF) => {
                    Fault::new(Kind::TrashNotFound, format!("Image {id:?} has left the trash in the meantime."))
                        .errno(Errno::ENOENT)
                }
                _ => why::explain(&io, &name, &id, error, deadline),
            })?;
            read_image(connection, &io, &name, deadline)
        })
        .await?;
    let location = call.link(&format!("{}/images/{}", path_of(&call.place()), segment(&image.name)));
    Ok(located(json(StatusCode::OK, &image)?, &location))
}

fn refuse_unrestorable(io: &IoContext, item: &TrashItem, deadline: Instant) -> Result<(), Fault> {
    if item.state == TrashState::Damaged {
        return trash::find(io, &item.id, deadline).map(drop);
    }
    let headless = rbd::header::read_header(io, &item.id, deadline).is_ok_and(|header| header.is_none());
    if item.state == TrashState::Removing || headless {
        return Err(Fault::new(Kind::Removing, format!("Image {:?} is being removed for good.", item.name))
            .cause("A part of its data is gone already, so that nothing whole can be restored.")
            .correction("Remove it again to finish that."));
    }
    if item.source == TrashSource::Migration {
        return Err(Fault::new(Kind::Conflict, format!("Image {:?} is the source of a migration.", item.name))
            .correction("Finish or abort the migration with `rbd migration`."));
    }
    Ok(())
}
