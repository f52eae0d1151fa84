//! Notice of changes in the volume.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use inotify::{EventStream, Inotify, WatchDescriptor, WatchMask};
use rustix::fs::fstat;

/// How long to wait where the system gives notice, which can be lost (a full queue), and where it gives none.
const SLOW: Duration = Duration::from_secs(2);
const FAST: Duration = Duration::from_millis(200);

/// Waits for changes of a volume. See [`crate::Volume::watch`].
#[derive(Debug)]
pub struct VolumeWatch {
    events: Option<EventStream<Vec<u8>>>,
    table: Option<WatchedTable>,
}

/// The directory of a table that is watched too.
#[derive(Debug)]
struct WatchedTable {
    /// It and no other that gets its name.
    identity: (u64, u64),
    /// None if the system gives no notice.
    watch: Option<WatchDescriptor>,
}

impl VolumeWatch {
    pub(crate) fn new(dir: &Path) -> VolumeWatch {
        let events = Inotify::init().and_then(|inotify| {
            // Everything here is replaced by rename. A file that is copied in by hand counts, too.
            inotify.watches().add(dir, WatchMask::MOVED_TO | WatchMask::CLOSE_WRITE)?;
            inotify.into_event_stream(vec![0; 4096])
        });
        let events = events
            .inspect_err(|error| {
                tracing::warn!(dir = %dir.display(), %error, "no notice of changes (fs.inotify limits?): looking every 200 ms");
            })
            .ok();
        VolumeWatch { events, table: None }
    }

    /// Waits for changes of this directory of a table too, and of no other's any more.
    pub(crate) fn follow(&mut self, dir: Option<&impl AsFd>) {
        let Some(events) = &self.events else { return };
        let dir = dir.map(AsFd::as_fd);
        let identity = dir.and_then(identity);
        if identity == self.table.as_ref().map(|table| table.identity) {
            return;
        }
        if let Some(watch) = self.table.take().and_then(|table| table.watch) {
            // It may be gone, with the directory.
            let _ = events.watches().remove(watch);
        }
        self.table = dir.zip(identity).map(|(dir, identity)| {
            // By the descriptor: the path to it may lead elsewhere by now.
            let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
            let watch = events.watches().add(path, WatchMask::MOVED_TO);
            let watch = watch.inspect_err(
                |error| tracing::warn!(%error, "no notice of records of the route table: looking each second"),
            );
            WatchedTable { identity, watch: watch.ok() }
        });
    }

    /// Returns when something may have changed: read it again. Cancelling loses nothing.
    pub async fn changed(&mut self) {
        let Some(events) = &mut self.events else { return tokio::time::sleep(FAST).await };
        match tokio::time::timeout(SLOW, events.next()).await {
            // One notice is enough for what came together.
            Ok(Some(Ok(_))) => while let Some(Some(Ok(_))) = events.next().now_or_never() {},
            Ok(_) => {
                self.events = None;
                tracing::warn!("notices of changes ended: looking every 200 ms");
            }
            Err(_) => {}
        }
    }
}

/// What tells a directory from others that get its name.
fn identity(dir: BorrowedFd<'_>) -> Option<(u64, u64)> {
    fstat(dir).ok().map(|found| (found.st_dev, found.st_ino))
}
