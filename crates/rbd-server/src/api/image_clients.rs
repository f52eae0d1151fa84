//! The clients of an image: its watchers and the holders of its lock.

use ceph::{Access, Errno};
use rbd_api::answer::{Content, NoContent};
use rbd_api::endpoints::image_clients as declared;
use rbd_api::endpoints::image_clients::LockHolder;
use rbd_api::input::Input;
use rbd_api::list::List;
use rbd_api::path::ImagePath;
use rbd_api::problem::Problem;
use rbd_model::clients::{Lock, Watcher};
use rbd_model::fault::{Fault, Kind, members};

use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![
        bind(&declared::LIST_WATCHERS, watchers),
        bind(&declared::LIST_LOCKS, locks),
        bind(&declared::BREAK_LOCK, break_lock),
    ]
}

async fn watchers(call: Call, Input { path, .. }: Input<ImagePath>) -> Result<Content<List<Watcher>>, Problem> {
    let (name, deadline) = (path.image, call.deadline);
    let watchers = call
        .ceph(move |io| {
            let found = rbd::found_image::find(io, &name, deadline)?;
            rbd::clients::watchers(&found.open(io, Access::ReadOnly, deadline)?)
        })
        .await?;
    Ok(Content::of(List::new("WatcherList", watchers)))
}

async fn locks(call: Call, Input { path, .. }: Input<ImagePath>) -> Result<Content<List<Lock>>, Problem> {
    let (name, deadline) = (path.image, call.deadline);
    let locks = call
        .ceph(move |io| {
            let found = rbd::found_image::find(io, &name, deadline)?;
            rbd::clients::locks(&found.open(io, Access::ReadOnly, deadline)?)
        })
        .await?;
    Ok(Content::of(List::new("LockList", locks)))
}

async fn break_lock(
    call: Call,
    Input { path, query: LockHolder { client, cookie }, .. }: Input<ImagePath, LockHolder>,
) -> Result<NoContent, Problem> {
    let (name, deadline) = (path.image, call.deadline);
    call.ceph(move |io| {
        let found = rbd::found_image::find(io, &name, deadline)?;
        // Read-only: opening for writing would add a watcher, and breaking a lock does not need it.
        let image = found.open(io, Access::ReadOnly, deadline)?;
        let locks = rbd::clients::locks(&image)?;
        let Some(lock) = locks.iter().find(|lock| lock.client == client && lock.cookie == cookie) else {
            return Err(lock_not_found(&name, &client, &cookie, &locks));
        };
        if lock.this_service {
            // It would cut this service off from the whole cluster.
            return Err(Fault::new(
                Kind::Conflict,
                format!("The lock of image {name:?} is held by this service itself."),
            )
            .cause("A request or an operation on the image is running.")
            .correction("Wait for it to end, or cancel the operation.")
            .with("locks", members(&locks)));
        }
        image.break_lock(&client, &cookie).map_err(|error| {
            if error.is(Errno::ENOENT) {
                return lock_not_found(&name, &client, &cookie, &[]);
            }
            found.explain(io, error, deadline)
        })
    })
    .await?;
    Ok(NoContent)
}

fn lock_not_found(image: &str, client: &str, cookie: &str, locks: &[Lock]) -> Fault {
    Fault::new(
        Kind::LockNotFound,
        format!("The lock of image {image:?} is not held by {client:?} with the cookie {cookie:?}."),
    )
    .correction("GET the locks of the image, and give client and cookie as they are there.")
    .with("locks", members(locks))
}
