//! RADOS read operations over the key-value side of objects, hundreds in flight, and guarded writes to it.
//!
//! librbd keeps directories and image headers as omaps, so one read operation per image gives all that a listing
//! shows, without opening the image.

use std::collections::{HashMap, VecDeque};
use std::ffi::{CString, c_char, c_int, c_uchar, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use ceph_sys as sys;

use crate::error::{Errno, Error, Result};
use crate::ioctx::IoContext;
use crate::text::c_string;

/// Key and value of an omap entry.
pub type Entry = (Vec<u8>, Vec<u8>);

/// What to read of one object's omap.
#[derive(Debug, Clone, Default)]
pub struct OmapRange {
    /// The object.
    pub object: String,
    /// Only keys after this one (empty: from the first).
    pub after: Vec<u8>,
    /// Only keys with this prefix.
    pub prefix: String,
    /// At most this many entries, 0 for 1,024; the OSD may give fewer (`osd_max_omap_entries_per_request`).
    pub limit: u64,
    /// At most this many bytes of the object's data, from its start, in the same step; the first page brings them.
    pub data_bytes: usize,
}

/// One answer: the entries in key order, and whether more follow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OmapPage {
    /// Key and value, in key order.
    pub entries: Vec<Entry>,
    /// Whether the range has more.
    pub more: bool,
    /// The object's data, as far as it was asked for.
    pub data: Vec<u8>,
}

/// Where librados writes an answer to.
struct AnswerBuffers {
    iterator: *mut sys::rados_omap_iter_t,
    more: *mut c_uchar,
    result: *mut c_int,
    data: *mut c_char,
    data_length: *mut usize,
    data_result: *mut c_int,
}

/// One read operation on its way. Owned twice: by the batch that waits for it and by the completion's callback.
struct PendingRead {
    op: sys::rados_read_op_t,
    completion: sys::rados_completion_t,
    // Written by librados when the operation completes; read only after the callback has run. A leaked box, which
    // `drop` takes back.
    answer: *mut Answer,
    // Kept alive while librados may read it.
    object: CString,
    _io: IoContext,
}

struct Answer {
    iterator: sys::rados_omap_iter_t,
    more: c_uchar,
    result: c_int,
    // Filled to `data_length`; never grown while librados may write to it.
    data: Vec<u8>,
    data_length: usize,
    data_result: c_int,
}

// SAFETY: the raw parts belong to this pending_read alone. librados writes the answer before it runs the callback, and the
// batch reads it after the callback has sent the index through a channel, which orders the two.
unsafe impl Send for PendingRead {}
// SAFETY: as above; `&PendingRead` gives access to nothing before the callback, and to plain reads after it.
unsafe impl Sync for PendingRead {}

impl Drop for PendingRead {
    fn drop(&mut self) {
        // SAFETY: leaked by `start_range` for this pending_read; the operation is over, or was never started.
        let answer = unsafe { Box::from_raw(self.answer) };
        if !answer.iterator.is_null() {
            // SAFETY: librados made the iterator for this operation, and gave it to the caller to end.
            unsafe { sys::rados_omap_get_end(answer.iterator) };
        }
        // SAFETY: made by rados_create_read_op, released once. The operation is over, or was never started.
        unsafe { sys::rados_release_read_op(self.op) };
        if !self.completion.is_null() {
            // SAFETY: made by rados_aio_create_completion2; librados keeps its own reference while it needs it.
            unsafe { sys::rados_aio_release(self.completion) };
        }
    }
}

impl PendingRead {
    /// What librados wrote. Only for a read that has completed.
    fn answer(&self) -> &Answer {
        // SAFETY: allocated by `start_range`, freed by `drop`; after the callback nobody writes to it.
        unsafe { &*self.answer }
    }
}

struct CompletedReads {
    pending_read: Option<Arc<PendingRead>>,
    index: usize,
    landed: Sender<usize>,
}

