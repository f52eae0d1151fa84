//! The supervisor's side: what is offered is claimed, tried and confirmed by links, which no generator removes.

use std::fs::TryLockError;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{MAIN, Volume, remove_named};
use crate::{Error, Result};

/// Begins the names of what a supervisor, of which there is one, has not finished.
pub(super) const UNFINISHED_HERE: &str = ".tmp-live-";

impl Volume {
    /// Whether a revision is there as a whole: it is renamed into place, so its main file is enough.
    pub(crate) fn has(&self, hash: &str) -> bool {
        self.revision(hash).join(MAIN).is_file()
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
    pub(crate) fn point_live(&self, hash: &str) -> Result<()> {
        self.point("live", hash)
    }

    /// Notes that `hash` was confirmed: it is kept while others are tried, also if no outcome can be written.
    pub(crate) fn mark_good(&self, hash: &str) -> Result<()> {
        self.point("good", hash)
    }

    /// What was confirmed last.
    pub(crate) fn good(&self) -> Option<String> {
        self.target("good")
    }

    /// Removes what a supervisor that died has left unfinished.
    pub(crate) fn remove_unfinished(&self) {
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
}
