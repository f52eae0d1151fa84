//! Pools.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use ceph::{Cluster, Errno, IoContext};
use rbd::check::pools_forbidden;
use rbd::link::pool_not_found;
use rbd::{monitor, pool, pool_clients, pool_use, pool_users, totals};
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::check_new;
use rbd_model::pool::{AutoscaleMode, Pool, Totals};
use rbd_model::unread::UnreadImage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json as value;

use super::image_new::PUT_TRIES;
use crate::auth::Role;
use crate::call::{Call, json, located, nothing};
use crate::endpoint::{Answer, Endpoint};
use crate::envelope::List;
use crate::names::segment;
use crate::schema;

const TAG: &str = "pools";
/// The monitor command that deletes a pool.
const DELETE: &str = "osd pool delete";
/// The monitor command that bounds a pool.
const SET_QUOTA: &str = "osd pool set-quota";

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/pools", TAG, "listPools", "List the pools", list)
            .filtered()
            .describe("Those that the caller may see; current even when another client changed them a moment ago.")
            .query::<ListPools>()
            .answers::<List<PoolItem>>(StatusCode::OK, "The pools, by name; with view=names, as without a view, only their names."),
        Endpoint::new(Method::POST, "/pools", TAG, "createPool", "Make a pool", create)
            .describe(
                "The pool is initialised for rbd. If that fails, the pool is there without an application: the same call \
                 again finishes it.",
            )
            .role(Role::Admin)
            .takes::<NewPool>()
            .answers::<Pool>(StatusCode::CREATED, "The pool was made."),
        Endpoint::new(Method::GET, "/pools/{pool}", TAG, "getPool", "Get a pool", get)
            .answers::<Pool>(StatusCode::OK, "The pool."),
        Endpoint::new(Method::PUT, "/pools/{pool}", TAG, "putPool", "Make a pool unless it is there", put)
            .describe("A pool that is there is never changed; if it is not as asked for, the answer is 409.")
            .role(Role::Admin)
            .names("pool")
            .may_take::<PoolSettings>()
            .answers::<Pool>(StatusCode::OK, "The pool was there, as asked for.")
            .answers::<Pool>(StatusCode::CREATED, "The pool was made."),
        Endpoint::new(Method::DELETE, "/pools/{pool}", TAG, "deletePool", "Delete a pool and everything in it", delete)
            .describe(
                "Refused while images of other pools need it, as their parents' pool or that of their data, or while clients have images \
                 of it open, unless forced.",
            )
            .role(Role::Admin)
            .query::<DeletePool>()
            .answers_nothing(StatusCode::NO_CONTENT, "The pool is gone."),
        Endpoint::new(
            Method::GET,
            "/pools/{pool}/statistics",
            TAG,
            "getPoolStatistics",
            "Get how much a pool holds",
            statistics,
        )
        .describe("Reads every image's header, of all namespaces: it takes time with their number.")
        .answers::<Statistics>(StatusCode::OK, "The numbers. What is null is not known, for the reason in `unknown`."),
    ]
}

/// How much of each pool a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "PoolView")]
enum View {
    /// Everything.
    Full,
    /// The names.
    #[default]
    Names,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListPools {
    /// How much of each pool is shown.
    #[serde(default)]
    view: View,
}

/// A pool, or its name alone.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum PoolItem {
    /// With view=full.
    Full(Box<Pool>),
    /// With view=names.
    Name(PoolName),
}

/// The name of a pool.
#[derive(Debug, Serialize, JsonSchema)]
struct PoolName {
    /// Its name.
    name: String,
}

/// How much a pool holds. What is null is not known, for the reason in `unknown`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PoolStatistics")]
struct Statistics {
    /// The pool.
    pool: String,
    /// Its space, as the manager reported it last; the report may be half a minute old.
    space: Option<Space>,
    /// Its images, of all namespaces.
    images: Option<Totals>,
    /// What is in its trash, of all namespaces.
    trash: Option<Totals>,
    /// The number of its namespaces, without the default one.
    namespaces: Option<u64>,
    /// Images that cannot be read: their sizes and snapshots are not in the sums; absent when all can. At most 1,000.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unread: Vec<UnreadImage>,
    /// Why a field is null, by the field's name.
    unknown: BTreeMap<&'static str, String>,
}

/// A pool's space.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PoolSpace")]
struct Space {
    /// Stored by clients, counted once, in bytes.
    stored_bytes: u64,
    /// Used for it, with all replicas, in bytes.
    used_bytes: u64,
    /// What can still be stored, counted once, in bytes: by the fullest OSD, and shared with other pools.
    available_bytes: u64,
    /// Objects stored.
    objects: u64,
}

