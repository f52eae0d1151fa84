//! Pools.

use std::collections::BTreeMap;

use http::Method;
use rbd_model::pool::{AutoscaleMode, ImageTotals, Pool};
use rbd_model::unread::UnreadImage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::answer::{Content, Created, FoundOrCreated, NoContent};
use crate::endpoint::Endpoint;
use crate::input::{Json, NoBody, NoQuery, OptionalJson};
use crate::list::List;
use crate::path::{NoPath, PoolPath};
use crate::role::Role;
use crate::schema;
use rbd_model::fault::Fault;

const TAG: &str = "pools";

endpoints! {
    /// List the pools.
    LIST_POOLS: Endpoint<NoPath, ListPools, NoBody, Content<List<PoolItem>>> =
        Endpoint::new(Method::GET, "/pools", TAG, "listPools", "List the pools")
            .filtered()
            .describe("Those that the caller may see; current even when another client changed them a moment ago.")
            .answers(&["The pools, by name; with view=names, as without a view, only their names."]);

    /// Make a pool.
    CREATE_POOL: Endpoint<NoPath, NoQuery, Json<NewPool>, Created<Pool>> =
        Endpoint::new(Method::POST, "/pools", TAG, "createPool", "Make a pool")
            .describe(
                "The pool is initialised for rbd. If that fails, the pool is there without an application: the same \
                 call again finishes it.",
            )
            .role(Role::Admin)
            .answers(&["The pool was made."]);

    /// Get a pool.
    GET_POOL: Endpoint<PoolPath, NoQuery, NoBody, Content<Pool>> =
        Endpoint::new(Method::GET, "/pools/{pool}", TAG, "getPool", "Get a pool")
            .answers(&["The pool."]);

    /// Make a pool unless it is there.
    PUT_POOL: Endpoint<PoolPath, NoQuery, OptionalJson<PoolSettings>, FoundOrCreated<Pool>> =
        Endpoint::new(Method::PUT, "/pools/{pool}", TAG, "putPool", "Make a pool unless it is there")
            .describe("A pool that is there is never changed; if it is not as asked for, the answer is 409.")
            .role(Role::Admin)
            .names("pool")
            .answers(&["The pool was there, as asked for.", "The pool was made."]);

    /// Delete a pool and everything in it.
    DELETE_POOL: Endpoint<PoolPath, DeletePool, NoBody, NoContent> =
        Endpoint::new(Method::DELETE, "/pools/{pool}", TAG, "deletePool", "Delete a pool and everything in it")
            .describe(
                "Rejected while images of other pools need it, as their parents' pool or that of their data, or while \
                 clients have images of it open, unless forced.",
            )
            .role(Role::Admin)
            .answers(&["The pool is gone."]);

    /// Get how much a pool holds.
    GET_POOL_STATISTICS: Endpoint<PoolPath, NoQuery, NoBody, Content<PoolStatistics>> =
        Endpoint::new(Method::GET, "/pools/{pool}/statistics", TAG, "getPoolStatistics", "Get how much a pool holds")
            .describe("Reads every image's header, of all namespaces: it takes time with their number.")
            .answers(&["The numbers. What is null is not known, for the reason in `unknown`."]);
}

/// How much of each pool a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PoolView {
    /// Everything.
    Full,
    /// The names.
    #[default]
    Names,
}

/// How much of each pool a list has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListPools {
    /// How much of each pool is shown.
    #[serde(default)]
    pub view: PoolView,
}

/// A pool, or its name alone.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum PoolItem {
    /// With view=full.
    Full(Box<Pool>),
    /// With view=names.
    Name(PoolName),
}

/// The name of a pool.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PoolName {
    /// Its name.
    pub name: String,
}

/// How much a pool holds. What is null is not known, for the reason in `unknown`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatistics {
    /// The pool.
    pub pool: String,
    /// Its space, as the manager reported it last; the report may be half a minute old.
    pub space: Option<PoolSpace>,
    /// Its images, of all namespaces.
    pub images: Option<ImageTotals>,
    /// What is in its trash, of all namespaces.
    pub trash: Option<ImageTotals>,
    /// The number of its namespaces, without the default one.
    pub namespaces: Option<u64>,
    /// Images that cannot be read: their sizes and snapshots are not in the sums; absent when all can. At most 1,000.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadImage>,
    /// Why a field is null, by the field's name.
    pub unknown: BTreeMap<&'static str, String>,
}

/// A pool's space.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolSpace {
    /// Stored by clients, counted once, in bytes.
    pub stored_bytes: u64,
    /// Used for it, with all replicas, in bytes.
    pub used_bytes: u64,
    /// What can still be stored, counted once, in bytes: by the fullest OSD, and shared with other pools.
    pub available_bytes: u64,
    /// Objects stored.
    pub objects: u64,
}

