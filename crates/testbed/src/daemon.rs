//! Daemons of a test's parts: found, frozen, ended and started again, for each part in the same way.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long a daemon may take to end after SIGTERM, before SIGKILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A part that consists of daemons.
pub trait Daemons {
    /// One of its daemons.
    type Daemon: Copy;

    /// The daemon's name, for messages.
    fn name(&self, daemon: Self::Daemon) -> &'static str;

    /// The daemon's process, none if it does not run. A process that ended and is not waited for does not run.
    ///
    /// # Errors
    /// It cannot be looked for.
    fn find(&self, daemon: Self::Daemon) -> Result<Option<Pid>>;

    /// Starts a daemon that does not run, at the address it had, and waits until it serves.
    ///
    /// # Errors
    /// It runs already, or does not serve in time; the error shows the end of its log.
    fn start_daemon(&self, daemon: Self::Daemon) -> Result<()>;

    /// The process id of a daemon, none if it does not run.
    ///
    /// # Errors
    /// As [`Daemons::find`].
    fn pid(&self, daemon: Self::Daemon) -> Result<Option<u32>> {
        Ok(self.find(daemon)?.map(|pid| pid.as_raw_nonzero().get().unsigned_abs()))
    }

    /// Sends a daemon a signal.
    ///
    /// # Errors
    /// It does not run.
    fn signal(&self, daemon: Self::Daemon, signal: Signal) -> Result<()> {
        let pid = self.find(daemon)?.with_context(|| format!("{} does not run", self.name(daemon)))?;
        kill_process(pid, signal).with_context(|| format!("signal {}", self.name(daemon)))
    }

    /// Freezes a daemon (SIGSTOP): connections to it stay open and answer nothing.
    ///
    /// # Errors
    /// It does not run.
    fn freeze(&self, daemon: Self::Daemon) -> Result<()> {
        self.signal(daemon, Signal::STOP)
    }

    /// Thaws a frozen daemon (SIGCONT); without effect on one that is not frozen.
    ///
    /// # Errors
    /// It does not run.
    fn thaw(&self, daemon: Self::Daemon) -> Result<()> {
        self.signal(daemon, Signal::CONT)
    }

    /// Freezes a daemon until the returned value is dropped, also when a test panics.
    ///
    /// # Errors
    /// It does not run.
    fn frozen(&self, daemon: Self::Daemon) -> Result<FrozenDaemon<'_, Self>> {
        self.freeze(daemon)?;
        Ok(FrozenDaemon { daemons: self, daemon })
    }

    /// Stops a daemon in good order (SIGTERM), and waits until it is gone; after ten seconds it is killed. A frozen one is thawed
    /// first. An OSD that is stopped so is `down` at once.
    ///
    /// # Errors
    /// It does not run.
    fn stop_daemon(&self, daemon: Self::Daemon) -> Result<()> {
        self.signal(daemon, Signal::TERM)?;
        // It may already be gone.
        let _ = self.thaw(daemon);
        if !self.ends_within(daemon, STOP_TIMEOUT)? {
            self.kill_daemon(daemon)?;
        }
        Ok(())
    }

    /// Kills a daemon (SIGKILL), as a crash would, and waits until it is gone. The monitor does not notice the end of the only
    /// OSD: it stays `up` in the map. What etcd has stored before stays stored.
    ///
    /// # Errors
    /// It does not run.
    fn kill_daemon(&self, daemon: Self::Daemon) -> Result<()> {
        self.signal(daemon, Signal::KILL)?;
        ensure!(self.ends_within(daemon, STOP_TIMEOUT)?, "{} outlived SIGKILL", self.name(daemon));
        Ok(())
    }

    /// Whether a daemon ends by itself within a time.
    ///
    /// # Errors
    /// As [`Daemons::find`].
    fn ends_within(&self, daemon: Self::Daemon, timeout: Duration) -> Result<bool> {
        let started = Instant::now();
        while self.find(daemon)?.is_some() {
            if started.elapsed() >= timeout {
                return Ok(false);
            }
            sleep(Duration::from_millis(5));
        }
        Ok(true)
    }

    /// Stops a daemon as [`Daemons::stop_daemon`] and starts it again as [`Daemons::start_daemon`].
    ///
    /// # Errors
    /// As those.
    fn restart_daemon(&self, daemon: Self::Daemon) -> Result<()> {
        self.stop_daemon(daemon)?;
        self.start_daemon(daemon)
    }
}

/// A frozen daemon, thawed on drop. See [`Daemons::frozen`].
#[derive(Debug)]
#[must_use = "dropping it thaws the daemon"]
pub struct FrozenDaemon<'a, D: Daemons + ?Sized> {
    daemons: &'a D,
    daemon: D::Daemon,
}

impl<D: Daemons + ?Sized> Drop for FrozenDaemon<'_, D> {
    fn drop(&mut self) {
        // It fails only if the daemon was ended meanwhile.
        let _ = self.daemons.thaw(self.daemon);
    }
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let Ok(bytes) = fs::read(path) else { return String::new() };
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
