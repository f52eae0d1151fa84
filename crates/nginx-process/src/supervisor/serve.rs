//! What is done to nginx: start, reload, confirm, go back, end.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::{GRACE, LOOK, Supervisor, TICK};
use crate::child::{self, Fault, Nginx};
use crate::control;
use crate::proc::{self, Process, Role};
use crate::{Settings, State};

/// Why nginx does not serve a generation that it should.
enum Unconfirmed {
    /// The master said so and goes on with what it had.
    Kept(Fault),
    /// Nobody knows what it serves.
    Unknown(Fault),
    Died(String),
}

impl std::fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unconfirmed::Kept(fault) | Unconfirmed::Unknown(fault) => fault.message().fmt(f),
            Unconfirmed::Died(end) => end.fmt(f),
        }
    }
}

impl Supervisor {
    /// Puts a generation in force.
    ///
    /// A running nginx reads it at once, since its master keeps what it has when it cannot read the new. A test before that
    /// costs a second reading, so it is made only where a reading can do harm or is likely to fail: before a start, and
    /// after an offer that came to nothing. One that the master does not take is tested to learn why.
    pub(super) async fn try_generation(&mut self, hash: &str) -> Result<(), Fault> {
        if !self.volume.has(hash) {
            return Err(Fault::Trouble("offered, but not on the volume as a whole".to_owned()));
        }
        let tested = self.nginx.is_none() || self.aside.is_some();
        if tested {
            self.test(hash).await?;
        }
        self.volume.swap(hash).map_err(|error| Fault::Trouble(error.to_string()))?;
        if self.nginx.is_none() {
            return match self.launch(hash).await {
                Ok(()) => Ok(()),
                Err(error) => {
                    self.swap_back();
                    // It passed the test: what holds an address may let it go.
                    Err(Fault::Trouble(error))
                }
            };
        }
        let (fault, kept) = match self.reload(hash, tested).await {
            Ok(()) => return Ok(()),
            Err(Unconfirmed::Kept(fault)) => (fault, true),
            Err(Unconfirmed::Unknown(fault)) => (fault, false),
            Err(Unconfirmed::Died(end)) => {
                self.swap_back();
                let message = format!("nginx ended when it was to reload: {end}");
                // Once may be chance.
                let again = self.died.replace(hash.to_owned()).as_deref() == Some(hash);
                return Err(if again { Fault::Failed(message) } else { Fault::Trouble(message) });
            }
        };
        self.swap_back();
        if let Some(good) = self.good.clone() {
            let answer = control::generation(&self.settings.control, TICK).await;
            if kept && answer.is_ok_and(|answer| answer == good) {
                return Err(fault);
            }
            // Some workers may be of the new generation.
            if let Err(error) = self.reload(&good, true).await {
                let error = error.to_string();
                tracing::error!(generation = good, "cannot go back without a restart: {error}");
                self.end_nginx().await;
                return Err(Fault::Trouble(format!("nginx does not react: {error}")));
            }
        }
        Err(fault)
    }

    async fn test(&mut self, hash: &str) -> Result<(), Fault> {
        let begin = Instant::now();
        child::test(&self.settings, &self.volume.generation(hash).join("nginx.conf")).await?;
        self.reading = begin.elapsed();
        Ok(())
    }

    pub(super) fn swap_back(&mut self) {
        if let Some(good) = &self.good
            && let Err(error) = self.volume.swap(good)
        {
            tracing::error!(generation = good, %error, "cannot point back to the last good generation");
        }
    }

    /// Has the running nginx read its configuration again, and waits until `hash` is what it serves. One that was not
    /// `tested` and is not confirmed is tested now.
    async fn reload(&mut self, hash: &str, tested: bool) -> Result<(), Unconfirmed> {
        let Some(nginx) = &mut self.nginx else { return Err(Unconfirmed::Died("not running".to_owned())) };
        let begin = Instant::now();
        let before = proc::children(nginx.pid());
        nginx.complaints(&mut String::new());
        nginx.signal(Signal::HUP);
        self.reloaded = Some(begin);
        self.status.send_modify(|status| status.reloads += 1);
        let mut confirmed = self.confirm(hash, &before).await;
        if !tested && let Err(Unconfirmed::Kept(fault) | Unconfirmed::Unknown(fault)) = &mut confirmed {
            match self.test(hash).await {
                Err(found) => *fault = found,
                // Now it is known how long reading takes.
                Ok(()) if matches!(confirmed, Err(Unconfirmed::Unknown(_))) => {
                    confirmed = self.confirm(hash, &before).await;
                }
                Ok(()) => {}
            }
        }
        confirmed?;
        self.reading = begin.elapsed();
        self.status.send_modify(|status| {
            status.last_reload = Some(begin.elapsed());
            status.live = Some(hash.to_owned());
            status.state = State::Running;
        });
        Ok(())
    }

