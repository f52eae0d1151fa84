//! Files that are read again when their content changes.
//!
//! The content decides, not the time of change: Kubernetes renews a mounted Secret by pointing a symbolic link
//! elsewhere (<https://kubernetes.io/docs/concepts/configuration/secret/#mounted-secrets-are-updated-automatically>).

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use anyhow::Context as _;

use crate::metrics::{FileLabels, Metrics};

/// How often the files are looked at.
const PULSE: Duration = Duration::from_secs(1);
/// The largest file that is read.
const LIMIT_BYTES: u64 = 4 << 20;

/// What some files say, as of their last good content. They are watched until this is dropped.
pub struct ReloadedFiles<T> {
    current: Arc<RwLock<Arc<T>>>,
}

impl<T: Send + Sync + 'static> ReloadedFiles<T> {
    /// Reads the files and watches them on a thread of its own. `parse` gets their contents in the order of `files`.
    ///
    /// `name` stands in the metrics `reload_failures` and `file_broken`, and in the log.
    ///
    /// # Errors
    /// A file cannot be read, or `parse` rejects. Later that is logged and counted, and the last good content stays.
    pub fn start(
        name: &'static str,
        files: Vec<PathBuf>,
        metrics: &Metrics,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let labels = FileLabels { file: name.to_owned() };
        let broken = metrics.file_broken.get_or_create_owned(&labels);
        let failures = metrics.reload_failures.get_or_create_owned(&labels);
        let mut seen = read(&files);
        let value = seen.as_deref().map_err(Clone::clone).and_then(&parse).map_err(anyhow::Error::msg)?;
        let current = Arc::new(RwLock::new(Arc::new(value)));
        let kept: Weak<RwLock<Arc<T>>> = Arc::downgrade(&current);
        let watch = move || {
            loop {
                std::thread::sleep(PULSE);
                let Some(current) = kept.upgrade() else { return };
                let now = read(&files);
                // Files that belong together may be renewed between the reading of one and of the next.
                if now == seen || now != read(&files) {
                    continue;
                }
                match now.as_deref().map_err(Clone::clone).and_then(&parse) {
                    Ok(value) => {
                        *current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                        broken.set(0);
                        tracing::info!(file = name, "read anew");
                    }
                    Err(error) => {
                        failures.inc();
                        broken.set(1);
                        tracing::error!(file = name, error, "cannot be used; the last good content stays in force");
                    }
                }
                seen = now;
            }
        };
        std::thread::Builder::new().name(format!("reload-{name}")).spawn(watch).context("start a thread")?;
        Ok(Self { current })
    }

    /// The last good content.
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
    files
        .iter()
        .map(|path| {
            let mut content = Vec::new();
            let read = File::open(path).and_then(|file| file.take(LIMIT_BYTES + 1).read_to_end(&mut content));
            match read {
                Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
                Ok(_) if content.len() as u64 > LIMIT_BYTES => {
                    Err(format!("{} is larger than {LIMIT_BYTES} bytes", path.display()))
                }
                Ok(_) => Ok(content),
            }
        })
        .collect()
}
