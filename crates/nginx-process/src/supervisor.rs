//! The state machine: one task that owns nginx.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::child::{self, Fault, Nginx};
use crate::keeper::Keeper;
use crate::proc::{self, Group, Process, Role};
use crate::{Error, Handle, Outcome, OutcomeState, Result, Settings, State, Status, Volume, Watch};

mod serve;

use serve::group_file;

/// Between two looks at a change that is under way.
const LOOK: Duration = Duration::from_millis(5);
/// Between two looks at the old workers while nothing happens.
const TICK: Duration = Duration::from_secs(1);
/// For a process that was told to end at once.
const GRACE: Duration = Duration::from_secs(2);
/// For a supervisor that is ending to let go of the runtime directory.
const HANDOVER: Duration = Duration::from_millis(500);
/// The wait before nginx is started again, doubled each time; and how long it must have run to begin anew.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
const STEADY: Duration = Duration::from_secs(30);
/// The same for a generation about which nothing could be found out.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Owns nginx. Made by [`Supervisor::start`], works in [`Supervisor::run`].
///
/// As root, with workers of another user, it needs `CAP_KILL` to end those that are left or too many (containers have it
/// unless all capabilities are dropped). As the same user it needs nothing.
#[derive(Debug)]
pub struct Supervisor {
    settings: Settings,
    volume: Volume,
    status: watch::Sender<Status>,
    keeper: Keeper,
    nginx: Option<Nginx>,
    /// Confirmed at least once; what to go back to.
    good: Option<String>,
    /// What was live before this process: tried when what is offered cannot be used.
    former: Option<String>,
    /// The offer that is not tried again, or not before a moment.
    aside: Option<(String, Option<Instant>)>,
    /// What nginx was to reload when it ended.
    died: Option<String>,
    /// How long the last test or reload took: the next may take about as long.
    reading: Duration,
    retry: Duration,
    outcome: Option<Outcome>,
    /// Not on the volume yet.
    unwritten: bool,
    /// Why the offer could not be read; said once.
    unread: Option<String>,
    reloaded: Option<Instant>,
    started: Instant,
    start_at: Instant,
    backoff: Duration,
    /// Workers that leave, by pid and start time.
    leaving: BTreeMap<(i32, u64), Leaving>,
    _lock: File,
}

