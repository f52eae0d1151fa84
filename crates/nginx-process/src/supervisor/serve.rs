//! What is done to nginx: start, reload, confirm, go back, end.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::{GRACE, POLL, Supervisor, TICK};
use crate::child::{self, Nginx, RevisionError};
use crate::proc::{self, Process, WorkerRole};
use crate::{SupervisorSettings, SupervisorState};

/// Why nginx does not serve a revision that it should.
pub(super) enum Unconfirmed {
    /// The master has logged why, and goes on with what it had.
    MasterDeclined(RevisionError),
    /// It is not known what nginx serves.
    NoAnswer(RevisionError),
    /// The master has ended, so.
    MasterEnded(String),
}

impl Unconfirmed {
    /// The master goes on with what it had.
    pub(super) fn is_declined(&self) -> bool {
        matches!(self, Unconfirmed::MasterDeclined(_))
    }

    /// The master has ended.
    pub(super) fn is_end(&self) -> bool {
        matches!(self, Unconfirmed::MasterEnded(_))
    }
}

impl std::fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unconfirmed::MasterDeclined(error) | Unconfirmed::NoAnswer(error) => error.message().fmt(f),
            Unconfirmed::MasterEnded(end) => end.fmt(f),
        }
    }
}

impl Supervisor {
    /// Puts a revision in force.
    ///
    /// A running nginx reads it at once, since its master keeps what it has when it cannot read the new. A test before that
    /// costs a second reading, so it is made only where a reading can do harm or is likely to fail: before a start, and
    /// after an offer that came to nothing. One that the master does not take is tested to learn why.
    pub(super) async fn try_revision(&mut self, revision: &str) -> Result<(), RevisionError> {
        if !self.volume.has(revision) {
            return Err(RevisionError::Unknown("offered, but not on the volume as a whole".to_owned()));
        }
        let table = self.table_lane.read(&self.volume, revision)?;
        self.table_lane
            .link(table.as_ref())
            .map_err(|error| RevisionError::Unknown(format!("cannot link the memory of the route table: {error}")))?;
        let tried = self.try_with_table(revision).await;
        match &tried {
            Ok(()) => self.table_lane.put_in_force(table),
            Err(_) => self.table_lane.link_back(),
        }
        tried
    }

    /// The same, when nginx finds the revision's table.
    async fn try_with_table(&mut self, revision: &str) -> Result<(), RevisionError> {
        let tested = self.nginx.is_none() || self.candidates.has_set_aside();
        if tested {
            self.test(revision).await?;
        }
        self.volume.point_live(revision).map_err(|error| RevisionError::Unknown(error.to_string()))?;
        if self.nginx.is_none() {
            return match self.launch(revision).await {
                Ok(()) => Ok(()),
                Err(error) => {
                    self.swap_back();
                    // It passed the test: what holds an address may let it go.
                    Err(RevisionError::Unknown(error))
                }
            };
        }
        let (error, kept) = match self.reload(revision, tested).await {
            Ok(()) => return Ok(()),
            Err(Unconfirmed::MasterDeclined(error)) => (error, true),
            Err(Unconfirmed::NoAnswer(error)) => (error, false),
            Err(Unconfirmed::MasterEnded(end)) => {
                self.swap_back();
                let message = format!("nginx ended when it was to reload: {end}");
                return Err(self.candidates.blame_for_end(revision, message));
            }
        };
        self.swap_back();
        self.go_back(kept).await.map_err(RevisionError::Unknown)?;
        Err(error)
    }

    /// Has nginx read the last good revision, to which is pointed again, unless its master has `kept` it. If it does not, nothing
    /// is left of nginx.
    pub(super) async fn go_back(&mut self, kept: bool) -> Result<(), String> {
        let Some(good) = self.candidates.good.clone() else { return Ok(()) };
        let answer = self.control.revision(TICK).await;
        if kept && answer.is_ok_and(|answer| answer == good) {
            return Ok(());
        }
        // Some workers may be of the new revision.
        if let Err(error) = self.reload(&good, true).await {
            let error = error.to_string();
            tracing::error!(revision = good, "cannot go back without a restart: {error}");
            self.end_nginx().await;
            return Err(format!("nginx does not react: {error}"));
        }
        Ok(())
    }

    async fn test(&mut self, revision: &str) -> Result<(), RevisionError> {
        let begin = Instant::now();
        child::test(&self.settings, &self.volume.revision(revision).join("nginx.conf")).await?;
        self.read_time = begin.elapsed();
        Ok(())
    }

    /// Has nginx find the last good revision and its table.
    pub(super) fn swap_back(&mut self) {
        self.table_lane.link_back();
        if let Some(good) = &self.candidates.good
            && let Err(error) = self.volume.point_live(good)
        {
            tracing::error!(revision = good, %error, "cannot point back to the last good revision");
        }
    }

