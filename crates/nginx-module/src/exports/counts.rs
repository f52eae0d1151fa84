//! What is counted of each request when it has ended.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::{self, NonNull};

use route_table::{CountedRequest, RouteCounts};
use table_memory::WritableTableMemory;

use super::{Bytes, tell};

/// `sparrow_counts_t`.
type CountsOfC = RouteCounts<WritableTableMemory>;

/// `sparrow_counted_t`.
#[repr(C)]
#[derive(Debug)]
struct CountedOfC {
    route: Bytes,
    duration_ms: u64,
    sent_bytes: u64,
    received_bytes: u64,
    retries: u64,
    status: u16,
}

// `shim/sparrow.h` says the same of its own.
const _: () = assert!(size_of::<CountedOfC>() == 56);

fn open(path: &[u8]) -> Result<CountsOfC, String> {
    let memory = WritableTableMemory::open(Path::new(OsStr::from_bytes(path))).map_err(|error| error.to_string())?;
    RouteCounts::open(memory).map_err(|error| error.to_string())
}

/// Opens the counts at a path.
///
/// # Safety
/// `path` is readable, `message` is writable for `*len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_counts_open(path: Bytes, message: *mut u8, len: *mut usize) -> *mut CountsOfC {
    // SAFETY: as the caller says.
    let path = unsafe { path.as_slice() };
    let opened = catch_unwind(|| open(path)).unwrap_or_else(|_| Err("there is a fault in the module".to_owned()));
    match opened {
        Ok(counts) => Box::into_raw(Box::new(counts)),
        Err(error) => {
            // SAFETY: as the caller says.
            unsafe { tell(&error, message, len) };
            ptr::null_mut()
        }
    }
}

/// Closes them.
///
/// # Safety
/// They are those of [`sparrow_counts_open`], and are used no more.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_counts_close(counts: *mut CountsOfC) {
    let Some(counts) = NonNull::new(counts) else { return };
    // SAFETY: they were made by `Box::into_raw`, and nobody else closes them.
    let counts = unsafe { Box::from_raw(counts.as_ptr()) };
    let _ = catch_unwind(AssertUnwindSafe(|| drop(counts)));
}

/// Adds a request that has ended.
///
/// # Safety
/// `counts` are those of [`sparrow_counts_open`]; `counted` and its bytes are readable.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_counts_add(counts: *const CountsOfC, counted: *const CountedOfC) {
    // SAFETY: as the caller says.
    let counts = unsafe { &*counts };
    // SAFETY: as the caller says.
    let counted = unsafe { &*counted };
    // SAFETY: as the caller says.
    let route = unsafe { counted.route.as_slice() };
    let CountedOfC { duration_ms, sent_bytes, received_bytes, retries, status, .. } = *counted;
    let request = CountedRequest { status, duration_ms, sent_bytes, received_bytes, retries };
    // What a panic leaves is at worst a request that is not counted.
    let _ = catch_unwind(AssertUnwindSafe(|| counts.add(route, request)));
}
