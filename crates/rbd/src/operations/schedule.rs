//! Purging the trash by itself: when, and which replica begins it.
//!
//! A schedule is a record beside those of the operations. Every replica sees it when it looks through them; the one that
//! writes the next time into it, with the record of the operation in the same step, begins the purge.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rbd_model::names::Place;
use rbd_model::operation::{Operation, OperationState, Progress, Work};
use serde::{Deserialize, Serialize};

use super::record::Record;

/// What the keys of schedules begin with. Those of operations are UUIDs.
const PREFIX: &str = "schedule.trash.";

/// The least time between two purges.
pub const MIN_INTERVAL: Duration = Duration::from_mins(1);
/// The longest time between two purges.
pub const MAX_INTERVAL: Duration = Duration::from_hours(24 * 366);

/// When the trash of a place is purged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgeSchedule {
    /// The trash.
    pub place: Place,
    /// The time between two purges.
    pub interval_seconds: u64,
    /// How long an image must have been in the trash, beyond its retention's end being over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than_seconds: Option<u64>,
    /// Only purges when more of the pool's space than this is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_fuller_than_percent: Option<u8>,
    /// When it is purged next.
    pub next_at: Timestamp,
    /// Who set it.
    pub set_by: String,
    /// When it was set.
    pub set_at: Timestamp,
    /// The last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastRun>,
}

/// What came of the last time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// When it was.
    pub at: Timestamp,
    /// The operation that it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Why it began none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// The key of the schedule of a namespace.
pub fn key(namespace: &str) -> Vec<u8> {
    format!("{PREFIX}{namespace}").into_bytes()
}

/// Whether a key is that of a schedule.
pub fn is_key(key: &[u8]) -> bool {
    key.starts_with(PREFIX.as_bytes())
}

/// A time as [`jiff`] calculates with it.
pub fn seconds(seconds: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

impl PurgeSchedule {
    /// Whether its time has come.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next_at <= now
    }

    /// The schedule after this time. Times that passed while nobody ran are not made up for.
    #[must_use]
    pub fn after(&self, now: Timestamp, last: LastRun) -> Self {
        let interval = seconds(self.interval_seconds.max(1));
        let behind = now.duration_since(self.next_at).as_secs().max(0);
        let steps = behind / interval.as_secs().max(1) + 1;
        let next =
            i32::try_from(steps).ok().and_then(|steps| self.next_at.checked_add(interval.checked_mul(steps)?).ok());
        Self { next_at: next.unwrap_or(Timestamp::MAX), last: Some(last), ..self.clone() }
    }

    /// What it begins now.
    pub fn work(&self, now: Timestamp) -> Work {
        let deleted_before = self.older_than_seconds.map(|age| now.checked_sub(seconds(age)).unwrap_or(Timestamp::MIN));
        Work::PurgeTrash { expired_before: now, deleted_before }
    }

    /// The record of the operation that it begins.
    pub fn record(&self, id: String, owner: String, now: Timestamp) -> Record {
        let work = self.work(now);
        let operation = Operation {
            id,
            cancellable: work.is_cancellable(),
            work,
            place: self.place.clone(),
            state: OperationState::Queued,
            progress: Progress::default(),
            waiting_for: None,
            cancel_requested: false,
            requested_by: format!("the schedule that {} has set", self.set_by),
            request_id: uuid::Uuid::now_v7().to_string(),
            created_at: now,
            updated_at: now,
            finished_at: None,
            resumed: 0,
            problem: None,
        };
        Record { operation, owner, beat: 0, deaths: 0 }
    }

    /// Why it begins nothing now, as far as the other operations tell: a purge of the same trash has not ended.
    pub fn unfinished_purge<'a>(&self, others: impl IntoIterator<Item = &'a Operation>) -> Option<String> {
        let unfinished = others.into_iter().find(|operation| {
            !operation.state.is_finished()
                && operation.place == self.place
                && matches!(operation.work, Work::PurgeTrash { .. })
        });
        unfinished.map(|operation| format!("Operation {} purges this trash already.", operation.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(next_at: &str) -> PurgeSchedule {
        PurgeSchedule {
            place: Place { pool: "p".into(), namespace: "n".into() },
            interval_seconds: 3600,
            older_than_seconds: None,
            pool_fuller_than_percent: None,
            next_at: next_at.parse().unwrap(),
            set_by: "x".into(),
            set_at: Timestamp::UNIX_EPOCH,
            last: None,
        }
    }

    #[test]
    fn missed_times_are_not_made_up_for_and_the_hour_stays() {
        let last = LastRun { at: Timestamp::UNIX_EPOCH, operation: None, skipped: None };
        for (now, next) in [
            ("2026-01-01T00:10:00Z", "2026-01-01T01:10:00Z"),
            ("2026-01-01T00:10:07Z", "2026-01-01T01:10:00Z"),
            ("2026-01-01T05:09:59Z", "2026-01-01T05:10:00Z"),
            ("2026-01-01T05:10:00Z", "2026-01-01T06:10:00Z"),
        ] {
            let due = schedule("2026-01-01T00:10:00Z");
            assert!(due.is_due(now.parse().unwrap()));
            assert_eq!(due.after(now.parse().unwrap(), last.clone()).next_at.to_string(), next, "{now}");
        }
        assert!(!schedule("2026-01-01T00:10:00Z").is_due("2026-01-01T00:09:59Z".parse().unwrap()));
    }

    #[test]
    fn schedule_is_read_back_from_its_bytes() {
        let whole = PurgeSchedule {
            older_than_seconds: Some(60),
            pool_fuller_than_percent: Some(80),
            last: Some(LastRun { at: Timestamp::UNIX_EPOCH, operation: Some("1.x".into()), skipped: None }),
            ..schedule("2026-01-01T00:10:00Z")
        };
        let bytes = serde_json::to_vec(&whole).unwrap();
        assert_eq!(serde_json::from_slice::<PurgeSchedule>(&bytes).unwrap(), whole);
        assert!(is_key(&key("")) && is_key(&key("n")) && !is_key(Timestamp::now().to_string().as_bytes()));
    }
}
