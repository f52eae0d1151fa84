//! Commands to the monitors, and what the two answers that several endpoints need hold.

use ceph::{Cluster, Errno};
use rbd_model::fault::{Fault, Kind};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Sends a command, whose `prefix` is as in `ceph --help`, and gives the monitors' status text.
///
/// # Errors
/// `ceph-forbidden` naming the capability that is missing; else what the errno means, with the monitors' own words.
pub fn run(cluster: &Cluster, command: &Value) -> Result<String, Fault> {
    send(cluster, command).map(|(_, status)| status)
}

/// Sends a command that reads, such as `status` or `osd pool ls detail`, and gives its answer.
///
/// # Errors
/// As [`run`]; `damaged` for an answer of an unknown form.
pub fn ask<T: DeserializeOwned>(cluster: &Cluster, prefix: &str) -> Result<T, Fault> {
    // The one command among them whose last word is an argument.
    let command = match prefix.strip_suffix(" detail") {
        Some(prefix) => json!({ "prefix": prefix, "detail": "detail", "format": "json" }),
        None => json!({ "prefix": prefix, "format": "json" }),
    };
    let (output, _) = send(cluster, &command)?;
    serde_json::from_slice(&output).map_err(|error| {
        Fault::new(Kind::Damaged, format!("The monitors' answer to \"{prefix}\" cannot be read: {error}."))
            .correction("This release of Ceph may be younger than this service: upgrade the service.")
    })
}

fn send(cluster: &Cluster, command: &Value) -> Result<(Vec<u8>, String), Fault> {
    let text = command.to_string();
    cluster.monitor_command_with_status(&text).map_err(|error| {
        let prefix = command["prefix"].as_str().unwrap_or("");
        let ceph::Error::Call { subject, errno, .. } = &error else { return error.into() };
        // The subject is the command, and in parentheses what the monitors said.
        let said = subject.strip_prefix(&text).unwrap_or(subject).trim().trim_matches(['(', ')']);
        let said = if said.is_empty() { errno.to_string() } else { said.to_owned() };
        let fault: Fault = error.clone().into();
        let detail = format!("The monitors reject \"{prefix}\": {said}.");
        match *errno {
            Errno::EACCES => {
                let entity = cluster.entity();
                let cap = if READS.contains(&prefix) { "allow r" } else { &format!("allow command \"{prefix}\"") };
                Fault::new(Kind::CephForbidden, detail)
                    .correction(format!("Add to the mon capabilities of {entity} with `ceph auth caps`: {cap}."))
                    .with("capability", format!("mon '{cap}'"))
                    .errno(*errno)
            }
            Errno::EPERM => Fault::new(Kind::CephForbidden, detail).errno(*errno),
            Errno::ETIMEDOUT => fault,
            _ => fault.about(detail),
        }
    })
}

/// The commands that need no more than reading.
const READS: [&str; 6] = ["df", "osd crush rule dump", "osd pool ls", "status", "version", "versions"];

/// What of `ceph status` is used. See `Monitor::get_cluster_status` in Ceph's `src/mon/Monitor.cc`.
#[derive(Debug, Deserialize)]
pub struct Status {
    /// `health`.
    pub health: Health,
    /// The monitors that are in quorum.
    #[serde(default)]
    pub quorum_names: Vec<String>,
    /// `monmap`.
    pub monmap: MonMap,
    /// `osdmap`.
    pub osdmap: OsdMap,
    /// `pgmap`: what the manager reported last, without a time.
    pub pgmap: PgMap,
    /// `mgrmap`.
    pub mgrmap: MgrMap,
}

/// The cluster's health.
#[derive(Debug, Deserialize)]
pub struct Health {
    /// `HEALTH_OK`, `HEALTH_WARN`, `HEALTH_ERR`.
    pub status: String,
    /// What is wrong, by code.
    #[serde(default)]
    pub checks: std::collections::BTreeMap<String, HealthCheck>,
}

/// One thing that is wrong.
#[derive(Debug, Deserialize)]
pub struct HealthCheck {
    /// As the cluster's.
    pub severity: String,
    /// What it is.
    pub summary: HealthSummary,
    /// Whether an operator silenced it.
    #[serde(default)]
    pub muted: bool,
}

/// What is wrong, in words.
#[derive(Debug, Deserialize)]
pub struct HealthSummary {
    /// A line.
    pub message: String,
}

/// The monitors.
#[derive(Debug, Deserialize)]
pub struct MonMap {
    /// Their number.
    pub num_mons: u64,
}

/// The OSDs.
#[derive(Debug, Deserialize)]
pub struct OsdMap {
    /// Their number.
    pub num_osds: u64,
    /// Those that run.
    pub num_up_osds: u64,
    /// Those that hold data.
    pub num_in_osds: u64,
}

/// The manager's last report.
#[derive(Debug, Deserialize)]
pub struct PgMap {
    /// All space; 0 or missing before the first report.
    #[serde(default)]
    pub bytes_total: u64,
    /// Used space, with all replicas.
    #[serde(default)]
    pub bytes_used: u64,
    /// Space left.
    #[serde(default)]
    pub bytes_avail: u64,
    /// Data stored, counted once.
    #[serde(default)]
    pub data_bytes: u64,
    /// Objects stored.
    #[serde(default)]
    pub num_objects: u64,
}

/// The managers.
#[derive(Debug, Deserialize)]
pub struct MgrMap {
    /// Whether one is active and answers the monitors.
    pub available: bool,
    /// Those that would take over.
    #[serde(default)]
    pub num_standbys: u64,
}

impl Status {
    /// Reads it.
    ///
    /// # Errors
    /// As [`ask`].
    pub fn read(cluster: &Cluster) -> Result<Self, Fault> {
        ask(cluster, "status")
    }

    /// Why nothing is known of space and numbers of objects; none when it is.
    ///
    /// Without a manager Ceph answers zeros, and after one has gone, its last report for ever. The monitors notice that a
    /// manager is gone after `mon_mgr_beacon_grace` (30 s); until then its last report passes for current.
    pub fn no_report(&self) -> Option<&'static str> {
        if !self.mgrmap.available {
            Some("No manager is active, so that nothing current is reported: start ceph-mgr.")
        } else if self.pgmap.bytes_total == 0 {
            Some("The manager has not reported yet.")
        } else {
            None
        }
    }
}
