//! Ending a process that has used librados.
//!
//! The usual end destroys the libraries' statics while librados' own threads still use them, which now and then ends in
//! an abort or a segmentation fault.

use std::ffi::{c_int, c_void};
use std::ptr;

/// Ends the process at once. Standard output and error must have been flushed.
pub fn end_process(code: u8) -> ! {
    // SAFETY: takes an integer and does not return; nothing of this process is used after it.
    unsafe { libc::_exit(c_int::from(code)) }
}

/// Makes every later end of this process, with whatever status, one at once. For programs whose `main` is not their own,
/// such as tests. Call it after connecting, so that it comes before what the libraries have registered until then.
pub fn end_at_once() {
    extern "C" fn end(status: c_int, _: *mut c_void) {
        end_process(u8::try_from(status).unwrap_or(u8::MAX));
    }
    unsafe extern "C" {
        // on_exit(3): as atexit(3), with the status.
        fn on_exit(function: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }
    // SAFETY: the function lives as long as the process and does not use its argument. When there is no room for
    // another one, the process ends as usual.
    let _ = unsafe { on_exit(end, ptr::null_mut()) };
}
