//! The supervisor: one task that owns nginx.
//!
//! Each turn of [`Supervisor::run`] looks at what is there (nginx, the volume, the clock), decides on one step, and takes it. From
//! outside it is in one of these states:
//!
//! ```text
//!               offer               confirmed               offer
//!   Waiting ───────────► Starting ─────────────► Running ───────────► Reloading
//!      ▲                    │                     ▲   ▲                │     │
//!      └────────────────────┘                     │   └────────────────┘     │
//!             rejected                            │    confirmed, or         │
//!                                                 │    rejected, and the     │
//!                                    confirmed    │    last good one is      │
//!                                                 │    confirmed again       │ nginx does not react
//!                                             Restarting ◄───────────────────┤
//!                                              │  ▲   ▲                      │
//!                                              └──┘   └── nginx ends ────────┘ (also when Running)
//!                                   not confirmed: after a longer wait
//!
//!   at the shutdown, from each: Stopping ──► Stopped
//! ```
//!
//! What it decides on is kept by concern: [`candidates`] has which revision is in force and which may be tried, [`report`] what
//! the generator is told, [`old_workers`] the workers of former revisions. [`serve`] has what is done to nginx, [`table_lane`] what is
//! done without it: while a revision is in force, records are published into the memory of its table.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::child::{self, Nginx, RevisionError};
use crate::control::Control;
use crate::proc::ProcessGroup;
use crate::reaper::NginxReaper;
use crate::route_counter::RouteCounter;
use crate::{
    Error, OutcomeState, Result, RevisionOutcome, SupervisorHandle, SupervisorSettings, SupervisorState,
    SupervisorStatus, Volume, VolumeWatch,
};

mod backoff;
mod candidates;
mod frame_table;
mod old_workers;
mod pending_write;
mod report;
mod serve;
mod step;
mod table_confirmation;
mod table_lane;
mod table_report;

use backoff::Backoff;
use candidates::Candidates;
use old_workers::OldWorkers;
use report::Report;
use serve::group_file;
use step::Step;
use table_lane::TableLane;

/// Between two looks at a change that is under way.
const POLL: Duration = Duration::from_millis(5);
/// Between two looks at the old workers while nothing happens.
const TICK: Duration = Duration::from_secs(1);
/// For a process that was told to end at once.
const GRACE: Duration = Duration::from_secs(2);
/// For a supervisor that is ending to let go of the runtime directory.
const HANDOVER: Duration = Duration::from_millis(500);
/// The wait before nginx is started again, and how long it must have run for the wait to begin anew.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
const STEADY: Duration = Duration::from_secs(30);

/// Owns nginx. Made by [`Supervisor::start`], works in [`Supervisor::run`].
///
/// As root, with workers of another user, it needs `CAP_KILL` to end those that are left or too many (containers have it
/// unless all capabilities are dropped). As the same user it needs nothing.
#[derive(Debug)]
pub struct Supervisor {
    settings: SupervisorSettings,
    volume: Volume,
    status: watch::Sender<SupervisorStatus>,
    reaper: NginxReaper,
    control: Control,
    /// None while nothing of nginx runs.
    nginx: Option<Nginx>,
    candidates: Candidates,
    report: Report,
    old_workers: OldWorkers,
    table_lane: TableLane,
    /// Whether records may have come that were not looked for.
    may_have_records: bool,
    /// Why the offer could not be read; logged once.
    unread: Option<String>,
    /// How long the last test or reload took: the next may take about as long.
    read_time: Duration,
    /// When the last reload was begun.
    reload_began: Option<Instant>,
    started: Instant,
    /// Not before this moment nginx is started again.
    start_at: Instant,
    backoff: Backoff,
    _lock: File,
}

