//! The connection to a cluster: configuration, connecting, pools, monitor commands.

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int};
use std::fmt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ceph_sys as sys;

use crate::error::{Errno, Error, Result, check};
use crate::good_pools::GoodPools;
use crate::handle::Handle;
use crate::text::{c_string, growing, separated, until_nul};

/// How to reach a cluster and as whom.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The configuration file; without one Ceph's own places are searched (`$CEPH_CONF`, `/etc/ceph/ceph.conf`, …).
    pub conf_file: Option<PathBuf>,
    /// The entity, such as `client.admin`.
    pub entity: String,
    /// The keyring; without one the configuration's `keyring` option decides.
    pub keyring: Option<PathBuf>,
    /// How long connecting may take (`client_mount_timeout`).
    pub connect_timeout: Duration,
    /// How long a monitor command may take (`rados_mon_op_timeout`).
    pub monitor_timeout: Duration,
    /// More options, set last: name and value.
    pub options: Vec<(String, String)>,
    /// Whether each pool is asked only once if it may hold images, instead of by librbd before each image that it makes there: a
    /// read less (`rbd_validate_pool`).
    pub validate_once: bool,
}

/// A configured handle that has not connected: it can be asked for options.
pub struct Unconnected {
    handle: Handle,
    entity: String,
    validate_once: bool,
}

/// A connection to a cluster. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    handle: Handle,
    entity: String,
    good_pools: Option<GoodPools>,
    /// The names of pools that were asked about, by their ids.
    names: Mutex<HashMap<i64, String>>,
}

impl Settings {
    /// Settings for an entity, with five seconds to connect and ten for a monitor command.
    pub fn new(entity: impl Into<String>) -> Self {
        Self {
            entity: entity.into(),
            connect_timeout: Duration::from_secs(5),
            monitor_timeout: Duration::from_secs(10),
            ..Self::default()
        }
    }

    /// Reads the configuration file and `CEPH_ARGS`, and applies the options. Touches no network.
    ///
    /// # Errors
    /// `ENOENT` when the configuration file is missing, `EINVAL` when it or an option does not parse.
    pub fn configure(&self) -> Result<Unconnected> {
        let entity = c_string(&self.entity)?;
        let mut raw = ptr::null_mut();
        // SAFETY: both strings live during the call; a null cluster name means "ceph".
        let r = unsafe { sys::rados_create2(&raw mut raw, ptr::null(), entity.as_ptr(), 0) };
        check("rados_create2", || self.entity.clone(), r)?;
        let mut handle = Handle(raw);
        let path = match &self.conf_file {
            Some(path) => Some(c_string(&path.to_string_lossy())?),
            None => None,
        };
        // SAFETY: the handle is open; a null path means Ceph's own search.
        let r = unsafe { sys::rados_conf_read_file(handle.0, path.as_ref().map_or(ptr::null(), |p| p.as_ptr())) };
        let conf_name = || self.conf_file.as_deref().unwrap_or(Path::new("ceph.conf")).display().to_string();
        check("rados_conf_read_file", conf_name, r)?;
        // SAFETY: the handle is open; a null name means `CEPH_ARGS`.
        let r = unsafe { sys::rados_conf_parse_env(handle.0, ptr::null()) };
        check("rados_conf_parse_env", || "CEPH_ARGS".into(), r)?;
        if let Some(keyring) = &self.keyring {
            handle.set_option("keyring", &keyring.to_string_lossy())?;
        }
        handle.set_option("client_mount_timeout", &self.connect_timeout.as_secs().max(1).to_string())?;
        handle.set_option("rados_mon_op_timeout", &self.monitor_timeout.as_secs().max(1).to_string())?;
        for (name, value) in &self.options {
            handle.set_option(name, value)?;
        }
        Ok(Unconnected { handle, entity: self.entity.clone(), validate_once: self.validate_once })
    }
}

impl Unconnected {
    /// The value an option has now, by file, environment and default.
    ///
    /// # Errors
    /// `ENOENT` for an option that does not exist.
    pub fn option(&self, name: &str) -> Result<String> {
        self.handle.option(name)
    }

