//! The memory of a table: a file in memory (`memfd_create(2)`) that one process writes, and nginx's workers read.
//!
//! Its size is sealed. A process that reads behind the end of a file that was truncated is killed, and nothing in it could prevent
//! that; this file nobody can truncate, whoever holds a descriptor of it. Pages that were never written take no memory, so the
//! size can be generous.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::ptr::{NonNull, null_mut};
use std::slice;
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, fcntl_get_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// How many bytes a word has.
const WORD: usize = size_of::<u64>();

/// A table's memory that this process reads.
#[derive(Debug)]
pub struct TableMemory(Mapping);

/// A memory that this process writes: a table's, or of what is counted, which several processes write.
#[derive(Debug)]
pub struct WritableTableMemory {
    mapping: Mapping,
    file: File,
}

/// Why the memory of a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableMemoryError {
    /// It cannot be opened, or made.
    #[error("it cannot be opened: {0}")]
    Open(#[source] io::Error),
    /// It is no file in memory, or one whose size can change.
    #[error("it is no memory file that is sealed against shrinking (F_SEAL_SHRINK)")]
    NotSealed,
    /// It is empty, or no whole words.
    #[error("its size of {0} bytes is no table's")]
    Size(u64),
    /// It cannot be mapped.
    #[error("it cannot be mapped: {0}")]
    Map(#[source] io::Error),
}

impl TableMemory {
    /// Maps a file for reading. That of a process's descriptor is `/proc/PID/fd/NUMBER`.
    ///
    /// # Errors
    /// The file is not there, or is no table's memory.
    pub fn open(path: &Path) -> Result<Self, TableMemoryError> {
        let file = File::open(path).map_err(TableMemoryError::Open)?;
        Mapping::new(&file, ProtFlags::READ).map(Self)
    }
}

impl AsRef<[AtomicU64]> for TableMemory {
    /// Words that the writer may change at any time.
    fn as_ref(&self) -> &[AtomicU64] {
        self.0.words()
    }
}

impl WritableTableMemory {
    /// Makes one of so many bytes, all zero, which only processes of this user open. It lives as long as this, and for as long as a process has it mapped.
    ///
    /// # Errors
    /// The system makes or maps no such file.
    pub fn create(bytes: u64) -> Result<Self, TableMemoryError> {
        let open = |error: rustix::io::Errno| TableMemoryError::Open(error.into());
        let file =
            File::from(memfd_create("sparrow-table", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).map_err(open)?);
        // It begins with a mode that lets everybody in who comes to a descriptor of it.
        fchmod(&file, Mode::RUSR | Mode::WUSR).map_err(open)?;
        ftruncate(&file, bytes).map_err(open)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).map_err(open)?;
        let mapping = Mapping::new(&file, ProtFlags::READ | ProtFlags::WRITE)?;
        Ok(Self { mapping, file })
    }

    /// Maps one that another process has made, for writing too. Its file is as in [`TableMemory::open`].
    ///
    /// # Errors
    /// The file is not there, or is no table's memory.
    pub fn open(path: &Path) -> Result<Self, TableMemoryError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(TableMemoryError::Open)?;
        Ok(Self { mapping: Mapping::new(&file, ProtFlags::READ | ProtFlags::WRITE)?, file })
    }

    /// Where other processes of this user find the file while this one has it: nothing need be inherited, and a symbolic link may
    /// lead there.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }
}

impl AsRef<[AtomicU64]> for WritableTableMemory {
    fn as_ref(&self) -> &[AtomicU64] {
        self.mapping.words()
    }
}

impl AsFd for WritableTableMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A sealed file in this process's memory.
#[derive(Debug)]
struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

