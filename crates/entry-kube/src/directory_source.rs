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
use crate::read_bounds::ReadBounds;

/// How long after the last event of a file it is read, if it may not be whole yet, or may be about to come back: editors put a file
/// away before they write it anew.
const SETTLE: Duration = Duration::from_millis(50);
/// How long events that never end can hold that up.
const SETTLE_LIMIT: Duration = Duration::from_millis(500);
/// The least time between two looks: changes that come in a burst are read together.
const FOLD: Duration = Duration::from_millis(20);
/// For how long after its last write a file that is not closed is taken to be half written.
const WRITE_GRACE: Duration = Duration::from_secs(1);
/// How often the directory is looked at without any event: it may be another one by now, or on a disk without events.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// At most one part in so many of the time is for that.
const CHECK_SHARE: u32 = 200;

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
        Directory::new(dir, ReadBounds::FOLLOWED).refresh(&BTreeSet::new(), &BTreeSet::new())
    }

    /// Reads a directory once that holds what was exported from a cluster: in files that are larger than those that are followed.
    ///
    /// # Errors
    /// As [`DirectorySource::read`].
    pub fn read_export(dir: &Path) -> Result<Snapshot> {
        Directory::new(dir, ReadBounds::EXPORT).refresh(&BTreeSet::new(), &BTreeSet::new())
    }

    /// Reads a directory, and again whenever something in it changes, until the receiver is dropped.
    ///
    /// It also follows a `ConfigMap`'s or Secret's volume. When the directory goes away, the last snapshot stays.
    ///
    /// # Errors
    /// As [`DirectorySource::read`], for the first time only.
    pub async fn watch(dir: &Path) -> Result<watch::Receiver<Arc<Snapshot>>> {
        watch_directory(Directory::new(dir, ReadBounds::FOLLOWED)).await
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
    /// Files that were touched, with when they are read.
    touched: BTreeMap<String, Instant>,
    /// Files that were written to and not closed, with when.
    writing: BTreeMap<String, Instant>,
    /// When all files are looked at, since it is not known which changed.
    all: Option<Instant>,
    first: Option<Instant>,
    /// Not before this moment the directory is read again.
    next: Option<Instant>,
}

/// What is read.
enum DueFiles {
    /// These files.
    Files(BTreeSet<String>),
    /// All that changed: these in any case, but none that is being written.
    All { touched: BTreeSet<String>, busy: BTreeSet<String> },
}

impl PendingChanges {
    fn note(&mut self, event: &EventOwned) {
        let now = Instant::now();
        let settled = (now + SETTLE).min(*self.first.get_or_insert(now) + SETTLE_LIMIT);
        let name = event.name.as_ref().and_then(|name| name.to_str());
        match name {
            Some(name) if is_manifest(name) => self.touch(name, event.mask, now, settled),
            Some(name) if is_draft(name) => {}
            // Of a volume of a ConfigMap, a link to the directory of all files was replaced; or events were lost.
            _ => self.all = Some(settled),
        }
    }

    fn touch(&mut self, name: &str, mask: EventMask, now: Instant, settled: Instant) {
        let is_whole = mask.intersects(EventMask::MOVED_TO | EventMask::CLOSE_WRITE);
        if mask.contains(EventMask::MODIFY) {
            self.writing.insert(name.to_owned(), now);
        } else if !mask.intersects(EventMask::ATTRIB | EventMask::CREATE) {
            self.writing.remove(name);
        }
        let due = match self.writing.get(name) {
            Some(written) => *written + WRITE_GRACE,
            None if is_whole => now,
            None => settled,
        };
        self.touched.insert(name.to_owned(), due);
    }

    /// When something is to be read; none if nothing happened.
    fn due(&self) -> Option<Instant> {
        let due = self.touched.values().copied().chain(self.all).min()?;
        Some(self.next.map_or(due, |next| due.max(next)))
    }

    fn take(&mut self) -> DueFiles {
        let now = Instant::now();
        self.next = Some(now + FOLD);
        self.writing.retain(|_, written| *written + WRITE_GRACE > now);
        let nothing_happened = self.touched.is_empty();
        if nothing_happened || self.all.is_some_and(|due| due <= now) {
            let touched = std::mem::take(&mut self.touched);
            let (busy, touched): (BTreeMap<_, _>, BTreeMap<_, _>) =
                touched.into_iter().partition(|(name, _)| self.writing.contains_key(name));
            (self.all, self.first, self.touched) = (None, None, busy);
            let busy = self.writing.keys().cloned().collect();
            return DueFiles::All { touched: touched.into_keys().collect(), busy };
        }
        let (due, later): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.touched).into_iter().partition(|(_, due)| *due <= now);
        self.touched = later;
        if self.touched.is_empty() && self.all.is_none() {
            self.first = None;
        }
        DueFiles::Files(due.into_keys().collect())
    }
}

/// Whether a file of this name is an editor's or a tool's, which becomes a manifest when it is renamed. `..data` of a volume is
/// none.
fn is_draft(name: &str) -> bool {
    name.starts_with('.') && !name.starts_with("..")
}

/// Reads a directory now and after each change, until the receiver is dropped.
async fn watch_directory(directory: Directory) -> Result<watch::Receiver<Arc<Snapshot>>> {
    let failed = |cause: io::Error| Error::Directory { dir: directory.dir.clone(), cause };
    let inotify = Inotify::init().map_err(failed)?;
    let mut watches = inotify.watches();
    // Before it is read, so that nothing is missed.
    watches.add(&directory.dir, mask()).map_err(failed)?;
    let mut events = inotify.into_event_stream(vec![0; 16 << 10]).map_err(failed)?;
    let all = DueFiles::All { touched: BTreeSet::new(), busy: BTreeSet::new() };
    let began = Instant::now();
    let (mut directory, first) = refresh(directory, all).await?;
    let (sender, receiver) = watch::channel(Arc::new(first?));
    tokio::spawn(async move {
        let mut pending = PendingChanges::default();
        let mut missing = false;
        // To look at many files must not be what this does most of the time.
        let mut check_interval = CHECK_INTERVAL.max(began.elapsed() * CHECK_SHARE);
        loop {
            let due = pending.due().unwrap_or_else(|| Instant::now() + check_interval);
            tokio::select! {
                () = sender.closed() => return,
                event = events.next() => {
                    match event {
                        Some(Ok(event)) => pending.note(&event),
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
            let (due, began) = (pending.take(), Instant::now());
            let is_look = matches!(due, DueFiles::All { .. });
            let Ok((back, snapshot)) = refresh(directory, due).await else { return };
            directory = back;
            if is_look {
                check_interval = CHECK_INTERVAL.max(began.elapsed() * CHECK_SHARE);
            }
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
async fn refresh(mut directory: Directory, due: DueFiles) -> Result<(Directory, Result<Snapshot>)> {
    let dir = directory.dir.clone();
    let work = move || {
        let snapshot = match due {
            DueFiles::Files(touched) => directory.refresh_files(&touched),
            DueFiles::All { touched, busy } => directory.refresh(&touched, &busy),
        };
        (directory, snapshot)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Directory { dir, cause: io::Error::other(error) })
}
