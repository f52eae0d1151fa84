//! Changing an open image: size, features, parent, sparseness, object map.

use ceph_sys as sys;
use rbd_format::ImageSize;

use super::Image;
use crate::error::Result;
use crate::progress::{Progress, with_progress};

impl Image {
    /// Grows the image, or shrinks it if that is allowed. Shrinking deletes data and honours cancelling. An image that is too
    /// large can be shrunk.
    ///
    /// # Errors
    /// `EINVAL` for a smaller size without `allow_shrink`; `EROFS` when opened read-only; `ECANCELED`.
    pub fn resize(&self, size: ImageSize, allow_shrink: bool, progress: &Progress<'_>) -> Result<()> {
        self.check_layout()?;
        let r = with_progress(progress, |callback, argument| {
            // SAFETY: the image is open; the argument lives until the call ends.
            unsafe { sys::rbd_resize2(self.raw(), size.bytes(), allow_shrink, callback, argument) }
        });
        self.check("rbd_resize2", r).map(drop)
    }

    /// Turns feature bits on or off.
    ///
    /// # Errors
    /// `EINVAL` for a feature that cannot be changed or whose requirement is missing; `EROFS`.
    pub fn update_features(&self, features: u64, enable: bool) -> Result<()> {
        // SAFETY: the image is open.
        let r = unsafe { sys::rbd_update_features(self.raw(), features, u8::from(enable)) };
        self.check("rbd_update_features", r).map(drop)
    }

    /// Copies what a clone still takes from its parent, after which it has none. Honours cancelling.
    ///
    /// # Errors
    /// `EINVAL` without a parent; `EROFS`; `ECANCELED`.
    pub fn flatten(&self, progress: &Progress<'_>) -> Result<()> {
        self.check_walkable()?;
        let r = with_progress(progress, |callback, argument| {
            // SAFETY: the image is open; the argument lives until the call ends.
            unsafe { sys::rbd_flatten_with_progress(self.raw(), callback, argument) }
        });
        self.check("rbd_flatten", r).map(drop)
    }

    /// Gives back space that holds only zeros, in runs of `run_bytes` (a power of two from 4,096 to the object size).
    /// Honours cancelling.
    ///
    /// # Errors
    /// `EINVAL` for a bad run length; `EROFS`; `ECANCELED`.
    pub fn sparsify(&self, run_bytes: usize, progress: &Progress<'_>) -> Result<()> {
        self.check_walkable()?;
        let r = with_progress(progress, |callback, argument| {
            // SAFETY: the image is open; the argument lives until the call ends.
            unsafe { sys::rbd_sparsify_with_progress(self.raw(), run_bytes, callback, argument) }
        });
        self.check("rbd_sparsify", r).map(drop)
    }

    /// Makes the object map anew from the objects that exist. Honours cancelling.
    ///
    /// # Errors
    /// `EINVAL` when the image has none; `EROFS`; `ECANCELED`.
    pub fn rebuild_object_map(&self, progress: &Progress<'_>) -> Result<()> {
        self.check_walkable()?;
        let r = with_progress(progress, |callback, argument| {
            // SAFETY: the image is open; the argument lives until the call ends.
            unsafe { sys::rbd_rebuild_object_map(self.raw(), callback, argument) }
        });
        self.check("rbd_rebuild_object_map", r).map(drop)
    }
}
