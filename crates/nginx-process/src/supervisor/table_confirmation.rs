//! Which workers have a revision of the table: they are asked until each has answered.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{POLL, TICK};
use crate::control::{Control, WorkerTable};
use crate::proc;

/// After so long a worker is reported that has not confirmed.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many questions are on their way at most. Which worker answers one is the system's choice.
const MOST_QUESTIONS: usize = 64;
/// So many rounds follow each other at once; then there is a pause between two.
const QUICK_ROUNDS: u32 = 8;
/// Between two confirmations of revisions that follow each other. To be asked takes workers longer than a request of a client does, and
/// who waits for the newest revision has it confirmed soon enough.
const BETWEEN: Duration = Duration::from_millis(100);

/// What is known of the workers' tables.
#[derive(Debug, Default)]
pub(super) struct TableConfirmation {
    waiting: Option<Waiting>,
    /// How often those that are missing were asked.
    rounds: u32,
    /// Not before this moment they are asked again.
    next_round: Option<Instant>,
    /// When they had what was waited for last.
    confirmed: Option<Instant>,
    /// The workers when they were asked last.
    workers: Vec<i32>,
    questions: JoinSet<io::Result<Option<WorkerTable>>>,
    /// The last answer of each worker.
    answers: BTreeMap<i32, WorkerTable>,
    /// Why the last question has no answer.
    unanswered: Option<String>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    /// The newest revision.
    newest: u64,
    /// One that is waited for since a moment. While there are ever newer ones, workers never have the newest.
    first: u64,
    since: Instant,
    /// It was reported that it takes long.
    is_overdue: bool,
}

impl Waiting {
    fn is_late(&self) -> bool {
        !self.is_overdue && self.since.elapsed() >= PATIENCE
    }
}

/// What has come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Confirmed {
    /// All workers have this revision.
    Revision(u64),
    /// Some do not have what is waited for, for this reason, and it takes longer than it should.
    Overdue(String),
}

impl TableConfirmation {
    /// Begins anew, with workers that have another memory, or with revisions that are counted anew.
    pub(super) fn begin(&mut self, revision: Option<u64>) {
        *self = TableConfirmation::default();
        if let Some(revision) = revision {
            self.want(revision);
        }
    }

    /// Waits for a newer revision.
    pub(super) fn want(&mut self, newest: u64) {
        (self.rounds, self.next_round) = (0, self.confirmed.map(|at| at + BETWEEN));
        match &mut self.waiting {
            Some(waiting) => waiting.newest = newest,
            None => self.waiting = Some(Waiting { newest, first: newest, since: Instant::now(), is_overdue: false }),
        }
    }

    /// Asks until there is something to [`TableConfirmation::settle`]. Cancelling loses nothing.
    pub(super) async fn ask(&mut self, control: &Control, master: Option<i32>) {
        let (Some(waiting), Some(master)) = (self.waiting, master) else { return pending().await };
        loop {
            if let Some(next_round) = self.next_round {
                sleep_until(next_round).await;
            }
            self.send_questions(control, waiting);
            // While they answer.
            self.workers = proc::workers(master);
            // A worker that does not react may hold some of the questions: the others are asked again.
            let end = Instant::now() + POLL;
            loop {
                if self.revision() >= Some(waiting.first) || waiting.is_late() {
                    return;
                }
                match timeout_at(end, self.questions.join_next()).await {
                    Ok(Some(Ok(answer))) => self.note(answer),
                    _ => break,
                }
            }
        }
    }

    fn send_questions(&mut self, control: &Control, waiting: Waiting) {
        let missing = self.workers.iter().filter(|pid| self.revision_of(**pid) < Some(waiting.newest)).count();
        let room = MOST_QUESTIONS - self.questions.len().min(MOST_QUESTIONS);
        for _ in 0..(missing * 2).max(2).min(room) {
            let control = control.clone();
            self.questions.spawn(async move { control.table(PATIENCE).await });
        }
        self.rounds = self.rounds.saturating_add(1);
        let pause = match (waiting.is_overdue, self.rounds > QUICK_ROUNDS) {
            (true, _) => TICK,
            (false, true) => POLL,
            (false, false) => Duration::ZERO,
        };
        self.next_round = Some(Instant::now() + pause);
    }

    /// What has come of it, once; none while it goes on.
    pub(super) fn settle(&mut self) -> Option<Confirmed> {
        let waiting = self.waiting.as_mut()?;
        let is_late = waiting.is_late();
        if is_late {
            waiting.is_overdue = true;
        }
        let waiting = *waiting;
        self.answers.retain(|pid, _| self.workers.contains(pid));
        if let Some(revision) = self.revision().filter(|revision| *revision >= waiting.first) {
            let Waiting { newest, .. } = waiting;
            let next = Waiting { newest, first: newest, since: Instant::now(), is_overdue: false };
            self.waiting = (revision < newest).then_some(next);
            self.confirmed = Some(Instant::now());
            return Some(Confirmed::Revision(revision));
        }
        is_late.then(|| Confirmed::Overdue(self.why_overdue(waiting.first)))
    }

    fn why_overdue(&self, wanted: u64) -> String {
        let missing: Vec<i32> =
            self.workers.iter().copied().filter(|pid| self.revision_of(*pid) < Some(wanted)).collect();
        let fault = missing.iter().find_map(|pid| self.answers.get(pid).map(|answer| answer.fault.as_str()));
        let why = fault.filter(|fault| !fault.is_empty()).or(self.unanswered.as_deref()).unwrap_or("no answer");
        let pids: Vec<String> = missing.iter().map(i32::to_string).collect();
        let pids = if pids.is_empty() { "none is there".to_owned() } else { format!("process {}", pids.join(", ")) };
        format!(
            "the revision {wanted} of the route table is not confirmed by all workers within {PATIENCE:?} ({pids}): {why}"
        )
    }

    /// The newest revision that a worker has; none if it has not answered, or has a fault.
    fn revision_of(&self, pid: i32) -> Option<u64> {
        self.answers.get(&pid).filter(|answer| answer.fault.is_empty()).map(|answer| answer.revision)
    }

    /// The newest revision that all workers have. If there are none at all, nginx has just ended, or just begun.
    fn revision(&self) -> Option<u64> {
        self.workers.iter().map(|pid| self.revision_of(*pid)).min().flatten()
    }

    fn note(&mut self, answer: io::Result<Option<WorkerTable>>) {
        match answer {
            Ok(Some(answer)) => {
                self.answers.insert(answer.pid, answer);
            }
            Ok(None) => self.unanswered = Some("nginx does not answer GET /table".to_owned()),
            Err(error) => self.unanswered = Some(error.to_string()),
        }
    }
}
