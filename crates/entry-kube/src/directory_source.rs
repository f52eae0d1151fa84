//! A directory of manifests as a source of objects, which is followed by inotify.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use entry_model::Snapshot;
use futures_util::StreamExt;
use inotify::{EventMask, EventOwned, Inotify, WatchMask, Watches};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::directory::{Directory, is_manifest};
use crate::error::{Error, Result};

/// How long after the last event the directory is read.
const SETTLE: Duration = Duration::from_millis(50);
/// How long events that never end can hold that up.
const SETTLE_LIMIT: Duration = Duration::from_millis(500);
/// For how long after its last write a file that is not closed is taken to be half written.
const WRITE_GRACE: Duration = Duration::from_secs(1);
/// How often the directory is looked at without any event: it may be another one by now, or on a disk without events.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The source that reads a directory.
#[derive(Debug, Clone, Copy)]
pub struct DirectorySource;

impl DirectorySource {
    /// Reads a directory once. It blocks: only on the disk.
    ///
    /// What cannot be read is named in [`Snapshot::unreadable`].
    ///
    /// # Errors
    /// [`Error::Directory`]: it is not there, or cannot be listed.
    pub fn read(dir: &Path) -> Result<Snapshot> {
        Directory::new(dir).refresh(&BTreeSet::new(), &BTreeSet::new())
    }

    /// Reads a directory, and again whenever something in it changes, until the receiver is dropped.
    ///
    /// It also follows a `ConfigMap`'s or Secret's volume. When the directory goes away, the last snapshot stays.
    ///
    /// # Errors
    /// As [`DirectorySource::read`], for the first time only.
    pub async fn watch(dir: &Path) -> Result<watch::Receiver<Arc<Snapshot>>> {
        watch_directory(Directory::new(dir)).await
    }
}

fn mask() -> WatchMask {
    WatchMask::CREATE
        | WatchMask::MODIFY
        | WatchMask::CLOSE_WRITE
        | WatchMask::ATTRIB
        | WatchMask::DELETE
        | WatchMask::MOVE
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF
        | WatchMask::ONLYDIR
}

/// What happened since the directory was read last.
#[derive(Default)]
struct PendingChanges {
    touched: BTreeSet<String>,
    /// Files that were written to and not closed, with when.
    writing: BTreeMap<String, Instant>,
    first: Option<Instant>,
    due: Option<Instant>,
}

impl PendingChanges {
    fn note(&mut self, event: EventOwned) {
        let now = Instant::now();
        let first = *self.first.get_or_insert(now);
        self.due = Some((now + SETTLE).min(first + SETTLE_LIMIT));
        let Some(name) = event.name.and_then(|name| name.into_string().ok()) else { return };
        if !is_manifest(&name) {
            return;
        }
        if event.mask.contains(EventMask::MODIFY) {
            self.writing.insert(name.clone(), now);
        } else if !event.mask.intersects(EventMask::ATTRIB | EventMask::CREATE) {
            self.writing.remove(&name);
        }
        self.touched.insert(name);
    }

    /// The files that were touched and those that are being written. The latter are touched again when they are due.
    fn take(&mut self) -> (BTreeSet<String>, BTreeSet<String>) {
        let now = Instant::now();
        self.writing.retain(|_, written| *written + WRITE_GRACE > now);
        let busy: BTreeSet<String> = self.writing.keys().cloned().collect();
        self.first = None;
        self.due = self.writing.values().min().map(|written| *written + WRITE_GRACE);
        let touched = std::mem::take(&mut self.touched);
        self.touched = touched.intersection(&busy).cloned().collect();
        (touched, busy)
    }
}

/// Reads a directory now and after each change, until the receiver is dropped.
async fn watch_directory(directory: Directory) -> Result<watch::Receiver<Arc<Snapshot>>> {
    let failed = |cause: io::Error| Error::Directory { dir: directory.dir.clone(), cause };
    let inotify = Inotify::init().map_err(failed)?;
    let mut watches = inotify.watches();
    // Before it is read, so that nothing is missed.
    watches.add(&directory.dir, mask()).map_err(failed)?;
    let mut events = inotify.into_event_stream(vec![0; 16 << 10]).map_err(failed)?;
    let (mut directory, first) = refresh(directory, BTreeSet::new(), BTreeSet::new()).await?;
    let (sender, receiver) = watch::channel(Arc::new(first?));
    tokio::spawn(async move {
        let mut pending = PendingChanges::default();
        let mut missing = false;
        loop {
            let due = pending.due.unwrap_or_else(|| Instant::now() + CHECK_INTERVAL);
            tokio::select! {
                () = sender.closed() => return,
                event = events.next() => {
                    match event {
                        Some(Ok(event)) => pending.note(event),
                        Some(Err(error)) => {
                            tracing::warn!("inotify: {error}; the directory is looked at every {CHECK_INTERVAL:?}");
                            tokio::time::sleep(SETTLE).await;
                        }
                        None => return,
                    }
                    continue;
                }
                () = sleep_until(due) => {}
            }
            add(&mut watches, &directory);
            let (touched, busy) = pending.take();
            let Ok((back, snapshot)) = refresh(directory, touched, busy).await else { return };
            directory = back;
            match snapshot {
                Ok(snapshot) => {
                    missing = false;
                    sender.send_if_modified(|current| {
                        let changed = **current != snapshot;
                        if changed {
                            *current = Arc::new(snapshot);
                        }
                        changed
                    });
                }
                Err(error) if !missing => {
                    missing = true;
                    tracing::error!("{error}; what was read last stays in force");
                }
                Err(_) => {}
            }
        }
    });
    Ok(receiver)
}

/// Does nothing if it is watched already; a directory that took its place is watched from now on.
fn add(watches: &mut Watches, directory: &Directory) {
    if let Err(error) = watches.add(&directory.dir, mask()) {
        tracing::debug!("watch {}: {error}", directory.dir.display());
    }
}

/// Reads the directory on a thread that may block.
async fn refresh(
    mut directory: Directory,
    touched: BTreeSet<String>,
    busy: BTreeSet<String>,
) -> Result<(Directory, Result<Snapshot>)> {
    let dir = directory.dir.clone();
    let work = move || {
        let snapshot = directory.refresh(&touched, &busy);
        (directory, snapshot)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Directory { dir, cause: io::Error::other(error) })
}