impl Supervisor {
    /// Takes the runtime directory, ends what a former supervisor left there, and is ready to [`Supervisor::run`].
    ///
    /// Orphans of this process's children become its own children from now on (`PR_SET_CHILD_SUBREAPER`), so that none is
    /// left behind as a zombie.
    ///
    /// # Errors
    /// A setting that cannot work, a directory that cannot be written to, another supervisor in the same directory, or an
    /// nginx that does not run.
    pub async fn start(settings: SupervisorSettings) -> Result<(Supervisor, SupervisorHandle)> {
        let settings = settings.absolute()?;
        child::nginx_version(&settings.nginx).await?;
        let volume = Volume::open(&settings.volume)?;
        fs::create_dir_all(&settings.runtime).map_err(Error::file("create", &settings.runtime))?;
        let lock = lock_runtime(&settings.runtime).await?;
        volume.remove_unfinished();
        if let Err(error) = rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1)) {
            tracing::warn!(%error, "workers of a killed nginx may stay as zombies");
        }
        if let Some(group) = ProcessGroup::read(&group_file(&settings))
            && !group.members().is_empty()
        {
            tracing::warn!(pid = group.0.pid, "ending the nginx that a former supervisor left");
            group.end(GRACE).await;
        }
        let route_counter = RouteCounter::start(&settings);
        if let Err(error) = &route_counter {
            tracing::error!(error, "requests are served and not counted by route: there is no memory for the counts");
        }
        let candidates = Candidates::new(volume.good());
        let (status, receiver) = watch::channel(SupervisorStatus::default());
        let now = Instant::now();
        let supervisor = Supervisor {
            control: Control::new(&settings.control),
            table_lane: TableLane::new(&settings),
            settings,
            volume,
            status,
            reaper: NginxReaper::start(),
            nginx: None,
            candidates,
            report: Report::default(),
            old_workers: OldWorkers::default(),
            may_have_records: true,
            unread: None,
            read_time: Duration::ZERO,
            reload_began: None,
            started: now,
            start_at: now,
            backoff: Backoff::new(BACKOFF.0, BACKOFF.1),
            _lock: lock,
        };
        Ok((supervisor, SupervisorHandle { status: receiver, route_counter: route_counter.ok() }))
    }

    /// Serves what is offered until `shutdown`, then lets connections end and stops nginx.
    ///
    /// # Errors
    /// None for what a revision or nginx does: that is reported by [`SupervisorStatus`] and [`RevisionOutcome`].
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let mut shutdown = pin!(shutdown);
        let mut changes = self.volume.watch();
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                () = self.turn(&mut changes) => {}
            }
        }
        self.stop().await;
        self.reaper.end().await;
        Ok(())
    }

    /// One turn. May be cancelled at any point: only a stop follows.
    async fn turn(&mut self, changes: &mut VolumeWatch) {
        if std::mem::replace(&mut self.may_have_records, true) {
            self.table_lane.open(&self.volume);
            // Before it is looked for records: of those that come later there is notice.
            changes.follow(self.table_lane.dir());
            self.table_lane.look();
        }
        // A record is more urgent than all this.
        if !self.table_lane.has_news() {
            self.report_table();
            self.tend_old_workers();
            self.report.retry(&self.volume);
        }
        match self.decide() {
            Step::Reap { end } => self.reap(&end).await,
            Step::Publish => {
                self.may_have_records = self.publish();
                // Workers are asked, and others have their turn, also while records keep coming.
                tokio::task::yield_now().await;
            }
            Step::RenewTable => self.renew_table().await,
            Step::Try { revision } => self.apply(&revision).await,
            Step::Restart { revision } => self.restart(&revision).await,
            Step::Resume { revision } => self.resume(&revision).await,
            Step::Wait { until, for_changes } => {
                self.may_have_records = self.wait(until, for_changes.then_some(changes)).await;
            }
        }
    }

    /// The revision in force is offered again, after another one that is not: its outcome is known.
    fn acknowledge(&mut self) {
        let Some(good) = self.candidates.good.clone() else { return };
        let is_live = self.status.borrow().live.as_ref() == Some(&good);
        let is_offered = || self.volume.offered().ok().flatten().as_ref() == Some(&good);
        if !self.report.is_about(&good) && is_live && is_offered() {
            self.candidates.forget_set_aside();
            self.status.send_modify(|status| status.last_error = None);
            self.report_outcome(&good, OutcomeState::Live, String::new());
        }
    }

    /// Waits for a moment, a change if asked for, what workers confirm, or the end of nginx. Whether records may have come.
    async fn wait(&mut self, until: Instant, changes: Option<&mut VolumeWatch>) -> bool {
        let master = self.nginx.as_ref().map(Nginx::pid);
        let confirmed = self.table_lane.confirmation.ask(&self.control, master);
        let nginx = &mut self.nginx;
        let ended = async {
            match nginx {
                Some(nginx) => drop(nginx.wait().await),
                None => std::future::pending().await,
            }
        };
        let changed = async {
            match changes {
                Some(changes) => changes.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = ended => true,
            () = changed => true,
            () = confirmed => false,
            () = sleep_until(until) => true,
        }
    }

    /// The revision that is offered, if it is to be tried.
    fn read_offer(&mut self) -> Option<String> {
        let offered = self.volume.offered();
        let unread = offered.as_ref().err().map(ToString::to_string);
        if let Some(error) = &unread
            && self.unread != unread
        {
            tracing::error!(error, "cannot read what is offered");
        }
        self.unread = unread;
        if self.table_lane.may_be_mended(&self.volume) {
            self.candidates.forget_set_aside();
        }
        offered.ok().flatten().filter(|revision| self.candidates.wants(revision))
    }

    /// Tries a revision, whether nginx runs or not, and reports what became of it.
    async fn apply(&mut self, revision: &str) {
        self.set_state(if self.nginx.is_some() { SupervisorState::Reloading } else { SupervisorState::Starting });
        match self.try_revision(revision).await {
            Ok(()) => {
                self.candidates.confirm(revision);
                if let Err(error) = self.volume.mark_good(revision) {
                    tracing::error!(revision, %error, "cannot note that it was confirmed");
                }
                self.status.send_modify(|status| status.last_error = None);
                self.report_outcome(revision, OutcomeState::Live, String::new());
                tracing::info!(revision, "live");
            }
            Err(error) => {
                self.candidates.fail(revision, &error);
                let state = match error {
                    RevisionError::Rejected(_) => OutcomeState::Refused,
                    RevisionError::NotApplied(_) | RevisionError::Unknown(_) => OutcomeState::Failed,
                };
                self.status.send_modify(|status| {
                    *(if state == OutcomeState::Refused { &mut status.refused } else { &mut status.failed }) += 1;
                    status.last_error = Some(error.message().to_owned());
                });
                self.set_state(self.resting());
                let stays = self.status.borrow().live.clone().unwrap_or_else(|| "nothing".to_owned());
                tracing::error!(revision, in_force = stays, "not put in force: {}", error.message());
                self.report_outcome(revision, state, error.into_message());
            }
        }
    }

    /// After the master's end: its workers still serve, but nobody can reload them, and they hold the addresses.
    async fn reap(&mut self, end: &str) {
        tracing::error!("nginx ended without being told to: {end}");
        self.set_state(SupervisorState::Restarting);
        self.end_nginx().await;
        if self.started.elapsed() >= STEADY {
            self.backoff.reset();
            self.start_at = Instant::now();
        }
    }

    async fn restart(&mut self, revision: &str) {
        self.set_state(SupervisorState::Restarting);
        // The next start waits, should this one not last.
        let wait = self.backoff.take();
        self.start_at = Instant::now() + wait;
        self.swap_back();
        match self.launch(revision).await {
            Ok(()) => {
                self.status.send_modify(|status| {
                    status.restarts += 1;
                    status.last_error = None;
                });
                tracing::info!(revision, "nginx was started again");
                self.report.set_live(&self.volume, Some(revision.to_owned()));
            }
            Err(error) => {
                self.status.send_modify(|status| status.last_error = Some(error.clone()));
                tracing::error!(revision, ?wait, "nginx cannot be started again: {error}");
            }
        }
    }

    /// Starts what was live before this process, since what is offered cannot be used.
    async fn resume(&mut self, revision: &str) {
        let before = self.report.last();
        self.apply(revision).await;
        let live = self.status.borrow().live.clone();
        // The generator asks what became of its offer, not of this one.
        if let Some(before) = before {
            if live.is_some() {
                self.candidates.set_aside(&before.hash);
            }
            self.report.replace(&self.volume, RevisionOutcome { live, ..before });
        }
    }

    fn report_outcome(&mut self, revision: &str, state: OutcomeState, message: String) {
        let live = self.status.borrow().live.clone();
        self.report.write(&self.volume, revision, state, message, live);
    }

    fn set_state(&self, state: SupervisorState) {
        self.status.send_if_modified(|status| {
            let changed = status.state != state;
            status.state = state;
            changed
        });
    }

    fn resting(&self) -> SupervisorState {
        match (&self.nginx, &self.candidates.good) {
            (Some(_), _) => SupervisorState::Running,
            (None, Some(_)) => SupervisorState::Restarting,
            (None, None) => SupervisorState::Waiting,
        }
    }

    /// Counts the workers of former revisions, and ends the oldest if there are too many.
    fn tend_old_workers(&mut self) {
        let Some(nginx) = &self.nginx else { return };
        let Some(counts) = self.old_workers.tend(nginx.pid(), self.reload_began, &self.settings) else { return };
        self.status.send_if_modified(|status| {
            let changed = status.old_workers != counts.number || counts.ended > 0;
            status.old_workers = counts.number;
            status.ended_workers += counts.ended;
            changed
        });
    }

    /// When the next reload may start.
    fn next_reload(&self) -> Instant {
        let next = self.reload_began.map_or(self.started, |at| at + self.settings.holdoff);
        // Too many that may not be ended yet: they get no more until the oldest has had its time, or fewer are left.
        let young = self.old_workers.young(self.settings.old_worker_grace);
        if young >= self.settings.max_old_workers { next.max(Instant::now() + POLL * 10) } else { next }
    }

    async fn stop(&mut self) {
        self.set_state(SupervisorState::Stopping);
        // Before 1.27.4 nginx closes idle connections at once when it ends, and a client may be sending just then. So answers say
        // from now on that they are the last of their connections.
        self.table_lane.begin_drain();
        if let Some(nginx) = &mut self.nginx {
            let _ = timeout(self.settings.drain_delay, nginx.wait()).await;
            nginx.signal(Signal::QUIT);
            if timeout(self.settings.stop_timeout, nginx.wait()).await.is_err() {
                tracing::warn!("connections did not end within {:?}: they are cut", self.settings.stop_timeout);
            }
        }
        self.end_nginx().await;
        self.set_state(SupervisorState::Stopped);
    }
}

/// Makes the runtime directory this supervisor's own, until the returned file is closed. One that is just ending gets a
/// moment: a process that it was starting holds the lock until it is what it shall be.
async fn lock_runtime(runtime: &Path) -> Result<File> {
    let path = runtime.join("supervisor.lock");
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(Error::file("open", &path))?;
    let until = Instant::now() + HANDOVER;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(POLL).await,
            Err(TryLockError::WouldBlock) => return Err(Error::Owned(runtime.to_owned())),
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", &path)(error)),
        }
    }
}
