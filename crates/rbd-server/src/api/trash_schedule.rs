//! The schedule by which a trash is purged by itself.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use rbd::operations::schedule::{LONGEST, SHORTEST, Schedule, seconds};
use rbd::pool_use;
use rbd_model::fault::Fault;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call::{Call, json, located, nothing};
use crate::endpoint::{Answer, Endpoint};
use crate::names::path_of;
use crate::schema;
use crate::settings::duration;

const TAG: &str = "trash";
const PATH: &str = "{scope}/trash/schedule";

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, PATH, TAG, "getTrashSchedule", "Get the schedule of a trash", get)
            .describe("There is none unless somebody has set one: then nothing is purged by itself.")
            .answers::<TrashSchedule>(StatusCode::OK, "The schedule."),
        Endpoint::new(Method::PUT, PATH, TAG, "putTrashSchedule", "Purge a trash by itself", put)
            .describe(
                "Begins a purge now and again, which removes only images whose retention is over. One replica begins it, whichever; \
                 it is an operation like one that somebody asked for. A namespace has a schedule of its own.",
            )
            .takes::<NewSchedule>()
            .answers::<TrashSchedule>(StatusCode::OK, "The schedule was changed.")
            .answers::<TrashSchedule>(StatusCode::CREATED, "The schedule was set."),
        Endpoint::new(Method::DELETE, PATH, TAG, "deleteTrashSchedule", "Purge a trash by itself no more", delete)
            .describe("A purge that has begun goes on; it can be cancelled as an operation.")
            .answers_nothing(StatusCode::NO_CONTENT, "Nothing is purged by itself any more."),
    ]
}

/// When a trash is to be purged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewTrashSchedule")]
struct NewSchedule {
    /// The time between two purges, such as `12h`; from a minute to a year.
    #[schemars(with = "schema::Interval")]
    interval: String,
    /// When the first is. Default: one interval from now.
    #[serde(default)]
    #[schemars(with = "Option<schema::Instant>")]
    start_at: Option<Timestamp>,
    /// Only removes images that have been in the trash for so long, such as `30d`, besides having outlived their retention.
    #[serde(default)]
    #[schemars(with = "Option<schema::Age>")]
    older_than: Option<String>,
    /// Only purges while more of the pool's space than this is used, in percent. Needs a manager, which reports it.
    #[serde(default)]
    #[schemars(range(min = 1, max = 99))]
    pool_fuller_than_percent: Option<u8>,
}

/// When a trash is purged by itself.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TrashSchedule {
    /// The pool.
    pool: String,
    /// The namespace; empty for the default one.
    namespace: String,
    /// The time between two purges, such as `12h`.
    interval: String,
    /// How long an image must have been in the trash; null for no time beyond its retention.
    older_than: Option<String>,
    /// How full the pool must be, in percent; null when that does not matter.
    pool_fuller_than_percent: Option<u8>,
    /// When it is purged next.
    #[schemars(with = "String")]
    next_at: Timestamp,
    /// Who set it.
    set_by: String,
    /// When it was set.
    #[schemars(with = "String")]
    set_at: Timestamp,
    /// What came of the last time; null before it.
    last: Option<Run>,
}

/// One time at which a trash was to be purged by itself.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TrashScheduleRun")]
struct Run {
    /// When it was.
    #[schemars(with = "String")]
    at: Timestamp,
    /// The id of the operation that it began; null when it began none.
    operation: Option<String>,
    /// Why it began none; null when it did.
    skipped: Option<String>,
}

impl From<Schedule> for TrashSchedule {
    fn from(schedule: Schedule) -> Self {
        let text = |time: u64| format!("{:#}", seconds(time));
        Self {
            pool: schedule.place.pool,
            namespace: schedule.place.namespace,
            interval: text(schedule.interval_seconds),
            older_than: schedule.older_than_seconds.map(text),
            pool_fuller_than_percent: schedule.pool_fuller_than_percent,
            next_at: schedule.next_at,
            set_by: schedule.set_by,
            set_at: schedule.set_at,
            last: schedule.last.map(|last| Run { at: last.at, operation: last.operation, skipped: last.skipped }),
        }
    }
}

/// A time of a body, within bounds.
fn time(field: &str, text: &str, least: Duration, most: Duration, allowed: &str) -> Result<u64, Fault> {
    let time = duration(text).map_err(|wrong| Fault::field(field, format!("{text:?}: {wrong}"), allowed))?;
    if (least..=most).contains(&time) {
        Ok(time.as_secs())
    } else {
        Err(Fault::field(field, format!("is {text:?}"), allowed))
    }
}

impl NewSchedule {
    fn checked(&self, call: &Call) -> Result<Schedule, Fault> {
        let now = Timestamp::now();
        let interval_seconds = time("interval", &self.interval, SHORTEST, LONGEST, "a time from 1m to 366d")?;
        let age = |text: &String| time("olderThan", text, Duration::ZERO, LONGEST, "a time up to 366d");
        let older_than_seconds = self.older_than.as_ref().map(age).transpose()?;
        if let Some(percent) = self.pool_fuller_than_percent
            && !(1..=99).contains(&percent)
        {
            return Err(Fault::field("poolFullerThanPercent", format!("is {percent}"), "a number from 1 to 99"));
        }
        Ok(Schedule {
            place: call.place(),
            interval_seconds,
            older_than_seconds,
            pool_fuller_than_percent: self.pool_fuller_than_percent,
            next_at: self.start_at.unwrap_or(now + seconds(interval_seconds)),
            set_by: call.principal.name.clone(),
            set_at: now,
            last: None,
        })
    }
}

async fn get(call: Call) -> Answer {
    // A missing pool or namespace is said as such.
    call.ceph(|_| Ok(())).await?;
    let schedule = call.app.operations.schedule(&call.place(), call.deadline).await?;
    json(StatusCode::OK, &TrashSchedule::from(schedule))
}

async fn put(mut call: Call) -> Answer {
    let body: NewSchedule = call.json().await?;
    let schedule = body.checked(&call)?;
    call.ceph(pool_use::refuse_foreign).await?;
    let (schedule, new) = call.app.operations.set_schedule(schedule, call.deadline).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let answer = json(status, &TrashSchedule::from(schedule))?;
    let location = call.link(&format!("{}/trash/schedule", path_of(&call.place())));
    Ok(if new { located(answer, &location) } else { answer })
}

async fn delete(call: Call) -> Answer {
    call.ceph(|_| Ok(())).await?;
    call.app.operations.remove_schedule(&call.place(), call.deadline).await?;
    nothing()
}
