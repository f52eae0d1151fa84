//! The cluster.

use std::collections::BTreeMap;

use rbd::monitor::{self, Status};
use rbd_api::answer::Content;
use rbd_api::endpoints::cluster as declared;
use rbd_api::endpoints::cluster::{
    Cluster, ClusterCapacity, Daemons, Health, HealthCheck, Libraries, Managers, Monitors, Osds,
};
use rbd_api::input::Input;
use rbd_api::path::NoPath;
use rbd_api::problem::Problem;
use rbd_model::fault::{Fault, Kind};
use serde::Deserialize;

use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![bind(&declared::GET_CLUSTER, get)]
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

async fn get(call: Call, _: Input<NoPath>) -> Result<Content<Cluster>, Problem> {
    Ok(Content::of(call.cluster(read).await?))
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
            shown.capacity = Some(ClusterCapacity {
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
    fn release_is_the_number_of_the_version_text() {
        assert_eq!(
            release("ceph version 16.2.15 (618f440892089921c3e944a991122ddc44e60516) pacific (stable)"),
            "16.2.15"
        );
        assert_eq!(release("something else"), "something else");
    }
}
