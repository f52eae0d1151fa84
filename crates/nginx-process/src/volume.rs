//! The directory that a generator and a supervisor share, possibly in two containers.
//!
//! ```text
//! generations/HASH/…   whole revisions; written beside as .tmp-…, synced, renamed
//! offered              the hash that the generator wants, replaced by rename
//! trying, live, good   symbolic links to generations/HASH: what is being tried, what nginx reads, what was confirmed last
//! outcome              what became of the last offer, as JSON, replaced by rename
//! tables/HASH/NUMBER   records of the table of a revision (its frame), by the table's revision; the first is a whole table
//! table-outcome        what became of the records, as JSON, replaced by rename
//! lock                 held while something is offered, published or claimed
//! ```
//!
//! The directory `generations`, nginx's `/generation` and two metrics are older than the word revision and keep their names: a volume
//! outlives an upgrade, and operators have rules on the metrics.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use tempfile::NamedTempFile;

use crate::{Error, Result, VolumeWatch};

mod claim;
mod lock;
mod offer;
mod outcome;
mod publish;
mod table_dir;
mod table_outcome;

pub use offer::{OfferEffect, Shortage};
pub use outcome::{OutcomeState, RevisionOutcome};
use publish::Published;
pub use publish::TableRecords;
pub(crate) use table_dir::TableDir;
pub use table_outcome::TableOutcome;

/// The main file of a revision.
const MAIN: &str = "nginx.conf";
/// Begins the names of what a generator has not finished. Only written while `lock` is held: whatever has this name while
/// somebody else holds the lock was left by a generator that died.
const UNFINISHED: &str = ".tmp-offer-";
/// More than any outcome that is written: a message is cut to 4 KiB.
const LARGEST: u64 = 64 * 1024;

/// The shared directory.
#[derive(Debug, Clone)]
pub struct Volume {
    dir: PathBuf,
    file_mode: u32,
    dir_mode: u32,
    keep: usize,
    /// What this process has published last.
    published: Arc<Mutex<Option<Published>>>,
    /// Threads that wait for the lock.
    waiting: Arc<AtomicUsize>,
}

impl Volume {
    /// Opens the volume in `dir`, which is created if it is not there.
    ///
    /// # Errors
    /// The directory cannot be created or written to.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Volume> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
        Ok(Volume {
            dir,
            file_mode: 0o640,
            dir_mode: 0o750,
            keep: 3,
            published: Arc::default(),
            waiting: Arc::default(),
        })
    }

    /// With which permissions files and directories of a revision are created, whatever the umask: 0640 and 0750 unless
    /// set here. Private keys are among them, so others should read nothing; nginx's master must read all.
    #[must_use]
    pub fn with_modes(self, file: u32, dir: u32) -> Volume {
        Volume { file_mode: file & 0o777, dir_mode: dir & 0o777, ..self }
    }

    /// How many revisions are kept besides those in use: 3 unless set here.
    #[must_use]
    pub fn with_kept(self, keep: usize) -> Volume {
        Volume { keep, ..self }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The hash that is offered; none if nothing was yet.
    ///
    /// # Errors
    /// The file cannot be read, or holds no hash.
    pub fn offered(&self) -> Result<Option<String>> {
        let path = self.dir.join("offered");
        let Some(text) = read(&path)? else { return Ok(None) };
        let hash = text.trim_end();
        match check_hash(hash) {
            Ok(()) => Ok(Some(hash.to_owned())),
            Err(error) => Err(Error::Content { path, reason: error.to_string() }),
        }
    }

    /// Waits for changes of `offered` and `outcome`. Never fails: where the system gives no notice, it looks by itself.
    ///
    /// To be called inside a tokio runtime.
    pub fn watch(&self) -> VolumeWatch {
        VolumeWatch::new(&self.dir)
    }

    /// The revision that nginx is told to read.
    pub fn live(&self) -> Option<String> {
        self.target("live")
    }

    /// The records of the table of a revision; none if it has no table.
    pub(crate) fn table_dir(&self, revision: &str) -> Result<Option<TableDir>> {
        TableDir::open(&self.dir, revision)
    }

    /// The directory of a revision.
    pub(crate) fn revision(&self, hash: &str) -> PathBuf {
        self.revisions().join(hash)
    }

    /// Replaces a file of the volume, so that it is there also after a crash of the machine.
    fn replace(&self, name: &'static str, prefix: &str, content: &[u8]) -> Result<()> {
        let (file, path) = self.stage(name, prefix, content)?;
        file.as_file().sync_all().map_err(Error::file("write", &path))?;
        file.persist(&path).map_err(|error| Error::file("rename", &path)(error.error))?;
        sync(&self.dir)
    }

    /// Replaces a file of the volume that is made anew after a crash of the machine.
    fn replace_unsynced(&self, name: &'static str, prefix: &str, content: &[u8]) -> Result<()> {
        let (file, path) = self.stage(name, prefix, content)?;
        file.persist(&path).map(drop).map_err(|error| Error::file("rename", &path)(error.error))
    }

    /// Writes what is to get a name beside it.
    fn stage(&self, name: &'static str, prefix: &str, content: &[u8]) -> Result<(NamedTempFile, PathBuf)> {
        let path = self.dir.join(name);
        let mut file = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(&self.dir)
            .map_err(Error::file("create a file in", &self.dir))?;
        file.write_all(content).map_err(Error::file("write", &path))?;
        // No secret: all who may enter the directory may read it.
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(Error::file("write", &path))?;
        Ok((file, path))
    }

    fn target(&self, link: &str) -> Option<String> {
        let target = fs::read_link(self.dir.join(link)).ok()?;
        let hash = target.file_name()?.to_str()?;
        check_hash(hash).ok()?;
        Some(hash.to_owned())
    }

    fn revisions(&self) -> PathBuf {
        self.dir.join("generations")
    }
}

fn check_hash(hash: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=128).contains(&hash.len()) && hash.bytes().all(allowed) {
        Ok(())
    } else {
        Err(Error::Hash(hash.to_owned()))
    }
}

/// Opens a file of the volume for reading.
fn open(path: &Path) -> io::Result<File> {
    // Whoever runs nginx can put a link there, or a pipe, and without a writer that would be waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty()).map(File::from)?)
}

fn read(path: &Path) -> Result<Option<String>> {
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("open", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).map_err(Error::file("read", path))?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|error| Error::Content { path: path.to_owned(), reason: error.to_string() })
}

fn sync(directory: &Path) -> Result<()> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(Error::file("sync", directory))
}

fn remove_named(directory: &Path, prefix: &str) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            let path = entry.path();
            let _ =
                if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}
