//! The trash.

use std::time::Instant;

use ceph::{Errno, IoContext};
use rbd::{obstacles, trash};
use rbd_api::answer::Content;
use rbd_api::endpoints::trash as declared;
use rbd_api::endpoints::trash::RestoreTrash;
use rbd_api::input::{Input, NoQuery, OptionalJson};
use rbd_api::list::List;
use rbd_api::path::{PlacePath, TrashPath};
use rbd_api::problem::Problem;
use rbd_model::fault::{Fault, Kind};
use rbd_model::image::Image;
use rbd_model::names::check_new_name;
use rbd_model::trash::{TrashItem, TrashSource, TrashState};

use super::image_creation::location;
use super::images::read_image;
use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![bind(&declared::LIST_TRASH, list), bind(&declared::GET_TRASH, get), bind(&declared::RESTORE_TRASH, restore)]
}

async fn list(call: Call, _: Input<PlacePath>) -> Result<Content<List<TrashItem>>, Problem> {
    let deadline = call.deadline;
    let items = call.ceph(move |io| trash::items(io, deadline)).await?;
    Ok(Content::of(List::new("TrashList", items)))
}

async fn get(call: Call, Input { path, .. }: Input<TrashPath>) -> Result<Content<TrashItem>, Problem> {
    let (id, deadline) = (path.id, call.deadline);
    Ok(Content::of(call.ceph(move |io| trash::item(io, &id, deadline)).await?))
}

async fn restore(
    call: Call,
    Input { path, body: OptionalJson(RestoreTrash { name }), .. }: Input<
        TrashPath,
        NoQuery,
        OptionalJson<RestoreTrash>,
    >,
) -> Result<Content<Image>, Problem> {
    if let Some(name) = &name {
        check_new_name("name", name)?;
    }
    let TrashPath { place, id } = path;
    let deadline = call.deadline;
    let image = call
        .in_lane(&format!("pool {}", place.pool), move |connection| {
            let io = connection.context(&place.pool, &place.namespace)?;
            let item = trash::item(&io, &id, deadline)?;
            let name = name.unwrap_or_else(|| item.name.clone());
            reject_unrestorable(&io, &item, deadline)?;
            io.trash_restore(&id, &name).map_err(|error| match error.errno() {
                Some(Errno::EEXIST) => Fault::new(Kind::Exists, format!("There is an image {name:?} already."))
                    .correction("Restore it under another name: {\"name\": \"…\"}.")
                    .errno(Errno::EEXIST),
                // With EBADF its id is in the directory already: another call has restored it.
                Some(Errno::ENOENT | Errno::EBADF) => {
                    Fault::new(Kind::TrashNotFound, format!("Image {id:?} has left the trash in the meantime."))
                        .errno(Errno::ENOENT)
                }
                _ => obstacles::explain_error(&io, &name, &id, error, deadline),
            })?;
            read_image(connection, &io, &name, deadline)
        })
        .await?;
    let location = location(&call, &call.place(), &image.name);
    Ok(Content::moved_to(location, image))
}

fn reject_unrestorable(io: &IoContext, item: &TrashItem, deadline: Instant) -> Result<(), Fault> {
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
