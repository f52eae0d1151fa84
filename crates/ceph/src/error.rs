//! The errors of this crate's calls, from the return values of C.

use std::ffi::c_int;

pub use ceph_error::{Errno, Error, Result};

/// A negative return value as an error, anything else as it is.
pub(crate) fn check<T: Into<i64> + Copy>(operation: &'static str, subject: impl FnOnce() -> String, r: T) -> Result<T> {
    let value: i64 = r.into();
    if value >= 0 {
        return Ok(r);
    }
    let errno = Errno(c_int::try_from(-value).unwrap_or(libc::EIO));
    Err(Error::Call { operation, subject: subject(), errno })
}

/// `Err` of the errno, for functions that give a plain code.
pub(crate) fn failure(operation: &'static str, subject: String, r: c_int) -> Error {
    Error::Call { operation, subject, errno: Errno(-r) }
}
