//! The trash of a pool or namespace.

use std::ptr;

use ceph_sys as sys;

use crate::error::Result;
use crate::header_lock::HeaderLock;
use crate::ioctx::IoContext;
use crate::progress::{Progress, with_progress};
use crate::text::{c_string, owned};

/// An image in the trash, as librbd lists it. Those of an interrupted removal are not among them: they are in the
/// `rbd_trash` object with source REMOVING, see `rbd_format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashItem {
    /// The image's id.
    pub id: String,
    /// The name it had.
    pub name: String,
    /// When it was moved there, in seconds since 1970.
    pub deleted: i64,
    /// Until when it is kept, in seconds since 1970.
    pub kept_until: i64,
}

impl IoContext {
    /// Moves an image to the trash, to be kept for `delay_seconds`. Of all that do so or rename it at once by this crate, on
    /// whatever host, one succeeds: by librbd alone the last one decides how long it is kept.
    ///
    /// # Errors
    /// `ENOENT`; `ESTALE` when others change names without end; `EBUSY` while somebody holds its exclusive lock. An image that is only open is moved.
    pub fn trash_move(&self, name: &str, delay_seconds: u64) -> Result<()> {
        let c_name = c_string(name)?;
        self.check_openable_alone(name)?;
        let _alone = self.image_id(name)?.map(|id| self.names_lock(name, &id)).transpose()?;
        // SAFETY: context and name are alive.
        let r = unsafe { sys::rbd_trash_move(self.raw(), c_name.as_ptr(), delay_seconds) };
        self.check("rbd_trash_move", name, r).map(drop)
    }

    /// What is in the trash.
    ///
    /// # Errors
    /// None in practice.
    pub fn trash_list(&self) -> Result<Vec<TrashItem>> {
        let mut count: usize = 256;
        loop {
            let empty = sys::rbd_trash_image_info_t {
                id: ptr::null_mut(),
                name: ptr::null_mut(),
                source: 0,
                deletion_time: 0,
                deferment_end_time: 0,
            };
            let mut raw = vec![empty; count];
            // SAFETY: `raw` has `count` elements.
            let r = unsafe { sys::rbd_trash_list(self.raw(), raw.as_mut_ptr(), &raw mut count) };
            if r == -libc::ERANGE {
                continue;
            }
            self.check("rbd_trash_list", "", r)?;
            let items = raw[..count]
                .iter()
                .map(|item| TrashItem {
                    // SAFETY: filled by librbd with NUL-terminated strings.
                    id: unsafe { owned(item.id) },
                    // SAFETY: as above.
                    name: unsafe { owned(item.name) },
                    deleted: item.deletion_time,
                    kept_until: item.deferment_end_time,
                })
                .collect();
            // SAFETY: the `count` elements that librbd filled, freed once.
            unsafe { sys::rbd_trash_list_cleanup(raw.as_mut_ptr(), count) };
            return Ok(items);
        }
    }

    /// Takes an image out of the trash, under `name`. Of all that do so at once by this crate, on whatever host, one succeeds.
    ///
    /// # Errors
    /// `ENOENT` for an id that is not there; `EEXIST` when the name is taken; `ESTALE` when others change names without end.
    pub fn trash_restore(&self, id: &str, name: &str) -> Result<()> {
        let (c_id, c_name) = (c_string(id)?, c_string(name)?);
        let _alone = HeaderLock::take(self, id)?;
        // SAFETY: context, id and name are alive.
        let r = unsafe { sys::rbd_trash_restore(self.raw(), c_id.as_ptr(), c_name.as_ptr()) };
        self.check("rbd_trash_restore", id, r).map(drop)
    }

    /// Removes an image in the trash for good; with `force` before its time. Also one whose removal was interrupted.
    /// Honours cancelling.
    ///
    /// # Errors
    /// `ENOENT`; `EPERM` before its time; `EBUSY` while watched or with linked clones; `ENOTEMPTY` with snapshots.
    pub fn trash_remove(&self, id: &str, force: bool, progress: &Progress<'_>) -> Result<()> {
        let c_id = c_string(id)?;
        self.check_removable(id)?;
        let r = with_progress(progress, |callback, argument| {
            // SAFETY: context and id are alive; the argument lives until the call ends.
            unsafe { sys::rbd_trash_remove_with_progress(self.raw(), c_id.as_ptr(), force, callback, argument) }
        });
        self.check("rbd_trash_remove", id, r).map(drop)
    }
}
