//! Pools.

use std::collections::BTreeMap;

use ceph::{Cluster, Errno, IoContext};
use rbd::ceph_link::pool_not_found;
use rbd::check::pools_forbidden;
use rbd::{monitor, pool, pool_applications, pool_clients, pool_users, totals};
use rbd_api::answer::{Content, Created, Either, FoundOrCreated, NoContent};
use rbd_api::endpoints::pools as declared;
use rbd_api::endpoints::pools::{
    DeletePool, ListPools, NewPool, PoolItem, PoolName, PoolSettings, PoolSpace, PoolStatistics, PoolView,
};
use rbd_api::input::{Input, Json, NoQuery, OptionalJson};
use rbd_api::list::List;
use rbd_api::names::encode_segment;
use rbd_api::path::{NoPath, PoolPath};
use rbd_api::problem::Problem;
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::check_new_name;
use rbd_model::pool::Pool;
use serde_json::json;

use super::image_creation::PUT_TRIES;
use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![
        bind(&declared::LIST_POOLS, list),
        bind(&declared::CREATE_POOL, create),
        bind(&declared::GET_POOL, get),
        bind(&declared::PUT_POOL, put),
        bind(&declared::DELETE_POOL, delete),
        bind(&declared::GET_POOL_STATISTICS, statistics),
    ]
}

/// The monitor command that deletes a pool.
const DELETE: &str = "osd pool delete";
/// The monitor command that bounds a pool.
const SET_QUOTA: &str = "osd pool set-quota";

async fn list(call: Call, Input { query, .. }: Input<NoPath, ListPools>) -> Result<Content<List<PoolItem>>, Problem> {
    let names = call
        .cluster(|cluster| {
            cluster.refresh()?;
            Ok(cluster.pools()?)
        })
        .await?;
    let mut names = call.visible_pools(names).await?;
    names.sort();
    let items = match query.view {
        PoolView::Names => names.into_iter().map(|name| PoolItem::Name(PoolName { name })).collect(),
        PoolView::Full => {
            let mut pools = call.cluster(pool::all).await?;
            pools.retain(|pool| names.binary_search(&pool.name).is_ok());
            pools.into_iter().map(|pool| PoolItem::Full(Box::new(pool))).collect()
        }
    };
    Ok(Content::of(List::new("PoolList", items)))
}

async fn get(call: Call, Input { path, .. }: Input<PoolPath>) -> Result<Content<Pool>, Problem> {
    let name = path.pool;
    let pool = call.cluster(move |cluster| pool::find(cluster, &name)?.ok_or_else(|| pool_not_found(&name))).await?;
    Ok(Content::of(pool))
}

async fn create(
    call: Call,
    Input { body: Json(body), .. }: Input<NoPath, NoQuery, Json<NewPool>>,
) -> Result<Created<Pool>, Problem> {
    let (name, settings) = body.split();
    check_new_name("name", &name)?;
    match make(&call, &name, settings).await? {
        Outcome::Made(pool) => Ok(created(&call, *pool)),
        Outcome::WasThere(_) => {
            let problem = Fault::new(Kind::Exists, format!("There is a pool {name:?} already."));
            Err(problem.correction("Choose another name, or PUT the pool to use the one that is there.").into())
        }
    }
}

async fn put(
    call: Call,
    Input { path, body: OptionalJson(settings), .. }: Input<PoolPath, NoQuery, OptionalJson<PoolSettings>>,
) -> Result<FoundOrCreated<Pool>, Problem> {
    let name = path.pool;
    let mut outcome = make(&call, &name, settings.clone()).await;
    for _ in 1..PUT_TRIES {
        // Another client deleted it when it was just there.
        if !outcome.as_ref().is_err_and(|problem| problem.kind() == Kind::PoolNotFound) {
            break;
        }
        outcome = make(&call, &name, settings.clone()).await;
    }
    Ok(match outcome? {
        Outcome::Made(pool) => Either::Second(created(&call, *pool)),
        Outcome::WasThere(pool) => Either::First(Content::of(*pool)),
    })
}

fn created(call: &Call, pool: Pool) -> Created<Pool> {
    Created { location: call.url(&format!("/pools/{}", encode_segment(&pool.name))), value: pool }
}

/// What came of a wish for a pool.
enum Outcome {
    /// It was made, or finished.
    Made(Box<Pool>),
    /// It was there, as asked for.
    WasThere(Box<Pool>),
}

