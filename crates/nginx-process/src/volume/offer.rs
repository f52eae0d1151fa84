//! The generator's side: whole revisions are written beside what is there, and offered.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use route_table::Changes;

use super::publish::EncodedRecord;
use super::{MAIN, UNFINISHED, Volume, check_hash, remove_named, sync};
use crate::{Error, Result};

/// Bytes that are left for what the supervisor writes.
const RESERVE: u64 = 64 * 1024;
/// A file takes whole pages.
const PAGE: u64 = 4096;

/// What an offer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferEffect {
    /// It is what is offered now.
    New,
    /// The same was offered already; nothing was written.
    Unchanged,
}

/// What of a revision has no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// So many bytes are too much.
    pub bytes: u64,
    /// The files that are to be written, with the bytes that each takes. Others are there from the revision before.
    pub unwritten: BTreeMap<String, u64>,
}

impl Volume {
    /// Offers a revision: `files` by their path relative to its directory, `nginx.conf` being the main one, and the whole table
    /// that it has in the beginning, if it has one. It is what the supervisor tries next, unless another offer follows first.
    /// Blocking; racing offers wait for each other.
    ///
    /// If the same is offered already, the table is added as a record, as [`Volume::publish`] does.
    ///
    /// # Errors
    /// A name that is not allowed, a table that does not follow the records that its frame has ([`Error::TableOrder`]), or a
    /// volume that is full ([`Error::Full`]) or not writable. What was offered before then stays offered, and nothing of the
    /// new one is left.
    pub fn offer(&self, hash: &str, files: &BTreeMap<String, Vec<u8>>, table: Option<&Changes>) -> Result<OfferEffect> {
        check_hash(hash)?;
        for path in files.keys() {
            check_path(path)?;
        }
        if !files.contains_key(MAIN) {
            return Err(Error::NoMain(hash.to_owned()));
        }
        let table = table.map(|table| EncodedRecord::whole(hash, table)).transpose()?;
        let _lock = self.lock()?;
        let there = same(&self.revision(hash), files);
        let revisions = self.revisions();
        if !revisions.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            // A link would lead elsewhere, also what is removed.
            let _ = fs::remove_file(&revisions);
            // Here and not by the supervisor, which may be another user: the generator writes in it.
            fs::create_dir(&revisions).map_err(Error::file("create", &revisions))?;
            self.set_dir_mode(&revisions)?;
        }
        // What cannot be read is as good as nothing: it is replaced.
        if there && self.offered().ok().flatten().as_deref() == Some(hash) {
            if let Some(table) = &table {
                self.add_record(hash, table)?;
            }
            return Ok(OfferEffect::Unchanged);
        }
        let written = self.write(hash, files, there, table.as_ref()).or_else(|error| {
            let Error::Full { .. } = error else { return Err(error) };
            // What is kept for looking at is given up first.
            self.clean(0);
            self.write(hash, files, same(&self.revision(hash), files), table.as_ref())
        });
        // Also after a failure: a revision that is not offered is not in use.
        self.clean(self.keep);
        written.map(|()| OfferEffect::New)
    }

    /// What has no room, if these files were offered now, and a table whose parts have so many bytes; none if all have. Blocking.
    pub fn shortage(&self, files: &BTreeMap<String, Vec<u8>>, table: &BTreeMap<String, u64>) -> Option<Shortage> {
        let takes = |content: &Vec<u8>| (content.len() as u64).next_multiple_of(PAGE);
        let table_bytes = table.values().sum::<u64>().next_multiple_of(PAGE);
        if files.values().map(takes).sum::<u64>() + table_bytes + RESERVE <= self.room()? {
            return None;
        }
        let former = self.offered().ok().flatten().map(|hash| self.revision(&hash));
        let is_there = |name: &str, content: &[u8]| {
            former.as_ref().is_some_and(|former| self.is_twin(&former.join(name), content))
        };
        let unwritten = files.iter().filter(|(name, content)| !is_there(name, content));
        let unwritten = unwritten.map(|(name, content)| (name.clone(), takes(content)));
        let unwritten: BTreeMap<_, _> = unwritten.chain(table.clone()).collect();
        let needed = unwritten.values().sum::<u64>() + RESERVE;
        if needed > self.room()? {
            // What is kept for looking at is given up first.
            let _lock = self.lock().ok()?;
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

    fn write(
        &self,
        hash: &str,
        files: &BTreeMap<String, Vec<u8>>,
        there: bool,
        table: Option<&EncodedRecord>,
    ) -> Result<()> {
        let revision = self.revision(hash);
        if !there {
            let revisions = self.revisions();
            let staged = tempfile::Builder::new()
                .prefix(UNFINISHED)
                .tempdir_in(&revisions)
                .map_err(Error::file("create a directory in", &revisions))?;
            let fresh = staged.path().join("new");
            let former = self.offered().ok().flatten().map(|hash| self.revision(&hash));
            self.write_files(&fresh, files, former.as_deref())?;
            if revision.symlink_metadata().is_ok() {
                // The same name with other content: left half removed, or not written by us.
                let old = staged.path().join("old");
                fs::rename(&revision, &old).map_err(Error::file("rename", &revision))?;
            }
            fs::rename(&fresh, &revision).map_err(Error::file("rename", &fresh))?;
            sync(&revisions)?;
        }
        let table_written = table.map_or(Ok(()), |table| self.add_record(hash, table).map(drop));
        let replaced = table_written.and_then(|()| self.replace("offered", UNFINISHED, format!("{hash}\n").as_bytes()));
        if replaced.is_err() && !there {
            // In nobody's use: it was not offered.
            let _ = fs::remove_dir_all(&revision);
        }
        replaced
    }

    /// Writes files below `root`. Those that `former` has too become links to its ones: most of a revision is certificates
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

    /// Removes revisions that are not in use, but for the newest `keep`, each with its table. Only while the lock is held.
    pub(super) fn clean(&self, keep: usize) {
        remove_named(&self.revisions(), UNFINISHED);
        remove_named(&self.dir, UNFINISHED);
        let used: BTreeSet<String> =
            [self.offered().ok().flatten(), self.target("live"), self.target("trying"), self.target("good")]
                .into_iter()
                .flatten()
                .collect();
        let mut old: Vec<(SystemTime, PathBuf)> = fs::read_dir(self.revisions())
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
                tracing::warn!(path = %path.display(), %error, "an old revision cannot be removed");
            }
        }
        self.clean_tables();
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
