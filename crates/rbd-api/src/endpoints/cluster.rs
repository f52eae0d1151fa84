//! The cluster.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Content;
use crate::endpoint::Endpoint;
use crate::input::{NoBody, NoQuery};
use crate::path::NoPath;

const TAG: &str = "cluster";

endpoints! {
    /// Get the cluster.
    GET_CLUSTER: Endpoint<NoPath, NoQuery, NoBody, Content<Cluster>> =
        Endpoint::new(Method::GET, "/cluster", TAG, "getCluster", "Get the cluster")
            .describe("Who it is, its release, its health, and its space.")
            .answers(&["The cluster. What is null is not known, for the reason in `unknown`."]);
}

/// The cluster. What is null is not known, for the reason in `unknown`.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// The cluster's id, a UUID.
    pub fsid: String,
    /// The release of the monitor that answered, such as `16.2.15`.
    pub version: Option<String>,
    /// The releases that its daemons run.
    pub daemons: Option<Vec<Daemons>>,
    /// The client libraries that this service uses.
    pub libraries: Libraries,
    /// The entity that this service is to Ceph, such as `client.admin`.
    pub entity: String,
    /// Its health.
    pub health: Option<Health>,
    /// Its space, as the manager reported it last; the report may be half a minute old.
    pub capacity: Option<ClusterCapacity>,
    /// Its monitors.
    pub monitors: Option<Monitors>,
    /// Its OSDs.
    pub osds: Option<Osds>,
    /// Its managers.
    pub managers: Option<Managers>,
    /// Why a field is null, by the field's name.
    pub unknown: BTreeMap<&'static str, String>,
}

/// Daemons of one kind and release.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Daemons {
    /// `mon`, `mgr`, `osd`, …
    pub kind: String,
    /// Their release, such as `16.2.15`.
    pub version: String,
    /// Their number.
    pub count: u64,
}

/// Versions of the libraries' interfaces, which are not those of Ceph's releases.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Libraries {
    /// librados, such as `3.0.0`.
    pub librados: String,
    /// librbd, such as `1.16.0`.
    pub librbd: String,
}

/// The cluster's health.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `HEALTH_OK`, `HEALTH_WARN` or `HEALTH_ERR`.
    pub status: String,
    /// What is wrong.
    pub checks: Vec<HealthCheck>,
}

/// One thing that is wrong. See <https://docs.ceph.com/en/latest/rados/operations/health-checks/>.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Its code, such as `OSD_DOWN`.
    pub code: String,
    /// `HEALTH_WARN` or `HEALTH_ERR`.
    pub severity: String,
    /// What it is.
    pub message: String,
    /// Whether an operator silenced it.
    pub muted: bool,
}

/// The cluster's space.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterCapacity {
    /// All space of all OSDs, in bytes.
    pub total_bytes: u64,
    /// Used of it, with all replicas, in bytes.
    pub used_bytes: u64,
    /// What is left of it, in bytes.
    pub available_bytes: u64,
    /// Data stored, counted once, in bytes.
    pub stored_bytes: u64,
    /// Objects stored.
    pub objects: u64,
}

/// The monitors.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitors {
    /// Their number.
    pub total: u64,
    /// The names of those in quorum.
    pub in_quorum: Vec<String>,
}

/// The OSDs.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Osds {
    /// Their number.
    pub total: u64,
    /// Those that run.
    pub up: u64,
    /// Those that hold data.
    pub r#in: u64,
}

/// The managers, without an active one of which nothing is known of space.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Managers {
    /// Whether one is active.
    pub active: bool,
    /// Those that would take over.
    pub standby: u64,
}