    /// Connects: finds the monitors, authenticates, and reads the maps. Blocks up to the settings' `connect_timeout`.
    ///
    /// # Errors
    /// See `facts` in the reference: `ENOENT` for a missing keyring or an empty `mon_host`, `EINVAL` for one that does
    /// not resolve, `ETIMEDOUT` when no monitor answers, `EACCES` for a wrong key or an unknown entity.
    pub fn connect(mut self) -> Result<Cluster> {
        // SAFETY: the handle is open and configured. When connecting fails it is shut down by `Drop`, without which
        // it would leak threads and descriptors.
        let r = unsafe { sys::rados_connect(self.handle.0) };
        check("rados_connect", || self.entity.clone(), r)?;
        // By now the options that monitors keep are known.
        let good_pools = if self.validate_once { GoodPools::take_over(&mut self.handle)? } else { None };
        Ok(Cluster {
            inner: Arc::new(Inner { handle: self.handle, entity: self.entity, good_pools, names: Mutex::default() }),
        })
    }
}

/// Space of a cluster, as the monitors know it (from the manager's reports).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterSpace {
    /// All space, in bytes.
    pub total_bytes: u64,
    /// Used space, in bytes.
    pub used_bytes: u64,
    /// Space left, in bytes.
    pub available_bytes: u64,
    /// Objects stored.
    pub objects: u64,
}

impl Cluster {
    fn raw(&self) -> sys::rados_t {
        self.inner.handle.0
    }

    /// The entity this connection authenticated as.
    pub fn entity(&self) -> &str {
        &self.inner.entity
    }

    /// The cluster's id, a UUID.
    ///
    /// # Errors
    /// `ERANGE` never in practice.
    pub fn fsid(&self) -> Result<String> {
        let mut buffer = [0_u8; 64];
        // SAFETY: the buffer has the length given.
        let r = unsafe { sys::rados_cluster_fsid(self.raw(), buffer.as_mut_ptr().cast(), buffer.len()) };
        check("rados_cluster_fsid", String::new, r)?;
        Ok(until_nul(&buffer))
    }

    /// The number that tells this client from every other of the cluster, as in `client.4123`.
    pub fn instance_id(&self) -> u64 {
        // SAFETY: the handle is connected.
        unsafe { sys::rados_get_instance_id(self.raw()) }
    }

    /// The value an option has, by file, environment and default.
    ///
    /// # Errors
    /// `ENOENT` for an option that does not exist.
    pub fn option(&self, name: &str) -> Result<String> {
        self.inner.handle.option(name)
    }

    /// The pools that may hold images, if they are asked on this connection, rather than by librbd.
    pub(crate) fn good_pools(&self) -> Option<&GoodPools> {
        self.inner.good_pools.as_ref()
    }

    /// Space of the whole cluster. Zero without a manager, and stale without an error when it has stopped.
    ///
    /// # Errors
    /// `ETIMEDOUT` when no monitor answers.
    pub fn space(&self) -> Result<ClusterSpace> {
        let mut stat = sys::rados_cluster_stat_t { kb: 0, kb_used: 0, kb_avail: 0, num_objects: 0 };
        // SAFETY: the handle is connected and `stat` is valid for writing.
        let r = unsafe { sys::rados_cluster_stat(self.raw(), &raw mut stat) };
        check("rados_cluster_stat", String::new, r)?;
        Ok(ClusterSpace {
            total_bytes: stat.kb.saturating_mul(1024),
            used_bytes: stat.kb_used.saturating_mul(1024),
            available_bytes: stat.kb_avail.saturating_mul(1024),
            objects: stat.num_objects,
        })
    }

    /// Waits until this client has the newest OSD map, without which a pool made by another client a moment ago is
    /// missing from [`Cluster::pools`]. About a quarter of a millisecond.
    ///
    /// # Errors
    /// `ETIMEDOUT` when no monitor answers.
    pub fn refresh(&self) -> Result<()> {
        // SAFETY: the handle is connected.
        let r = unsafe { sys::rados_wait_for_latest_osdmap(self.raw()) };
        check("rados_wait_for_latest_osdmap", String::new, r).map(drop)
    }