/// A request's body with what a pool may be set to after its own fields. (`serde` cannot both flatten and reject fields that it
/// does not know.)
macro_rules! with_settings {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$own_meta:meta])* pub $own:ident: $type:ty,)* }
     $(#[$pg_num_meta:meta])* pg_num) => {
        $(#[$meta])*
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            $($(#[$own_meta])* pub $own: $type,)*
            $(#[$pg_num_meta])*
            #[schemars(range(min = 1, max = MOST_PGS))]
            pub pg_num: Option<u64>,
            /// The number of replicas.
            #[schemars(range(min = 1, max = MOST_REPLICAS))]
            pub size: Option<u64>,
            /// Whether Ceph changes the number of placement groups.
            pub autoscale_mode: Option<AutoscaleMode>,
            /// The name of the CRUSH rule that places its objects.
            #[schemars(with = "Option<schema::Name>")]
            pub crush_rule: Option<String>,
            /// The most bytes it may store.
            #[schemars(range(min = 1, max = i64::MAX))]
            pub quota_bytes: Option<u64>,
            /// The most objects it may hold.
            #[schemars(range(min = 1, max = i64::MAX))]
            pub quota_objects: Option<u64>,
        }
    };
}

/// The most placement groups of a pool that may be asked for.
const MOST_PGS: u64 = 65536;
/// The most replicas that a pool of Ceph may have.
const MOST_REPLICAS: u64 = 10;

with_settings! {
    /// A pool to be made. What is not given is as the cluster's defaults have it.
    #[derive(Debug, Clone, Deserialize, JsonSchema)]
    pub struct NewPool {
        /// Its name.
        #[schemars(with = "schema::NewName")]
        pub name: String,
    }
    /// The number of its placement groups.
    pg_num
}

with_settings! {
    /// How a pool is to be. What is not given may be anything, and is as the cluster's defaults have it in a new one.
    #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
    pub struct PoolSettings {}
    /// The number of its placement groups. Only compared where Ceph does not change it by itself.
    pg_num
}

impl NewPool {
    /// Its name, and how it is to be.
    pub fn split(self) -> (String, PoolSettings) {
        let Self { name, pg_num, size, autoscale_mode, crush_rule, quota_bytes, quota_objects } = self;
        (name, PoolSettings { pg_num, size, autoscale_mode, crush_rule, quota_bytes, quota_objects })
    }
}

/// That a pool is really to be deleted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeletePool {
    /// The pool's name once more, since everything in it goes with it.
    #[schemars(required)]
    pub confirm: Option<String>,
    /// Deletes it although another application uses it, the object gateway or `CephFS`, or although images of other pools need
    /// it, clones of its images and images whose data it holds, or although clients have images of it open.
    #[serde(default)]
    pub force: bool,
}

impl PoolSettings {
    /// Checks what the schema says.
    ///
    /// # Errors
    /// `invalid-field`.
    pub fn check(&self) -> Result<(), Fault> {
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
        within("pgNum", self.pg_num, MOST_PGS)?;
        within("size", self.size, MOST_REPLICAS)?;
        // The monitors read quotas as signed numbers.
        within("quotaBytes", self.quota_bytes, i64::MAX.unsigned_abs())?;
        within("quotaObjects", self.quota_objects, i64::MAX.unsigned_abs())
    }

    /// What of a pool is not as asked for: field, what it is, what was asked for. The quotas of an unfinished pool
    /// are still to be set.
    pub fn differences(&self, pool: &Pool) -> Vec<serde_json::Value> {
        let mut differences = Vec::new();
        let mut compare = |field: &str, is: serde_json::Value, asked: serde_json::Value| {
            if !asked.is_null() && is != asked {
                differences.push(json!({ "field": field, "is": is, "asked": asked }));
            }
        };
        compare("kind", json!(pool.kind), json!("replicated"));
        if pool.autoscale_mode != Some(AutoscaleMode::On) {
            compare("pgNum", json!(pool.pg_num), json!(self.pg_num));
        }
        compare("size", json!(pool.size), json!(self.size));
        compare("autoscaleMode", json!(pool.autoscale_mode), json!(self.autoscale_mode));
        compare("crushRule", json!(pool.crush_rule), json!(self.crush_rule));
        if !pool.is_unfinished() {
            compare("quotaBytes", json!(pool.quota_bytes), json!(self.quota_bytes));
            compare("quotaObjects", json!(pool.quota_objects), json!(self.quota_objects));
            compare("applications", json!(pool.applications.iter().any(|name| name == "rbd")), json!(true));
        }
        differences
    }
}
