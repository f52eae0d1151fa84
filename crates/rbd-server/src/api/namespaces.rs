//! Namespaces of a pool.

use std::time::Instant;

use ceph::{Errno, IoContext};
use rbd::check::place_forbidden;
use rbd::namespaces::{self, ListedNamespace};
use rbd::operations::forget_namespace;
use rbd::{group, pool_applications};
use rbd_api::answer::{Content, Created, Either, FoundOrCreated, NoContent};
use rbd_api::endpoints::namespaces as declared;
use rbd_api::endpoints::namespaces::{Namespace, NewNamespace};
use rbd_api::input::{Input, Json, NoQuery};
use rbd_api::list::List;
use rbd_api::names::encode_segment;
use rbd_api::path::{PlacePath, PoolPath};
use rbd_api::problem::Problem;
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::{Place, check_new_name};

use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![
        bind(&declared::LIST_NAMESPACES, list),
        bind(&declared::CREATE_NAMESPACE, create),
        bind(&declared::GET_NAMESPACE, get),
        bind(&declared::PUT_NAMESPACE, put),
        bind(&declared::DELETE_NAMESPACE, delete),
    ]
}

/// The namespace in which the service keeps records of its own, and no images.
const RESERVED: &str = "sparrow";

/// How many names of what stands in the way an answer gives.
const NAMED: usize = 20;

fn shown(listed: ListedNamespace, pool: String) -> Namespace {
    Namespace { name: listed.name.to_string(), pool, state: listed.state, state_reason: listed.reason }
}

async fn list(
    call: Call,
    Input { path: PoolPath { pool }, .. }: Input<PoolPath>,
) -> Result<Content<List<Namespace>>, Problem> {
    let deadline = call.deadline;
    let listed = call.ceph(move |io| namespaces::list(io, deadline)).await?;
    let items = listed.into_iter().map(|listed| shown(listed, pool.clone())).collect();
    Ok(Content::of(List::new("NamespaceList", items)))
}

async fn get(
    call: Call,
    Input { path: PlacePath { place }, .. }: Input<PlacePath>,
) -> Result<Content<Namespace>, Problem> {
    let deadline = call.deadline;
    let namespace = call
        .in_lane(&format!("pool {}", place.pool), move |connection| {
            // Getting its context looks whether it is there.
            let missing = match connection.context(&place.pool, &place.namespace) {
                Ok(_) => return Ok(Namespace::ready(place.namespace, place.pool)),
                Err(missing) if missing.kind() == Kind::NamespaceNotFound => missing,
                Err(problem) => return Err(problem),
            };
            // Who has rights for namespaces alone cannot read the list of them.
            let whole = connection.context(&place.pool, "")?;
            let listed = namespaces::find(&whole, &place.namespace, deadline).unwrap_or_default();
            listed.map(|listed| shown(listed, place.pool)).ok_or(missing)
        })
        .await?;
    Ok(Content::of(namespace))
}

async fn create(
    call: Call,
    Input { path, body: Json(NewNamespace { name }), .. }: Input<PoolPath, NoQuery, Json<NewNamespace>>,
) -> Result<Created<Namespace>, Problem> {
    let place = Place { pool: path.pool, namespace: name };
    if !make(&call, "name", &place).await? {
        return Err(Fault::new(Kind::Exists, format!("There is a namespace {:?} already.", place.namespace))
            .correction("Choose another name, or PUT the namespace to accept the one that is there.")
            .errno(Errno::EEXIST)
            .into());
    }
    Ok(created(&call, place))
}

async fn put(
    call: Call,
    Input { path: PlacePath { place }, .. }: Input<PlacePath>,
) -> Result<FoundOrCreated<Namespace>, Problem> {
    if make(&call, "namespace", &place).await? {
        return Ok(Either::Second(created(&call, place)));
    }
    Ok(Either::First(Content::of(Namespace::ready(place.namespace, place.pool))))
}

fn created(call: &Call, place: Place) -> Created<Namespace> {
    let location =
        call.url(&format!("/pools/{}/namespaces/{}", encode_segment(&place.pool), encode_segment(&place.namespace)));
    Created { location, value: Namespace::ready(place.namespace, place.pool) }
}

