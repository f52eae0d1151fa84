//! Whether an image is mirrored to another cluster, and which end of that it is.

use std::ffi::c_char;
use std::ptr;

use ceph_sys as sys;

use super::Image;
use crate::error::Result;
use crate::text::owned;

/// How changes of an image reach the other cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorMode {
    /// By its journal, one by one.
    Journal,
    /// By snapshots, all that came since the last.
    Snapshot,
    /// In a way that a newer release may add.
    Unknown(u32),
}

/// How far mirroring of an image is turned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorState {
    /// It is being turned off.
    Disabling,
    /// It is on.
    Enabled,
    /// It is off.
    Disabled,
    /// A state that a newer release may add.
    Unknown(u32),
}

/// The mirroring of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirroring {
    /// How changes travel.
    pub mode: MirrorMode,
    /// How far it is turned on.
    pub state: MirrorState,
    /// Whether this is the end that may be changed.
    pub primary: bool,
    /// What both ends of it are known by.
    pub global_id: String,
}

impl Image {
    /// The mirroring of the image; `None` when it is not mirrored.
    ///
    /// # Errors
    /// `EACCES`/`EPERM` without the right to read `rbd_mirroring` of the pool.
    pub fn mirroring(&self) -> Result<Option<Mirroring>> {
        let global_id: *mut c_char = ptr::null_mut();
        let mut info = sys::rbd_mirror_image_info_t { global_id, state: 0, primary: false };
        // SAFETY: the image is open; `info` has the size given.
        let r = unsafe {
            sys::rbd_mirror_image_get_info(self.raw(), &raw mut info, size_of::<sys::rbd_mirror_image_info_t>())
        };
        self.check("rbd_mirror_image_get_info", r)?;
        // SAFETY: filled by librbd with a NUL-terminated string.
        let global_id = unsafe { owned(info.global_id) };
        // SAFETY: filled by librbd, freed once.
        unsafe { sys::rbd_mirror_image_get_info_cleanup(&raw mut info) };
        let state = match info.state {
            sys::RBD_MIRROR_IMAGE_DISABLING => MirrorState::Disabling,
            sys::RBD_MIRROR_IMAGE_ENABLED => MirrorState::Enabled,
            sys::RBD_MIRROR_IMAGE_DISABLED => return Ok(None),
            other => MirrorState::Unknown(other),
        };
        Ok(Some(Mirroring { mode: self.mirror_mode()?, state, primary: info.primary, global_id }))
    }

    fn mirror_mode(&self) -> Result<MirrorMode> {
        let mut mode: sys::rbd_mirror_image_mode_t = 0;
        // SAFETY: the image is open and `mode` is valid for writing.
        let r = unsafe { sys::rbd_mirror_image_get_mode(self.raw(), &raw mut mode) };
        self.check("rbd_mirror_image_get_mode", r)?;
        Ok(match mode {
            sys::RBD_MIRROR_IMAGE_MODE_JOURNAL => MirrorMode::Journal,
            sys::RBD_MIRROR_IMAGE_MODE_SNAPSHOT => MirrorMode::Snapshot,
            other => MirrorMode::Unknown(other),
        })
    }
}
