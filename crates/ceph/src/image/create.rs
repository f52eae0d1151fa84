//! Making images: new, cloned, copied; renaming and removing.

use std::ffi::c_int;

use ceph_sys as sys;
use rbd_format::ImageSize;
use rbd_format::bounds::check_striping;

use super::{Image, ImageRef, walkable};
use crate::error::{Errno, Error, Result};
use crate::header_lock::HeaderLock;
use crate::ioctx::IoContext;
use crate::progress::{Progress, with_progress};
use crate::text::c_string;

/// How a new image is laid out. What is `None` is the cluster's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageSpec {
    /// Feature bits, exactly these (the data pool's bit is added by librbd).
    pub features: Option<u64>,
    /// log2 of the object size, 12 (4 KiB) to 25 (32 MiB).
    pub order: Option<u8>,
    /// Striping: unit in bytes and number of objects.
    pub striping: Option<(u64, u64)>,
    /// The pool for the data objects.
    pub data_pool: Option<String>,
    /// For clones: 1 asks for a protected snapshot, 2 does not; `None` lets the cluster decide.
    pub clone_format: Option<u64>,
    /// For deep copies: whether the copy is independent of the source's parent.
    pub flatten: bool,
}

/// What a copy takes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyKind {
    /// The data of the head or the opened snapshot only.
    Data,
    /// Snapshots and the link to the parent too.
    Deep,
}

/// An owned `rbd_image_options_t`.
struct Options(sys::rbd_image_options_t);

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: made by rbd_image_options_create, destroyed once.
        unsafe { sys::rbd_image_options_destroy(self.0) };
    }
}

impl Options {
    fn new(spec: &ImageSpec) -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: a valid place to write to.
        unsafe { sys::rbd_image_options_create(&raw mut raw) };
        let options = Self(raw);
        options.number(sys::RBD_IMAGE_OPTION_FORMAT, 2)?;
        if let Some(features) = spec.features {
            options.number(sys::RBD_IMAGE_OPTION_FEATURES, features)?;
        }
        if let Some(order) = spec.order {
            options.number(sys::RBD_IMAGE_OPTION_ORDER, order.into())?;
        }
        if let Some((unit, count)) = spec.striping {
            check_striping(spec.order, unit, count)
                .map_err(|source| Error::Unbounded { subject: "the new image".to_owned(), source })?;
            options.number(sys::RBD_IMAGE_OPTION_STRIPE_UNIT, unit)?;
            options.number(sys::RBD_IMAGE_OPTION_STRIPE_COUNT, count)?;
        }
        if let Some(format) = spec.clone_format {
            options.number(sys::RBD_IMAGE_OPTION_CLONE_FORMAT, format)?;
        }
        if spec.flatten {
            options.number(sys::RBD_IMAGE_OPTION_FLATTEN, 1)?;
        }
        if let Some(pool) = &spec.data_pool {
            let c_pool = c_string(pool)?;
            let name = sys::RBD_IMAGE_OPTION_DATA_POOL.cast_signed();
            // SAFETY: the options are open and the string lives during the call.
            let r = unsafe { sys::rbd_image_options_set_string(options.0, name, c_pool.as_ptr()) };
            crate::error::check("rbd_image_options_set_string", || pool.clone(), r)?;
        }
        Ok(options)
    }

    fn number(&self, name: u32, value: u64) -> Result<()> {
        // SAFETY: the options are open.
        let r = unsafe { sys::rbd_image_options_set_uint64(self.0, name.cast_signed(), value) };
        crate::error::check("rbd_image_options_set_uint64", || format!("option {name}"), r).map(drop)
    }
}

/// How often an id is drawn for one new image.
const MAX_ID_DRAWS: usize = 8;

/// Makes something new, and again while its id is taken.
///
/// librbd puts an image's id together from the number of the connection and 32 random bits (`generate_image_id` in Ceph's
/// `src/librbd/Utils.cc`). Of 10,000 images that one connection makes, two come to the same id in about one run of a hundred;
/// the class in the OSD answers `EBADF` then (`dir_add_image`), nothing is left behind, and the next try draws anew.
fn with_free_id(mut make: impl FnMut() -> Result<()>) -> Result<()> {
    for _ in 1..MAX_ID_DRAWS {
        match make() {
            Err(error) if error.is(Errno::EBADF) => {}
            outcome => return outcome,
        }
    }
    make()
}

impl IoContext {
    /// Makes an empty image.
    ///
    /// # Errors
    /// `EEXIST`; `EINVAL` for a layout that librbd rejects; `ENOENT` for a missing data pool or namespace.
    pub fn create_image(&self, name: &str, size: ImageSize, spec: &ImageSpec) -> Result<()> {
        let c_name = c_string(name)?;
        let options = Options::new(spec)?;
        self.create_validated(spec, || {
            // SAFETY: context, name and options are alive.
            let r = unsafe { sys::rbd_create4(self.raw(), c_name.as_ptr(), size.bytes(), options.0) };
            self.check("rbd_create4", name, r).map(drop)
        })
    }

