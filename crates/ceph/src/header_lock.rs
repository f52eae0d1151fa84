//! A lock on an image's header object, under which all users of this crate change what the image and its snapshots are called.
//!
//! librbd tells the loser of a race that it has won: it takes `EEXIST` for the echo of its own request to the client that holds
//! the image's exclusive lock (`filter_error_codes` in Ceph's `src/librbd/Operations.cc`). It renames and trashes in several
//! steps, of which two callers may take turns. One that looks first, while nobody else can change anything, is told the truth.
//!
//! It is an advisory lock of RADOS (`src/cls/lock`), of another name than librbd's own, so that no other client meets it.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ceph_sys as sys;
use rbd_format::header::header_object;

use crate::error::{Errno, Error, Result};
use crate::ioctx::IoContext;
use crate::omap::WriteOp;
use crate::text::c_string;

/// The lock's name.
const NAME: &str = "sparrow_names";

/// What `rados lock info` shows of it.
const DESCRIPTION: &str = "sparrow-rbd";

/// When the OSD forgets a lock whose holder has died.
const LOCK_DURATION: Duration = Duration::from_secs(30);

/// How long another holder is waited for.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// How often the lock is asked for meanwhile: much shorter than taking a snapshot lasts.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// `ClsLockType::EXCLUSIVE` in `src/cls/lock/cls_lock_types.h`.
const EXCLUSIVE: u8 = 1;

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct HeaderLock {
    io: IoContext,
    object: String,
    cookie: String,
}

impl HeaderLock {
    /// Waits for the lock on the header of an image. An image without a header has nothing to lock, and is not given one.
    ///
    /// # Errors
    /// `ESTALE` when others kept it for all the time that is waited.
    pub(crate) fn take(io: &IoContext, image_id: &str) -> Result<Option<Self>> {
        // The OSD tells holders apart by their connection and this.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let cookie = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        let object = header_object(image_id);
        let since = Instant::now();
        loop {
            match request_lock(io, &object, &cookie) {
                Ok(()) => return Ok(Some(Self { io: io.clone(), object, cookie })),
                Err(error) if error.is(Errno::ENOENT) => return Ok(None),
                Err(error) if !error.is(Errno::EBUSY) => return Err(error),
                Err(_) if since.elapsed() < MAX_WAIT => sleep(RETRY_PAUSE),
                Err(_) => {
                    let (operation, subject) = ("waiting for the lock", io.subject(&object));
                    return Err(Error::Call { operation, subject, errno: Errno::ESTALE });
                }
            }
        }
    }
}

impl Drop for HeaderLock {
    fn drop(&mut self) {
        // What cannot be given back is forgotten by the OSD. Neither text holds a NUL byte: both were sent before.
        let (Ok(object), Ok(name), Ok(cookie)) = (c_string(&self.object), c_string(NAME), c_string(&self.cookie))
        else {
            return;
        };
        // SAFETY: context and names are alive.
        unsafe { sys::rados_unlock(self.io.raw(), object.as_ptr(), name.as_ptr(), cookie.as_ptr()) };
    }
}

/// Asks for the lock once: `EBUSY` while another has it, `ENOENT` without the object, which the class alone would make.
fn request_lock(io: &IoContext, object: &str, cookie: &str) -> Result<()> {
    let c_object = c_string(object)?;
    let input = lock_request(cookie);
    let mut result = 0;
    // SAFETY: takes nothing.
    let op = WriteOp(unsafe { sys::rados_create_write_op() });
    // SAFETY: the operation is open.
    unsafe { sys::rados_write_op_assert_exists(op.0) };
    // SAFETY: as above; the names are literals, the input and the place for the result outlive the operation.
    unsafe {
        sys::rados_write_op_exec(
            op.0,
            c"lock".as_ptr(),
            c"lock".as_ptr(),
            input.as_ptr().cast(),
            input.len(),
            &raw mut result,
        );
    }
    // SAFETY: operation, context and name are alive; no modification time, no flags.
    let r = unsafe { sys::rados_write_op_operate(op.0, io.raw(), c_object.as_ptr(), ptr::null_mut(), 0) };
    io.check("lock", object, r).map(drop)
}

/// `cls_lock_lock_op` (`src/cls/lock/cls_lock_ops.h`): version 1 for readers of 1, its length, the lock's name, type, cookie, tag
/// and description, when it ends in seconds and nanoseconds, and flags.
fn lock_request(cookie: &str) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let text = |text: &str| [&length(text.len())[..], text.as_bytes()].concat();
    let seconds = u32::try_from(LOCK_DURATION.as_secs()).unwrap_or(u32::MAX).to_le_bytes();
    let fields = [
        &text(NAME)[..],
        &[EXCLUSIVE],
        &text(cookie),
        &text(""),
        &text(DESCRIPTION),
        &seconds,
        &0_u32.to_le_bytes(),
        &[0],
    ]
    .concat();
    [&[1, 1][..], &length(fields.len()), &fields].concat()
}