    /// Has the running nginx read its configuration again, and waits until `revision` is what it serves. One that was not
    /// `tested` and is not confirmed is tested now.
    pub(super) async fn reload(&mut self, revision: &str, tested: bool) -> Result<(), Unconfirmed> {
        let Some(nginx) = &mut self.nginx else { return Err(Unconfirmed::MasterEnded("not running".to_owned())) };
        let begin = Instant::now();
        let before = proc::children(nginx.pid());
        nginx.read_emergencies(&mut String::new());
        nginx.signal(Signal::HUP);
        self.reload_began = Some(begin);
        self.status.send_modify(|status| status.frame_reloads += 1);
        let mut confirmed = self.confirm(revision, &before).await;
        if !tested && let Err(Unconfirmed::MasterDeclined(error) | Unconfirmed::NoAnswer(error)) = &mut confirmed {
            match self.test(revision).await {
                Err(found) => *error = found,
                // Now it is known how long reading takes.
                Ok(()) if matches!(confirmed, Err(Unconfirmed::NoAnswer(_))) => {
                    confirmed = self.confirm(revision, &before).await;
                }
                Ok(()) => {}
            }
        }
        confirmed?;
        self.read_time = begin.elapsed();
        self.status.send_modify(|status| {
            status.last_reload = Some(begin.elapsed());
            status.live = Some(revision.to_owned());
            status.state = SupervisorState::Running;
        });
        Ok(())
    }

    /// Waits until new connections are answered by workers of `revision`, and none of the workers `before` takes any.
    async fn confirm(&mut self, revision: &str, before: &[Process]) -> Result<(), Unconfirmed> {
        let Some(nginx) = &mut self.nginx else { return Err(Unconfirmed::MasterEnded("not running".to_owned())) };
        let patience = self.settings.confirm_timeout + self.read_time * 4;
        let deadline = Instant::now() + patience;
        let mut in_a_row = 0;
        let mut nginx_stderr = String::new();
        let mut last = String::from("no answer");
        loop {
            if let Some(end) = nginx.ended() {
                // What it printed last may be on its way.
                sleep(POLL * 4).await;
                nginx.read_emergencies(&mut nginx_stderr);
                return Err(Unconfirmed::MasterEnded(format!("{end}: {nginx_stderr}")));
            }
            // Before the question: what it leaves is seen by the answers that follow.
            let left = before.iter().all(|process| !process.alive() || process.role() == WorkerRole::Leaving);
            match self.control.revision(TICK).await {
                Ok(answer) if answer == revision => in_a_row += 1,
                Ok(answer) => {
                    in_a_row = 0;
                    last = format!("new connections are still answered by revision {answer:?}");
                }
                Err(error) => {
                    in_a_row = 0;
                    last = error.to_string();
                }
            }
            // A worker says that it leaves just before it closes its sockets: one answer could still be its own.
            if left && in_a_row >= 3 {
                match self.table_lane.check(&self.control).await {
                    Ok(()) => return Ok(()),
                    Err(why) => {
                        in_a_row = 0;
                        last = why;
                    }
                }
            }
            if nginx.read_emergencies(&mut nginx_stderr) && in_a_row == 0 && !before.is_empty() {
                return Err(Unconfirmed::MasterDeclined(RevisionError::NotApplied(nginx_stderr)));
            }
            if Instant::now() >= deadline {
                let forked = proc::children(nginx.pid()).iter().any(|process| !before.contains(process));
                if in_a_row >= 50 && forked {
                    tracing::warn!("an old worker does not react, but takes no new connections");
                    return Ok(());
                }
                let why = if forked { &last } else { "nginx's master does not react" };
                let message = format!("not confirmed within {patience:?}: {why} {nginx_stderr}");
                return Err(Unconfirmed::NoAnswer(RevisionError::NotApplied(message)));
            }
            if in_a_row == 0 || !left {
                sleep(POLL).await;
            }
        }
    }

    /// Starts nginx on what `live` points to, and waits until it serves `revision`. If it does not, nothing is left of it.
    pub(super) async fn launch(&mut self, revision: &str) -> Result<(), String> {
        remove_sockets(&self.settings);
        let main = self.volume.dir().join("live/nginx.conf");
        let nginx = Nginx::start(&self.settings, &main)
            .map_err(|error| format!("cannot run {}: {error}", self.settings.nginx.display()))?;
        let (group, pid) = (nginx.group, nginx.pid());
        // Before anything is waited for: a stop must find it.
        self.nginx = Some(nginx);
        self.started = Instant::now();
        if let Err(error) = group.write(&group_file(&self.settings)) {
            tracing::warn!(%error, "if this process is killed, the next one will not find its nginx");
        }
        self.reaper.watch_over(Some(group)).await;
        match self.confirm(revision, &[]).await {
            Ok(()) => {
                self.status.send_modify(|status| {
                    status.live = Some(revision.to_owned());
                    status.state = SupervisorState::Running;
                    status.pid = Some(pid);
                });
                Ok(())
            }
            Err(error) => {
                self.end_nginx().await;
                Err(match error {
                    Unconfirmed::MasterEnded(end) => format!("nginx ended at its start: {end}"),
                    other => other.to_string(),
                })
            }
        }
    }

    /// Ends whatever is left of nginx, at once.
    pub(super) async fn end_nginx(&mut self) {
        if let Some(nginx) = &mut self.nginx {
            nginx.group.end(GRACE).await;
            nginx.wait().await;
        }
        self.nginx = None;
        self.reaper.watch_over(None).await;
        let _ = fs::remove_file(group_file(&self.settings));
        self.old_workers.clear();
        self.status.send_modify(|status| {
            status.live = None;
            status.pid = None;
            status.old_workers = 0;
        });
    }
}

pub(super) fn group_file(settings: &SupervisorSettings) -> PathBuf {
    settings.runtime.join("nginx.group")
}

/// Removes sockets that an nginx which was killed has left: the next one could not bind to them.
fn remove_sockets(settings: &SupervisorSettings) {
    let inside = fs::read_dir(&settings.runtime).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in inside.chain([settings.control.clone()]) {
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
            let _ = fs::remove_file(&path);
        }
    }
}