    /// Waits until new connections are answered by workers of `hash`, and none of the workers `before` takes any.
    async fn confirm(&mut self, hash: &str, before: &[Process]) -> Result<(), Unconfirmed> {
        let Some(nginx) = &mut self.nginx else { return Err(Unconfirmed::Died("not running".to_owned())) };
        let patience = self.settings.confirm_timeout + self.reading * 4;
        let deadline = Instant::now() + patience;
        let mut in_a_row = 0;
        let mut said = String::new();
        let mut last = String::from("no answer");
        loop {
            if let Some(end) = nginx.ended() {
                // What it said last may be on its way.
                sleep(LOOK * 4).await;
                nginx.complaints(&mut said);
                return Err(Unconfirmed::Died(format!("{end}: {said}")));
            }
            // Before the question: what it leaves is seen by the answers that follow.
            let left = before.iter().all(|process| !process.alive() || process.role() == Role::Leaving);
            match control::generation(&self.settings.control, TICK).await {
                Ok(answer) if answer == hash => in_a_row += 1,
                Ok(answer) => {
                    in_a_row = 0;
                    last = format!("new connections are still answered by generation {answer:?}");
                }
                Err(error) => {
                    in_a_row = 0;
                    last = error.to_string();
                }
            }
            // A worker says that it leaves just before it closes its sockets: one answer could still be its own.
            if left && in_a_row >= 3 {
                return Ok(());
            }
            if nginx.complaints(&mut said) && in_a_row == 0 && !before.is_empty() {
                return Err(Unconfirmed::Kept(Fault::Failed(said)));
            }
            if Instant::now() >= deadline {
                let forked = proc::children(nginx.pid()).iter().any(|process| !before.contains(process));
                if in_a_row >= 50 && forked {
                    tracing::warn!("an old worker does not react, but takes no new connections");
                    return Ok(());
                }
                let why = if forked { &last } else { "nginx's master does not react" };
                let message = format!("not confirmed within {patience:?}: {why} {said}");
                return Err(Unconfirmed::Unknown(Fault::Failed(message)));
            }
            if in_a_row == 0 || !left {
                sleep(LOOK).await;
            }
        }
    }

    /// Starts nginx on what `live` points to, and waits until it serves `hash`. If it does not, nothing is left of it.
    pub(super) async fn launch(&mut self, hash: &str) -> Result<(), String> {
        remove_sockets(&self.settings);
        let main = self.volume.dir().join("live/nginx.conf");
        let nginx = Nginx::start(&self.settings, &main)
            .map_err(|error| format!("cannot run {}: {error}", self.settings.nginx.display()))?;
        let (group, pid) = (nginx.group, nginx.pid());
        // Before anything is waited for: whoever stops this must find it.
        self.nginx = Some(nginx);
        self.started = Instant::now();
        if let Err(error) = group.write(&group_file(&self.settings)) {
            tracing::warn!(%error, "if this process is killed, the next one will not find its nginx");
        }
        self.keeper.tell(Some(group)).await;
        match self.confirm(hash, &[]).await {
            Ok(()) => {
                self.status.send_modify(|status| {
                    status.live = Some(hash.to_owned());
                    status.state = State::Running;
                    status.pid = Some(pid);
                });
                Ok(())
            }
            Err(error) => {
                self.end_nginx().await;
                Err(match error {
                    Unconfirmed::Died(end) => format!("nginx ended at its start: {end}"),
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
        self.keeper.tell(None).await;
        let _ = fs::remove_file(group_file(&self.settings));
        self.leaving.clear();
        self.status.send_modify(|status| {
            status.live = None;
            status.pid = None;
            status.old_workers = 0;
        });
    }
}

pub(super) fn group_file(settings: &Settings) -> PathBuf {
    settings.runtime.join("nginx.group")
}

/// Removes sockets that an nginx which was killed has left: the next one could not bind to them.
fn remove_sockets(settings: &Settings) {
    let inside = fs::read_dir(&settings.runtime).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in inside.chain([settings.control.clone()]) {
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
            let _ = fs::remove_file(&path);
        }
    }
}
