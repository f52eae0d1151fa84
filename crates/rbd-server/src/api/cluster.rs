//! The cluster.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use rbd::monitor::{self, Status};
use rbd_model::fault::{Fault, Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call::{Call, json};
use crate::endpoint::{Answer, Endpoint};

const TAG: &str = "cluster";

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/cluster", TAG, "getCluster", "Get the cluster", get)
            .describe("Who it is, its release, its health, and its space.")
            .answers::<Cluster>(StatusCode::OK, "The cluster. What is null is not known, for the reason in `unknown`."),
    ]
}

/// The cluster. What is null is not known, for the reason in `unknown`.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    /// The cluster's id, a UUID.
    fsid: String,
    /// The release of the monitor that answered, such as `16.2.15`.
    version: Option<String>,
    /// The releases that its daemons run.
    daemons: Option<Vec<Daemons>>,
    /// The client libraries that this service uses.
    libraries: Libraries,
    /// The entity that this service is to Ceph, such as `client.admin`.
    entity: String,
    /// Its health.
    health: Option<Health>,
    /// Its space, as the manager reported it last; the report may be half a minute old.
    capacity: Option<Capacity>,
    /// Its monitors.
    monitors: Option<Monitors>,
    /// Its OSDs.
    osds: Option<Osds>,
    /// Its managers.
    managers: Option<Managers>,
    /// Why a field is null, by the field's name.
    unknown: BTreeMap<&'static str, String>,
}

/// Daemons of one kind and release.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Daemons {
    /// `mon`, `mgr`, `osd`, …
    kind: String,
    /// Their release, such as `16.2.15`.
    version: String,
    /// Their number.
    count: u64,
}

/// Versions of the libraries' interfaces, which are not those of Ceph's releases.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Libraries {
    /// librados, such as `3.0.0`.
    librados: String,
    /// librbd, such as `1.16.0`.
    librbd: String,
}

/// The cluster's health.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Health {
    /// `HEALTH_OK`, `HEALTH_WARN` or `HEALTH_ERR`.
    status: String,
    /// What is wrong.
    checks: Vec<HealthCheck>,
}

/// One thing that is wrong. See <https://docs.ceph.com/en/latest/rados/operations/health-checks/>.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct HealthCheck {
    /// Its code, such as `OSD_DOWN`.
    code: String,
    /// `HEALTH_WARN` or `HEALTH_ERR`.
    severity: String,
    /// What it is.
    message: String,
    /// Whether an operator silenced it.
    muted: bool,
}

/// The cluster's space.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Capacity {
    /// All space of all OSDs, in bytes.
    total_bytes: u64,
    /// Used of it, with all replicas, in bytes.
    used_bytes: u64,
    /// What is left of it, in bytes.
    available_bytes: u64,
    /// Data stored, counted once, in bytes.
    stored_bytes: u64,
    /// Objects stored.
    objects: u64,
}

/// The monitors.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Monitors {
    /// Their number.
    total: u64,
    /// The names of those in quorum.
    in_quorum: Vec<String>,
}

/// The OSDs.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Osds {
    /// Their number.
    total: u64,
    /// Those that run.
    up: u64,
    /// Those that hold data.
    r#in: u64,
}

/// The managers, without an active one of which nothing is known of space.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Managers {
    /// Whether one is active.
    active: bool,
    /// Those that would take over.
    standby: u64,
}

/// The answer to `ceph version`.
#[derive(Debug, Deserialize)]
struct Version {
    version: String,
}

/// `16.2.15` of `ceph version 16.2.15 (618f…) pacific (stable)`; the whole when it has another form.
fn release(version: &str) -> String {
    version.strip_prefix("ceph version ").and_then(|rest| rest.split(' ').next()).unwrap_or(version).to_owned()
}

/// The value, or why there is none: not to be allowed to ask is no failure of the request.
fn known<T>(
    result: Result<T, Fault>,
    fields: &[&'static str],
    unknown: &mut BTreeMap<&'static str, String>,
) -> Result<Option<T>, Fault> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(problem) if problem.kind() == Kind::CephForbidden => {
            for field in fields {
                unknown.insert(field, problem.detail().to_owned());
            }
            Ok(None)
        }
        Err(problem) => Err(problem),
    }
}

async fn get(call: Call) -> Answer {
    json(StatusCode::OK, &call.cluster(read).await?)
}

fn read(cluster: &ceph::Cluster) -> Result<Cluster, Fault> {
    let (librados, librbd) = ceph::library_versions();
    let mut shown = Cluster {
        fsid: cluster.fsid()?,
        libraries: Libraries { librados, librbd },
        entity: cluster.entity().to_owned(),
        ..Cluster::default()
    };
    let unknown = &mut shown.unknown;
    let version: Option<Version> = known(monitor::ask(cluster, "version"), &["version"], unknown)?;
    shown.version = version.map(|answer| release(&answer.version));
    // By kind, and under "overall" once more.
    let versions: Option<BTreeMap<String, BTreeMap<String, u64>>> =
        known(monitor::ask(cluster, "versions"), &["daemons"], unknown)?;
    shown.daemons = versions.map(|kinds| {
        let kinds = kinds.into_iter().filter(|(kind, _)| kind != "overall");
        kinds
            .flat_map(|(kind, versions)| {
                let daemons =
                    |(version, count): (String, u64)| Daemons { kind: kind.clone(), version: release(&version), count };
                versions.into_iter().map(daemons).collect::<Vec<_>>()
            })
            .collect()
    });
    let fields = ["health", "capacity", "monitors", "osds", "managers"];
    let Some(status) = known(Status::read(cluster), &fields, unknown)? else { return Ok(shown) };
    match status.no_report() {
        Some(reason) => {
            unknown.insert("capacity", reason.to_owned());
        }
        None => {
            shown.capacity = Some(Capacity {
                total_bytes: status.pgmap.bytes_total,
                used_bytes: status.pgmap.bytes_used,
                available_bytes: status.pgmap.bytes_avail,
                stored_bytes: status.pgmap.data_bytes,
                objects: status.pgmap.num_objects,
            });
        }
    }
    let check = |(code, check): (String, monitor::HealthCheck)| HealthCheck {
        code,
        severity: check.severity,
        message: check.summary.message,
        muted: check.muted,
    };
    shown.health =
        Some(Health { status: status.health.status, checks: status.health.checks.into_iter().map(check).collect() });
    shown.monitors = Some(Monitors { total: status.monmap.num_mons, in_quorum: status.quorum_names });
    let osds = status.osdmap;
    shown.osds = Some(Osds { total: osds.num_osds, up: osds.num_up_osds, r#in: osds.num_in_osds });
    shown.managers = Some(Managers { active: status.mgrmap.available, standby: status.mgrmap.num_standbys });
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn a_release_is_its_number() {
        assert_eq!(
            release("ceph version 16.2.15 (618f440892089921c3e944a991122ddc44e60516) pacific (stable)"),
            "16.2.15"
        );
        assert_eq!(release("something else"), "something else");
    }
}