impl Mapping {
    fn new(file: &File, access: ProtFlags) -> Result<Self, TableMemoryError> {
        let seals = fcntl_get_seals(file).map_err(|_| TableMemoryError::NotSealed)?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(TableMemoryError::NotSealed);
        }
        let bytes = file.metadata().map_err(TableMemoryError::Open)?.len();
        let length = usize::try_from(bytes).ok().filter(|length| *length > 0 && length.is_multiple_of(WORD));
        let length = length.ok_or(TableMemoryError::Size(bytes))?;
        // SAFETY: the kernel chooses the place, so that no memory that is in use is replaced.
        let mapped = unsafe { mmap(null_mut(), length, access, MapFlags::SHARED, file, 0) };
        let mapped = mapped.map_err(|error| TableMemoryError::Map(error.into()))?;
        // The kernel maps nothing at address 0 unless it is asked to.
        let start = NonNull::new(mapped.cast()).ok_or(TableMemoryError::Size(bytes))?;
        Ok(Self { start, words: length / WORD })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is so long, begins at a page, and stays until `self` is dropped; the file under it cannot become
        // shorter. Others change the words meanwhile, which atomic loads allow; of memory that is only mapped for reading, a load
        // of a word reads and does nothing else on the processors for which this is built.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

// SAFETY: the mapping is no thread's own, and `Drop` may run in any.
unsafe impl Send for Mapping {}

// SAFETY: what is shared by it are atomic words.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and whatever borrowed its words has ended.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.words * WORD) };
        debug_assert!(unmapped.is_ok(), "a mapping of our own");
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    use super::{TableMemory, TableMemoryError, WritableTableMemory};

    fn memory_file(bytes: &[u8], seals: SealFlags) -> (File, PathBuf) {
        let mut file = File::from(memfd_create("table", MemfdFlags::ALLOW_SEALING).expect("a memory file"));
        file.write_all(bytes).expect("room");
        fcntl_add_seals(&file, seals).expect("seals");
        let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
        (file, path)
    }

    fn read(memory: &impl AsRef<[AtomicU64]>) -> Vec<u64> {
        memory.as_ref().iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn reader_sees_what_the_writer_writes() {
        let writable = WritableTableMemory::create(16).expect("memory");
        let readable = TableMemory::open(&writable.path()).expect("its memory");
        assert_eq!(read(&readable), [0, 0]);
        writable.as_ref()[1].store(7, Ordering::Relaxed);
        assert_eq!(read(&readable), [0, 7]);
        let dir = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink(writable.path(), dir.path().join("table")).expect("a link");
        let readable = TableMemory::open(&dir.path().join("table")).expect("its memory, by a link");
        drop(writable);
        assert_eq!(read(&readable), [0, 7]);
    }

    #[test]
    fn several_processes_write_one() {
        let one = WritableTableMemory::create(16).expect("memory");
        let other = WritableTableMemory::open(&one.path()).expect("its memory");
        other.as_ref()[0].store(3, Ordering::Relaxed);
        one.as_ref()[0].fetch_add(4, Ordering::Relaxed);
        assert_eq!(read(&other), [7, 0]);
        let (_file, path) = memory_file(&[0; 8], SealFlags::GROW);
        assert!(matches!(WritableTableMemory::open(&path), Err(TableMemoryError::NotSealed)));
    }

    #[test]
    fn only_its_user_opens_it() {
        let writable = WritableTableMemory::create(16).expect("memory");
        let mode = std::fs::metadata(writable.path()).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn nobody_changes_its_size() {
        let writable = WritableTableMemory::create(8192).expect("memory");
        let other = OpenOptions::new().write(true).open(writable.path()).expect("the file");
        for bytes in [0, 4096, 16384] {
            assert!(other.set_len(bytes).is_err(), "{bytes}");
        }
        assert_eq!(read(&writable).len(), 1024);
    }

    #[test]
    fn file_that_could_be_truncated_is_rejected() {
        let (_file, path) = memory_file(&[0; 8], SealFlags::GROW);
        assert!(matches!(TableMemory::open(&path), Err(TableMemoryError::NotSealed)));
        let plain = tempfile::NamedTempFile::new().expect("a file");
        assert!(matches!(TableMemory::open(plain.path()), Err(TableMemoryError::NotSealed)));
        assert!(matches!(TableMemory::open("/nowhere".as_ref()), Err(TableMemoryError::Open(_))));
    }

    #[test]
    fn file_of_no_whole_words_is_rejected() {
        for bytes in [&[][..], &[0; 7], &[0; 9]] {
            let (_file, path) = memory_file(bytes, SealFlags::SHRINK);
            assert!(matches!(TableMemory::open(&path), Err(TableMemoryError::Size(_))), "{bytes:?}");
        }
    }
}