/// Makes a namespace unless it is there; whether it was made.
async fn make(call: &Call, field: &str, place: &Place) -> Result<bool, Fault> {
    check_new_name(field, &place.namespace)?;
    if place.namespace == RESERVED {
        let wrong = format!("{RESERVED:?} is where this service keeps records of its own");
        return Err(Fault::field_conflict(field, wrong, "another name"));
    }
    let (Place { pool, namespace: name }, deadline) = (place.clone(), call.deadline);
    call.in_lane(&format!("pool {pool}"), move |connection| {
        let io = connection.context(&pool, "")?;
        pool_applications::reject_foreign(&io)?;
        match io.create_namespace(&name) {
            Ok(()) => Ok(true),
            // It is there, or half of it is.
            Err(error) if error.is(Errno::EEXIST) => namespaces::complete(&io, &name, deadline),
            // Who has rights for a namespace alone may not change the list of them, but sees that it is there.
            Err(error) if forbidden(&error) && io.namespace_exists(&name).unwrap_or(false) => Ok(false),
            // The list of namespaces is the pool's.
            Err(error) => Err(place_forbidden(
                error.into(),
                connection.cluster().entity(),
                &Place { pool, namespace: String::new() },
            )),
        }
    })
    .await
}

fn forbidden(error: &ceph::Error) -> bool {
    error.is(Errno::EPERM) || error.is(Errno::EACCES)
}

async fn delete(call: Call, Input { path: PlacePath { place }, .. }: Input<PlacePath>) -> Result<NoContent, Problem> {
    let deadline = call.deadline;
    call.in_lane(&format!("pool {}", place.pool), move |connection| {
        let name = place.namespace;
        let whole = connection.context(&place.pool, "")?;
        let io = match connection.context(&place.pool, &name) {
            // Half of it is there: what is left of its removal takes the whole.
            Err(missing) if missing.kind() == Kind::NamespaceNotFound => {
                if !namespaces::complete(&whole, &name, deadline).unwrap_or(false) {
                    return Err(missing);
                }
                connection.context(&place.pool, &name)?
            }
            io => io?,
        };
        let io = &io;
        if let Some(problem) = held(io, &name, deadline)? {
            return Err(problem);
        }
        whole.remove_namespace(&name).map_err(|error| {
            if error.is(Errno::ENOENT) {
                return Fault::new(Kind::NamespaceNotFound, format!("Pool {:?} has no namespace {name:?}.", io.pool()));
            }
            // Made since we looked.
            match held(io, &name, deadline) {
                Ok(Some(problem)) if error.is(Errno::EBUSY) => problem,
                _ => error.into(),
            }
        })?;
        forget_namespace(io, &name, deadline)
    })
    .await?;
    Ok(NoContent)
}

/// What a namespace holds, as the reason not to remove it. librbd itself looks at images and trash, and drops groups.
fn held(io: &IoContext, name: &str, deadline: Instant) -> Result<Option<Fault>, Fault> {
    let images = rbd::directory::page(io, None, "", NAMED, deadline)?;
    let trash = rbd::trash_directory::entries(io, deadline)?;
    let groups = group::list(io, deadline)?;
    let mut holds = Vec::new();
    if !images.images.is_empty() {
        let more = if images.next.is_some() { "more than " } else { "" };
        holds.push(format!("{more}{} image(s)", images.images.len()));
    }
    let trashed = trash.entries.len() + trash.damaged.len();
    if trashed > 0 {
        holds.push(format!("{trashed} in its trash"));
    }
    if !groups.is_empty() {
        holds.push(format!("{} group(s)", groups.len()));
    }
    if holds.is_empty() {
        return Ok(None);
    }
    let images: Vec<String> = images.images.into_iter().map(|image| image.name).collect();
    let sound = trash.entries.iter().map(|entry| (entry.image_id.clone(), entry.name.to_string()));
    let damaged = trash.damaged.iter().map(|entry| (entry.id.to_string(), String::new()));
    let trash: Vec<serde_json::Value> =
        sound.chain(damaged).take(NAMED).map(|(id, name)| serde_json::json!({ "id": id, "name": name })).collect();
    let groups: Vec<String> = groups.into_iter().take(NAMED).map(|group| group.name.to_string()).collect();
    let problem = Fault::new(Kind::InUse, format!("Namespace {name:?} is not empty: it holds {}.", holds.join(", ")))
        .correction("Delete its images for good, empty its trash, and delete its groups first.")
        .with("images", images)
        .with("trash", trash)
        .with("groups", groups);
    Ok(Some(problem))
}