extern "C" fn landed(_completion: sys::rados_completion_t, argument: *mut c_void) {
    // SAFETY: the argument is the `CompletedReads` that `start_range` leaked for this one call.
    let completed = unsafe { Box::from_raw(argument.cast::<CompletedReads>()) };
    // A batch that gave up is not there any more; then the pending_read ends with the completed. Neither step can panic.
    let _ = completed.landed.send(completed.index);
}

/// Reads of many omaps at once.
struct Batch<'a> {
    io: &'a IoContext,
    sender: Sender<usize>,
    landed: Receiver<usize>,
    pending_reads: Vec<Option<Arc<PendingRead>>>,
    in_flight: usize,
}

impl<'a> Batch<'a> {
    fn new(io: &'a IoContext) -> Self {
        let (sender, landed) = channel();
        Self { io, sender, landed, pending_reads: Vec::new(), in_flight: 0 }
    }

    fn start_range(&mut self, index: usize, range: &OmapRange) -> Result<()> {
        let after = CString::new(range.after.as_slice())
            .map_err(|_| Error::Nul(String::from_utf8_lossy(&range.after).into_owned()))?;
        let prefix = c_string(&range.prefix)?;
        let limit = if range.limit == 0 { PAGE } else { range.limit };
        self.start(index, &range.object, range.data_bytes, |op, places| {
            // SAFETY: the strings are copied by the call; the three places to write to live as long as the pending_read,
            // which lives until the callback.
            unsafe {
                sys::rados_read_op_omap_get_vals2(
                    op,
                    after.as_ptr(),
                    prefix.as_ptr(),
                    limit,
                    places.iterator,
                    places.more,
                    places.result,
                );
            }
        })
    }

    fn start_keys(&mut self, index: usize, object: &str, keys: &[Vec<u8>]) -> Result<()> {
        let starts: Vec<*const c_char> = keys.iter().map(|key| key.as_ptr().cast()).collect();
        let lengths: Vec<usize> = keys.iter().map(Vec::len).collect();
        self.start(index, object, 0, |op, places| {
            // SAFETY: two arrays of `keys.len()` elements and what they point to, copied by the call; the two places to
            // write to live as long as the pending_read, which lives until the callback.
            unsafe {
                sys::rados_read_op_omap_get_vals_by_keys2(
                    op,
                    starts.as_ptr(),
                    keys.len(),
                    lengths.as_ptr(),
                    places.iterator,
                    places.result,
                );
            }
        })
    }

    fn start_data(&mut self, index: usize, object: &str, bytes: usize) -> Result<()> {
        self.start(index, object, bytes, |_, _| {})
    }

