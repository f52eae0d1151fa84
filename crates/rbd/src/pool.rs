//! Pools as the monitors know them.

use std::collections::BTreeMap;

use ceph::Cluster;
use jiff::Timestamp;
use jiff::fmt::strtime;
use rbd_model::fault::Fault;
use rbd_model::pool::{AutoscaleMode, Pool};
use serde::Deserialize;

use crate::monitor;

/// One pool of `ceph osd pool ls detail`. See `pg_pool_t::dump` in Ceph's `src/osd/osd_types.cc`.
#[derive(Debug, Deserialize)]
struct Detail {
    pool_id: i64,
    pool_name: String,
    create_time: Option<String>,
    r#type: u64,
    size: u64,
    min_size: u64,
    crush_rule: i64,
    #[serde(default)]
    pg_autoscale_mode: String,
    pg_num: u64,
    pg_num_target: Option<u64>,
    quota_max_bytes: u64,
    quota_max_objects: u64,
    #[serde(default)]
    application_metadata: BTreeMap<String, serde_json::Value>,
}

/// One rule of `ceph osd crush rule dump`.
#[derive(Debug, Deserialize)]
struct Rule {
    rule_id: i64,
    rule_name: String,
}

/// All pools, by name. Asks the monitors, not the pools, so that a stuck pool does not matter.
///
/// # Errors
/// As [`monitor::ask`].
pub fn all(cluster: &Cluster) -> Result<Vec<Pool>, Fault> {
    let details: Vec<Detail> = monitor::ask(cluster, "osd pool ls detail")?;
    let rules: Vec<Rule> = monitor::ask(cluster, "osd crush rule dump")?;
    let rules: BTreeMap<i64, String> = rules.into_iter().map(|rule| (rule.rule_id, rule.rule_name)).collect();
    let mut pools: Vec<Pool> = details.into_iter().map(|detail| shown(detail, &rules)).collect();
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pools)
}

/// One pool, if it is there.
///
/// # Errors
/// As [`monitor::ask`].
pub fn find(cluster: &Cluster, name: &str) -> Result<Option<Pool>, Fault> {
    Ok(all(cluster)?.into_iter().find(|pool| pool.name == name))
}

fn shown(detail: Detail, rules: &BTreeMap<i64, String>) -> Pool {
    let unless_zero = |number: u64| (number > 0).then_some(number);
    Pool {
        name: detail.pool_name,
        id: detail.pool_id,
        // `pg_pool_t::TYPE_ERASURE`.
        kind: if detail.r#type == 3 { "erasure" } else { "replicated" },
        applications: detail.application_metadata.into_keys().collect(),
        size: detail.size,
        min_size: detail.min_size,
        pg_num: detail.pg_num_target.unwrap_or(detail.pg_num),
        autoscale_mode: AutoscaleMode::parse(&detail.pg_autoscale_mode),
        crush_rule: rules.get(&detail.crush_rule).cloned(),
        quota_bytes: unless_zero(detail.quota_max_bytes),
        quota_objects: unless_zero(detail.quota_max_objects),
        created_at: detail.create_time.as_deref().and_then(time),
    }
}

/// `ceph df`. One that the manager has not reported yet is missing.
#[derive(Debug, Deserialize)]
struct Df {
    pools: Vec<DfPool>,
}

#[derive(Debug, Deserialize)]
struct DfPool {
    name: String,
    stats: DfStats,
}

/// The space of a pool. See `PGMapDigest::dump_object_stat_sum` in Ceph's `src/mon/PGMap.cc`.
#[derive(Debug, Deserialize)]
pub struct DfStats {
    /// Bytes that clients have stored.
    pub stored: u64,
    /// Bytes that they take on disks, copies included.
    pub bytes_used: u64,
    /// Bytes that clients can still store.
    pub max_avail: u64,
    /// The number of objects.
    pub objects: u64,
    /// How much of the space that the pool can have is used, from 0 to 1.
    pub percent_used: f64,
}

/// The space of a pool, or why it is not known.
///
/// # Errors
/// As [`monitor::ask`].
pub fn space(cluster: &Cluster, pool: &str) -> Result<Result<DfStats, &'static str>, Fault> {
    if let Some(reason) = monitor::Status::read(cluster)?.no_report() {
        return Ok(Err(reason));
    }
    let df: Df = monitor::ask(cluster, "df")?;
    let found = df.pools.into_iter().find(|found| found.name == pool);
    Ok(found.map(|found| found.stats).ok_or("The manager has not reported this pool yet."))
}

/// How much of the space that a pool can have is used, in percent, or why that is not known.
///
/// # Errors
/// As [`monitor::ask`].
pub fn used_percent(cluster: &Cluster, pool: &str) -> Result<Result<f64, &'static str>, Fault> {
    Ok(space(cluster, pool)?.map(|stats| stats.percent_used * 100.0))
}

/// A time as Ceph writes it, `2026-11-23T05:53:18.278039+0000`.
fn time(text: &str) -> Option<Timestamp> {
    strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?.to_timestamp().ok()
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn ceph_times_are_read() {
        let read = time("2026-11-23T05:53:18.278039+0000").unwrap();
        assert_eq!(read.to_string(), "2026-11-23T05:53:18.278039Z");
        assert_eq!(time("0.000000"), None);
    }
}