/// Makes a pool unless it is there. One without any application is one whose making was cut off, and is finished.
async fn make(call: &Call, name: &str, settings: PoolSettings) -> Result<Outcome, Fault> {
    settings.check()?;
    let (owned, asked) = (name.to_owned(), settings.clone());
    let found = call.cluster(move |cluster| find_or_begin(cluster, &owned, &asked)).await?;
    if let Some(pool) = found
        && !pool.is_unfinished()
    {
        return Ok(Outcome::WasThere(Box::new(pool)));
    }
    let owned = name.to_owned();
    // In the pool's own lane: it writes to the pool, which waits for as long as the pool has not enough OSDs.
    let finished = call
        .in_lane(&format!("pool {name}"), move |connection| {
            set_quotas(connection.cluster(), &owned, &settings)?;
            connection.context(&owned, "")?.init_rbd().map_err(|error| initialising(&owned, error))?;
            pool::find(connection.cluster(), &owned)?.ok_or_else(|| pool_not_found(&owned))
        })
        .await;
    let pool = finished.map_err(|problem| {
        let hint =
            format!("Pool {name:?} is there, but not ready for images: repeat the call to finish it, or DELETE it.");
        let advice = problem.advice().map(|advice| format!("{hint} {advice}")).unwrap_or(hint);
        problem.correction(advice).with("unfinishedPool", name)
    })?;
    Ok(Outcome::Made(Box::new(pool)))
}

/// The pool, if it was there and is as asked for; none when it was made.
fn find_or_begin(cluster: &Cluster, name: &str, settings: &PoolSettings) -> Result<Option<Pool>, Fault> {
    if let Some(pool) = pool::find(cluster, name)? {
        return fitting(pool, settings).map(Some);
    }
    // A name that is rejected for a new pool may still be that of one that is there.
    check_new_name("pool", name)?;
    // Asked before, so that no pool is left that cannot be used.
    let quotas = settings.quota_bytes.is_some() || settings.quota_objects.is_some();
    let needed = |command: &&&str| **command != DELETE && (quotas || **command != SET_QUOTA);
    if let Some(command) = cluster.forbidden_pool_commands()?.iter().find(needed) {
        return Err(pools_forbidden(cluster.entity(), command));
    }
    let mut command = json!({ "prefix": "osd pool create", "pool": name, "pool_type": "replicated" });
    if let Some(pg_num) = settings.pg_num {
        command["pg_num"] = pg_num.into();
        command["pgp_num"] = pg_num.into();
    }
    if let Some(size) = settings.size {
        command["size"] = size.into();
    }
    if let Some(mode) = settings.autoscale_mode {
        command["autoscale_mode"] = mode.text().into();
    }
    if let Some(rule) = &settings.crush_rule {
        // A pool's own profile comes before the rule in the command's positions; replicated pools have none.
        command["rule"] = rule.as_str().into();
    }
    let status = monitor::run(cluster, &command).map_err(|problem| match problem.ceph_errno() {
        Some(Errno::ENOENT | Errno::EINVAL | Errno::ERANGE) => {
            let detail = problem.detail().to_owned();
            Fault::new(Kind::FieldConflict, detail).correction("Send other settings, or none to take the defaults.")
        }
        _ => problem,
    })?;
    cluster.refresh()?;
    if status.ends_with("already exists") {
        // Somebody else made it in the meantime.
        let pool = pool::find(cluster, name)?.ok_or_else(|| pool_not_found(name))?;
        return fitting(pool, settings).map(Some);
    }
    if cluster.pool_id(name).is_err() {
        return Err(Fault::field_conflict("name", "is not one that Ceph takes", "another name"));
    }
    Ok(None)
}

fn fitting(pool: Pool, settings: &PoolSettings) -> Result<Pool, Fault> {
    let differences = settings.differences(&pool);
    if differences.is_empty() {
        return Ok(pool);
    }
    Err(Fault::new(Kind::Exists, format!("There is a pool {:?} already, and it is not as asked for.", pool.name))
        .correction("Choose another name, or ask for what is there; `ceph osd pool set` changes a pool.")
        .with("differences", differences))
}

fn set_quotas(cluster: &Cluster, name: &str, settings: &PoolSettings) -> Result<(), Fault> {
    for (field, quota) in [("max_bytes", settings.quota_bytes), ("max_objects", settings.quota_objects)] {
        if let Some(quota) = quota {
            let command =
                json!({ "prefix": "osd pool set-quota", "pool": name, "field": field, "val": quota.to_string() });
            monitor::run(cluster, &command)?;
        }
    }
    Ok(())
}

