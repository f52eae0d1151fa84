//! Images: making, opening and asking them. What changes one is in the modules beside.

mod admin;
mod change;
mod create;
mod data;
mod lock;
mod mirroring;
mod walkable;

use std::cell::OnceCell;
use std::ffi::c_char;
use std::fmt;
use std::ptr;

use ceph_sys as sys;

use crate::error::Result;
use crate::ioctx::IoContext;
use crate::text::{c_string, growing};

pub use admin::{Child, LockMode, Locker, Locks, Watcher};
pub use create::{CopyKind, ImageSpec};
pub use data::{Extent, Pending};
pub use mirroring::{MirrorMode, MirrorState, Mirroring};
pub use walkable::MOST_ANCESTORS;

/// Whether an image is opened to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Adds no watcher, so nobody is kept from removing the image meanwhile.
    ReadOnly,
    /// Adds a watcher; removing is rejected with `EBUSY` meanwhile.
    ReadWrite,
}

/// How an image is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageRef<'a> {
    /// By the name in the directory.
    Name(&'a str),
    /// By the id that stays through renames, also for images in the trash.
    Id(&'a str),
}

impl fmt::Display for ImageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => write!(f, "id {id}"),
        }
    }
}

/// An open image. Costs about 0.34 MiB; open one per request, read-only unless the request writes.
///
/// Dropping it closes it and may block when an OSD is gone: drop it where blocking is allowed, or [`Image::close`] it.
pub struct Image {
    raw: sys::rbd_image_t,
    name: String,
    access: Access,
    /// Whether librbd can walk over it, once that was looked at.
    walkable: OnceCell<Result<()>>,
    // After `raw`, so that the context outlives the image.
    io: IoContext,
}

// SAFETY: librbd images have no thread affinity. Not `Sync`: switching the snapshot of an open image
// (`rbd_snap_set`) changes what concurrent reads would see.
unsafe impl Send for Image {}

impl Drop for Image {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            self.release_lock();
            // SAFETY: opened by rbd_open*, closed once.
            unsafe { sys::rbd_close(self.raw) };
        }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Image").field(&self.io.subject(&self.name)).finish()
    }
}

/// What librbd says of an open image; sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Size of the image, or of the snapshot it was opened at.
    pub size_bytes: u64,
    /// Size of an object.
    pub object_size_bytes: u64,
    /// Number of objects when fully written.
    pub objects: u64,
    /// log2 of the object size.
    pub order: u8,
}

impl IoContext {
    /// Opens an image of format 2, at a snapshot if one is named.
    ///
    /// # Errors
    /// `ENOENT` for a missing image or snapshot, and for an image whose removal was interrupted;
    /// [`Error::Unopenable`](crate::Error::Unopenable).
    pub fn open_image(&self, image: ImageRef<'_>, snapshot: Option<&str>, access: Access) -> Result<Image> {
        let c_snapshot = snapshot.map(c_string).transpose()?;
        let snapshot_pointer: *const c_char = c_snapshot.as_ref().map_or(ptr::null(), |s| s.as_ptr());
        let mut raw = ptr::null_mut();
        let id = self.openable_id(image)?;
        let c_id = c_string(&id)?;
        let open = match access {
            Access::ReadOnly => sys::rbd_open_by_id_read_only,
            Access::ReadWrite => sys::rbd_open_by_id,
        };
        // SAFETY: context and strings are alive during the call; a null snapshot means the head.
        let r = unsafe { open(self.raw(), c_id.as_ptr(), &raw mut raw, snapshot_pointer) };
        let named = match snapshot {
            Some(snapshot) => format!("{image}@{snapshot}"),
            None => image.to_string(),
        };
        self.check("rbd_open", &named, r)?;
        Ok(Image { raw, name: named, access, walkable: OnceCell::new(), io: self.clone() })
    }

    /// Names and ids of all images, as librbd lists them.
    ///
    /// # Errors
    /// `ETIMEDOUT` and the like; a namespace that is missing gives an empty list.
    pub fn list_images(&self) -> Result<Vec<(String, String)>> {
        let mut count: usize = 1024;
        loop {
            let empty = sys::rbd_image_spec_t { id: ptr::null_mut(), name: ptr::null_mut() };
            let mut specs = vec![empty; count];
            // SAFETY: `specs` has `count` elements.
            let r = unsafe { sys::rbd_list2(self.raw(), specs.as_mut_ptr(), &raw mut count) };
            if r == -libc::ERANGE {
                continue;
            }
            self.check("rbd_list2", "", r)?;
            let images = specs[..count]
                .iter()
                .map(|spec| {
                    // SAFETY: filled by librbd with NUL-terminated strings.
                    let name = unsafe { crate::text::owned(spec.name) };
                    // SAFETY: as above.
                    let id = unsafe { crate::text::owned(spec.id) };
                    (name, id)
                })
                .collect();
            // SAFETY: the `count` elements that librbd filled, freed once.
            unsafe { sys::rbd_image_spec_list_cleanup(specs.as_mut_ptr(), count) };
            return Ok(images);
        }
    }
}

impl Image {
    pub(crate) fn raw(&self) -> sys::rbd_image_t {
        self.raw
    }

    pub(crate) fn check<T: Into<i64> + Copy>(&self, operation: &'static str, r: T) -> Result<T> {
        self.io.check(operation, &self.name, r)
    }

    /// The context the image was opened in.
    pub fn io_context(&self) -> &IoContext {
        &self.io
    }

