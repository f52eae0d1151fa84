//! An image's bytes: asynchronous reads and writes, and which parts exist or changed.

use std::any::Any;
use std::ffi::{c_char, c_int, c_void};
use std::future::Future;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use ceph_sys as sys;

use super::Image;
use crate::error::{Errno, Error, Result};
use crate::text::c_string;

/// A part of an image: where, how long, and whether there is data (else it reads as zeros).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Offset in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// Whether it holds data; `false` for what was discarded.
    pub exists: bool,
}

/// A read, write or flush on its way. Dropping it does not end it: its buffer lives until librbd is done.
pub struct Pending<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    operation: &'static str,
    subject: String,
    state: Mutex<State<T>>,
}

struct State<T> {
    result: Option<std::result::Result<T, Errno>>,
    waker: Option<Waker>,
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.result.take() {
            Some(Ok(value)) => Poll::Ready(Ok(value)),
            Some(Err(errno)) => Poll::Ready(Err(Error::Call {
                operation: self.shared.operation,
                subject: self.shared.subject.clone(),
                errno,
            })),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// What the completion owns: the buffer that librbd reads or writes, and how to turn it into the result.
struct Transfer<B, T> {
    buffer: B,
    finish: fn(B, usize) -> T,
    shared: Arc<Shared<T>>,
}

extern "C" fn transferred<B, T>(completion: sys::rbd_completion_t, argument: *mut c_void) {
    // SAFETY: the argument is the `Transfer` of these types that `transfer` leaked for this one call.
    let transfer = unsafe { Box::from_raw(argument.cast::<Transfer<B, T>>()) };
    // SAFETY: the completion has completed.
    let r = unsafe { sys::rbd_aio_get_return_value(completion) };
    // SAFETY: made for this operation; librbd keeps its own reference until this function returns.
    unsafe { sys::rbd_aio_release(completion) };
    let Transfer { buffer, finish, shared } = *transfer;
    let result = match usize::try_from(r) {
        Ok(length) => Ok(finish(buffer, length)),
        Err(_) => Err(Errno(c_int::try_from(-r).unwrap_or(libc::EIO))),
    };
    let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    state.result = Some(result);
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Image {
    /// Starts an operation on `buffer`, which the completion owns until librbd is done with it. `locate` gives what
    /// `start` needs of the buffer in its place: the operation may complete, and take the buffer away, before `start`
    /// returns, so that it cannot borrow it.
    fn transfer<B: Send + 'static, P, T: Send + 'static>(
        &self,
        operation: &'static str,
        buffer: B,
        finish: fn(B, usize) -> T,
        locate: impl FnOnce(&mut B) -> P,
        start: impl FnOnce(P, sys::rbd_completion_t) -> c_int,
    ) -> Result<Pending<T>> {
        let shared = Arc::new(Shared {
            operation,
            subject: self.io.subject(&self.name),
            state: Mutex::new(State { result: None, waker: None }),
        });
        let mut completion = ptr::null_mut();
        let slot: *mut Transfer<B, T> = Box::into_raw(Box::<Transfer<B, T>>::new_uninit()).cast();
        // SAFETY: the callback matches these types; the slot is filled before the operation starts.
        let r = unsafe { sys::rbd_aio_create_completion(slot.cast(), Some(transferred::<B, T>), &raw mut completion) };
        if let Err(error) = self.check("rbd_aio_create_completion", r) {
            // SAFETY: allocated above, never filled, and no callback will run.
            drop(unsafe { Box::from_raw(slot.cast::<std::mem::MaybeUninit<Transfer<B, T>>>()) });
            return Err(error);
        }
        // SAFETY: `slot` is a live, unfilled allocation of this type.
        unsafe { slot.write(Transfer { buffer, finish, shared: Arc::clone(&shared) }) };
        // SAFETY: filled above; nothing else has access before the operation starts.
        let located = locate(unsafe { &mut (*slot).buffer });
        let r = start(located, completion);
        if let Err(error) = self.check(operation, r) {
            // SAFETY: the operation was not started, so the callback will not run: release the completion.
            unsafe { sys::rbd_aio_release(completion) };
            // SAFETY: filled above, and nobody else has it.
            drop(unsafe { Box::from_raw(slot) });
            return Err(error);
        }
        Ok(Pending { shared })
    }

    /// Starts reading `length` bytes at `offset`. The result is shorter at the end of the image.
    ///
    /// # Errors
    /// From the future: `EINVAL` from the end of the image on; `EIO` and the like.
    pub fn read(&self, offset: u64, length: usize) -> Result<Pending<Vec<u8>>> {
        self.check_walkable()?;
        let raw = self.raw;
        let finish = |mut buffer: Vec<u8>, length: usize| {
            let length = length.min(buffer.capacity());
            // SAFETY: librbd wrote `length` bytes from the start of the buffer, which has the capacity.
            unsafe { buffer.set_len(length) };
            buffer
        };
        let buffer = Vec::<u8>::with_capacity(length);
        self.transfer("rbd_aio_read", buffer, finish, Vec::as_mut_ptr, |start, completion| {
            // SAFETY: at `start` is room for `length` bytes, until the completion.
            unsafe { sys::rbd_aio_read(raw, offset, length, start.cast(), completion) }
        })
    }

    /// Starts writing all of `bytes` at `offset`.
    ///
    /// # Errors
    /// From the future: `EINVAL` from the end of the image on; `ENOSPC`/`EDQUOT`, `EROFS`, `ESHUTDOWN` when this client was blocklisted.
    pub fn write<B: AsRef<[u8]> + Send + 'static>(&self, offset: u64, bytes: B) -> Result<Pending<()>> {
        self.check_walkable()?;
        let raw = self.raw;
        self.transfer(
            "rbd_aio_write",
            bytes,
            |_, _| (),
            |bytes| {
                let bytes: &[u8] = (*bytes).as_ref();
                (bytes.as_ptr(), bytes.len())
            },
            |(start, length), completion| {
                // SAFETY: the bytes live until the completion, and librbd only reads them.
                unsafe { sys::rbd_aio_write(raw, offset, length, start.cast(), completion) }
            },
        )
    }

    /// Starts writing everything that librbd has cached.
    ///
    /// # Errors
    /// From the future, as for writes.
    pub fn flush(&self) -> Result<Pending<()>> {
        let raw = self.raw;
        self.transfer(
            "rbd_aio_flush",
            (),
            |(), _| (),
            |()| (),
            |(), completion| {
                // SAFETY: the image is open.
                unsafe { sys::rbd_aio_flush(raw, completion) }
            },
        )
    }

    /// Starts discarding a part, which reads as zeros then.
    ///
    /// # Errors
    /// From the future, as for writes.
    pub fn discard(&self, offset: u64, length: u64) -> Result<Pending<()>> {
        self.check_walkable()?;
        let raw = self.raw;
        self.transfer(
            "rbd_aio_discard",
            (),
            |(), _| (),
            |()| (),
            |(), completion| {
                // SAFETY: the image is open.
                unsafe { sys::rbd_aio_discard(raw, offset, length, completion) }
            },
        )
    }

    /// Starts to make a part read as zeros, all of it: [`Image::discard`] may leave small parts as they are
    /// (`rbd_skip_partial_discard`, `rbd_discard_granularity_bytes`).
    ///
    /// # Errors
    /// From the future, as for writes.
    pub fn write_zeroes(&self, offset: u64, length: usize) -> Result<Pending<()>> {
        self.check_walkable()?;
        let raw = self.raw;
        self.transfer(
            "rbd_aio_write_zeroes",
            (),
            |(), _| (),
            |()| (),
            |(), completion| {
                // SAFETY: the image is open. No flags: space is given back where it can be.
                unsafe { sys::rbd_aio_write_zeroes(raw, offset, length, completion, 0, 0) }
            },
        )
    }

    /// Calls `each` with the parts that hold data, in order; with `from`, with those that changed since that
    /// snapshot. What a clone takes from its parent counts as data. `whole_objects` is quick with fast-diff, and gives
    /// whole objects. `Break` ends it early, with `Ok`.
    ///
    /// # Errors
    /// `ENOENT` for a missing snapshot; `EINVAL` when `from` is newer; [`Error::Unbounded`].
    pub fn extents(
        &self,
        from: Option<&str>,
        offset: u64,
        length: u64,
        whole_objects: bool,
        each: &mut (dyn FnMut(Extent) -> ControlFlow<()> + Send),
    ) -> Result<()> {
        self.walk(from, offset, length, true, whole_objects, each)
    }

    /// As [`Image::extents`], without what a clone takes from its parent: the space that is the image's own.
    ///
    /// # Errors
    /// As [`Image::extents`].
    pub fn own_extents(
        &self,
        from: Option<&str>,
        offset: u64,
        length: u64,
        whole_objects: bool,
        each: &mut (dyn FnMut(Extent) -> ControlFlow<()> + Send),
    ) -> Result<()> {
        self.walk(from, offset, length, false, whole_objects, each)
    }

    fn walk(
        &self,
        from: Option<&str>,
        offset: u64,
        length: u64,
        with_parent: bool,
        whole_objects: bool,
        each: &mut (dyn FnMut(Extent) -> ControlFlow<()> + Send),
    ) -> Result<()> {
        self.check_walkable()?;
        let c_from = from.map(c_string).transpose()?;
        let from_pointer: *const c_char = c_from.as_ref().map_or(ptr::null(), |from| from.as_ptr());
        let mut walk = Walk { each, panic: None, stopped: false };
        let argument: *mut Walk<'_> = &raw mut walk;
        // SAFETY: image and name are alive; the callback's argument lives until the call ends, and librbd calls it
        // from one thread at a time.
        let r = unsafe {
            sys::rbd_diff_iterate2(
                self.raw,
                from_pointer,
                offset,
                length,
                u8::from(with_parent),
                u8::from(whole_objects),
                Some(extent),
                argument.cast(),
            )
        };
        if let Some(panic) = walk.panic.take() {
            resume_unwind(panic);
        }
        if walk.stopped {
            return Ok(());
        }
        self.check("rbd_diff_iterate2", r).map(drop)
    }
}

struct Walk<'a> {
    each: &'a mut (dyn FnMut(Extent) -> ControlFlow<()> + Send),
    panic: Option<Box<dyn Any + Send>>,
    stopped: bool,
}

extern "C" fn extent(offset: u64, length: usize, exists: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: the argument is the `Walk` on the stack of `walk`, which waits for the call to end.
    let walk = unsafe { &mut *argument.cast::<Walk<'_>>() };
    // librbd may have more to tell of the object that it was at.
    if walk.stopped || walk.panic.is_some() {
        return -libc::ECANCELED;
    }
    let extent = Extent { offset, length: length as u64, exists: exists != 0 };
    match catch_unwind(AssertUnwindSafe(|| (walk.each)(extent))) {
        Ok(ControlFlow::Continue(())) => 0,
        Ok(ControlFlow::Break(())) => {
            walk.stopped = true;
            -libc::ECANCELED
        }
        Err(panic) => {
            walk.panic = Some(panic);
            -libc::ECANCELED
        }
    }
}
