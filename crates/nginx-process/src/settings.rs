//! What a supervisor is told, and what it tells.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use crate::{Error, Result, RouteCounter};

/// How nginx is run.
#[derive(Debug, Clone)]
pub struct SupervisorSettings {
    /// The program.
    pub nginx: PathBuf,
    /// The volume from which revisions come, see [`crate::Volume`].
    pub volume: PathBuf,
    /// A directory of this supervisor alone: nginx's prefix, and the notes by which leftovers are found after a crash.
    /// Sockets in it are removed before nginx starts.
    pub runtime: PathBuf,
    /// The unix socket on which each revision answers `GET /generation` with its hash.
    pub control: PathBuf,
    /// Between the starts of two reloads. The first change after a pause is applied at once; what arrives meanwhile is
    /// folded into one.
    pub holdoff: Duration,
    /// For `nginx -t`.
    pub test_timeout: Duration,
    /// From the start, or the reload, until new connections are answered by the revision.
    pub confirm_timeout: Duration,
    /// Before a stop, while everything is still served: for the balancers in front to learn of it.
    pub drain_delay: Duration,
    /// For connections to end by themselves at a stop; then they are cut.
    pub stop_timeout: Duration,
    /// How many workers of former revisions may go on serving long connections. Beyond, the oldest are ended. Each costs
    /// about one copy of the configuration.
    pub max_old_workers: usize,
    /// Old workers are not ended before they had this long; a reload waits while there are too many of these. Longer than
    /// the configuration's `keepalive_min_timeout`, or idle clients lose a request.
    pub old_worker_grace: Duration,
    /// Bytes of the memory of a route table, at least: eight times its records are added. Pages in which nothing is written take
    /// no memory. A table that becomes larger gets another one by a reload.
    pub table_memory: u64,
    /// Of so many routes requests are counted each for itself, in 2.3 KiB of memory each; those of all others together.
    pub most_counted_routes: u32,
    /// Between two looks for counted routes that are gone.
    pub count_sweep_pause: Duration,
}

impl SupervisorSettings {
    /// The usual settings.
    pub fn new(
        nginx: impl Into<PathBuf>,
        volume: impl Into<PathBuf>,
        runtime: impl Into<PathBuf>,
        control: impl Into<PathBuf>,
    ) -> SupervisorSettings {
        SupervisorSettings {
            nginx: nginx.into(),
            volume: volume.into(),
            runtime: runtime.into(),
            control: control.into(),
            holdoff: Duration::from_millis(150),
            test_timeout: Duration::from_secs(30),
            confirm_timeout: Duration::from_secs(5),
            drain_delay: Duration::ZERO,
            stop_timeout: Duration::from_secs(30),
            max_old_workers: 32,
            old_worker_grace: Duration::from_secs(6),
            table_memory: 64 << 20,
            most_counted_routes: 1000,
            count_sweep_pause: Duration::from_secs(30),
        }
    }

    /// With absolute paths, since nginx resolves relative ones against others than this process.
    pub(crate) fn absolute(self) -> Result<SupervisorSettings> {
        let absolute = |path: PathBuf| std::path::absolute(&path).map_err(Error::file("resolve", &path));
        // A program without a slash is looked up in PATH.
        let nginx = if self.nginx.components().count() > 1 { absolute(self.nginx)? } else { self.nginx };
        let settings = SupervisorSettings {
            nginx,
            volume: absolute(self.volume)?,
            runtime: absolute(self.runtime)?,
            control: absolute(self.control)?,
            ..self
        };
        // The size of a socket's address less the zero at its end.
        if settings.control.as_os_str().len() > 107 {
            return Err(Error::Setting(format!(
                "{}: the path of a unix socket may have 107 bytes at most; choose a shorter one",
                settings.control.display()
            )));
        }
        Ok(settings)
    }
}

/// What the supervisor is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SupervisorState {
    /// Nothing that could be served was offered yet.
    #[default]
    Waiting,
    /// Tests or starts the first revision.
    Starting,
    /// Serves the live revision.
    Running,
    /// Tests, reloads or confirms another one; the live one is served.
    Reloading,
    /// nginx ended without being told to, and is being started again.
    Restarting,
    /// Was told to stop; connections end.
    Stopping,
    /// nginx has ended.
    Stopped,
}

/// What the supervisor tells, for readiness and metrics. Counts are since its start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SupervisorStatus {
    /// The revision that is confirmed to be served; none while nginx is not running.
    pub live: Option<String>,
    /// What is being done.
    pub state: SupervisorState,
    /// Why nginx could not be started, or the last revision that was tried is not in force; none when it is.
    pub last_error: Option<String>,
    /// Reloads that were asked of nginx, those that failed and those back to the last good revision included.
    pub frame_reloads: u64,
    /// Revisions that nginx refused when they were tested.
    pub refused: u64,
    /// Revisions that failed after the test, or could not be tested.
    pub failed: u64,
    /// Records of a route table that were published.
    pub table_publications: u64,
    /// Records of a route table that could not be published, revisions of it that workers did not confirm in time, and memories
    /// that could not be made larger.
    pub table_failures: u64,
    /// The newest revision of the route table that all workers have; none if there is no table.
    pub table_revision: Option<u64>,
    /// Why a newer revision of the route table is not in force; none if all is well.
    pub table_error: Option<String>,
    /// How often nginx ended by itself and was started again.
    pub restarts: u64,
    /// How long the last successful reload took, from the signal to the confirmation.
    pub last_reload: Option<Duration>,
    /// nginx's master process.
    pub pid: Option<i32>,
    /// Workers of former revisions that finish what they have.
    pub old_workers: usize,
    /// Old workers that were ended because there were too many.
    pub ended_workers: u64,
}

/// The view of a supervisor from outside.
#[derive(Debug, Clone)]
pub struct SupervisorHandle {
    /// The newest status, and notice of each change.
    pub status: watch::Receiver<SupervisorStatus>,
    /// What workers with the module count; none without memory for it.
    pub route_counter: Option<RouteCounter>,
}

impl SupervisorHandle {
    /// The newest status.
    pub fn status(&self) -> SupervisorStatus {
        self.status.borrow().clone()
    }
}
