//! The schedule by which a trash is purged by itself.

use std::time::Duration;

use jiff::Timestamp;
use rbd::operations::schedule::{MAX_INTERVAL, MIN_INTERVAL, PurgeSchedule, seconds};
use rbd::pool_applications;
use rbd_api::answer::{Content, Created, Either, FoundOrCreated, NoContent};
use rbd_api::duration::parse_duration;
use rbd_api::endpoints::trash_schedule as declared;
use rbd_api::endpoints::trash_schedule::{NewTrashSchedule, TrashSchedule, TrashScheduleRun};
use rbd_api::input::{Input, Json, NoQuery};
use rbd_api::names::place_path;
use rbd_api::path::PlacePath;
use rbd_api::problem::Problem;
use rbd_model::fault::Fault;
use rbd_model::names::Place;

use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![
        bind(&declared::GET_TRASH_SCHEDULE, get),
        bind(&declared::PUT_TRASH_SCHEDULE, put),
        bind(&declared::DELETE_TRASH_SCHEDULE, delete),
    ]
}

/// A schedule as it is shown.
fn shown(schedule: PurgeSchedule) -> TrashSchedule {
    let text = |time: u64| format!("{:#}", seconds(time));
    TrashSchedule {
        pool: schedule.place.pool,
        namespace: schedule.place.namespace,
        interval: text(schedule.interval_seconds),
        older_than: schedule.older_than_seconds.map(text),
        pool_fuller_than_percent: schedule.pool_fuller_than_percent,
        next_at: schedule.next_at,
        set_by: schedule.set_by,
        set_at: schedule.set_at,
        last: schedule.last.map(|last| TrashScheduleRun {
            at: last.at,
            operation: last.operation,
            skipped: last.skipped,
        }),
    }
}

/// A time of a body, within bounds.
fn time(field: &str, text: &str, least: Duration, most: Duration, allowed: &str) -> Result<u64, Fault> {
    let time = parse_duration(text).map_err(|wrong| Fault::field(field, format!("{text:?}: {wrong}"), allowed))?;
    if (least..=most).contains(&time) {
        Ok(time.as_secs())
    } else {
        Err(Fault::field(field, format!("is {text:?}"), allowed))
    }
}

/// The schedule that is asked for, by a caller, in a place.
fn checked(asked: &NewTrashSchedule, place: Place, set_by: String) -> Result<PurgeSchedule, Fault> {
    let now = Timestamp::now();
    let interval_seconds = time("interval", &asked.interval, MIN_INTERVAL, MAX_INTERVAL, "a time from 1m to 366d")?;
    let age = |text: &String| time("olderThan", text, Duration::ZERO, MAX_INTERVAL, "a time up to 366d");
    let older_than_seconds = asked.older_than.as_ref().map(age).transpose()?;
    if let Some(percent) = asked.pool_fuller_than_percent
        && !(1..=99).contains(&percent)
    {
        return Err(Fault::field("poolFullerThanPercent", format!("is {percent}"), "a number from 1 to 99"));
    }
    Ok(PurgeSchedule {
        place,
        interval_seconds,
        older_than_seconds,
        pool_fuller_than_percent: asked.pool_fuller_than_percent,
        next_at: asked.start_at.unwrap_or(now + seconds(interval_seconds)),
        set_by,
        set_at: now,
        last: None,
    })
}

async fn get(call: Call, Input { path, .. }: Input<PlacePath>) -> Result<Content<TrashSchedule>, Problem> {
    // A missing pool or namespace is said as such.
    call.ceph(|_| Ok(())).await?;
    let schedule = call.app.operations.schedule(&path.place, call.deadline).await?;
    Ok(Content::of(shown(schedule)))
}

async fn put(
    call: Call,
    Input { path: PlacePath { place }, body: Json(asked), .. }: Input<PlacePath, NoQuery, Json<NewTrashSchedule>>,
) -> Result<FoundOrCreated<TrashSchedule>, Problem> {
    let location = call.url(&format!("{}/trash/schedule", place_path(&place)));
    let schedule = checked(&asked, place, call.principal.name.clone())?;
    call.ceph(pool_applications::reject_foreign).await?;
    let (schedule, new) = call.app.operations.set_schedule(schedule, call.deadline).await?;
    let value = shown(schedule);
    Ok(if new { Either::Second(Created { location, value }) } else { Either::First(Content::of(value)) })
}

async fn delete(call: Call, Input { path, .. }: Input<PlacePath>) -> Result<NoContent, Problem> {
    call.ceph(|_| Ok(())).await?;
    call.app.operations.remove_schedule(&path.place, call.deadline).await?;
    Ok(NoContent)
}