    /// Starts a read operation of one object, which `ask` fills with what to read and where to put the answer; with
    /// `data_bytes` it also reads that much of the object's data.
    fn start(
        &mut self,
        index: usize,
        object: &str,
        data_bytes: usize,
        ask: impl FnOnce(sys::rados_read_op_t, &AnswerBuffers),
    ) -> Result<()> {
        let c_object = c_string(object)?;
        // SAFETY: takes nothing.
        let op = unsafe { sys::rados_create_read_op() };
        let answer = Box::into_raw(Box::new(Answer {
            iterator: ptr::null_mut(),
            more: 0,
            result: 0,
            data: vec![0; data_bytes],
            data_length: 0,
            data_result: 0,
        }));
        let places = AnswerBuffers {
            // SAFETY: `answer` is a live allocation.
            iterator: unsafe { &raw mut (*answer).iterator },
            // SAFETY: as above.
            more: unsafe { &raw mut (*answer).more },
            // SAFETY: as above.
            result: unsafe { &raw mut (*answer).result },
            // SAFETY: as above; the buffer is its own allocation, which nobody else touches before the callback.
            data: unsafe { (*answer).data.as_mut_ptr().cast() },
            // SAFETY: as above.
            data_length: unsafe { &raw mut (*answer).data_length },
            // SAFETY: as above.
            data_result: unsafe { &raw mut (*answer).data_result },
        };
        ask(op, &places);
        if data_bytes > 0 {
            // SAFETY: the buffer has `data_bytes` bytes; it and the two places live as long as the pending_read, which lives until
            // the callback.
            unsafe {
                sys::rados_read_op_read(op, 0, data_bytes, places.data, places.data_length, places.data_result);
            }
        }
        let mut pending_read =
            PendingRead { op, completion: ptr::null_mut(), answer, object: c_object, _io: self.io.clone() };
        let completed =
            Box::into_raw(Box::new(CompletedReads { pending_read: None, index, landed: self.sender.clone() }));
        // SAFETY: `landed` matches the callback's type and takes the leaked box, once.
        let r = unsafe {
            sys::rados_aio_create_completion2(completed.cast(), Some(landed), &raw mut pending_read.completion)
        };
        if r < 0 {
            // SAFETY: no completion was made, so the callback will not run: take the box back.
            drop(unsafe { Box::from_raw(completed) });
            return self.io.check("rados_aio_create_completion2", object, r).map(drop);
        }
        let pending_read = Arc::new(pending_read);
        // SAFETY: the operation has not started, so nothing else reads the completed yet.
        unsafe { (*completed).pending_read = Some(Arc::clone(&pending_read)) };
        // SAFETY: context, operation, completion and name are alive, and stay so in the pending_read.
        let r = unsafe {
            sys::rados_aio_read_op_operate(
                pending_read.op,
                self.io.raw(),
                pending_read.completion,
                pending_read.object.as_ptr(),
                sys::LIBRADOS_OPERATION_NOFLAG.cast_signed(),
            )
        };
        if r < 0 {
            // SAFETY: the operation was not started, so the callback will not run: take the box back.
            drop(unsafe { Box::from_raw(completed) });
            return self.io.check("rados_aio_read_op_operate", object, r).map(drop);
        }
        if self.pending_reads.len() <= index {
            self.pending_reads.resize(index + 1, None);
        }
        self.pending_reads[index] = Some(pending_read);
        self.in_flight += 1;
        Ok(())
    }

    /// The next operation that completed, with its page; `None` when the deadline has passed.
    fn next_completed(&mut self, deadline: Option<Instant>) -> Option<(usize, std::result::Result<OmapPage, Errno>)> {
        let index = match deadline {
            None => self.landed.recv().ok()?,
            Some(deadline) => match self.landed.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(index) => index,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            },
        };
        let pending_read = self.pending_reads[index].take()?;
        self.in_flight -= 1;
        // SAFETY: the completion's callback has run, so its value is set.
        let r = unsafe { sys::rados_aio_get_return_value(pending_read.completion) };
        let answer = pending_read.answer();
        let r = [r, answer.result, answer.data_result].into_iter().find(|r| *r < 0).unwrap_or(0);
        if r < 0 {
            return Some((index, Err(Errno(-r))));
        }
        Some((index, Ok(read_page(&pending_read))))
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for pending_read in self.pending_reads.iter().flatten() {
            // SAFETY: the operation is on its way (or has just ended, which cancelling tolerates); its callback runs
            // and frees the completed.
            unsafe { sys::rados_aio_cancel(self.io.raw(), pending_read.completion) };
        }
    }
}

fn read_page(pending_read: &PendingRead) -> OmapPage {
    let answer = pending_read.answer();
    let data = answer.data[..answer.data_length.min(answer.data.len())].to_vec();
    let mut entries = Vec::new();
    // There is none where only data was read.
    while !answer.iterator.is_null() {
        let (mut key, mut value): (*mut c_char, *mut c_char) = (ptr::null_mut(), ptr::null_mut());
        let (mut key_length, mut value_length) = (0, 0);
        // SAFETY: the iterator is the completed operation's; four valid places to write to.
        let r = unsafe {
            sys::rados_omap_get_next2(
                pending_read.answer().iterator,
                &raw mut key,
                &raw mut value,
                &raw mut key_length,
                &raw mut value_length,
            )
        };
        if r < 0 || key.is_null() {
            break;
        }
        entries.push((copied(key, key_length), copied(value, value_length)));
    }
    OmapPage { entries, more: answer.more != 0, data }
}

