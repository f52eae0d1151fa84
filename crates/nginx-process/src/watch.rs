//! Notice of changes in the volume.

use std::path::Path;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use inotify::{EventStream, Inotify, WatchMask};

/// How long to wait where the system gives notice, which can be lost (a full queue), and where it gives none.
const SLOW: Duration = Duration::from_secs(2);
const FAST: Duration = Duration::from_millis(200);

/// Waits for changes of a volume. See [`crate::Volume::watch`].
#[derive(Debug)]
pub struct VolumeWatch {
    events: Option<EventStream<Vec<u8>>>,
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
        VolumeWatch { events }
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
