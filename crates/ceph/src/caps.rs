//! What an entity may do, found out without changing anything; see
//! <https://docs.ceph.com/en/latest/rados/operations/user-management/>.

use std::ffi::c_int;
use std::ptr;

use ceph_sys as sys;

use crate::cluster::Cluster;
use crate::error::{Errno, Result};
use crate::ioctx::IoContext;
use crate::omap::{OmapRange, WriteOp};
use crate::text::c_string;

/// An object, pool and namespace that nobody has.
const ABSENT_NAME: &str = "sparrow.no-such-thing";

impl Cluster {
    /// Which of the monitor commands that pool administration takes this entity may not give:
    /// `osd pool create`, `osd pool delete`, `osd pool application enable`, `osd pool set-quota`. Monitors look at the
    /// capabilities before the arguments, and none of the commands sent can do anything: one asks for a type of pool that
    /// does not exist, one lacks the confirmation, the others name no pool that there is.
    ///
    /// # Errors
    /// `ETIMEDOUT` when no monitor answers.
    pub fn forbidden_pool_commands(&self) -> Result<Vec<&'static str>> {
        let commands = [
            ("osd pool create", serde_json::json!({ "pool": ABSENT_NAME, "pool_type": "none" })),
            ("osd pool delete", serde_json::json!({ "pool": ABSENT_NAME })),
            ("osd pool application enable", serde_json::json!({ "pool": ABSENT_NAME, "app": "rbd" })),
            ("osd pool set-quota", serde_json::json!({ "pool": ABSENT_NAME, "field": "max_objects", "val": "0" })),
        ];
        let mut forbidden = Vec::new();
        for (prefix, mut command) in commands {
            command["prefix"] = prefix.into();
            match self.monitor_command(&command.to_string()) {
                Err(error) if error.is(Errno::EACCES) => forbidden.push(prefix),
                Err(error) if error.is(Errno::ETIMEDOUT) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(forbidden)
    }
}

/// What an entity may do with a pool's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolAccess {
    /// Read them (`r`).
    pub read: bool,
    /// Change them (`w`).
    pub write: bool,
    /// Call object classes, without which nothing of RBD works (`x`).
    pub execute: bool,
}

impl IoContext {
    /// What this entity may do with the objects of the pool, or of the namespace. Blocks while an OSD does not answer.
    ///
    /// # Errors
    /// Any but those that say no.
    pub fn access(&self) -> Result<PoolAccess> {
        let range = OmapRange { object: ABSENT_NAME.into(), limit: 1, ..OmapRange::default() };
        let read = is_allowed(self.omap_page(&range, None).map(drop))?;
        // Looks into the namespace it is asked about: of a pool as a whole, into one that nobody has.
        let namespace = if self.namespace().is_empty() { ABSENT_NAME } else { self.namespace() };
        let execute = is_allowed(self.namespace_exists(namespace).map(drop))?;
        let write = is_allowed(self.try_write())?;
        Ok(PoolAccess { read, write, execute })
    }

    /// Removes an object that must be there, and is not: OSDs look at the capabilities first.
    fn try_write(&self) -> Result<()> {
        let object = c_string(ABSENT_NAME)?;
        // SAFETY: takes nothing.
        let op = WriteOp(unsafe { sys::rados_create_write_op() });
        // SAFETY: the operation is open.
        unsafe { sys::rados_write_op_assert_exists(op.0) };
        // SAFETY: as above.
        unsafe { sys::rados_write_op_remove(op.0) };
        // So that a pool that is full does not make it wait.
        let flags: c_int = sys::LIBRADOS_OPERATION_FULL_FORCE.cast_signed();
        // SAFETY: operation, context and name are alive; no modification time.
        let r = unsafe { sys::rados_write_op_operate(op.0, self.raw(), object.as_ptr(), ptr::null_mut(), flags) };
        self.check("write", ABSENT_NAME, r).map(drop)
    }
}

fn is_allowed(result: Result<()>) -> Result<bool> {
    match result {
        Err(error) if error.is(Errno::EPERM) || error.is(Errno::EACCES) => Ok(false),
        Err(error) if error.is(Errno::ENOENT) => Ok(true),
        other => other.map(|()| true),
    }
}