fn copied(start: *const c_char, length: usize) -> Vec<u8> {
    if start.is_null() || length == 0 {
        return Vec::new();
    }
    // SAFETY: librados points to `length` bytes that live as long as the iterator.
    unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) }.to_vec()
}

impl IoContext {
    /// One page of an object's omap.
    ///
    /// # Errors
    /// `ENOENT` when the object is missing; [`Error::Deadline`].
    pub fn omap_page(&self, range: &OmapRange, deadline: Option<Instant>) -> Result<OmapPage> {
        let [page] = self.omap_page_each([range], deadline)?;
        page
    }

    /// One page of each of some omaps, read at the same time.
    ///
    /// # Errors
    /// Each range's own error is in its place, as of [`IoContext::omap_page`]. Fails as a whole with
    /// [`Error::Deadline`].
    pub fn omap_page_each<const N: usize>(
        &self,
        ranges: [&OmapRange; N],
        deadline: Option<Instant>,
    ) -> Result<[Result<OmapPage>; N]> {
        let mut batch = Batch::new(self);
        for (index, range) in ranges.into_iter().enumerate() {
            batch.start_range(index, range)?;
        }
        let mut pages = ranges.map(|_| Ok(OmapPage::default()));
        while batch.in_flight > 0 {
            let Some((index, page)) = batch.next_completed(deadline) else {
                return Err(Error::Deadline { operation: "omap read", subject: self.subject("") });
            };
            pages[index] = page.map_err(|errno| Error::Call {
                operation: "omap read",
                subject: self.subject(&ranges[index].object),
                errno,
            });
        }
        Ok(pages)
    }

    /// All entries of an object's omap with a prefix, page after page.
    ///
    /// # Errors
    /// As [`IoContext::omap_page`].
    pub fn omap_all(&self, object: &str, prefix: &str, deadline: Option<Instant>) -> Result<Vec<Entry>> {
        let mut range =
            OmapRange { object: object.to_owned(), prefix: prefix.to_owned(), limit: PAGE, ..OmapRange::default() };
        let mut all = Vec::new();
        loop {
            let page = self.omap_page(&range, deadline)?;
            let last = page.entries.last().map(|(key, _)| key.clone());
            all.extend(page.entries);
            match last {
                Some(last) if page.more => range.after = last,
                _ => return Ok(all),
            }
        }
    }

    /// Reads many ranges to their ends, up to `in_flight` at once, and hands each to `each` as it comes, by its index
    /// in `ranges`, in no particular order. A range's `limit` is that of one read (0: the OSD's default).
    ///
    /// # Errors
    /// Each range's own errno goes to `each`: `ENOENT` for a missing object; `EINVAL` for a name that holds a NUL byte; `EILSEQ` when a page that is not the last ends
    /// with a key that holds a NUL byte, after which librados cannot be told to go on. Fails as a whole with
    /// [`Error::Deadline`]; what is still on its way is then cancelled.
    pub fn omaps(
        &self,
        ranges: &[OmapRange],
        in_flight: usize,
        deadline: Option<Instant>,
        mut each: impl FnMut(usize, std::result::Result<Vec<Entry>, Errno>),
    ) -> Result<()> {
        let mut batch = Batch::new(self);
        let mut waiting: VecDeque<(usize, OmapRange)> = VecDeque::new();
        let mut partial: HashMap<usize, Vec<Entry>> = HashMap::new();
        let mut fresh = ranges.iter().enumerate();
        loop {
            while batch.in_flight < in_flight.max(1) {
                if let Some((index, range)) = waiting.pop_front() {
                    batch.start_range(index, &range)?;
                } else if let Some((index, range)) = fresh.next() {
                    if holds_nul(&range.object) {
                        each(index, Err(Errno::EINVAL));
                        continue;
                    }
                    batch.start_range(index, range)?;
                } else {
                    break;
                }
            }
            if batch.in_flight == 0 {
                return Ok(());
            }
            let Some((index, page)) = batch.next_completed(deadline) else {
                return Err(Error::Deadline { operation: "omap reads", subject: self.subject("") });
            };
            let page = match page {
                Ok(page) => page,
                Err(errno) => {
                    partial.remove(&index);
                    each(index, Err(errno));
                    continue;
                }
            };
            let last = page.entries.last().map(|(key, _)| key.clone());
            let mut entries = partial.remove(&index).unwrap_or_default();
            entries.extend(page.entries);
            match last {
                Some(after) if page.more && after.contains(&0) => each(index, Err(Errno::EILSEQ)),
                Some(after) if page.more => {
                    waiting.push_back((index, OmapRange { after, data_bytes: 0, ..ranges[index].clone() }));
                    partial.insert(index, entries);
                }
                _ => each(index, Ok(entries)),
            }
        }
    }

