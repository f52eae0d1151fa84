//! The exclusive lock that librbd manages, taken on purpose.

use ceph_sys as sys;

use super::Image;
use crate::error::Result;

impl Image {
    /// Takes librbd's exclusive lock and keeps it until the image is closed: another client that asks for it gets `EROFS`. As
    /// `rbd map -o exclusive` and QEMU do.
    ///
    /// # Errors
    /// `EROFS` when another client keeps it; `EINVAL` without the feature exclusive-lock.
    pub fn keep_exclusive_lock(&self) -> Result<()> {
        // SAFETY: the image is open.
        let r = unsafe { sys::rbd_lock_acquire(self.raw(), sys::RBD_LOCK_MODE_EXCLUSIVE) };
        self.check("rbd_lock_acquire", r).map(drop)
    }
}
