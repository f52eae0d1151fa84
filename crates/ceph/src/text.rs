//! Strings across the border: names in, buffers out.

use std::ffi::{CStr, CString, c_char, c_int};

use rbd_format::Name;

use crate::error::{Error, Result};

/// A C string of a name; a NUL byte in it is the caller's mistake and an error.
pub(crate) fn c_string(name: &str) -> Result<CString> {
    CString::new(name).map_err(|_| Error::Nul(name.to_owned()))
}

/// Text that librbd owns, copied. A name that is not UTF-8 is shown as [`Name`] shows it.
///
/// # Safety
/// `text` is null or points to a NUL-terminated string that stays valid during the call.
pub(crate) unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and NUL-terminated by the caller's promise.
    Name::from(unsafe { CStr::from_ptr(text) }.to_bytes()).to_string()
}

/// A buffer of NUL-separated strings as librados and librbd fill them, up to the first empty one; see [`owned`].
pub(crate) fn separated(buffer: &[u8]) -> Vec<String> {
    buffer
        .split(|byte| *byte == 0)
        .take_while(|part| !part.is_empty())
        .map(|part| Name::from(part).to_string())
        .collect()
}

/// Calls `fill` with a buffer that grows until the answer fits.
///
/// `fill` gets the buffer and its length to adjust and returns the C function's result: `-ERANGE` asks for a larger
/// one (with the needed length in the second argument where the function gives it).
pub(crate) fn growing(
    start: usize,
    mut fill: impl FnMut(*mut c_char, &mut usize) -> c_int,
) -> std::result::Result<Vec<u8>, c_int> {
    const MOST: usize = 64 << 20;
    let mut size = start;
    loop {
        let mut buffer = vec![0_u8; size];
        let mut length = size;
        let r = fill(buffer.as_mut_ptr().cast(), &mut length);
        if r == -libc::ERANGE && size < MOST {
            size = length.max(size * 2).min(MOST);
            continue;
        }
        if r < 0 {
            return Err(r);
        }
        return Ok(buffer);
    }
}

/// The text of a buffer up to its first NUL byte.
pub(crate) fn until_nul(buffer: &[u8]) -> String {
    let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
    String::from_utf8_lossy(&buffer[..end]).into_owned()
}