    /// The beginning of an object's data, at most `bytes`; less when the object is shorter.
    ///
    /// # Errors
    /// `ENOENT` when the object is missing; [`Error::Deadline`].
    pub fn read_data(&self, object: &str, bytes: usize, deadline: Option<Instant>) -> Result<Vec<u8>> {
        let mut batch = Batch::new(self);
        batch.start_data(0, object, bytes)?;
        let subject = self.subject(object);
        match batch.next_completed(deadline) {
            None => Err(Error::Deadline { operation: "read", subject }),
            Some((_, Err(errno))) => Err(Error::Call { operation: "read", subject, errno }),
            Some((_, Ok(page))) => Ok(page.data),
        }
    }

    /// The beginnings of the data of many objects, at most `bytes` of each, up to `in_flight` at once: each is handed to `each`
    /// as it comes, by its index in `objects`, in no particular order.
    ///
    /// # Errors
    /// Each object's own errno goes to `each`: `ENOENT` for a missing one. Fails as a whole with [`Error::Deadline`].
    pub fn read_data_of(
        &self,
        objects: &[&str],
        bytes: usize,
        in_flight: usize,
        deadline: Option<Instant>,
        mut each: impl FnMut(usize, std::result::Result<Vec<u8>, Errno>),
    ) -> Result<()> {
        let mut batch = Batch::new(self);
        let mut left = objects.iter().enumerate();
        loop {
            while batch.in_flight < in_flight.max(1) {
                let Some((index, object)) = left.next() else { break };
                if holds_nul(object) {
                    each(index, Err(Errno::EINVAL));
                    continue;
                }
                batch.start_data(index, object, bytes)?;
            }
            if batch.in_flight == 0 {
                return Ok(());
            }
            let Some((index, page)) = batch.next_completed(deadline) else {
                return Err(Error::Deadline { operation: "reads", subject: self.subject("") });
            };
            each(index, page.map(|page| page.data));
        }
    }

    /// Removes an object; also when there is none.
    ///
    /// # Errors
    /// `EPERM` without the right to.
    pub fn remove_object(&self, object: &str) -> Result<()> {
        let c_object = c_string(object)?;
        // SAFETY: context and name are alive.
        let r = unsafe { sys::rados_remove(self.raw(), c_object.as_ptr()) };
        if r == -libc::ENOENT { Ok(()) } else { self.check("rados_remove", object, r).map(drop) }
    }