    /// The names of all pools in the OSD map this client has. See [`Cluster::refresh`].
    ///
    /// # Errors
    /// None in practice.
    pub fn pools(&self) -> Result<Vec<String>> {
        let fill = |buffer: *mut c_char, length: &mut usize| {
            // SAFETY: the buffer has `length` bytes.
            let needed = unsafe { sys::rados_pool_list(self.raw(), buffer, *length) };
            let fits = usize::try_from(needed).is_ok_and(|n| n <= *length);
            if needed >= 0 && !fits {
                *length = usize::try_from(needed).unwrap_or(*length);
                return -libc::ERANGE;
            }
            needed
        };
        let buffer = growing(4096, fill).or_else(|r| check("rados_pool_list", String::new, r).map(|_| Vec::new()))?;
        Ok(separated(&buffer))
    }

    /// The id of a pool.
    ///
    /// # Errors
    /// `ENOENT` when there is no such pool.
    pub fn pool_id(&self, pool: &str) -> Result<i64> {
        let name = c_string(pool)?;
        // SAFETY: the handle is connected and the name lives during the call.
        let r = unsafe { sys::rados_pool_lookup(self.raw(), name.as_ptr()) };
        let id = check("rados_pool_lookup", || pool.to_owned(), r)?;
        self.remember(id, pool);
        Ok(id)
    }

    /// The name of a pool by its id.
    ///
    /// # Errors
    /// `ENOENT` when there is no such pool.
    pub fn pool_name(&self, id: i64) -> Result<String> {
        let fill = |buffer: *mut c_char, length: &mut usize| {
            // SAFETY: the buffer has `length` bytes.
            unsafe { sys::rados_pool_reverse_lookup(self.raw(), id, buffer, *length) }
        };
        let buffer = growing(256, fill)
            .or_else(|r| check("rados_pool_reverse_lookup", || id.to_string(), r).map(|_| Vec::new()))?;
        let name = until_nul(&buffer);
        self.remember(id, &name);
        Ok(name)
    }

    /// The name that a pool had when it was last asked about on this connection, also after it was deleted: Ceph itself
    /// forgets it then.
    pub fn former_pool_name(&self, id: i64) -> Option<String> {
        self.names().get(&id).cloned()
    }

    fn remember(&self, id: i64, name: &str) {
        let mut names = self.names();
        if names.get(&id).is_none_or(|known| known != name) {
            names.insert(id, name.to_owned());
        }
    }

    fn names(&self) -> MutexGuard<'_, HashMap<i64, String>> {
        self.inner.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a pool with the cluster's default settings and waits until this client knows it.
    ///
    /// It is the monitor command rather than `rados_pool_create`, which asks for `mon 'allow rw'` where the command asks
    /// for no more than `allow command "osd pool create"`.
    ///
    /// # Errors
    /// `EEXIST`; `EACCES` without the caps; `EINVAL` for a name that Ceph keeps for itself (`.` first); `ERANGE` when the
    /// cluster allows no more placement groups.
    pub fn create_pool(&self, pool: &str) -> Result<()> {
        c_string(pool)?;
        let command = serde_json::json!({ "prefix": "osd pool create", "pool": pool }).to_string();
        let (_, status) = self.monitor_command_with_status(&command)?;
        let rejected = |errno| Err(Error::Call { operation: "osd pool create", subject: status.clone(), errno });
        // The command is content with a pool that is there already, and with a name that it does not take.
        if status.ends_with("already exists") {
            return rejected(Errno::EEXIST);
        }
        self.refresh()?;
        if self.pool_id(pool).is_err() {
            return rejected(Errno::EINVAL);
        }
        Ok(())
    }

