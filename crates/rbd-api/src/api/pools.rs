//! Pools.

use axum::http::{Method, StatusCode};
use ceph::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::Role;
use crate::call::{Call, json, located, nothing};
use crate::check::pools_forbidden;
use crate::endpoint::{Answer, Endpoint};
use crate::envelope::List;
use crate::link::pool_not_found;
use crate::names::{check_new, segment};
use crate::problem::{Kind, Problem};

const TAG: &str = "pools";
/// The monitor command that deletes a pool.
const DELETE: &str = "osd pool delete";

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/pools", TAG, "listPools", "List the pools", list)
            .filtered()
            .describe("Those that the caller may see; current even when another client changed them a moment ago.")
            .answers::<List<Pool>>(StatusCode::OK, "The pools, by name."),
        Endpoint::new(Method::POST, "/pools", TAG, "createPool", "Make a pool", create)
            .describe("The pool is initialised for rbd.")
            .role(Role::Admin)
            .takes::<NewPool>()
            .answers::<Pool>(StatusCode::CREATED, "The pool was made."),
        Endpoint::new(Method::GET, "/pools/{pool}", TAG, "getPool", "Get a pool", get)
            .answers::<Pool>(StatusCode::OK, "The pool."),
        Endpoint::new(Method::DELETE, "/pools/{pool}", TAG, "deletePool", "Delete a pool and everything in it", delete)
            .role(Role::Admin)
            .query::<DeletePool>()
            .answers_nothing(StatusCode::NO_CONTENT, "The pool is gone."),
    ]
}

/// A pool.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Pool {
    /// Its name.
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewPool {
    /// Its name.
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeletePool {
    /// The pool's name once more, since everything in it goes with it.
    confirm: Option<String>,
}

async fn list(call: Call) -> Answer {
    let names = call
        .cluster(|cluster| {
            cluster.refresh()?;
            Ok(cluster.pools()?)
        })
        .await?;
    let mut names = call.visible_pools(names).await?;
    names.sort();
    json(StatusCode::OK, &List::new("PoolList", names.into_iter().map(|name| Pool { name }).collect()))
}

async fn get(call: Call) -> Answer {
    let name = call.param("pool").to_owned();
    let pool = call
        .cluster(move |cluster| {
            cluster.refresh()?;
            cluster.pool_id(&name).map_err(|_| pool_not_found(&name))?;
            Ok(Pool { name })
        })
        .await?;
    json(StatusCode::OK, &pool)
}

async fn create(mut call: Call) -> Answer {
    let NewPool { name } = call.json().await?;
    check_new("name", &name)?;
    if name.starts_with('.') {
        return Err(Problem::field("name", "starts with a dot", "a name that does not: Ceph keeps those for itself"));
    }
    let location = call.link(&format!("/pools/{}", segment(&name)));
    let pool = call
        .cluster(move |cluster| {
            // Asked before, so that no pool is left that cannot be used.
            if let Some(command) = cluster.forbidden_pool_commands()?.iter().find(|command| **command != DELETE) {
                return Err(pools_forbidden(cluster.entity(), command));
            }
            cluster.create_pool(&name).map_err(|error| {
                if error.is(Errno::EEXIST) {
                    return Problem::new(Kind::Exists, format!("There is a pool {name:?} already."))
                        .errno(Errno::EEXIST);
                }
                error.into()
            })?;
            cluster.io_context(&name, "")?.init_rbd()?;
            Ok(Pool { name })
        })
        .await?;
    Ok(located(json(StatusCode::CREATED, &pool)?, &location))
}

async fn delete(call: Call) -> Answer {
    let name = call.param("pool").to_owned();
    let query: DeletePool = call.query()?;
    if query.confirm.as_deref() != Some(&name) {
        return Err(Problem::field(
            "confirm",
            "is not the pool's name",
            format!("?confirm={}, since everything in the pool goes with it", segment(&name)),
        ));
    }
    call.cluster(move |cluster| {
        cluster.refresh()?;
        cluster.pool_id(&name).map_err(|_| pool_not_found(&name))?;
        cluster.delete_pool(&name).map_err(|error| match error.errno() {
            Some(Errno::EACCES) => pools_forbidden(cluster.entity(), DELETE),
            Some(Errno::EPERM) => Problem::new(Kind::CephForbidden, format!("Ceph does not delete pool {name:?}."))
                .cause(error.to_string())
                .correction(
                    "If the cluster forbids it to everybody, as an administrator of the cluster: `ceph config set mon \
                     mon_allow_pool_delete true`. If the pool is protected: `ceph osd pool set POOL nodelete false`.",
                )
                .errno(Errno::EPERM),
            _ => error.into(),
        })
    })
    .await?;
    nothing()
}