#[derive(Debug, Clone, Copy)]
struct Leaving {
    since: Instant,
    told: Option<Instant>,
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
    pub async fn start(settings: Settings) -> Result<(Supervisor, Handle)> {
        let settings = settings.absolute()?;
        child::version(&settings.nginx).await?;
        let volume = Volume::open(&settings.volume)?;
        fs::create_dir_all(&settings.runtime).map_err(Error::file("create", &settings.runtime))?;
        let lock = take(&settings.runtime).await?;
        volume.tidy();
        if let Err(error) = rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1)) {
            tracing::warn!(%error, "workers of a killed nginx may stay as zombies");
        }
        if let Some(group) = Group::read(&group_file(&settings))
            && !group.members().is_empty()
        {
            tracing::warn!(pid = group.0.pid, "ending the nginx that a former supervisor left");
            group.end(GRACE).await;
        }
        let former = volume.good();
        let (status, receiver) = watch::channel(Status::default());
        let now = Instant::now();
        let supervisor = Supervisor {
            settings,
            volume,
            status,
            keeper: Keeper::start(),
            nginx: None,
            good: None,
            former,
            aside: None,
            died: None,
            reading: Duration::ZERO,
            retry: RETRY.0,
            outcome: None,
            unwritten: false,
            unread: None,
            reloaded: None,
            started: now,
            start_at: now,
            backoff: BACKOFF.0,
            leaving: BTreeMap::new(),
            _lock: lock,
        };
        Ok((supervisor, Handle { status: receiver }))
    }

    /// Serves what is offered until `shutdown`, then lets connections end and stops nginx.
    ///
    /// # Errors
    /// None for what a generation or nginx does: that is told by [`Status`] and [`Outcome`].
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let mut shutdown = pin!(shutdown);
        let mut changes = self.volume.watch();
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                () = self.step(&mut changes) => {}
            }
        }
        self.stop().await;
        self.keeper.end().await;
        Ok(())
    }

    /// Does one thing, or waits until there may be one to do. May be cancelled at any point: only a stop follows.
    async fn step(&mut self, changes: &mut Watch) {
        self.tend_workers();
        if self.unwritten {
            self.write_outcome();
        }
        if let Some(nginx) = &mut self.nginx
            && let Some(end) = nginx.ended()
        {
            return self.bury(&end).await;
        }
        if self.wanted().is_some() {
            let next = self.next_reload();
            if self.nginx.is_some() && next > Instant::now() {
                return self.idle(None, next).await;
            }
            match self.volume.claim() {
                // Another may have been offered since; one that was tried may be offered again.
                Ok(Some(hash)) if self.is_wanted(&hash) => return self.apply(&hash).await,
                // Another offer is just being written. That does not hold up a restart.
                Ok(_) => sleep(LOOK).await,
                Err(error) => {
                    tracing::error!(%error, "cannot take what is offered");
                    self.idle(None, Instant::now() + TICK).await;
                }
            }
            if self.nginx.is_some() {
                return;
            }
        }
        self.acknowledge();
        if self.nginx.is_some() {
            return self.idle(Some(changes), Instant::now() + TICK).await;
        }
        if let Some(good) = self.good.clone() {
            if self.start_at > Instant::now() {
                return self.idle(Some(changes), self.start_at).await;
            }
            return self.restart(&good).await;
        }
        if let Some(hash) = self.former.take() {
            return self.go_back(&hash).await;
        }
        self.idle(Some(changes), Instant::now() + TICK).await;
    }

    /// The generation in force is offered again, after another one that is not: its outcome is known.
    fn acknowledge(&mut self) {
        let Some(good) = &self.good else { return };
        let told = self.outcome.as_ref().is_some_and(|outcome| outcome.hash == *good);
        if !told && self.status.borrow().live == self.good && self.volume.offered().ok().flatten() == self.good {
            self.aside = None;
            self.status.send_modify(|status| status.trouble = None);
            let hash = good.clone();
            self.outcome(&hash, OutcomeState::Live, String::new());
        }
    }

    /// Waits for a moment, a change if asked for, or the end of nginx.
    async fn idle(&mut self, changes: Option<&mut Watch>, until: Instant) {
        let ended = async {
            match &mut self.nginx {
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
            () = ended => {}
            () = changed => {}
            () = sleep_until(until) => {}
        }
    }

    fn wanted(&mut self) -> Option<String> {
        let offered = self.volume.offered();
        let unread = offered.as_ref().err().map(ToString::to_string);
        if let Some(error) = &unread
            && self.unread != unread
        {
            tracing::error!(error, "cannot read what is offered");
        }
        self.unread = unread;
        offered.ok().flatten().filter(|hash| self.is_wanted(hash))
    }

    fn is_wanted(&self, hash: &str) -> bool {
        let set_aside = self
            .aside
            .as_ref()
            .is_some_and(|(aside, until)| aside == hash && until.is_none_or(|until| until > Instant::now()));
        !set_aside && self.good.as_deref() != Some(hash)
    }

    /// Tries a generation, whether nginx runs or not, and says what became of it.
    async fn apply(&mut self, hash: &str) {
        let running = self.nginx.is_some();
        self.set_state(if running { State::Reloading } else { State::Starting });
        let result = self.try_generation(hash).await;
        let (state, message) = match result {
            Ok(()) => {
                self.good = Some(hash.to_owned());
                if let Err(error) = self.volume.approve(hash) {
                    tracing::error!(generation = hash, %error, "cannot note that it was confirmed");
                }
                self.former = None;
                self.aside = None;
                self.retry = RETRY.0;
                self.status.send_modify(|status| status.trouble = None);
                self.outcome(hash, OutcomeState::Live, String::new());
                tracing::info!(generation = hash, "live");
                return;
            }
            Err(Fault::Refused(message)) => {
                self.aside = Some((hash.to_owned(), None));
                self.status.send_modify(|status| status.refused += 1);
                (OutcomeState::Refused, message)
            }
            Err(Fault::Failed(message)) => {
                self.aside = Some((hash.to_owned(), None));
                self.status.send_modify(|status| status.failed += 1);
                (OutcomeState::Failed, message)
            }
            Err(Fault::Trouble(message)) => {
                self.aside = Some((hash.to_owned(), Some(Instant::now() + self.retry)));
                self.retry = (self.retry * 2).min(RETRY.1);
                self.status.send_modify(|status| status.failed += 1);
                (OutcomeState::Failed, message)
            }
        };
        self.status.send_modify(|status| status.trouble = Some(message.clone()));
        self.set_state(self.resting());
        let stays = self.status.borrow().live.clone().unwrap_or_else(|| "nothing".to_owned());
        tracing::error!(generation = hash, in_force = stays, "not put in force: {message}");
        self.outcome(hash, state, message);
    }

    /// After the master's end: its workers still serve, but nobody can reload them, and they hold the addresses.
    async fn bury(&mut self, end: &str) {
        tracing::error!("nginx ended without being told to: {end}");
        self.set_state(State::Restarting);
        self.end_nginx().await;
        if self.started.elapsed() >= STEADY {
            self.backoff = BACKOFF.0;
            self.start_at = Instant::now();
        }
    }

    async fn restart(&mut self, good: &str) {
        self.set_state(State::Restarting);
        // The next start waits, should this one not last.
        self.start_at = Instant::now() + self.backoff;
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
        self.swap_back();
        match self.launch(good).await {
            Ok(()) => {
                self.status.send_modify(|status| {
                    status.restarts += 1;
                    status.trouble = None;
                });
                tracing::info!(generation = good, "nginx was started again");
                self.renew_outcome();
            }
            Err(error) => {
                self.status.send_modify(|status| status.trouble = Some(error.clone()));
                tracing::error!(generation = good, wait = ?self.backoff, "nginx cannot be started again: {error}");
            }
        }
    }

    /// Starts what was live before this process, since what is offered cannot be used.
    async fn go_back(&mut self, hash: &str) {
        let before = self.outcome.clone();
        self.apply(hash).await;
        let live = self.status.borrow().live.clone();
        // The generator asks what became of its offer, not of this one.
        if let Some(before) = before {
            if live.is_some() {
                self.aside = Some((before.hash.clone(), None));
            }
            self.outcome = Some(Outcome { live, ..before });
            self.write_outcome();
        }
    }

    fn outcome(&mut self, hash: &str, state: OutcomeState, message: String) {
        let live = self.status.borrow().live.clone();
        self.outcome = Some(Outcome { hash: hash.to_owned(), state, message, at: jiff::Timestamp::now(), live });
        self.write_outcome();
    }

    fn renew_outcome(&mut self) {
        let live = self.status.borrow().live.clone();
        if let Some(outcome) = &mut self.outcome
            && outcome.live != live
        {
            outcome.live = live;
            self.write_outcome();
        }
    }

    fn write_outcome(&mut self) {
        let Some(outcome) = &self.outcome else { return };
        let written = self.volume.record(outcome);
        if let Err(error) = &written
            && !self.unwritten
        {
            tracing::error!(%error, "cannot write the outcome; trying again");
        }
        self.unwritten = written.is_err();
    }

    fn set_state(&self, state: State) {
        self.status.send_if_modified(|status| {
            let changed = status.state != state;
            status.state = state;
            changed
        });
    }

    fn resting(&self) -> State {
        match (&self.nginx, &self.good) {
            (Some(_), _) => State::Running,
            (None, Some(_)) => State::Restarting,
            (None, None) => State::Waiting,
        }
    }

    /// Counts the workers of former generations, and ends the oldest if there are too many.
    fn tend_workers(&mut self) {
        let Some(nginx) = &self.nginx else { return };
        let mut old: Vec<Process> =
            proc::children(nginx.pid()).into_iter().filter(|process| process.role() == Role::Leaving).collect();
        old.sort_by_key(|process| process.start);
        let known = std::mem::take(&mut self.leaving);
        let mut ended = 0;
        for (index, process) in old.iter().enumerate() {
            let key = (process.pid, process.start);
            let mut leaving = known.get(&key).copied().unwrap_or(Leaving { since: Instant::now(), told: None });
            let excess = index + self.settings.max_old_workers < old.len();
            if excess && leaving.told.is_none() && leaving.since.elapsed() >= self.settings.old_worker_grace {
                ended += 1;
                leaving.told = Some(Instant::now());
                process.signal(Signal::TERM);
            }
            if leaving.told.is_some_and(|told| told.elapsed() >= GRACE) {
                process.signal(Signal::KILL);
            }
            self.leaving.insert(key, leaving);
        }
        if ended > 0 {
            tracing::warn!(ended, "ended the oldest workers of former generations: there were too many");
        }
        self.status.send_if_modified(|status| {
            let changed = status.old_workers != old.len() || ended > 0;
            status.old_workers = old.len();
            status.ended_workers += ended;
            changed
        });
    }

    /// When the next reload may start.
    fn next_reload(&self) -> Instant {
        let next = self.reloaded.map_or(self.started, |at| at + self.settings.holdoff);
        // Too many that may not be ended yet: they get no more until the oldest has had its time, or fewer are left.
        let grace = self.settings.old_worker_grace;
        let young = self.leaving.values().filter(|leaving| leaving.since.elapsed() < grace).count();
        if young >= self.settings.max_old_workers { next.max(Instant::now() + LOOK * 10) } else { next }
    }

    async fn stop(&mut self) {
        self.set_state(State::Stopping);
        if let Some(nginx) = &mut self.nginx {
            let _ = timeout(self.settings.drain_delay, nginx.wait()).await;
            nginx.signal(Signal::QUIT);
            if timeout(self.settings.stop_timeout, nginx.wait()).await.is_err() {
                tracing::warn!("connections did not end within {:?}: they are cut", self.settings.stop_timeout);
            }
        }
        self.end_nginx().await;
        self.set_state(State::Stopped);
    }
}

/// Makes the runtime directory this supervisor's own, until the returned file is closed. One that is just ending gets a
/// moment: a process that it was starting holds the lock until it is what it shall be.
async fn take(runtime: &Path) -> Result<File> {
    let path = runtime.join("supervisor.lock");
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(Error::file("open", &path))?;
    let until = Instant::now() + HANDOVER;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(LOOK).await,
            Err(TryLockError::WouldBlock) => return Err(Error::Owned(runtime.to_owned())),
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", &path)(error)),
        }
    }
}
