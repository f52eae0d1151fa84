//! The cluster's `ceph.conf`.

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::{Result, bail};

use super::{CephOptions, Store};

/// The monitor's address, and its two ports there: messenger v2 and v1.
#[derive(Debug, Clone, Copy)]
pub struct MonPorts {
    pub address: Ipv4Addr,
    pub v2: u16,
    pub v1: u16,
}

impl MonPorts {
    /// Two free ports below the range that Linux hands to outgoing connections (32768 and up): a monitor that is
    /// stopped for a while finds its port free again.
    pub fn pick(address: Ipv4Addr) -> Result<MonPorts> {
        let mut free = Vec::new();
        for _ in 0..1000 {
            // The hasher's random seed is all the randomness needed here.
            let port = 15_000 + u16::try_from(RandomState::new().hash_one(()) % 15_000)?;
            // The listener is kept until both are found, so they differ.
            if let Ok(listener) = TcpListener::bind((address, port)) {
                free.push((listener, port));
            }
            if let [(_, v2), (_, v1)] = free[..] {
                return Ok(MonPorts { address, v2, v1 });
            }
        }
        bail!("no two free TCP ports on {address} between 15000 and 30000")
    }

    /// The address vector, in the form of `mon_host` and `monmaptool --addv`.
    pub fn vector(self) -> String {
        format!("[v2:{0}:{1}/0,v1:{0}:{2}/0]", self.address, self.v2, self.v1)
    }
}

/// Renders `ceph.conf`. What only daemons need stands in their sections, so that a client sees Ceph's defaults.
pub fn render(options: &CephOptions, dir: &Path, fsid: &str, ports: MonPorts) -> String {
    let dir = dir.display();
    let address = ports.address;
    let monitor = ports.vector();
    let store = match options.store {
        Store::Memory { bytes } => format!("osd_objectstore = memstore\nmemstore_device_bytes = {bytes}\n"),
        Store::Bluestore { bytes } => format!(
            "osd_objectstore = bluestore\nbluestore_block_size = {bytes}\nbluestore_cache_autotune = false\n\
             bluestore_cache_size = 67108864\n"
        ),
    };
    let mut conf = format!(
        "[global]
fsid = {fsid}
mon_host = {monitor}
public_addr = {address}
cluster_addr = {address}
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
# All daemons look at these.
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_max_pg_per_osd = 10000
run_dir = {dir}/run
keyring = {dir}/$name.keyring

[mon]
mon_data = {dir}/mon
mon_initial_members = a
# A port that is taken fails the start at once; it is then tried with another.
ms_bind_retry_count = 1
ms_bind_retry_delay = 0
# Commit a change at once instead of collecting changes for a second.
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_allow_pool_delete = true
mon_allow_pool_size_one = true
# Only what a test does may change the cluster's health.
auth_allow_insecure_global_id_reclaim = false
mon_warn_on_pool_no_redundancy = false
mon_mgr_mkfs_grace = 1000000
mon_data_avail_warn = 2
mon_data_avail_crit = 1
# A frozen OSD stays `up` and `in`, and serves again as soon as it is thawed.
mon_osd_report_timeout = 1000000
mon_osd_down_out_interval = 1000000
mgr_initial_modules =
mon_mgr_beacon_grace = 10

[osd]
osd_data = {dir}/$name
{store}osd_memory_target = 939524096
osd_max_pg_per_osd_hard_ratio = 10
osd_class_load_list = *
osd_class_default_list = *
osd_mon_report_interval = 1
# A frozen OSD must not end itself when it is thawed.
osd_op_thread_suicide_timeout = 0
osd_command_thread_suicide_timeout = 0
# Nor may its placement groups wait for a renewed read lease (16 s): replicas renew it, and there are none. Without this some
# groups do not answer for a minute after the thaw.
osd_pool_default_read_lease_ratio = 1000
bluestore_kv_sync_util_logging_s = 0

[mgr]
mgr_data = {dir}/$name
mgr_stats_period = 1
mgr_tick_period = 1
mgr_disabled_modules = {MGR_MODULES_OFF}
# Its module `devicehealth` makes a pool of its own once there are as many OSDs as the manager takes a pool to have replicas.
# That there never are is all that keeps it: its option `enable_monitoring` holds only after it was read, and a change of the
# OSD map may come before.
osd_pool_default_size = 2
mon_warn_on_too_few_osds = false
"
    );
    // A daemon finds a monitor that was frozen or restarted within a second; a client keeps Ceph's own pace.
    for section in ["mon", "osd", "mgr"] {
        let _ = write!(
            conf,
            "
[{section}]
log_file = {dir}/log/$name.log
log_to_stderr = false
admin_socket = {dir}/run/$name.asok
mon_client_hunt_interval = 0.5
mon_client_hunt_interval_max_multiple = 1
mon_client_ping_interval = 1
mgr_connect_retry_interval = 0.2
"
        );
    }
    conf
}

/// Modules that a manager loads although nothing here enables them, each a tenth of a second or more. Those that are
/// always on must stay: without them the cluster is `HEALTH_ERR`.
const MGR_MODULES_OFF: &str = "alerts,influx,insights,iostat,localpool,mirroring,nfs,osd_perf_query,osd_support,prometheus,\
                               restful,selftest,snap_schedule,stats,telegraf,test_orchestrator,zabbix";