/// A pool to be made. What is not given is as the cluster's defaults have it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewPool {
    /// Its name.
    #[schemars(with = "schema::NewName")]
    name: String,
    /// The number of its placement groups.
    #[schemars(range(min = 1, max = 65536))]
    pg_num: Option<u64>,
    /// The number of replicas.
    #[schemars(range(min = 1, max = 10))]
    size: Option<u64>,
    /// Whether Ceph changes the number of placement groups.
    autoscale_mode: Option<AutoscaleMode>,
    /// The name of the CRUSH rule that places its objects.
    #[schemars(with = "Option<schema::Name>")]
    crush_rule: Option<String>,
    /// The most bytes it may store.
    #[schemars(range(min = 1, max = i64::MAX))]
    quota_bytes: Option<u64>,
    /// The most objects it may hold.
    #[schemars(range(min = 1, max = i64::MAX))]
    quota_objects: Option<u64>,
}

/// How a pool is to be. What is not given may be anything, and is as the cluster's defaults have it in a new one.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PoolSettings {
    /// The number of its placement groups. Only compared where Ceph does not change it by itself.
    #[schemars(range(min = 1, max = 65536))]
    pg_num: Option<u64>,
    /// The number of replicas.
    #[schemars(range(min = 1, max = 10))]
    size: Option<u64>,
    /// Whether Ceph changes the number of placement groups.
    autoscale_mode: Option<AutoscaleMode>,
    /// The name of the CRUSH rule that places its objects.
    #[schemars(with = "Option<schema::Name>")]
    crush_rule: Option<String>,
    /// The most bytes it may store.
    #[schemars(range(min = 1, max = i64::MAX))]
    quota_bytes: Option<u64>,
    /// The most objects it may hold.
    #[schemars(range(min = 1, max = i64::MAX))]
    quota_objects: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeletePool {
    /// The pool's name once more, since everything in it goes with it.
    #[schemars(required)]
    confirm: Option<String>,
    /// Deletes it although another application uses it, the object gateway or `CephFS`, or although images of other pools need
    /// it, clones of its images and images whose data it holds, or although clients have images of it open.
    #[serde(default)]
    force: bool,
}

impl PoolSettings {
    fn check(&self) -> Result<(), Fault> {
        let within = |field: &str, number: Option<u64>, most: u64| match number {
            Some(number) if number == 0 || number > most => {
                Err(Fault::field(field, format!("is {number}"), format!("a number from 1 to {most}")))
            }
            _ => Ok(()),
        };
        if self.crush_rule.as_deref() == Some("") {
            return Err(Fault::field(
                "crushRule",
                "is empty",
                "the name of a rule that `ceph osd crush rule ls` lists",
            ));
        }
        within("pgNum", self.pg_num, 65536)?;
        within("size", self.size, 10)?;
        // The monitors read quotas as signed numbers.
        within("quotaBytes", self.quota_bytes, i64::MAX.unsigned_abs())?;
        within("quotaObjects", self.quota_objects, i64::MAX.unsigned_abs())
    }

    /// What of a pool is not as asked for: field, what it is, what was asked for. The quotas of an unfinished pool
    /// are still to be set.
    fn differences(&self, pool: &Pool) -> Vec<serde_json::Value> {
        let mut differences = Vec::new();
        let mut compare = |field: &str, is: serde_json::Value, asked: serde_json::Value| {
            if !asked.is_null() && is != asked {
                differences.push(value!({ "field": field, "is": is, "asked": asked }));
            }
        };
        compare("kind", value!(pool.kind), value!("replicated"));
        if pool.autoscale_mode != Some(AutoscaleMode::On) {
            compare("pgNum", value!(pool.pg_num), value!(self.pg_num));
        }
        compare("size", value!(pool.size), value!(self.size));
        compare("autoscaleMode", value!(pool.autoscale_mode), value!(self.autoscale_mode));
        compare("crushRule", value!(pool.crush_rule), value!(self.crush_rule));
        if !pool.unfinished() {
            compare("quotaBytes", value!(pool.quota_bytes), value!(self.quota_bytes));
            compare("quotaObjects", value!(pool.quota_objects), value!(self.quota_objects));
            compare("applications", value!(pool.applications.iter().any(|name| name == "rbd")), value!(true));
        }
        differences
    }
}

async fn list(call: Call) -> Answer {
    let query: ListPools = call.query()?;
    let names = call
        .cluster(|cluster| {
            cluster.refresh()?;
            Ok(cluster.pools()?)
        })
        .await?;
    let mut names = call.visible_pools(names).await?;
    names.sort();
    let items = match query.view {
        View::Names => names.into_iter().map(|name| PoolItem::Name(PoolName { name })).collect(),
        View::Full => {
            let mut pools = call.cluster(pool::all).await?;
            pools.retain(|pool| names.binary_search(&pool.name).is_ok());
            pools.into_iter().map(|pool| PoolItem::Full(Box::new(pool))).collect()
        }
    };
    json(StatusCode::OK, &List::new("PoolList", items))
}

