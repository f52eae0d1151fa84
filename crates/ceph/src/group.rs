//! Groups: images whose snapshots are taken at one moment.

use std::collections::BTreeSet;
use std::ffi::c_char;
use std::ptr;

use ceph_sys as sys;
use rbd_format::GroupEntry;
use rbd_format::group::{GROUP_DIRECTORY_OBJECT, group_header_object};

use crate::error::{Errno, Error, Result, failure};
use crate::image::ImageRef;
use crate::ioctx::IoContext;
use crate::progress::with_progress_to_the_end;
use crate::text::{c_string, growing, owned, separated};

/// An image of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Its name.
    pub name: String,
    /// Its pool's id.
    pub pool_id: i64,
    /// Whether adding it was completed.
    pub attached: bool,
}

/// A snapshot of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSnapshot {
    /// Its name.
    pub name: String,
    /// Whether it was completed; an incomplete one can only be removed.
    pub complete: bool,
}

impl IoContext {
    /// The groups of this pool and namespace.
    ///
    /// # Errors
    /// None in practice.
    pub fn groups(&self) -> Result<Vec<String>> {
        let fill = |buffer: *mut c_char, length: &mut usize| {
            // SAFETY: the buffer has `length` bytes.
            unsafe { sys::rbd_group_list(self.raw(), buffer, &raw mut *length) }
        };
        let buffer = growing(4096, fill).map_err(|r| failure("rbd_group_list", self.subject(""), r))?;
        Ok(separated(&buffer))
    }

    /// Makes an empty group.
    ///
    /// # Errors
    /// `EEXIST`.
    pub fn create_group(&self, name: &str) -> Result<()> {
        let c_name = c_string(name)?;
        // SAFETY: context and name are alive.
        let r = unsafe { sys::rbd_group_create(self.raw(), c_name.as_ptr()) };
        self.check("rbd_group_create", name, r).map(drop)
    }

