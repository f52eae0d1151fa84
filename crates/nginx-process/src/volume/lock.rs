//! The lock of the volume, which generators hold while they write, and a supervisor while it claims.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::{Volume, open};
use crate::{Error, Result};

/// So long somebody else may hold the lock: for an offer, most of whose time is a slow disk's.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many threads wait for it at most. A wait for a lock has no end but the lock.
const MOST_WAITING: usize = 16;

impl Volume {
    /// Waits for the lock, which is held until the file is closed. Whoever holds it too long may be stopped, or mean it.
    pub(super) fn lock(&self) -> Result<File> {
        let lock = self.lock_file()?;
        let path = self.dir.join("lock");
        let failed = Error::file("lock", &path);
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let held =
            || io::Error::new(io::ErrorKind::TimedOut, format!("another process holds it for more than {PATIENCE:?}"));
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(failed(held()));
        }
        // The kernel lets those that wait have it in turn, which looking for it again and again would not.
        let waiting = Arc::clone(&self.waiting);
        let (sender, receiver) = mpsc::channel();
        let spawned = thread::Builder::new().spawn(move || {
            let locked = lock.lock().map(|()| lock);
            waiting.fetch_sub(1, Ordering::Relaxed);
            // If nobody waits any more, the lock is let go.
            drop(sender.send(locked));
        });
        if let Err(error) = spawned {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(failed(error));
        }
        receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(held())).map_err(failed)
    }

    pub(super) fn lock_file(&self) -> Result<File> {
        let path = self.dir.join("lock");
        // Reading is enough to lock it, so the other side may be another user.
        match open(&path) {
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
}
