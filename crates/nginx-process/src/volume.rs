//! The directory that a generator and a supervisor share, possibly in two containers.
//!
//! ```text
//! generations/HASH/…   whole generations; written beside as .tmp-…, synced, renamed
//! offered              the hash that the generator wants, replaced by rename
//! trying, live, good   symbolic links to generations/HASH: what is being tried, what nginx reads, what was confirmed last
//! outcome              what became of the last offer, as JSON, replaced by rename
//! lock                 held by whoever offers or claims, for that moment
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Watch};

/// Begins the names of what a generator has not finished. Only written while `lock` is held: whatever has this name while
/// somebody else holds the lock was left by a generator that died.
const UNFINISHED: &str = ".tmp-offer-";
/// The same for the supervisor, of which there is one.
const UNFINISHED_HERE: &str = ".tmp-live-";
const MAIN: &str = "nginx.conf";
/// Bytes that are left for what the supervisor writes.
const RESERVE: u64 = 64 * 1024;
/// A file takes whole pages.
const PAGE: u64 = 4096;
/// More than any outcome that is written: a message is cut to 4 KiB.
const LARGEST: u64 = 64 * 1024;

/// The shared directory.
#[derive(Debug, Clone)]
pub struct Volume {
    dir: PathBuf,
    file_mode: u32,
    dir_mode: u32,
    keep: usize,
}

/// What an offer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It is what is offered now.
    New,
    /// The same was offered already; nothing was written.
    Unchanged,
}

/// What of a generation has no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// So many bytes are too much.
    pub bytes: u64,
    /// The files that are to be written, with the bytes that each takes. Others are there from the generation before.
    pub unwritten: BTreeMap<String, u64>,
}

/// What became of an offered generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OutcomeState {
    /// New connections are answered by it.
    Live,
    /// nginx refused it when testing it; it was never in force.
    Refused,
    /// It passed the test, or the test could not be made, and it could not be put in force. The last good one is.
    Failed,
}

/// What the supervisor says about the last generation that it tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The generation that this is about.
    pub hash: String,
    /// What became of it.
    pub state: OutcomeState,
    /// nginx's words, cut to 4 KiB; empty when it is live.
    #[serde(default)]
    pub message: String,
    /// When.
    pub at: jiff::Timestamp,
    /// The generation in force, which is another one unless `state` is live; none if nginx is not running.
    pub live: Option<String>,
}

