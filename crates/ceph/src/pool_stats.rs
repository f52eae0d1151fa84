//! What the images of a pool or namespace add up to.

use std::ptr;

use ceph_sys as sys;

use crate::error::{Result, check};
use crate::ioctx::IoContext;

/// What images add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageTotals {
    /// Their number.
    pub images: u64,
    /// Their sizes, in bytes: what they could hold, not what they take.
    pub provisioned_bytes: u64,
    /// For each image the largest of its size and those of its snapshots, in bytes.
    pub max_provisioned_bytes: u64,
    /// Their snapshots' number.
    pub snapshots: u64,
}

/// What one namespace of a pool holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolTotals {
    /// Its images.
    pub images: ImageTotals,
    /// Those in its trash.
    pub trash: ImageTotals,
}

/// An owned `rbd_pool_stats_t`.
struct Stats(sys::rbd_pool_stats_t);

impl Stats {
    fn new() -> Self {
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` is valid for writing.
        unsafe { sys::rbd_pool_stats_create(&raw mut raw) };
        Self(raw)
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        // SAFETY: made by rbd_pool_stats_create, destroyed once, here.
        unsafe { sys::rbd_pool_stats_destroy(self.0) };
    }
}

impl IoContext {
    /// What this one namespace holds, read from its images' headers by `rbd_pool_stats_get`: it takes time with their
    /// number. Needs no manager.
    ///
    /// # Errors
    /// `EOPNOTSUPP` on an erasure-coded pool, which holds no headers.
    pub fn totals(&self) -> Result<PoolTotals> {
        const OPTIONS: [sys::rbd_pool_stat_option_t; 8] = [
            sys::RBD_POOL_STAT_OPTION_IMAGES,
            sys::RBD_POOL_STAT_OPTION_IMAGE_PROVISIONED_BYTES,
            sys::RBD_POOL_STAT_OPTION_IMAGE_MAX_PROVISIONED_BYTES,
            sys::RBD_POOL_STAT_OPTION_IMAGE_SNAPSHOTS,
            sys::RBD_POOL_STAT_OPTION_TRASH_IMAGES,
            sys::RBD_POOL_STAT_OPTION_TRASH_PROVISIONED_BYTES,
            sys::RBD_POOL_STAT_OPTION_TRASH_MAX_PROVISIONED_BYTES,
            sys::RBD_POOL_STAT_OPTION_TRASH_SNAPSHOTS,
        ];
        // Declared before `stats`, which keeps pointers into it until it is dropped.
        let mut values = [0_u64; OPTIONS.len()];
        let stats = Stats::new();
        let first = values.as_mut_ptr();
        for (index, option) in OPTIONS.into_iter().enumerate() {
            // SAFETY: `index` is below the number of values.
            let value = unsafe { first.add(index) };
            // SAFETY: the value outlives `stats`.
            let r = unsafe { sys::rbd_pool_stats_option_add_uint64(stats.0, option.cast_signed(), value) };
            check("rbd_pool_stats_option_add_uint64", || option.to_string(), r)?;
        }
        // SAFETY: the context is open, and the values that it writes are alive and not borrowed meanwhile.
        let r = unsafe { sys::rbd_pool_stats_get(self.raw(), stats.0) };
        self.check("rbd_pool_stats_get", "", r)?;
        drop(stats);
        let totals = |at: usize| ImageTotals {
            images: values[at],
            provisioned_bytes: values[at + 1],
            max_provisioned_bytes: values[at + 2],
            snapshots: values[at + 3],
        };
        Ok(PoolTotals { images: totals(0), trash: totals(4) })
    }
}
