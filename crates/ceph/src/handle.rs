//! The C library's handle of a cluster: owned, and closed where that may block.

use std::ffi::c_char;

use ceph_sys as sys;

use crate::error::{Result, check};
use crate::text::{c_string, growing, until_nul};

/// An owned `rados_t`, connected or not.
pub(crate) struct Handle(pub(crate) sys::rados_t);

// SAFETY: librados documents a cluster handle as usable from any thread once it is created, and its functions lock
// inside; nothing here depends on the thread that made it.
unsafe impl Send for Handle {}
// SAFETY: as above: concurrent calls on one connected handle are librados' normal use, reading an option, which locks its
// configuration, among them. Whoever sets one has the handle alone.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // `rados_shutdown` waits for the client's own threads, one of which may be the one that dropped the last
        // reference (a completion), and for daemons that may be gone. So it never runs on the caller's thread.
        struct Moved(sys::rados_t);
        // SAFETY: the handle is owned and this is its last use.
        unsafe impl Send for Moved {}
        let moved = Moved(self.0);
        let close = move || {
            let moved = moved;
            // SAFETY: created by rados_create2, shut down once, here.
            unsafe { sys::rados_shutdown(moved.0) };
        };
        // A thread that cannot be had leaks the handle, which is the lesser evil.
        let _ = std::thread::Builder::new().name("rados-shutdown".into()).spawn(close);
    }
}

impl Handle {
    /// Sets an option for all that is done with this handle from now on. Nobody else has it yet: once images are opened on it, that
    /// may never return ([`crate::validation`]).
    ///
    /// # Errors
    /// `ENOENT` for an option that does not exist, `ENOSYS` for one that cannot be changed while connected.
    pub(crate) fn set_option(&mut self, name: &str, value: &str) -> Result<()> {
        let (c_name, c_value) = (c_string(name)?, c_string(value)?);
        // SAFETY: the handle is open and both strings live during the call.
        let r = unsafe { sys::rados_conf_set(self.0, c_name.as_ptr(), c_value.as_ptr()) };
        check("rados_conf_set", || format!("{name}={value}"), r).map(drop)
    }

    /// The value an option has, by file, environment and default.
    ///
    /// # Errors
    /// `ENOENT` for an option that does not exist.
    pub(crate) fn option(&self, name: &str) -> Result<String> {
        let c_name = c_string(name)?;
        let fill = |buffer: *mut c_char, length: &mut usize| {
            // SAFETY: the buffer has `length` bytes; the function NUL-terminates what it writes.
            let r = unsafe { sys::rados_conf_get(self.0, c_name.as_ptr(), buffer, *length) };
            if r == -libc::ENAMETOOLONG { -libc::ERANGE } else { r }
        };
        let buffer =
            growing(512, fill).or_else(|r| check("rados_conf_get", || name.to_owned(), r).map(|_| Vec::new()))?;
        Ok(until_nul(&buffer))
    }
}