impl Volume {
    /// Opens the volume in `dir`, which is created if it is not there.
    ///
    /// # Errors
    /// The directory cannot be created or written to.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Volume> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
        Ok(Volume { dir, file_mode: 0o640, dir_mode: 0o750, keep: 3 })
    }

    /// With which permissions files and directories of a generation are created, whatever the umask: 0640 and 0750 unless
    /// set here. Private keys are among them, so others should read nothing; nginx's master must read all.
    #[must_use]
    pub fn modes(self, file: u32, dir: u32) -> Volume {
        Volume { file_mode: file & 0o777, dir_mode: dir & 0o777, ..self }
    }

    /// How many generations are kept besides those in use: 3 unless set here.
    #[must_use]
    pub fn keep(self, keep: usize) -> Volume {
        Volume { keep, ..self }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Offers a generation: `files` by their path relative to its directory, `nginx.conf` being the main one. It is what the
    /// supervisor tries next, unless another offer follows first. Blocking; racing offers wait for each other.
    ///
    /// # Errors
    /// A name that is not allowed, or a volume that is full ([`Error::Full`]) or not writable. What was offered before
    /// then stays offered, and nothing of the new one is left.
    pub fn offer(&self, hash: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<Offered> {
        check(hash)?;
        for path in files.keys() {
            check_path(path)?;
        }
        if !files.contains_key(MAIN) {
            return Err(Error::NoMain(hash.to_owned()));
        }
        let lock = self.lock_file()?;
        lock.lock().map_err(Error::file("lock", &self.dir.join("lock")))?;
        let there = same(&self.generation(hash), files);
        let generations = self.generations();
        if !generations.is_dir() {
            // Here and not by the supervisor, which may be another user: the generator writes in it.
            fs::create_dir(&generations).map_err(Error::file("create", &generations))?;
            self.set_dir_mode(&generations)?;
        }
        // What cannot be read is as good as nothing: it is replaced.
        if there && self.offered().ok().flatten().as_deref() == Some(hash) {
            return Ok(Offered::Unchanged);
        }
        let written = self.write(hash, files, there).or_else(|error| {
            let Error::Full { .. } = error else { return Err(error) };
            // What is kept for looking at is given up first.
            self.clean(0);
            self.write(hash, files, same(&self.generation(hash), files))
        });
        // Also after a failure: a generation that is not offered is not in use.
        self.clean(self.keep);
        written.map(|()| Offered::New)
    }

    /// What has no room, if these files were offered now; none if all have. Blocking.
    pub fn shortage(&self, files: &BTreeMap<String, Vec<u8>>) -> Option<Shortage> {
        let takes = |content: &Vec<u8>| (content.len() as u64).next_multiple_of(PAGE);
        if files.values().map(takes).sum::<u64>() + RESERVE <= self.room()? {
            return None;
        }
        let former = self.offered().ok().flatten().map(|hash| self.generation(&hash));
        let is_there = |name: &str, content: &[u8]| {
            former.as_ref().is_some_and(|former| self.is_twin(&former.join(name), content))
        };
        let unwritten = files.iter().filter(|(name, content)| !is_there(name, content));
        let unwritten: BTreeMap<_, _> = unwritten.map(|(name, content)| (name.clone(), takes(content))).collect();
        let needed = unwritten.values().sum::<u64>() + RESERVE;
        if needed > self.room()? {
            // What is kept for looking at is given up first.
            let lock = self.lock_file().ok()?;
            lock.lock().ok()?;
            self.clean(0);
        }
        let bytes = needed.saturating_sub(self.room()?);
        (bytes > 0).then_some(Shortage { bytes, unwritten })
    }

    /// The bytes that can still be written; none if the system does not say.
    fn room(&self) -> Option<u64> {
        let found = rustix::fs::statvfs(&self.dir).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn write(&self, hash: &str, files: &BTreeMap<String, Vec<u8>>, there: bool) -> Result<()> {
        let generation = self.generation(hash);
        if !there {
            let generations = self.generations();
            let staged = tempfile::Builder::new()
                .prefix(UNFINISHED)
                .tempdir_in(&generations)
                .map_err(Error::file("create a directory in", &generations))?;
            let fresh = staged.path().join("new");
            let former = self.offered().ok().flatten().map(|hash| self.generation(&hash));
            self.write_files(&fresh, files, former.as_deref())?;
            if generation.symlink_metadata().is_ok() {
                // The same name with other content: left half removed, or not written by us.
                let old = staged.path().join("old");
                fs::rename(&generation, &old).map_err(Error::file("rename", &generation))?;
            }
            fs::rename(&fresh, &generation).map_err(Error::file("rename", &fresh))?;
            sync(&generations)?;
        }
        let replaced = self.replace("offered", UNFINISHED, format!("{hash}\n").as_bytes());
        if replaced.is_err() && !there {
            // In nobody's use: it was not offered.
            let _ = fs::remove_dir_all(&generation);
        }
        replaced
    }

    /// Writes files below `root`. Those that `former` has too become links to its ones: most of a generation is certificates
    /// that are the same in the next, and neither room nor time is spent on them again.
    fn write_files(&self, root: &Path, files: &BTreeMap<String, Vec<u8>>, former: Option<&Path>) -> Result<()> {
        let mut directories = BTreeSet::from([root.to_owned()]);
        for (name, content) in files {
            let path = root.join(name);
            let parent = path.parent().unwrap_or(root);
            for directory in parent.ancestors().take_while(|directory| directory.starts_with(root)) {
                directories.insert(directory.to_owned());
            }
            fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(Error::file("create", parent))?;
            let twin = former.map(|former| former.join(name)).filter(|twin| self.is_twin(twin, content));
            if twin.is_some_and(|twin| fs::hard_link(twin, &path).is_ok()) {
                continue;
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .map_err(Error::file("create", &path))?;
            file.write_all(content).map_err(Error::file("write", &path))?;
            // Of the file, not of the process: a umask takes nothing away.
            file.set_permissions(fs::Permissions::from_mode(self.file_mode)).map_err(Error::file("write", &path))?;
            file.sync_all().map_err(Error::file("write", &path))?;
        }
        for directory in directories.iter().rev() {
            self.set_dir_mode(directory)?;
            sync(directory)?;
        }
        Ok(())
    }

    fn is_twin(&self, path: &Path, content: &[u8]) -> bool {
        path.symlink_metadata().is_ok_and(|metadata| {
            metadata.is_file()
                && metadata.permissions().mode() & 0o7777 == self.file_mode
                && metadata.len() == content.len() as u64
        }) && fs::read(path).is_ok_and(|found| found == content)
    }

    /// Of the directory, not of the process: a umask takes nothing away. Its group is still inherited if it was.
    fn set_dir_mode(&self, directory: &Path) -> Result<()> {
        let inherits = fs::metadata(directory).map_or(0, |metadata| metadata.permissions().mode() & 0o2000);
        let mode = fs::Permissions::from_mode(self.dir_mode | inherits);
        fs::set_permissions(directory, mode).map_err(Error::file("write", directory))
    }

    /// The hash that is offered; none if nothing was yet.
    ///
    /// # Errors
    /// The file cannot be read, or holds no hash.
    pub fn offered(&self) -> Result<Option<String>> {
        let path = self.dir.join("offered");
        let Some(text) = read(&path)? else { return Ok(None) };
        let hash = text.trim_end();
        match check(hash) {
            Ok(()) => Ok(Some(hash.to_owned())),
            Err(error) => Err(Error::Content { path, reason: error.to_string() }),
        }
    }

    /// What became of the last generation that was tried; none if none was yet.
    ///
    /// # Errors
    /// The file cannot be read or understood.
    pub fn outcome(&self) -> Result<Option<Outcome>> {
        let path = self.dir.join("outcome");
        let Some(text) = read(&path)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| Error::Content { path, reason: error.to_string() })
    }

    /// Waits for changes of `offered` and `outcome`. Never fails: where the system gives no notice, it looks by itself.
    ///
    /// To be called inside a tokio runtime.
    pub fn watch(&self) -> Watch {
        Watch::new(&self.dir)
    }

    /// The generation that nginx is told to read.
    pub fn live(&self) -> Option<String> {
        self.target("live")
    }

    /// The directory of a generation.
    pub(crate) fn generation(&self, hash: &str) -> PathBuf {
        self.generations().join(hash)
    }

    /// Whether a generation is there as a whole: it is renamed into place, so its main file is enough.
    pub(crate) fn has(&self, hash: &str) -> bool {
        self.generation(hash).join(MAIN).is_file()
    }

    /// Takes what is offered, so that no generator removes it; none if nothing is offered, or a generator is just
    /// writing.
    pub(crate) fn claim(&self) -> Result<Option<String>> {
        let lock = self.lock_file()?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", &self.dir.join("lock"))(error)),
        }
        let Some(hash) = self.offered()? else { return Ok(None) };
        self.point("trying", &hash)?;
        Ok(Some(hash))
    }

    /// Makes `hash` what nginx reads next.
    pub(crate) fn swap(&self, hash: &str) -> Result<()> {
        self.point("live", hash)
    }

    /// Notes that `hash` was confirmed: it is kept while others are tried, also if no outcome can be written.
    pub(crate) fn approve(&self, hash: &str) -> Result<()> {
        self.point("good", hash)
    }

    /// What was confirmed last.
    pub(crate) fn good(&self) -> Option<String> {
        self.target("good")
    }

    /// Writes what became of a generation.
    pub(crate) fn record(&self, outcome: &Outcome) -> Result<()> {
        let text = serde_json::to_vec(outcome)
            .map_err(|error| Error::Content { path: self.dir.join("outcome"), reason: error.to_string() })?;
        self.replace("outcome", UNFINISHED_HERE, &text)
    }

    /// Removes what a supervisor that died has left unfinished.
    pub(crate) fn tidy(&self) {
        remove_named(&self.dir, UNFINISHED_HERE);
    }

    fn point(&self, link: &'static str, hash: &str) -> Result<()> {
        let path = self.dir.join(link);
        let target = Path::new("generations").join(hash);
        tempfile::Builder::new()
            .prefix(UNFINISHED_HERE)
            .make_in(&self.dir, |path| symlink(&target, path))
            .map_err(Error::file("create a link in", &self.dir))?
            .into_temp_path()
            .persist(&path)
            .map_err(|error| Error::file("rename", &path)(error.error))
        // Not synced: after a crash of the machine the former link does as well, and a disk would delay the reload.
    }

    fn replace(&self, name: &'static str, prefix: &str, content: &[u8]) -> Result<()> {
        let path = self.dir.join(name);
        let mut file = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(&self.dir)
            .map_err(Error::file("create a file in", &self.dir))?;
        file.write_all(content).map_err(Error::file("write", &path))?;
        // No secret: readable by whoever may enter the directory.
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(Error::file("write", &path))?;
        file.as_file().sync_all().map_err(Error::file("write", &path))?;
        file.persist(&path).map_err(|error| Error::file("rename", &path)(error.error))?;
        sync(&self.dir)
    }

    /// Removes generations that are not in use, but for the newest `keep`. Only while the lock is held.
    fn clean(&self, keep: usize) {
        remove_named(&self.generations(), UNFINISHED);
        remove_named(&self.dir, UNFINISHED);
        let used: BTreeSet<String> =
            [self.offered().ok().flatten(), self.target("live"), self.target("trying"), self.target("good")]
                .into_iter()
                .flatten()
                .collect();
        let mut old: Vec<(SystemTime, PathBuf)> = fs::read_dir(self.generations())
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| !used.contains(&*entry.file_name().to_string_lossy()))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        old.sort();
        old.truncate(old.len().saturating_sub(keep));
        for (_, path) in old {
            if let Err(error) = fs::remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %error, "an old generation cannot be removed");
            }
        }
    }

    fn target(&self, link: &str) -> Option<String> {
        let target = fs::read_link(self.dir.join(link)).ok()?;
        let hash = target.file_name()?.to_str()?;
        check(hash).ok()?;
        Some(hash.to_owned())
    }

    fn lock_file(&self) -> Result<File> {
        let path = self.dir.join("lock");
        // Reading is enough to lock it, so the other side may be another user.
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened.map_err(Error::file("open", &path)),
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::file("create", &path))?;
        file.set_permissions(fs::Permissions::from_mode(0o644)).map_err(Error::file("create", &path))?;
        Ok(file)
    }

    fn generations(&self) -> PathBuf {
        self.dir.join("generations")
    }
}

fn check(hash: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=128).contains(&hash.len()) && hash.bytes().all(allowed) {
        Ok(())
    } else {
        Err(Error::Hash(hash.to_owned()))
    }
}

fn check_path(path: &str) -> Result<()> {
    let inside = !path.is_empty()
        && !path.contains('\0')
        // `components` hides a trailing slash and `.` in the middle.
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && Path::new(path).components().all(|component| matches!(component, Component::Normal(_)));
    if inside { Ok(()) } else { Err(Error::Path(path.to_owned())) }
}

/// Whether the directory holds these files with this content. More files beside them do no harm.
fn same(directory: &Path, files: &BTreeMap<String, Vec<u8>>) -> bool {
    files.iter().all(|(path, content)| {
        let path = directory.join(path);
        fs::metadata(&path).is_ok_and(|metadata| metadata.len() == content.len() as u64)
            && fs::read(&path).is_ok_and(|found| found == *content)
    })
}

fn read(path: &Path) -> Result<Option<String>> {
    let file = match File::open(path) {
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
