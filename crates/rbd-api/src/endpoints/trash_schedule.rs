//! The schedule by which a trash is purged by itself.

use http::Method;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::{Content, FoundOrCreated, NoContent};
use crate::endpoint::Endpoint;
use crate::input::{Json, NoBody, NoQuery};
use crate::path::PlacePath;
use crate::schema;

const TAG: &str = "trash";

endpoints! {
    /// Get the schedule of a trash.
    GET_TRASH_SCHEDULE: Endpoint<PlacePath, NoQuery, NoBody, Content<TrashSchedule>> =
        Endpoint::new(Method::GET, "{scope}/trash/schedule", TAG, "getTrashSchedule", "Get the schedule of a trash")
            .describe("There is none unless somebody has set one: then nothing is purged by itself.")
            .answers(&["The schedule."]);

    /// Purge a trash by itself.
    PUT_TRASH_SCHEDULE: Endpoint<PlacePath, NoQuery, Json<NewTrashSchedule>, FoundOrCreated<TrashSchedule>> =
        Endpoint::new(Method::PUT, "{scope}/trash/schedule", TAG, "putTrashSchedule", "Purge a trash by itself")
            .describe(
                "Begins a purge now and again, which removes only images whose retention is over. One replica begins \
                 it, whichever; it is an operation like one that somebody asked for. A namespace has a schedule of \
                 its own.",
            )
            .answers(&["The schedule was changed.", "The schedule was set."]);

    /// Purge a trash by itself no more.
    DELETE_TRASH_SCHEDULE: Endpoint<PlacePath, NoQuery, NoBody, NoContent> =
        Endpoint::new(
            Method::DELETE,
            "{scope}/trash/schedule",
            TAG,
            "deleteTrashSchedule",
            "Purge a trash by itself no more",
        )
            .describe("A purge that has begun goes on; it can be cancelled as an operation.")
            .answers(&["Nothing is purged by itself any more."]);
}

/// When a trash is to be purged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewTrashSchedule {
    /// The time between two purges, such as `12h`; from a minute to a year.
    #[schemars(with = "schema::Interval")]
    pub interval: String,
    /// When the first is. Default: one interval from now.
    #[serde(default)]
    #[schemars(with = "Option<schema::Instant>")]
    pub start_at: Option<Timestamp>,
    /// Only removes images that have been in the trash for so long, such as `30d`, besides having outlived their retention.
    #[serde(default)]
    #[schemars(with = "Option<schema::Age>")]
    pub older_than: Option<String>,
    /// Only purges while more of the pool's space than this is used, in percent. Needs a manager, which reports it.
    #[serde(default)]
    #[schemars(range(min = 1, max = 99))]
    pub pool_fuller_than_percent: Option<u8>,
}

/// When a trash is purged by itself.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrashSchedule {
    /// The pool.
    pub pool: String,
    /// The namespace; empty for the default one.
    pub namespace: String,
    /// The time between two purges, such as `12h`.
    pub interval: String,
    /// How long an image must have been in the trash; null for no time beyond its retention.
    pub older_than: Option<String>,
    /// How full the pool must be, in percent; null when that does not matter.
    pub pool_fuller_than_percent: Option<u8>,
    /// When it is purged next.
    #[schemars(with = "String")]
    pub next_at: Timestamp,
    /// Who set it.
    pub set_by: String,
    /// When it was set.
    #[schemars(with = "String")]
    pub set_at: Timestamp,
    /// What came of the last time; null before it.
    pub last: Option<TrashScheduleRun>,
}

/// One time at which a trash was to be purged by itself.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrashScheduleRun {
    /// When it was.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The id of the operation that it began; null when it began none.
    pub operation: Option<String>,
    /// Why it began none; null when it did.
    pub skipped: Option<String>,
}
