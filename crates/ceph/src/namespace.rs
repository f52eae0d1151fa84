//! Namespaces of a pool. Call these on a context of the pool's default namespace.

use std::ffi::c_char;

use ceph_sys as sys;

use crate::error::{Result, failure};
use crate::ioctx::IoContext;
use crate::text::{c_string, growing, separated};

impl IoContext {
    /// The pool's namespaces, without the default one.
    ///
    /// # Errors
    /// None in practice.
    pub fn namespaces(&self) -> Result<Vec<String>> {
        let fill = |buffer: *mut c_char, length: &mut usize| {
            // SAFETY: the buffer has `length` bytes.
            unsafe { sys::rbd_namespace_list(self.raw(), buffer, &raw mut *length) }
        };
        let buffer = growing(4096, fill).map_err(|r| failure("rbd_namespace_list", self.subject(""), r))?;
        Ok(separated(&buffer))
    }

    /// Makes a namespace.
    ///
    /// # Errors
    /// `EEXIST`.
    pub fn create_namespace(&self, name: &str) -> Result<()> {
        let c_name = c_string(name)?;
        // SAFETY: context and name are alive.
        let r = unsafe { sys::rbd_namespace_create(self.raw(), c_name.as_ptr()) };
        self.check("rbd_namespace_create", name, r).map(drop)
    }

    /// Removes an empty namespace.
    ///
    /// # Errors
    /// `ENOENT`; `EBUSY` when it holds images, also in its trash.
    pub fn remove_namespace(&self, name: &str) -> Result<()> {
        let c_name = c_string(name)?;
        // SAFETY: context and name are alive.
        let r = unsafe { sys::rbd_namespace_remove(self.raw(), c_name.as_ptr()) };
        self.check("rbd_namespace_remove", name, r).map(drop)
    }

    /// Whether a namespace exists.
    ///
    /// # Errors
    /// None in practice.
    pub fn namespace_exists(&self, name: &str) -> Result<bool> {
        let c_name = c_string(name)?;
        let mut exists = false;
        // SAFETY: context and name are alive, and `exists` is valid for writing.
        let r = unsafe { sys::rbd_namespace_exists(self.raw(), c_name.as_ptr(), &raw mut exists) };
        self.check("rbd_namespace_exists", name, r)?;
        Ok(exists)
    }
}