    /// Removes a group and its snapshots; its images stay.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn remove_group(&self, name: &str) -> Result<()> {
        let c_name = c_string(name)?;
        // SAFETY: context and name are alive.
        let r = unsafe { sys::rbd_group_remove(self.raw(), c_name.as_ptr()) };
        self.check("rbd_group_remove", name, r).map(drop)
    }

    /// Renames a group.
    ///
    /// # Errors
    /// `ENOENT`; `EEXIST`.
    pub fn rename_group(&self, from: &str, to: &str) -> Result<()> {
        let (c_from, c_to) = (c_string(from)?, c_string(to)?);
        // SAFETY: context and names are alive.
        let r = unsafe { sys::rbd_group_rename(self.raw(), c_from.as_ptr(), c_to.as_ptr()) };
        self.check("rbd_group_rename", from, r).map(drop)
    }

    /// The images of a group.
    ///
    /// # Errors
    /// `ENOENT` when there is no such group.
    pub fn group_images(&self, group: &str) -> Result<Vec<GroupMember>> {
        let c_group = c_string(group)?;
        let element = size_of::<sys::rbd_group_image_info_t>();
        let mut count: usize = 64;
        loop {
            let empty = sys::rbd_group_image_info_t { name: ptr::null_mut(), pool: 0, state: 0 };
            let mut raw = vec![empty; count];
            // SAFETY: `raw` has `count` elements of the size given.
            let r = unsafe {
                sys::rbd_group_image_list(self.raw(), c_group.as_ptr(), raw.as_mut_ptr(), element, &raw mut count)
            };
            if r == -libc::ERANGE {
                continue;
            }
            self.check("rbd_group_image_list", group, r)?;
            let images = raw[..count]
                .iter()
                .map(|image| GroupMember {
                    // SAFETY: filled by librbd with a NUL-terminated string.
                    name: unsafe { owned(image.name) },
                    pool_id: image.pool,
                    attached: image.state == sys::RBD_GROUP_IMAGE_STATE_ATTACHED,
                })
                .collect();
            // SAFETY: the `count` elements that librbd filled, freed once.
            unsafe { sys::rbd_group_image_list_cleanup(raw.as_mut_ptr(), element, count) };
            return Ok(images);
        }
    }

    /// Adds an image, which may be of another pool, to a group.
    ///
    /// # Errors
    /// `ENOENT`; `EEXIST` when it is in a group already.
    pub fn add_to_group(&self, group: &str, images: &Self, image: &str) -> Result<()> {
        let (c_group, c_image) = (c_string(group)?, c_string(image)?);
        images.openable_id(ImageRef::Name(image))?;
        // SAFETY: both contexts and both names are alive.
        let r = unsafe { sys::rbd_group_image_add(self.raw(), c_group.as_ptr(), images.raw(), c_image.as_ptr()) };
        self.check("rbd_group_image_add", group, r).map(drop)
    }

    /// Takes an image out of a group.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn remove_from_group(&self, group: &str, images: &Self, image: &str) -> Result<()> {
        let (c_group, c_image) = (c_string(group)?, c_string(image)?);
        // SAFETY: both contexts and both names are alive.
        let r = unsafe { sys::rbd_group_image_remove(self.raw(), c_group.as_ptr(), images.raw(), c_image.as_ptr()) };
        self.check("rbd_group_image_remove", group, r).map(drop)
    }

    /// Takes an image out of a group by its id, which also one in the trash has.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn remove_from_group_by_id(&self, group: &str, images: &Self, image_id: &str) -> Result<()> {
        let (c_group, c_id) = (c_string(group)?, c_string(image_id)?);
        // SAFETY: both contexts, the name and the id are alive.
        let r = unsafe { sys::rbd_group_image_remove_by_id(self.raw(), c_group.as_ptr(), images.raw(), c_id.as_ptr()) };
        self.check("rbd_group_image_remove_by_id", group, r).map(drop)
    }

    /// Takes a snapshot of all images of a group at one moment.
    ///
    /// # Errors
    /// `ENOENT`; `EEXIST`; `EBUSY` when an image's client does not give up its lock.
    pub fn create_group_snapshot(&self, group: &str, name: &str) -> Result<()> {
        let (c_group, c_name) = (c_string(group)?, c_string(name)?);
        self.check_members_openable(group)?;
        // SAFETY: context and names are alive.
        let r = unsafe { sys::rbd_group_snap_create2(self.raw(), c_group.as_ptr(), c_name.as_ptr(), 0) };
        self.check("rbd_group_snap_create2", group, r).map(drop)
    }

    /// Removes a group's snapshot.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn remove_group_snapshot(&self, group: &str, name: &str) -> Result<()> {
        let (c_group, c_name) = (c_string(group)?, c_string(name)?);
        self.check_members_openable(group)?;
        // SAFETY: context and names are alive.
        let r = unsafe { sys::rbd_group_snap_remove(self.raw(), c_group.as_ptr(), c_name.as_ptr()) };
        self.check("rbd_group_snap_remove", group, r).map(drop)
    }

    /// Renames a group's snapshot.
    ///
    /// # Errors
    /// `ENOENT`; `EEXIST`.
    pub fn rename_group_snapshot(&self, group: &str, from: &str, to: &str) -> Result<()> {
        let (c_group, c_from, c_to) = (c_string(group)?, c_string(from)?, c_string(to)?);
        // SAFETY: context and names are alive.
        let r = unsafe { sys::rbd_group_snap_rename(self.raw(), c_group.as_ptr(), c_from.as_ptr(), c_to.as_ptr()) };
        self.check("rbd_group_snap_rename", group, r).map(drop)
    }

    /// The snapshots of a group.
    ///
    /// # Errors
    /// `ENOENT` when there is no such group.
    pub fn group_snapshots(&self, group: &str) -> Result<Vec<GroupSnapshot>> {
        let c_group = c_string(group)?;
        let element = size_of::<sys::rbd_group_snap_info_t>();
        let mut count: usize = 64;
        loop {
            let empty = sys::rbd_group_snap_info_t { name: ptr::null_mut(), state: 0 };
            let mut raw = vec![empty; count];
            // SAFETY: `raw` has `count` elements of the size given.
            let r = unsafe {
                sys::rbd_group_snap_list(self.raw(), c_group.as_ptr(), raw.as_mut_ptr(), element, &raw mut count)
            };
            if r == -libc::ERANGE {
                continue;
            }
            self.check("rbd_group_snap_list", group, r)?;
            let snapshots = raw[..count]
                .iter()
                .map(|snapshot| GroupSnapshot {
                    // SAFETY: filled by librbd with a NUL-terminated string.
                    name: unsafe { owned(snapshot.name) },
                    complete: snapshot.state == sys::RBD_GROUP_SNAP_STATE_COMPLETE,
                })
                .collect();
            // SAFETY: the `count` elements that librbd filled, freed once.
            unsafe { sys::rbd_group_snap_list_cleanup(raw.as_mut_ptr(), element, count) };
            return Ok(snapshots);
        }
    }

    /// Sets all images of a group back to one of its snapshots. Not to be cancelled: a panic in `progress` resumes
    /// only after the end.
    ///
    /// # Errors
    /// `ENOENT`; `EINVAL` for an incomplete snapshot.
    pub fn rollback_group(&self, group: &str, name: &str, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<()> {
        let (c_group, c_name) = (c_string(group)?, c_string(name)?);
        self.check_members_openable(group)?;
        let r = with_progress_to_the_end(progress, |callback, argument| {
            // SAFETY: context and names are alive; the argument lives until the call ends.
            unsafe {
                sys::rbd_group_snap_rollback_with_progress(
                    self.raw(),
                    c_group.as_ptr(),
                    c_name.as_ptr(),
                    callback,
                    argument,
                )
            }
        });
        self.check("rbd_group_snap_rollback", group, r).map(drop)
    }

    /// Rejects what librbd does with all images of a group, and of its snapshots, where it must not open one of them.
    fn check_members_openable(&self, group: &str) -> Result<()> {
        let Some(id) = self.directory_id(GROUP_DIRECTORY_OBJECT, group)? else { return Ok(()) };
        let object = group_header_object(&id);
        let mut members = BTreeSet::new();
        for (key, value) in self.omap_all(&object, "", None)? {
            let entry = GroupEntry::decode(&key, &value)
                .map_err(|source| Error::Decode { subject: self.subject(&object), source })?;
            match entry {
                Some(GroupEntry::Image(image)) => drop(members.insert((image.pool_id, image.image_id))),
                Some(GroupEntry::Snapshot(snapshot)) => {
                    members.extend(snapshot.images.into_iter().map(|image| (image.pool_id, image.image_id)));
                }
                None => {}
            }
        }
        for (pool_id, image_id) in members {
            let pool = match self.cluster().pool_name(pool_id) {
                // What is gone, librbd does not open.
                Err(error) if error.is(Errno::ENOENT) => continue,
                pool => pool?,
            };
            self.cluster().io_context(&pool, self.namespace())?.check_openable(&image_id)?;
        }
        Ok(())
    }
}
