//! Whether a pool may hold images: asked once, not for every image.
//!
//! librbd asks before each image that it makes, unless `rbd_validate_pool` says otherwise. The option is off on a connection of
//! ours from its beginning, and what librbd does is done here once for each pool. It must not be changed later: an image that is
//! closed while librados tells of a change of options waits for that to end, which waits for the image (`remove_observer` and
//! `call_observers` in Ceph's `src/common/config_proxy.h`), and with them waits all that the connection is used for.

use ceph_sys as sys;

use crate::error::{Errno, Result};
use crate::ioctx::IoContext;
use crate::text::c_string;

/// The option that names the pool for the data of images for which none is named.
const DEFAULT_DATA_POOL: &str = "rbd_default_data_pool";

/// The object in which librbd notes that a pool may hold images (`RBD_INFO` in Ceph's `src/include/rbd_types.h`).
const NOTE: &str = "rbd_info";

/// What it has then, and what is written there before, to be overwritten (`ValidatePoolRequest` in Ceph's `src/librbd/image`).
const VALIDATED: &[u8] = b"overwrite validated";
const VALIDATING: &[u8] = b"validate";

impl IoContext {
    /// Marks the pool as one for rbd and prepares it. Also on a pool that is prepared already.
    ///
    /// # Errors
    /// `EACCES`/`EPERM` without the caps for it; `EINVAL` when the pool belongs to another application.
    pub fn init_rbd(&self) -> Result<()> {
        // SAFETY: the context is open.
        let r = unsafe { sys::rbd_pool_init(self.raw(), false) };
        self.check("rbd_pool_init", "", r)?;
        // Only now: a pool of another application is not written to.
        self.validate(None)
    }

    /// Asks this pool whether it may hold images, or that of their data if it is another, unless librbd does that.
    ///
    /// # Errors
    /// `EINVAL`: it may not, since it has snapshots of itself, or cannot be overwritten. What reading and writing its objects
    /// gives.
    pub(crate) fn validate(&self, data_pool: Option<&str>) -> Result<()> {
        let cluster = self.cluster();
        let Some(good) = cluster.good_pools() else { return Ok(()) };
        let default = if data_pool.is_none() { cluster.option(DEFAULT_DATA_POOL)? } else { String::new() };
        let data_pool = data_pool.or(Some(&*default).filter(|pool| !pool.is_empty()));
        let (id, pool) = match data_pool {
            // If there is none, librbd says so.
            Some(name) => match cluster.pool_id(name) {
                Ok(id) => (id, name),
                Err(_) => return Ok(()),
            },
            None => (self.pool_id(), self.pool()),
        };
        if good.has(id) {
            return Ok(());
        }
        let context = IoContext::open(cluster, id, pool, "")?;
        if !is_noted(&context)? {
            try_out(&context)?;
        }
        good.add(id);
        Ok(())
    }
}

/// Whether somebody has tried it out before.
fn is_noted(context: &IoContext) -> Result<bool> {
    let name = c_string(NOTE)?;
    let mut buffer = [0_u8; VALIDATED.len() + 1];
    // SAFETY: the context is open, the name ends with a zero byte, and the buffer has the length given.
    let r = unsafe { sys::rados_read(context.raw(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    match context.check("rados_read", NOTE, r) {
        Ok(read) => Ok(usize::try_from(read).is_ok_and(|read| buffer.get(..read) == Some(VALIDATED))),
        Err(error) if error.is(Errno::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes a snapshot as images have them, which fails in a pool that has some of itself, and overwrites the note.
fn try_out(context: &IoContext) -> Result<()> {
    let mut snapshot = 0;
    // SAFETY: the context is open and `snapshot` is valid for writing.
    let r = unsafe { sys::rados_ioctx_selfmanaged_snap_create(context.raw(), &raw mut snapshot) };
    context.check("rados_ioctx_selfmanaged_snap_create", "", r)?;
    let written = write(context, VALIDATING);
    // SAFETY: the context is open.
    let r = unsafe { sys::rados_ioctx_selfmanaged_snap_remove(context.raw(), snapshot) };
    written?;
    context.check("rados_ioctx_selfmanaged_snap_remove", "", r)?;
    match write(context, VALIDATED) {
        // As librbd says it of a pool of erasure codes that is not for this.
        Err(error) if error.is(Errno::EOPNOTSUPP) => context.check("rados_write", NOTE, -libc::EINVAL).map(drop),
        written => written,
    }
}

fn write(context: &IoContext, text: &[u8]) -> Result<()> {
    let name = c_string(NOTE)?;
    // SAFETY: the context is open, the name ends with a zero byte, and the text has the length given.
    let r = unsafe { sys::rados_write(context.raw(), name.as_ptr(), text.as_ptr().cast(), text.len(), 0) };
    context.check("rados_write", NOTE, r).map(drop)
}
