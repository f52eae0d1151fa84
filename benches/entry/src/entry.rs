//! `sparrow-entry` as a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use testbed::ports::free_address;
use tokio::time::sleep;

use crate::guard::{Guarded, Held};
use crate::http;

/// How long it may take to become ready.
const READY: Duration = Duration::from_mins(2);

/// A running `sparrow-entry`.
#[derive(Debug)]
pub struct Entry {
    process: Guarded,
    /// Where it serves.
    pub http: SocketAddr,
    admin: SocketAddr,
}

/// `--name=VALUE`
pub fn flag(name: &str, value: impl AsRef<Path>) -> String {
    format!("--{name}={}", value.as_ref().display())
}

impl Entry {
    /// Starts it, with flags for a directory of its own, and waits until it is ready.
    ///
    /// # Errors
    /// It ends, or is not ready in two minutes; what it said is in the error.
    pub async fn start(binary: &Path, flags: impl FnOnce(&Path) -> Vec<String>) -> Result<Self> {
        let (http, admin) = (free_address()?, free_address()?);
        let process = Guarded::start(|directory| {
            let run = [binary.display().to_string(), "run".to_owned(), "--stop-timeout=1s".to_owned()];
            let addresses = [format!("--http={http}"), format!("--admin={admin}")];
            Ok(run.into_iter().chain(addresses).chain(flags(directory)).collect())
        })?;
        let entry = Self { process, http, admin };
        until_ready(&entry.process, admin, Duration::from_millis(20)).await?;
        Ok(entry)
    }

    /// [`Guarded::hold`]: nginx goes on.
    ///
    /// # Errors
    /// It does not run.
    pub fn hold(&self) -> Result<Held> {
        self.process.hold()
    }

    /// The end of what it has said.
    pub fn said(&self) -> String {
        self.process.said()
    }

    /// nginx's runtime directory.
    pub fn runtime(&self) -> PathBuf {
        self.process.directory().join("runtime")
    }

    /// The process id of its nginx.
    ///
    /// # Errors
    /// nginx does not run.
    pub fn nginx_pid(&self) -> Result<u32> {
        pid_in(&self.runtime().join("nginx.pid"))
    }

    /// The configuration that is live.
    ///
    /// # Errors
    /// None is.
    pub fn live(&self) -> Result<String> {
        let path = self.process.directory().join("volume/live/nginx.conf");
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }

    /// A metric without labels.
    ///
    /// # Errors
    /// There is no such metric.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        metric(self.admin, name).await
    }

    /// Reloads so far.
    ///
    /// # Errors
    /// As [`Entry::metric`].
    pub async fn reloads(&self) -> Result<u64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let reloads = self.metric("sparrow_entry_nginx_reloads_total").await? as u64;
        Ok(reloads)
    }
}

/// Waits until a process is ready, with so long between two looks.
///
/// # Errors
/// It ends, or is not ready in two minutes; what it said is in the error.
pub async fn until_ready(process: &Guarded, admin: SocketAddr, look: Duration) -> Result<()> {
    let began = Instant::now();
    while !http::get(admin, "/readyz").await.is_ok_and(|(status, _)| status == 200) {
        ensure!(process.runs(), "sparrow-entry has ended; it said:\n{}", process.said());
        ensure!(began.elapsed() < READY, "sparrow-entry is not ready; it said:\n{}", process.said());
        sleep(look).await;
    }
    Ok(())
}

/// A metric without labels of what is administered at an address.
///
/// # Errors
/// There is no such metric.
pub async fn metric(admin: SocketAddr, name: &str) -> Result<f64> {
    let (status, text) = http::get(admin, "/metrics").await?;
    ensure!(status == 200, "/metrics: {status}");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("no metric {name}"))?.trim().parse()?)
}

/// The process id in a file.
///
/// # Errors
/// There is none.
pub fn pid_in(path: &Path) -> Result<u32> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    text.trim().parse().with_context(|| format!("{text:?} in {}", path.display()))
}