    /// Applies changes to an object's omap in one atomic step, if all guards hold. The object is made if it is
    /// missing. Works in a pool that is full, so that what frees space can be recorded.
    ///
    /// # Errors
    /// `ECANCELED` when a guard does not hold.
    pub fn omap_change(&self, object: &str, change: &OmapChange) -> Result<()> {
        let c_object = c_string(object)?;
        // SAFETY: takes nothing.
        let op = WriteOp(unsafe { sys::rados_create_write_op() });
        // SAFETY: the operation is open; not exclusive, no category.
        unsafe { sys::rados_write_op_create(op.0, sys::LIBRADOS_CREATE_IDEMPOTENT.cast_signed(), ptr::null()) };
        let mut results = vec![0_i32; change.guards.len()];
        for ((key, value), result) in change.guards.iter().zip(&mut results) {
            // A missing key compares as an empty value.
            // SAFETY: key, value and result live until the operation has run.
            unsafe {
                sys::rados_write_op_omap_cmp2(
                    op.0,
                    key.as_ptr().cast(),
                    u8::try_from(sys::LIBRADOS_CMPXATTR_OP_EQ).unwrap_or(1),
                    value.as_ptr().cast(),
                    key.len(),
                    value.len(),
                    &raw mut *result,
                );
            }
        }
        let keys: Vec<*const c_char> = change.set.iter().map(|(key, _)| key.as_ptr().cast()).collect();
        let key_lengths: Vec<usize> = change.set.iter().map(|(key, _)| key.len()).collect();
        let values: Vec<*const c_char> = change.set.iter().map(|(_, value)| value.as_ptr().cast()).collect();
        let value_lengths: Vec<usize> = change.set.iter().map(|(_, value)| value.len()).collect();
        if !keys.is_empty() {
            // SAFETY: four arrays of `keys.len()` elements, copied by the call.
            unsafe {
                sys::rados_write_op_omap_set2(
                    op.0,
                    keys.as_ptr(),
                    values.as_ptr(),
                    key_lengths.as_ptr(),
                    value_lengths.as_ptr(),
                    keys.len(),
                );
            }
        }
        let removed: Vec<*const c_char> = change.remove.iter().map(|key| key.as_ptr().cast()).collect();
        let removed_lengths: Vec<usize> = change.remove.iter().map(Vec::len).collect();
        if !removed.is_empty() {
            // SAFETY: two arrays of `removed.len()` elements, copied by the call.
            unsafe {
                sys::rados_write_op_omap_rm_keys2(op.0, removed.as_ptr(), removed_lengths.as_ptr(), removed.len());
            }
        }
        let flags = sys::LIBRADOS_OPERATION_FULL_FORCE.cast_signed();
        // SAFETY: operation, context and name are alive; no modification time.
        let r = unsafe { sys::rados_write_op_operate(op.0, self.raw(), c_object.as_ptr(), ptr::null_mut(), flags) };
        self.check("omap write", object, r).map(drop)
    }
}

/// The values of some keys of one object in many places, read at once: one result per place, in their order. Keys may
/// hold any bytes; those that are missing are left out.
///
/// # Errors
/// Per place: `ENOENT` for a missing object; [`Error::Deadline`] for a place that does not answer, whose read is then
/// cancelled.
pub fn omap_values(
    places: &[IoContext],
    object: &str,
    keys: &[Vec<u8>],
    deadline: Option<Instant>,
) -> Vec<Result<Vec<Entry>>> {
    let launched: Vec<Result<Batch<'_>>> = places
        .iter()
        .map(|io| {
            let mut batch = Batch::new(io);
            batch.start_keys(0, object, keys)?;
            Ok(batch)
        })
        .collect();
    launched
        .into_iter()
        .map(|batch| {
            let mut batch = batch?;
            let subject = batch.io.subject(object);
            match batch.next_completed(deadline) {
                None => Err(Error::Deadline { operation: "omap read", subject }),
                Some((_, Ok(page))) => Ok(page.entries),
                Some((_, Err(errno))) => Err(Error::Call { operation: "omap read", subject, errno }),
            }
        })
        .collect()
}

/// Whether no C string can carry the name of an object. Of many objects, whose names others chose, only that one is not read.
fn holds_nul(object: &str) -> bool {
    object.contains('\0')
}

/// Entries per read; the OSD's own default limit.
const PAGE: u64 = 1024;

/// An atomic change to an omap.
#[derive(Debug, Clone, Default)]
pub struct OmapChange {
    /// Keys that must have these values now; a missing key has the empty value.
    pub guards: Vec<Entry>,
    /// Entries to write.
    pub set: Vec<Entry>,
    /// Keys to remove.
    pub remove: Vec<Vec<u8>>,
}

/// A write operation, released when dropped.
pub(crate) struct WriteOp(pub(crate) sys::rados_write_op_t);

impl Drop for WriteOp {
    fn drop(&mut self) {
        // SAFETY: made by rados_create_write_op, released once; it has run, or never will.
        unsafe { sys::rados_release_write_op(self.0) };
    }
}