async fn get(call: Call) -> Answer {
    let name = call.param("pool").to_owned();
    let pool = call.cluster(move |cluster| pool::find(cluster, &name)?.ok_or_else(|| pool_not_found(&name))).await?;
    json(StatusCode::OK, &pool)
}

async fn create(mut call: Call) -> Answer {
    let NewPool { name, pg_num, size, autoscale_mode, crush_rule, quota_bytes, quota_objects } = call.json().await?;
    check_new("name", &name)?;
    let settings = PoolSettings { pg_num, size, autoscale_mode, crush_rule, quota_bytes, quota_objects };
    match make(&call, &name, settings).await? {
        Outcome::Made(pool) => made(&call, &pool),
        Outcome::WasThere(_) => {
            let problem = Fault::new(Kind::Exists, format!("There is a pool {name:?} already."));
            Err(problem.correction("Choose another name, or PUT the pool to use the one that is there.").into())
        }
    }
}

async fn put(mut call: Call) -> Answer {
    let settings: PoolSettings = call.json_or_default().await?;
    let name = call.param("pool").to_owned();
    let mut outcome = make(&call, &name, settings.clone()).await;
    for _ in 1..PUT_TRIES {
        // Another client deleted it when it was just there.
        if !outcome.as_ref().is_err_and(|problem| problem.kind() == Kind::PoolNotFound) {
            break;
        }
        outcome = make(&call, &name, settings.clone()).await;
    }
    match outcome? {
        Outcome::Made(pool) => made(&call, &pool),
        Outcome::WasThere(pool) => json(StatusCode::OK, &pool),
    }
}

fn made(call: &Call, pool: &Pool) -> Answer {
    let location = call.link(&format!("/pools/{}", segment(&pool.name)));
    Ok(located(json(StatusCode::CREATED, pool)?, &location))
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
        && !pool.unfinished()
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
    // A name that is refused for a new pool may still be that of one that is there.
    check_new("pool", name)?;
    // Asked before, so that no pool is left that cannot be used.
    let quotas = settings.quota_bytes.is_some() || settings.quota_objects.is_some();
    let needed = |command: &&&str| **command != DELETE && (quotas || **command != SET_QUOTA);
    if let Some(command) = cluster.forbidden_pool_commands()?.iter().find(needed) {
        return Err(pools_forbidden(cluster.entity(), command));
    }
    let mut command = value!({ "prefix": "osd pool create", "pool": name, "pool_type": "replicated" });
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
                value!({ "prefix": "osd pool set-quota", "pool": name, "field": field, "val": quota.to_string() });
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

async fn delete(call: Call) -> Answer {
    let name = call.param("pool").to_owned();
    let query: DeletePool = call.query()?;
    if query.confirm.as_deref() != Some(&name) {
        let allowed = format!("?confirm={}, since everything in the pool goes with it", segment(&name));
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
            refuse_used_by_others(&io)?;
            pool_users::refuse_needed(&io, deadline)?;
            pool_clients::refuse_open(&io, deadline)?;
        }
        let command = value!({
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
    nothing()
}

/// Refuses to delete what another application keeps in a pool.
fn refuse_used_by_others(io: &IoContext) -> Result<(), Fault> {
    let others: Vec<String> = io.applications()?.into_iter().filter(|name| name != pool_use::RBD).collect();
    if others.is_empty() {
        return Ok(());
    }
    let detail = format!("Pool {:?} is used by {}, whose data would go with it.", io.pool(), others.join(", "));
    Err(Fault::new(Kind::ForeignPool, detail)
        .correction("Repeat with &force=true if that data is not needed any more.")
        .with("applications", others))
}

async fn statistics(call: Call) -> Answer {
    let name = call.param("pool").to_owned();
    let pool = name.clone();
    let space = call.cluster(move |cluster| space(cluster, &pool)).await?;
    let mut shown = Statistics {
        pool: name.clone(),
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
    let totals = call.ceph(move |io| match totals::of(io, deadline) {
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
    json(StatusCode::OK, &shown)
}

/// The pool's space, or why it is not known.
fn space(cluster: &Cluster, name: &str) -> Result<Result<Space, &'static str>, Fault> {
    Ok(pool::space(cluster, name)?.map(|stats| Space {
        stored_bytes: stats.stored,
        used_bytes: stats.bytes_used,
        available_bytes: stats.max_avail,
        objects: stats.objects,
    }))
}
