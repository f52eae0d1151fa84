//! The directory of one frame's table: a file for each record, named by its revision.
//!
//! Whoever runs nginx can put anything here, also between two looks. So directories are opened one below the other without following
//! a symbolic link, what is done in them is done by their descriptors, and nothing but a regular file of a bounded size is read.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, fchmod, fstat, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::{Error, Result};

/// Of a directory no more names are looked at than these. A generator leaves some hundred.
const MOST_NAMES: usize = 1 << 16;
/// The greatest number of a record, so that there is always a next one.
pub(crate) const GREATEST: u64 = u64::MAX >> 1;
/// Bytes of the largest record. A route is some 170 bytes of it, so these are 1.5 million routes, more than the objects for them
/// would leave room for in etcd. Whoever reads a record has it twice in memory for a moment.
pub(crate) const MOST_RECORD_BYTES: u64 = 256 << 20;

/// The directory in which those of all frames are.
const TABLES: &str = "tables";

/// A record's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordFile {
    /// The revision that it leads to, by its name.
    pub number: u64,
    /// Bytes.
    pub size: u64,
}

/// A directory of records that is held open.
#[derive(Debug)]
pub(crate) struct TableDir {
    fd: OwnedFd,
    path: PathBuf,
}

/// The name of a record's file.
fn name_of(number: u64) -> String {
    format!("{number:020}")
}

/// The revision that a file's name tells; none if it is no record's.
fn number_of(name: &[u8]) -> Option<u64> {
    let digits =
        str::from_utf8(name).ok().filter(|name| name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|number| *number <= GREATEST)
}

