//! Progress callbacks across the border: no panic crosses it, and cancelling is an answer.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use ceph_sys as sys;

/// Told how far a long call is: done and total, in the call's own units. `Break` asks librbd to cancel, which remove,
/// resize, flatten, sparsify and the rebuild of an object map honour (the call then fails with `ECANCELED`).
/// Called from librbd's threads, maybe several at once.
pub type Progress<'a> = dyn Fn(u64, u64) -> ControlFlow<()> + Sync + 'a;

struct Watched<'a> {
    progress: &'a Progress<'a>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    // What librbd is told after a panic: to cancel, or to go on where cancelling does harm.
    after_panic: c_int,
}

extern "C" fn trampoline(offset: u64, total: u64, argument: *mut c_void) -> c_int {
    // SAFETY: the argument is the `Watched` on the stack of `watch`, which waits for the call to end.
    let watched = unsafe { &*argument.cast_const().cast::<Watched<'_>>() };
    // One that has panicked is not called again.
    if watched.panic.lock().is_ok_and(|parked| parked.is_some()) {
        return watched.after_panic;
    }
    match catch_unwind(AssertUnwindSafe(|| (watched.progress)(offset, total))) {
        Ok(ControlFlow::Continue(())) => 0,
        Ok(ControlFlow::Break(())) => -libc::ECANCELED,
        Err(panic) => {
            if let Ok(mut parked) = watched.panic.lock() {
                parked.get_or_insert(panic);
            }
            watched.after_panic
        }
    }
}

/// Runs a librbd call with a progress callback. A panic in the callback cancels the call and resumes afterwards.
pub(crate) fn with_progress(
    progress: &Progress<'_>,
    call: impl FnOnce(sys::librbd_progress_fn_t, *mut c_void) -> c_int,
) -> c_int {
    watch(progress, -libc::ECANCELED, call)
}

/// As [`with_progress`], for calls that must not be cancelled: after a panic they go on to their end.
pub(crate) fn with_progress_to_the_end(
    progress: &(dyn Fn(u64, u64) + Sync),
    call: impl FnOnce(sys::librbd_progress_fn_t, *mut c_void) -> c_int,
) -> c_int {
    let told = |done: u64, total: u64| {
        progress(done, total);
        ControlFlow::Continue(())
    };
    watch(&told, 0, call)
}

fn watch(
    progress: &Progress<'_>,
    after_panic: c_int,
    call: impl FnOnce(sys::librbd_progress_fn_t, *mut c_void) -> c_int,
) -> c_int {
    let watched = Watched { progress, panic: Mutex::new(None), after_panic };
    let argument: *const Watched<'_> = &raw const watched;
    let r = call(Some(trampoline), argument.cast_mut().cast());
    if let Ok(mut parked) = watched.panic.lock()
        && let Some(panic) = parked.take()
    {
        resume_unwind(panic);
    }
    r
}

/// Progress that nobody watches.
pub fn ignore_progress(_done: u64, _total: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