    /// Makes a clone of a snapshot as `name` in this context, which may be of another pool or namespace.
    ///
    /// # Errors
    /// `EEXIST`; `ENOENT` for a missing parent; `EINVAL` for an unprotected snapshot where the cluster asks for one.
    pub fn clone_image(
        &self,
        parent: &Self,
        parent_image: &str,
        snapshot: &str,
        name: &str,
        spec: &ImageSpec,
    ) -> Result<()> {
        let (c_parent, c_snapshot, c_name) = (c_string(parent_image)?, c_string(snapshot)?, c_string(name)?);
        let options = Options::new(spec)?;
        if let Some(id) = parent.image_id(parent_image)? {
            walkable::check(parent, parent_image, &id)?;
        }
        self.create_validated(spec, || {
            // SAFETY: both contexts, the names and the options are alive.
            let r = unsafe {
                sys::rbd_clone3(
                    parent.raw(),
                    c_parent.as_ptr(),
                    c_snapshot.as_ptr(),
                    self.raw(),
                    c_name.as_ptr(),
                    options.0,
                )
            };
            self.check("rbd_clone3", name, r).map(drop)
        })
    }

    /// Makes something new, once more when the id that librbd drew for it is taken.
    fn create_validated(&self, spec: &ImageSpec, mut make: impl FnMut() -> Result<()>) -> Result<()> {
        self.validate(spec.data_pool.as_deref())?;
        with_free_id(&mut make)
    }

    /// Renames an image within the context. Of all that rename it or move it to the trash at once by this crate, on whatever
    /// host, one succeeds: librbd alone does what each of them wants, one after the other, or leaves a name that nothing lists.
    ///
    /// # Errors
    /// `ENOENT`; `EEXIST`; `ESTALE` when others change names without end.
    pub fn rename_image(&self, from: &str, to: &str) -> Result<()> {
        let (c_from, c_to) = (c_string(from)?, c_string(to)?);
        let id = self.openable_id(ImageRef::Name(from))?;
        let _alone = self.names_lock(from, &id)?;
        // SAFETY: the context and both names are alive.
        let r = unsafe { sys::rbd_rename(self.raw(), c_from.as_ptr(), c_to.as_ptr()) };
        self.check("rbd_rename", from, r).map(drop)
    }

    /// Waits until nobody else changes names of an image.
    ///
    /// # Errors
    /// As [`HeaderLock::take`]; `ENOENT` when the name is not the image's any more.
    pub(crate) fn names_lock(&self, name: &str, id: &str) -> Result<Option<HeaderLock>> {
        let lock = HeaderLock::take(self, id)?;
        if self.image_id(name)?.as_deref() != Some(id) {
            self.check("rbd_open", name, -libc::ENOENT)?;
        }
        Ok(lock)
    }

    /// Removes an image for good. Finishes an interrupted removal too. Cancelling leaves it half-removed.
    ///
    /// # Errors
    /// `ENOENT`; `EBUSY` while somebody watches it; `ENOTEMPTY` with snapshots; `ECANCELED`.
    pub fn remove_image(&self, name: &str, progress: &Progress<'_>) -> Result<()> {
        let c_name = c_string(name)?;
        if let Some(id) = self.image_id(name)? {
            self.check_removable(&id)?;
        }
        let r = with_progress(progress, |callback, argument| {
            // SAFETY: context and name are alive; the callback's argument lives until the call ends.
            unsafe { sys::rbd_remove_with_progress(self.raw(), c_name.as_ptr(), callback, argument) }
        });
        self.check("rbd_remove", name, r).map(drop)
    }
}

impl Image {
    /// Copies the image (or the snapshot it is opened at) to a new one. librbd ignores a cancelling answer here.
    ///
    /// # Errors
    /// `EEXIST`; `ENOENT` for a missing target pool's namespace; `ENOSPC`/`EDQUOT` in a full pool.
    pub fn copy_to(
        &self,
        target: &IoContext,
        name: &str,
        kind: CopyKind,
        spec: &ImageSpec,
        progress: &Progress<'_>,
    ) -> Result<()> {
        let c_name = c_string(name)?;
        let options = Options::new(spec)?;
        self.check_walkable()?;
        target.create_validated(spec, || {
            let r: c_int = with_progress(progress, |callback, argument| match kind {
                CopyKind::Deep => {
                    // SAFETY: image, context, name and options are alive; the argument lives until the call ends.
                    unsafe {
                        sys::rbd_deep_copy_with_progress(
                            self.raw(),
                            target.raw(),
                            c_name.as_ptr(),
                            options.0,
                            callback,
                            argument,
                        )
                    }
                }
                CopyKind::Data => {
                    // SAFETY: as above. Runs of zeros of 4 KiB and more are not written.
                    unsafe {
                        sys::rbd_copy_with_progress4(
                            self.raw(),
                            target.raw(),
                            c_name.as_ptr(),
                            options.0,
                            callback,
                            argument,
                            4096,
                        )
                    }
                }
            });
            target.check("rbd_copy", name, r).map(drop)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> Error {
        Error::Call { operation: "rbd_create4", subject: "p/i".into(), errno: Errno::EBADF }
    }

    #[test]
    fn id_that_is_taken_is_drawn_again() {
        let mut draws = 0;
        let made = with_free_id(|| {
            draws += 1;
            if draws < 3 { Err(taken()) } else { Ok(()) }
        });
        assert_eq!((made, draws), (Ok(()), 3));
    }

    #[test]
    fn drawing_ids_is_bounded_and_stops_at_other_errors() {
        let mut draws = 0;
        let never = with_free_id(|| {
            draws += 1;
            Err(taken())
        });
        assert_eq!((never, draws), (Err(taken()), MAX_ID_DRAWS));
        let mut draws = 0;
        let exists = Error::Call { operation: "rbd_create4", subject: "p/i".into(), errno: Errno::EEXIST };
        let rejected = with_free_id(|| {
            draws += 1;
            Err(exists.clone())
        });
        assert_eq!((rejected, draws), (Err(exists), 1));
    }
}