    /// Deletes a pool with everything in it. Without an error when there is none. The monitor command, as
    /// [`Cluster::create_pool`], and because it tells missing caps from a cluster that forbids deleting.
    ///
    /// # Errors
    /// `EPERM` when `mon_allow_pool_delete` is off; `EACCES` without the caps; `EBUSY` when it is a tier.
    pub fn delete_pool(&self, pool: &str) -> Result<()> {
        c_string(pool)?;
        let command = serde_json::json!({
            "prefix": "osd pool delete",
            "pool": pool,
            "pool2": pool,
            "yes_i_really_really_mean_it": true,
        });
        self.monitor_command(&command.to_string())?;
        self.refresh()
    }

    /// Sends a command to the monitors and gives the output. The command is JSON, as `ceph --format json` sends it.
    ///
    /// # Errors
    /// What the command answers; the status text of the monitors is in the subject. `ETIMEDOUT` without a monitor.
    pub fn monitor_command(&self, command: &str) -> Result<Vec<u8>> {
        self.monitor_command_with_status(command).map(|(out, _)| out)
    }

    /// As [`Cluster::monitor_command`], with the monitors' status text beside the output.
    ///
    /// # Errors
    /// As [`Cluster::monitor_command`].
    pub fn monitor_command_with_status(&self, command: &str) -> Result<(Vec<u8>, String)> {
        let c_command = c_string(command)?;
        let mut commands: [*const c_char; 1] = [c_command.as_ptr()];
        let (mut out, mut out_length): (*mut c_char, usize) = (ptr::null_mut(), 0);
        let (mut status, mut status_length): (*mut c_char, usize) = (ptr::null_mut(), 0);
        // SAFETY: one command of one NUL-terminated string; no input; both outputs are written by the call.
        let r = unsafe {
            sys::rados_mon_command(
                self.raw(),
                commands.as_mut_ptr(),
                1,
                ptr::null(),
                0,
                &raw mut out,
                &raw mut out_length,
                &raw mut status,
                &raw mut status_length,
            )
        };
        let out = taken(out, out_length);
        let status = String::from_utf8_lossy(&taken(status, status_length)).into_owned();
        let subject = || {
            if status.is_empty() { command.to_owned() } else { format!("{command} ({status})") }
        };
        check("rados_mon_command", subject, r)?;
        Ok((out, status))
    }

    pub(crate) fn raw_io_context(&self, id: i64) -> std::result::Result<sys::rados_ioctx_t, c_int> {
        let mut io = ptr::null_mut();
        // SAFETY: the handle is connected.
        let r = unsafe { sys::rados_ioctx_create2(self.raw(), id, &raw mut io) };
        if r < 0 { Err(r) } else { Ok(io) }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("entity", &self.entity()).finish_non_exhaustive()
    }
}

/// A buffer that librados allocated, copied and given back.
fn taken(buffer: *mut c_char, length: usize) -> Vec<u8> {
    if buffer.is_null() {
        return Vec::new();
    }
    // SAFETY: librados filled `length` bytes at `buffer`.
    let copy = unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), length) }.to_vec();
    // SAFETY: allocated by librados for the caller to free, once.
    unsafe { sys::rados_buffer_free(buffer) };
    copy
}

/// The version of librados that this process loaded, as `major.minor.extra` of the library, and of librbd.
pub fn library_versions() -> (String, String) {
    let (mut major, mut minor, mut extra) = (0, 0, 0);
    // SAFETY: three valid places to write to.
    unsafe { sys::rados_version(&raw mut major, &raw mut minor, &raw mut extra) };
    let rados = format!("{major}.{minor}.{extra}");
    // SAFETY: as above.
    unsafe { sys::rbd_version(&raw mut major, &raw mut minor, &raw mut extra) };
    (rados, format!("{major}.{minor}.{extra}"))
}

/// Whether the librbd or librados that is loaded exports a function. For those younger than Ceph 16.2.15.
pub fn has_function(function: &str) -> bool {
    let Ok(name) = CString::new(function) else { return false };
    // SAFETY: a lookup by name in what is loaded; the address is not called.
    !unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }.is_null()
}