    /// Closes the image and says whether that worked; what it had cached is written before.
    ///
    /// # Errors
    /// What flushing gave. The image is gone all the same.
    pub fn close(mut self) -> Result<()> {
        self.release_lock();
        let raw = std::mem::replace(&mut self.raw, ptr::null_mut());
        // SAFETY: opened by rbd_open*, and taken out so that `drop` does not close it again.
        let r = unsafe { sys::rbd_close(raw) };
        self.check("rbd_close", r).map(drop)
    }

    /// Gives the exclusive lock back, if librbd took it for this image.
    ///
    /// The owner of the lock also does what other clients ask it to. When it closes the image right then, librbd 16 aborts
    /// the process (`AsyncOpTracker::~AsyncOpTracker`: an operation is pending) or never comes back. An image that no
    /// longer has the lock is asked nothing.
    fn release_lock(&self) {
        if self.access == Access::ReadOnly {
            return;
        }
        // Reading the features takes notice of what just changed: after the feature was turned off, a lock that librbd still
        // believes in can never be given back.
        if !self.features().is_ok_and(|bits| bits & u64::from(sys::RBD_FEATURE_EXCLUSIVE_LOCK) != 0) {
            return;
        }
        let mut owner = 0;
        // SAFETY: the image is open; `owner` outlives the call.
        let r = unsafe { sys::rbd_is_exclusive_lock_owner(self.raw, &raw mut owner) };
        if r == 0 && owner != 0 {
            // Whatever it says, closing gives the lock back too.
            // SAFETY: the image is open.
            unsafe { sys::rbd_lock_release(self.raw) };
        }
    }

    /// Size of the image, or of the snapshot it was opened at or switched to, in bytes.
    ///
    /// # Errors
    /// None in practice.
    pub fn size_bytes(&self) -> Result<u64> {
        self.number("rbd_get_size", sys::rbd_get_size)
    }

    /// Size and layout.
    ///
    /// # Errors
    /// [`Error::Unbounded`](crate::Error::Unbounded).
    pub fn stat(&self) -> Result<Stat> {
        // librbd divides by the number of objects in a stripe.
        self.check_walkable()?;
        // SAFETY: plain numbers and bytes, for which zero is a value.
        let mut info: sys::rbd_image_info_t = unsafe { std::mem::zeroed() };
        // SAFETY: the image is open; `info` has the size given.
        let r = unsafe { sys::rbd_stat(self.raw, &raw mut info, size_of::<sys::rbd_image_info_t>()) };
        self.check("rbd_stat", r)?;
        Ok(Stat {
            size_bytes: info.size,
            object_size_bytes: info.obj_size,
            objects: info.num_objs,
            order: u8::try_from(info.order).unwrap_or(0),
        })
    }

    /// The image's id.
    ///
    /// # Errors
    /// None in practice.
    pub fn id(&self) -> Result<String> {
        let fill = |buffer: *mut c_char, length: &mut usize| {
            // SAFETY: the buffer has `length` bytes.
            unsafe { sys::rbd_get_id(self.raw, buffer, *length) }
        };
        let buffer = growing(128, fill).or_else(|r| self.check("rbd_get_id", r).map(|_| Vec::new()))?;
        Ok(crate::text::separated(&buffer).into_iter().next().unwrap_or_default())
    }

    /// Feature bits (`RBD_FEATURE_*`).
    ///
    /// # Errors
    /// None in practice.
    pub fn features(&self) -> Result<u64> {
        self.number("rbd_get_features", sys::rbd_get_features)
    }

    /// Flag bits: an invalid object map or fast-diff.
    ///
    /// # Errors
    /// None in practice.
    pub fn flags(&self) -> Result<u64> {
        self.number("rbd_get_flags", sys::rbd_get_flags)
    }

    /// Operation feature bits: clone parent, clone child, group, snapshot in the trash.
    ///
    /// # Errors
    /// None in practice.
    pub fn op_features(&self) -> Result<u64> {
        self.number("rbd_get_op_features", sys::rbd_get_op_features)
    }

    /// Striping unit, in bytes.
    ///
    /// # Errors
    /// None in practice.
    pub fn stripe_unit_bytes(&self) -> Result<u64> {
        self.number("rbd_get_stripe_unit", sys::rbd_get_stripe_unit)
    }

    /// Objects a stripe goes over.
    ///
    /// # Errors
    /// None in practice.
    pub fn stripe_count(&self) -> Result<u64> {
        self.number("rbd_get_stripe_count", sys::rbd_get_stripe_count)
    }

    /// Bytes of the parent that a clone still covers.
    ///
    /// # Errors
    /// `ENOENT` without a parent on some releases.
    pub fn overlap_bytes(&self) -> Result<u64> {
        self.number("rbd_get_overlap", sys::rbd_get_overlap)
    }

    /// The pool that holds the data objects; the image's own without a data pool.
    pub fn data_pool_id(&self) -> i64 {
        // SAFETY: the image is open.
        unsafe { sys::rbd_get_data_pool_id(self.raw) }
    }

    /// When the image was made, as seconds and nanoseconds since 1970.
    ///
    /// # Errors
    /// None in practice.
    pub fn created(&self) -> Result<(i64, i64)> {
        let mut time = sys::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the image is open and `time` is valid for writing.
        let r = unsafe { sys::rbd_get_create_timestamp(self.raw, &raw mut time) };
        self.check("rbd_get_create_timestamp", r)?;
        Ok((time.tv_sec, time.tv_nsec))
    }

    fn number(
        &self,
        operation: &'static str,
        get: unsafe extern "C" fn(sys::rbd_image_t, *mut u64) -> std::ffi::c_int,
    ) -> Result<u64> {
        let mut value = 0;
        // SAFETY: the image is open; every function passed here has this shape and writes one u64.
        let r = unsafe { get(self.raw, &raw mut value) };
        self.check(operation, r)?;
        Ok(value)
    }
}
