//! The file that keeps, over restarts, which namespace holds which hosts, where no API server keeps it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use entry_model::HostOwners;

/// Longest file that is read or written, in bytes.
const LARGEST: usize = 16 << 20;

/// The file.
#[derive(Debug)]
pub struct HostRecord {
    path: PathBuf,
    /// What is in it, as far as this process knows.
    written: Option<Arc<HostOwners>>,
    /// What was logged last, as long as it cannot be written.
    last_error: Option<String>,
}

impl HostRecord {
    /// The record in this file, which may not be there yet.
    ///
    /// # Errors
    /// It is on the volume: what nginx can write to must not say whose hosts are.
    pub fn new(path: &Path, volume: &Path) -> anyhow::Result<Self> {
        let (path, volume) = (std::path::absolute(path)?, std::path::absolute(volume)?);
        let parent = path.parent().unwrap_or(&path);
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        anyhow::ensure!(
            !path.starts_with(&volume) && !real(parent).starts_with(real(&volume)),
            "--host-record {}: it must not be on the volume, which nginx can write to; name a file elsewhere",
            path.display()
        );
        Ok(Self { path, written: None, last_error: None })
    }

    /// What it holds. What cannot be read is told, and passed over.
    pub fn read(&self) -> Arc<HostOwners> {
        let path = self.path.display();
        let texts = match self.texts() {
            Ok(texts) => texts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Arc::default(),
            Err(error) => {
                tracing::warn!("--host-record {path}: {error}; hosts belong to the oldest objects' namespaces");
                return Arc::default();
            }
        };
        let (owners, garbled) = HostOwners::from_texts(&texts);
        if garbled > 0 {
            tracing::warn!(
                "--host-record {path}: {garbled} lines cannot be read and are passed over; of what they named, the oldest \
                 object's namespace has it"
            );
        }
        Arc::new(owners)
    }

    fn texts(&self) -> io::Result<BTreeMap<String, String>> {
        let length = fs::metadata(&self.path)?.len();
        if length > LARGEST as u64 {
            return Err(io::Error::other(format!("it is longer than {LARGEST} bytes")));
        }
        Ok(serde_json::from_slice(&fs::read(&self.path)?)?)
    }

    /// Writes it, if it changed. A failure is told once, and it is tried again with the next configuration.
    pub fn write(&mut self, owners: &Arc<HostOwners>) {
        if self.written.as_ref() == Some(owners) {
            return;
        }
        match self.put(owners) {
            Ok(()) => {
                self.written = Some(Arc::clone(owners));
                self.last_error = None;
            }
            Err(error) => {
                let message = error.to_string();
                if self.last_error.as_ref() != Some(&message) {
                    let path = self.path.display();
                    tracing::error!("--host-record {path}: {message}; a restart would forget who holds which host");
                }
                self.last_error = Some(message);
            }
        }
    }

    /// Whole at once, so that no reader sees half of it.
    fn put(&self, owners: &HostOwners) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        fs::write(&beside, serde_json::to_vec_pretty(&owners.to_texts(LARGEST))?)?;
        fs::rename(&beside, &self.path)
    }
}