fn open_dir(parent: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// Opens a directory below another one, which is made if there is none; what has its name and is none goes.
fn make_dir(parent: impl AsFd, name: &OsStr, mode: u32) -> io::Result<OwnedFd> {
    match open_dir(&parent, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if is_other_file(&error) => unlinkat(&parent, name, AtFlags::empty())?,
        opened => return opened,
    }
    match mkdirat(&parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let fd = open_dir(&parent, name)?;
    // Of the directory, not of the process: a umask takes nothing away. Its group is still inherited if it was.
    let inherits = fstat(&fd)?.st_mode & 0o2000;
    fchmod(&fd, Mode::from_raw_mode(mode | inherits))?;
    Ok(fd)
}

/// Whether something else than a directory has the name.
fn is_other_file(error: &io::Error) -> bool {
    [Errno::NOTDIR, Errno::LOOP, Errno::MLINK].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// What is made of the names in a directory, as far as they are looked at.
fn read_names<T>(fd: impl AsFd, read: impl Fn(&[u8]) -> Option<T>) -> io::Result<Vec<T>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(fd)?.take(MOST_NAMES) {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.extend(read(name));
        }
    }
    Ok(found)
}

/// The names in a directory, as far as they are looked at.
fn names(fd: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    read_names(fd, |name| Some(name.to_owned()))
}

/// Removes a file, or a directory with all that is in it, and nothing that a symbolic link leads to.
fn remove(parent: impl AsFd, name: &OsStr) -> io::Result<()> {
    match unlinkat(&parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        // By the descriptor: the path to it may lead elsewhere by now.
        Err(Errno::ISDIR | Errno::PERM) => {
            let path = Path::new("/proc/self/fd").join(parent.as_fd().as_raw_fd().to_string()).join(name);
            fs::remove_dir_all(path)
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens the directory of all tables of a volume; none if there is none.
fn tables(volume: &Path) -> io::Result<Option<OwnedFd>> {
    let volume = openat(CWD, volume, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    absent_as_none(open_dir(volume, TABLES.as_ref()))
}

fn absent_as_none<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// The names of the frames of which a volume has tables.
pub(super) fn frames(volume: &Path) -> Result<Vec<String>> {
    let path = volume.join(TABLES);
    let Some(tables) = tables(volume).map_err(Error::file("open", &path))? else { return Ok(Vec::new()) };
    let names = names(tables).map_err(Error::file("read", &path))?;
    Ok(names.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect())
}

/// Removes the tables of all frames but those that are kept.
pub(super) fn retain(volume: &Path, is_kept: impl Fn(&str) -> bool) -> Result<()> {
    let path = volume.join(TABLES);
    let tables = match tables(volume) {
        // In place of the directory, it keeps also frames without a table from being served.
        Err(error) if is_other_file(&error) => {
            return fs::remove_file(&path).map_err(Error::file("remove", &path));
        }
        tables => tables.map_err(Error::file("open", &path))?,
    };
    let Some(tables) = tables else { return Ok(()) };
    for name in names(&tables).map_err(Error::file("read", &path))? {
        if !str::from_utf8(&name).is_ok_and(&is_kept) {
            remove(&tables, OsStr::from_bytes(&name)).map_err(Error::file("remove a table in", &path))?;
        }
    }
    Ok(())
}

impl TableDir {
    /// The directory of a frame's table; none if it has no table.
    pub(super) fn open(volume: &Path, frame: &str) -> Result<Option<TableDir>> {
        let path = volume.join(TABLES).join(frame);
        let opened = tables(volume).and_then(|tables| match tables {
            Some(tables) => absent_as_none(open_dir(tables, frame.as_ref())),
            None => Ok(None),
        });
        Ok(opened.map_err(Error::file("open", &path))?.map(|fd| TableDir { fd, path }))
    }

    /// The same, made if there is none.
    pub(super) fn make(volume: &Path, frame: &str, mode: u32) -> Result<TableDir> {
        let path = volume.join(TABLES).join(frame);
        let make = || -> io::Result<OwnedFd> {
            let volume = openat(CWD, volume, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            make_dir(make_dir(volume, TABLES.as_ref(), mode)?, frame.as_ref(), mode)
        };
        let fd = make().map_err(Error::file("create", &path))?;
        Ok(TableDir { fd, path })
    }

    /// The numbers of its records, in order.
    pub(crate) fn numbers(&self) -> Result<Vec<u64>> {
        let mut numbers = read_names(&self.fd, number_of).map_err(Error::file("read", &self.path))?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Its records that are regular files, in order.
    pub(crate) fn records(&self) -> Result<Vec<RecordFile>> {
        let size = |number| {
            let found = statat(&self.fd, name_of(number), AtFlags::SYMLINK_NOFOLLOW).ok()?;
            let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
            is_file.then_some(RecordFile { number, size: u64::try_from(found.st_size).ok()? })
        };
        Ok(self.numbers()?.into_iter().filter_map(size).collect())
    }

    /// Reads a record's file.
    pub(crate) fn read(&self, number: u64) -> Result<Vec<u8>> {
        let path = self.path.join(name_of(number));
        // A pipe without a writer would be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.fd, name_of(number), flags, Mode::empty()).map(File::from);
        let file = file.map_err(|error| Error::file("open", &path)(error.into()))?;
        let found = file.metadata().map_err(Error::file("read", &path))?;
        if !found.is_file() {
            return Err(Error::Content { path, reason: "it is no regular file".to_owned() });
        }
        if found.len() > MOST_RECORD_BYTES {
            return Err(Error::TableTooLarge { path, bytes: found.len() });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0));
        // It may grow meanwhile.
        file.take(MOST_RECORD_BYTES).read_to_end(&mut bytes).map_err(Error::file("read", &path))?;
        Ok(bytes)
    }

    /// Adds a record's file, or replaces it. Only while the volume's lock is held. Not synced: after a crash of the machine a
    /// generator begins with a whole table, and a record that was cut off is told by its checksum.
    pub(super) fn add(&self, number: u64, record: &[u8], mode: u32, unfinished: &str) -> Result<()> {
        let (name, path) = (name_of(number), self.path.join(name_of(number)));
        let staged = format!("{unfinished}{name}");
        let write = || -> io::Result<()> {
            // What has this name was left by a generator that died.
            remove(&self.fd, staged.as_ref())?;
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(openat(&self.fd, &staged, flags, Mode::RUSR | Mode::WUSR)?);
            file.write_all(record)?;
            fchmod(&file, Mode::from_raw_mode(mode))?;
            renameat(&self.fd, &staged, &self.fd, &name)?;
            Ok(())
        };
        write().map_err(|error| {
            let _ = remove(&self.fd, staged.as_ref());
            Error::file("write", &path)(error)
        })
    }

    /// Removes all but the record of this number and those after it. Only while the volume's lock is held.
    pub(super) fn remove_before(&self, number: u64) -> Result<()> {
        let mut names = names(&self.fd).map_err(Error::file("read", &self.path))?;
        // The newest first: whenever this ends, what is left before the whole table begins with a whole one, too.
        names.sort_unstable_by(|one, other| other.cmp(one));
        for name in names {
            if number_of(&name).is_none_or(|other| other < number) {
                let removed = remove(&self.fd, OsStr::from_bytes(&name));
                removed.map_err(Error::file("remove an old record in", &self.path))?;
            }
        }
        Ok(())
    }
}

impl AsFd for TableDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::{name_of, number_of};

    #[test]
    fn number_is_read_from_its_name_only() {
        for number in [0, 1, 42, u64::MAX >> 1] {
            assert_eq!(number_of(name_of(number).as_bytes()), Some(number));
        }
        for name in
            ["", "1", "+0000000000000000001", "00000000000000000001x", "18446744073709551615", "99999999999999999999"]
        {
            assert_eq!(number_of(name.as_bytes()), None, "{name}");
        }
    }
}