fn initialising(name: &str, error: ceph::Error) -> Fault {
    let forbidden = error.is(Errno::EACCES) || error.is(Errno::EPERM);
    let problem: Fault = error.into();
    if !forbidden {
        return problem;
    }
    let cap = "allow command \"osd pool application enable\"";
    problem
        .about(format!("Pool {name:?} was made, but Ceph does not let this service mark it for rbd."))
        .correction(format!("Add to the mon capabilities of this service's entity with `ceph auth caps`: {cap}."))
        .with("capability", format!("mon '{cap}'"))
}

async fn delete(call: Call, Input { path, query, .. }: Input<PoolPath, DeletePool>) -> Result<NoContent, Problem> {
    let name = path.pool;
    if query.confirm.as_deref() != Some(&name) {
        let allowed = format!("?confirm={}, since everything in the pool goes with it", encode_segment(&name));
        return Err(match query.confirm {
            Some(_) => Fault::field_conflict("confirm", "is not the pool's name", allowed),
            None => Fault::field("confirm", "is missing", allowed),
        }
        .into());
    }
    let deadline = call.deadline;
    call.cluster(move |cluster| {
        cluster.refresh()?;
        let io = cluster.io_context(&name, "").map_err(|_| pool_not_found(&name))?;
        if !query.force {
            reject_used_by_others(&io)?;
            pool_users::reject_needed(&io, deadline)?;
            pool_clients::reject_open(&io, deadline)?;
        }
        let command = json!({
            "prefix": "osd pool delete", "pool": name, "pool2": name, "yes_i_really_really_mean_it": true,
        });
        monitor::run(cluster, &command).map_err(|problem| match problem.ceph_errno() {
            Some(Errno::EACCES) => pools_forbidden(cluster.entity(), DELETE),
            Some(Errno::EPERM) => problem.correction(
                "If the cluster forbids it to everybody, as an administrator of the cluster: `ceph config set mon \
                 mon_allow_pool_delete true`. If the pool is protected: `ceph osd pool set POOL nodelete false`.",
            ),
            _ => problem,
        })?;
        Ok(cluster.refresh()?)
    })
    .await?;
    Ok(NoContent)
}

/// Refuses to delete what another application keeps in a pool.
fn reject_used_by_others(io: &IoContext) -> Result<(), Fault> {
    let others: Vec<String> = io.applications()?.into_iter().filter(|name| name != pool_applications::RBD).collect();
    if others.is_empty() {
        return Ok(());
    }
    let detail = format!("Pool {:?} is used by {}, whose data would go with it.", io.pool(), others.join(", "));
    Err(Fault::new(Kind::ForeignPool, detail)
        .correction("Repeat with &force=true if that data is not needed any more.")
        .with("applications", others))
}

async fn statistics(
    call: Call,
    Input { path: PoolPath { pool: name }, .. }: Input<PoolPath>,
) -> Result<Content<PoolStatistics>, Problem> {
    let pool = name.clone();
    let space = call.cluster(move |cluster| space(cluster, &pool)).await?;
    let mut shown = PoolStatistics {
        pool: name,
        space: None,
        images: None,
        trash: None,
        namespaces: None,
        unread: Vec::new(),
        unknown: BTreeMap::new(),
    };
    match space {
        Ok(space) => shown.space = Some(space),
        Err(reason) => {
            shown.unknown.insert("space", reason.to_owned());
        }
    }
    let deadline = call.deadline;
    let totals = call.ceph(move |io| match totals::read_totals(io, deadline) {
        Err(problem) if problem.ceph_errno() == Some(Errno::EOPNOTSUPP) => Ok(None),
        totals => Ok(Some(totals?)),
    });
    match totals.await? {
        Some(totals) => {
            shown.images = Some(totals.images);
            shown.trash = Some(totals.trash);
            shown.namespaces = Some(totals.namespaces);
            shown.unread = totals.unread;
        }
        None => {
            let reason = "The pool is erasure-coded: it holds images' data, and no images.";
            shown.unknown.extend(["images", "trash", "namespaces"].map(|field| (field, reason.to_owned())));
        }
    }
    Ok(Content::of(shown))
}

/// The pool's space, or why it is not known.
fn space(cluster: &Cluster, name: &str) -> Result<Result<PoolSpace, &'static str>, Fault> {
    Ok(pool::space(cluster, name)?.map(|stats| PoolSpace {
        stored_bytes: stats.stored,
        used_bytes: stats.bytes_used,
        available_bytes: stats.max_avail,
        objects: stats.objects,
    }))
}
