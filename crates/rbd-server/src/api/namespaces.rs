//! Namespaces of a pool.

use std::time::Instant;

use axum::http::{Method, StatusCode};
use ceph::{Errno, IoContext};
use rbd::check::place_forbidden;
use rbd::namespaces::{self, Listed};
use rbd::operations::forget_namespace;
use rbd::{group, pool_use};
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::{Place, check_new};
use rbd_model::namespace::NamespaceState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call::{Call, json, located, nothing};
use crate::endpoint::{Answer, Endpoint};
use crate::envelope::List;
use crate::names::segment;
use crate::schema;

const TAG: &str = "namespaces";

/// The namespace in which the service keeps records of its own, and no images.
const RESERVED: &str = "sparrow";

/// How many names of what stands in the way an answer gives.
const NAMED: usize = 20;

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/pools/{pool}/namespaces", TAG, "listNamespaces", "List a pool's namespaces", list)
            .describe("The default namespace, which has no name, is not among them.")
            .answers::<List<Namespace>>(StatusCode::OK, "The namespaces, by name."),
        Endpoint::new(Method::POST, "/pools/{pool}/namespaces", TAG, "createNamespace", "Make a namespace", create)
            .takes::<NewNamespace>()
            .answers::<Namespace>(StatusCode::CREATED, "The namespace was made."),
        Endpoint::new(Method::GET, "/pools/{pool}/namespaces/{namespace}", TAG, "getNamespace", "Get a namespace", get)
            .answers::<Namespace>(StatusCode::OK, "The namespace."),
        Endpoint::new(
            Method::PUT,
            "/pools/{pool}/namespaces/{namespace}",
            TAG,
            "putNamespace",
            "Make a namespace unless it is there",
            put,
        )
        .names("namespace")
        .answers::<Namespace>(StatusCode::OK, "The namespace was there.")
        .answers::<Namespace>(StatusCode::CREATED, "The namespace was made."),
        Endpoint::new(
            Method::DELETE,
            "/pools/{pool}/namespaces/{namespace}",
            TAG,
            "deleteNamespace",
            "Delete an empty namespace",
            delete,
        )
        .describe("409 names the images, those in its trash, and the groups that it holds.")
        .answers_nothing(StatusCode::NO_CONTENT, "The namespace is gone."),
    ]
}

/// A namespace.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Namespace {
    /// Its name.
    name: String,
    /// The pool.
    pool: String,
    /// Whether it can be used.
    state: NamespaceState,
    /// Why it cannot; absent when it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<String>,
}

impl Namespace {
    fn ready(name: String, pool: String) -> Self {
        Self { name, pool, state: NamespaceState::Ready, state_reason: None }
    }

    fn listed(listed: Listed, pool: String) -> Self {
        Self { name: listed.name.to_string(), pool, state: listed.state, state_reason: listed.reason }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewNamespace {
    /// Its name.
    #[schemars(with = "schema::NewName")]
    name: String,
}

async fn list(call: Call) -> Answer {
    let pool = call.param("pool").to_owned();
    let deadline = call.deadline;
    let listed = call.ceph(move |io| namespaces::list(io, deadline)).await?;
    let items = listed.into_iter().map(|listed| Namespace::listed(listed, pool.clone())).collect();
    json(StatusCode::OK, &List::new("NamespaceList", items))
}

async fn get(call: Call) -> Answer {
    let (place, deadline) = (call.place(), call.deadline);
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
            listed.map(|listed| Namespace::listed(listed, place.pool)).ok_or(missing)
        })
        .await?;
    json(StatusCode::OK, &namespace)
}

async fn create(mut call: Call) -> Answer {
    let NewNamespace { name } = call.json().await?;
    let made = make(&call, "name", &name).await?;
    if !made {
        return Err(Fault::new(Kind::Exists, format!("There is a namespace {name:?} already."))
            .correction("Choose another name, or PUT the namespace to accept the one that is there.")
            .errno(Errno::EEXIST)
            .into());
    }
    answer(&call, name, StatusCode::CREATED)
}

async fn put(call: Call) -> Answer {
    let name = call.param("namespace").to_owned();
    let made = make(&call, "namespace", &name).await?;
    answer(&call, name, if made { StatusCode::CREATED } else { StatusCode::OK })
}

fn answer(call: &Call, name: String, status: StatusCode) -> Answer {
    let pool = call.param("pool").to_owned();
    let location = call.link(&format!("/pools/{}/namespaces/{}", segment(&pool), segment(&name)));
    let response = json(status, &Namespace::ready(name, pool))?;
    Ok(if status == StatusCode::CREATED { located(response, &location) } else { response })
}

/// Makes a namespace unless it is there; whether it was made.
async fn make(call: &Call, field: &str, name: &str) -> Result<bool, Fault> {
    check_new(field, name)?;
    if name == RESERVED {
        let wrong = format!("{RESERVED:?} is where this service keeps records of its own");
        return Err(Fault::field_conflict(field, wrong, "another name"));
    }
    let pool = call.param("pool").to_owned();
    let (name, deadline) = (name.to_owned(), call.deadline);
    call.in_lane(&format!("pool {pool}"), move |connection| {
        let io = connection.context(&pool, "")?;
        pool_use::refuse_foreign(&io)?;
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

async fn delete(call: Call) -> Answer {
    let (place, deadline) = (call.place(), call.deadline);
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
    nothing()
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
