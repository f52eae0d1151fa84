//! Which revision is in force, and which one may be tried.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use crate::child::RevisionError;

/// The wait before a revision is tried again about which nothing could be found out.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What is known of revisions.
#[derive(Debug)]
pub(super) struct Candidates {
    /// Confirmed last: what nginx serves, is started with, and goes back to.
    pub(super) good: Option<String>,
    /// What was live before this process: tried when what is offered cannot be used.
    pub(super) former: Option<String>,
    /// The offer that is not tried again, or not before a moment.
    set_aside: Option<(String, Option<Instant>)>,
    retry: Backoff,
    /// What nginx was to reload when it ended.
    ended_nginx: Option<String>,
}

impl Candidates {
    pub(super) fn new(former: Option<String>) -> Candidates {
        Candidates { good: None, former, set_aside: None, retry: Backoff::new(RETRY.0, RETRY.1), ended_nginx: None }
    }

    /// Whether a revision that is offered is to be tried now.
    pub(super) fn wants(&self, revision: &str) -> bool {
        let waits = |(set_aside, until): &(String, Option<Instant>)| {
            set_aside == revision && until.is_none_or(|until| until > Instant::now())
        };
        !self.set_aside.as_ref().is_some_and(waits) && self.good.as_deref() != Some(revision)
    }

    /// Whether the last offer came to nothing.
    pub(super) fn has_set_aside(&self) -> bool {
        self.set_aside.is_some()
    }

    /// It is in force.
    pub(super) fn confirm(&mut self, revision: &str) {
        self.good = Some(revision.to_owned());
        self.former = None;
        self.forget_set_aside();
        self.retry.reset();
    }

    /// Whatever comes next is tried.
    pub(super) fn forget_set_aside(&mut self) {
        self.set_aside = None;
    }

    /// It is not tried again until another one was offered.
    pub(super) fn set_aside(&mut self, revision: &str) {
        self.set_aside = Some((revision.to_owned(), None));
    }

    /// It is not tried again, or not before a moment, if nothing was found out about it.
    pub(super) fn fail(&mut self, revision: &str, error: &RevisionError) {
        let until = match error {
            RevisionError::Rejected(_) | RevisionError::NotApplied(_) => None,
            RevisionError::Unknown(_) => Some(Instant::now() + self.retry.take()),
        };
        self.set_aside = Some((revision.to_owned(), until));
    }

    /// nginx ended when it was to reload it. Once may be chance; twice is the revision's fault.
    pub(super) fn blame_for_end(&mut self, revision: &str, message: String) -> RevisionError {
        let again = self.ended_nginx.replace(revision.to_owned()).as_deref() == Some(revision);
        if again { RevisionError::NotApplied(message) } else { RevisionError::Unknown(message) }
    }
}
