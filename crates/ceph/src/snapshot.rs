//! Snapshots of an image.

use std::ffi::c_int;
use std::ptr;

use ceph_sys as sys;
use rbd_format::header::header_object;
use rbd_format::{Snapshot, SnapshotNamespace};

use crate::error::Result;
use crate::header_lock::HeaderLock;
use crate::image::Image;
use crate::progress::{ignore_progress, with_progress, with_progress_to_the_end};
use crate::text::{c_string, owned};

/// A snapshot as librbd lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Its id, unique within the pool.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The image's size when it was taken.
    pub size_bytes: u64,
}

impl Image {
    /// All snapshots, also those that belong to groups or are in the trash.
    ///
    /// # Errors
    /// None in practice.
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        let mut most: c_int = 16;
        loop {
            let empty = sys::rbd_snap_info_t { id: 0, size: 0, name: ptr::null() };
            let mut raw = vec![empty; usize::try_from(most).unwrap_or(16).max(1)];
            // SAFETY: `raw` has at least `most` elements. librbd counts the end mark, a null name, among them: without room
            // for it the answer is `ERANGE`, with the number needed.
            let r = unsafe { sys::rbd_snap_list(self.raw(), raw.as_mut_ptr(), &raw mut most) };
            if r == -libc::ERANGE {
                continue;
            }
            let count = usize::try_from(self.check("rbd_snap_list", r)?).unwrap_or(0);
            let snapshots = raw[..count]
                .iter()
                .map(|snapshot| SnapshotInfo {
                    id: snapshot.id,
                    // SAFETY: filled by librbd with a NUL-terminated string.
                    name: unsafe { owned(snapshot.name) },
                    size_bytes: snapshot.size,
                })
                .collect();
            if count > 0 {
                // SAFETY: filled by librbd and ended by its mark, freed once.
                unsafe { sys::rbd_snap_list_end(raw.as_mut_ptr()) };
            }
            return Ok(snapshots);
        }
    }

    /// Whether there is a snapshot of a name, those of groups, of mirroring and in the trash left out: as RADOS has it now, not
    /// as librbd knew it when it was last told of a change.
    fn has_snapshot(&self, name: &str) -> Result<bool> {
        let entries = self.io_context().omap_all(&header_object(&self.id()?), "snapshot_", None)?;
        let mut snapshots = entries.iter().filter_map(|(_, value)| Snapshot::decode(value).ok());
        Ok(snapshots.any(|snapshot| snapshot.namespace == SnapshotNamespace::User && snapshot.name == name))
    }

    /// Switches what is read to a snapshot, or back to the head.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn set_snapshot(&mut self, id: Option<u64>) -> Result<()> {
        // CEPH_NOSNAP, the head.
        let id = id.unwrap_or(u64::MAX - 1);
        // SAFETY: the image is open, and `&mut` keeps others from reading meanwhile.
        let r = unsafe { sys::rbd_snap_set_by_id(self.raw(), id) };
        self.check("rbd_snap_set_by_id", r).map(drop)
    }

    /// Takes a snapshot. Of all that take one of the same name at once by this crate, on whatever host, one succeeds.
    ///
    /// # Errors
    /// `EEXIST`; `ESTALE` when others change names without end; `EDQUOT` at the image's snapshot limit; `EROFS`.
    pub fn create_snapshot(&self, name: &str) -> Result<()> {
        self.check_walkable()?;
        let c_name = c_string(name)?;
        let _alone = HeaderLock::take(self.io_context(), &self.id()?)?;
        // librbd itself looks at what it knew before.
        if self.has_snapshot(name)? {
            return self.check("rbd_snap_create2", -libc::EEXIST).map(drop);
        }
        let r = with_progress(&ignore_progress, |callback, argument| {
            // SAFETY: image and name are alive; the argument lives until the call ends.
            unsafe { sys::rbd_snap_create2(self.raw(), c_name.as_ptr(), 0, callback, argument) }
        });
        self.check("rbd_snap_create2", r).map(drop)
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// `ENOENT`; `EBUSY` while it is protected or has clones; `EROFS`.
    pub fn remove_snapshot(&self, name: &str) -> Result<()> {
        let c_name = c_string(name)?;
        let r = with_progress(&ignore_progress, |callback, argument| {
            // SAFETY: image and name are alive; the argument lives until the call ends.
            unsafe { sys::rbd_snap_remove2(self.raw(), c_name.as_ptr(), 0, callback, argument) }
        });
        self.check("rbd_snap_remove2", r).map(drop)
    }

    /// Removes a snapshot by its id, whatever its name is by now.
    ///
    /// # Errors
    /// As [`Image::remove_snapshot`].
    pub fn remove_snapshot_by_id(&self, id: u64) -> Result<()> {
        // SAFETY: the image is open.
        let r = unsafe { sys::rbd_snap_remove_by_id(self.raw(), id) };
        self.check("rbd_snap_remove_by_id", r).map(drop)
    }

    /// Renames a snapshot. Of all that rename it at once by this crate, on whatever host, one succeeds.
    ///
    /// # Errors
    /// `ENOENT`; `EEXIST`; `ESTALE` when others change names without end; `EROFS`.
    pub fn rename_snapshot(&self, from: &str, to: &str) -> Result<()> {
        let (c_from, c_to) = (c_string(from)?, c_string(to)?);
        let _alone = HeaderLock::take(self.io_context(), &self.id()?)?;
        // librbd itself looks at what it knew before, and renames by the id.
        if !self.has_snapshot(from)? {
            return self.check("rbd_snap_rename", -libc::ENOENT).map(drop);
        }
        // SAFETY: image and names are alive.
        let r = unsafe { sys::rbd_snap_rename(self.raw(), c_from.as_ptr(), c_to.as_ptr()) };
        self.check("rbd_snap_rename", r).map(drop)
    }

    /// Protects a snapshot from removal, so that it can be cloned on clusters whose clients predate clone v2.
    ///
    /// # Errors
    /// `ENOENT`; `EBUSY` when it is protected already; `EROFS`.
    pub fn protect_snapshot(&self, name: &str) -> Result<()> {
        let c_name = c_string(name)?;
        // SAFETY: image and name are alive.
        let r = unsafe { sys::rbd_snap_protect(self.raw(), c_name.as_ptr()) };
        self.check("rbd_snap_protect", r).map(drop)
    }

    /// Lifts a snapshot's protection.
    ///
    /// # Errors
    /// `ENOENT`; `EINVAL` when it is not protected; `EBUSY` while it has clones; `EROFS`.
    pub fn unprotect_snapshot(&self, name: &str) -> Result<()> {
        let c_name = c_string(name)?;
        // SAFETY: image and name are alive.
        let r = unsafe { sys::rbd_snap_unprotect(self.raw(), c_name.as_ptr()) };
        self.check("rbd_snap_unprotect", r).map(drop)
    }

    /// Whether a snapshot is protected.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn is_protected(&self, name: &str) -> Result<bool> {
        let c_name = c_string(name)?;
        let mut protected: c_int = 0;
        // SAFETY: image and name are alive, and `protected` is valid for writing.
        let r = unsafe { sys::rbd_snap_is_protected(self.raw(), c_name.as_ptr(), &raw mut protected) };
        self.check("rbd_snap_is_protected", r)?;
        Ok(protected != 0)
    }

    /// Sets the image back to a snapshot. Must not be cancelled: that would leave a mix of both; so it is not offered, and
    /// a panic in `progress` resumes only after the end.
    ///
    /// # Errors
    /// `ENOENT`; `EROFS`; `EBUSY` when another client holds the exclusive lock and does not give it.
    pub fn rollback(&self, name: &str, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<()> {
        self.check_walkable()?;
        let c_name = c_string(name)?;
        let r = with_progress_to_the_end(progress, |callback, argument| {
            // SAFETY: image and name are alive; the argument lives until the call ends.
            unsafe { sys::rbd_snap_rollback_with_progress(self.raw(), c_name.as_ptr(), callback, argument) }
        });
        self.check("rbd_snap_rollback", r).map(drop)
    }
}
