//! The schedules of all trashes: read, set, and run.

use std::sync::Arc;
use std::time::Instant;

use ceph::IoContext;
use jiff::Timestamp;
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::Place;

use super::drive::OperationRunner;
use super::replica::{Operations, RECORD_TIME};
use super::schedule::{LastRun, PurgeSchedule};
use super::store::{RECORDS_OBJECT_IN_NAMESPACE, RecordStore, StoreContents, StoredSchedule};
use crate::pool::used_percent;
use crate::workers::deadline_in;

impl Operations {
    /// The schedule by which the trash of a place is purged.
    ///
    /// # Errors
    /// `schedule-not-found`; what Ceph gives.
    pub async fn schedule(&self, place: &Place, deadline: Instant) -> Result<PurgeSchedule, Fault> {
        let (place, missing) = (place.clone(), schedule_not_found(place));
        let found = self
            .records(&place.pool.clone(), deadline, move |io| {
                RecordStore::for_place(io, &place.namespace, deadline)?.0.schedule(&place.namespace, deadline)
            })
            .await?;
        found.map(|stored| stored.schedule).ok_or(missing)
    }

    /// Sets the schedule of a trash; whether there was none before.
    ///
    /// # Errors
    /// What Ceph gives.
    pub async fn set_schedule(
        &self,
        schedule: PurgeSchedule,
        deadline: Instant,
    ) -> Result<(PurgeSchedule, bool), Fault> {
        self.records(&schedule.place.pool.clone(), deadline, move |io| {
            let namespace = schedule.place.namespace.clone();
            let (store, _) = RecordStore::for_place(io, &namespace, deadline)?;
            let before = store.schedule(&namespace, deadline)?;
            let new = before.is_none();
            let schedule = PurgeSchedule { last: before.and_then(|stored| stored.schedule.last), ..schedule };
            store.set_schedule(&schedule)?;
            Ok((schedule, new))
        })
        .await
    }

    /// Takes the schedule of a trash away. A purge that it has begun goes on.
    ///
    /// # Errors
    /// `schedule-not-found`; what Ceph gives.
    pub async fn remove_schedule(&self, place: &Place, deadline: Instant) -> Result<(), Fault> {
        let (place, missing) = (place.clone(), schedule_not_found(place));
        let removed = self
            .records(&place.pool.clone(), deadline, move |io| {
                RecordStore::for_place(io, &place.namespace, deadline)?.0.remove_schedule(&place.namespace, deadline)
            })
            .await?;
        if removed { Ok(()) } else { Err(missing) }
    }

    /// Begins what is due by the schedules of a store, those that no other replica begins first.
    pub(super) async fn run_schedules(
        self: &Arc<Self>,
        pool: &str,
        namespace: Option<String>,
        contents: &StoreContents,
    ) {
        let now = Timestamp::now();
        for stored in contents.schedules.iter().filter(|stored| stored.schedule.is_due(now)) {
            let others = contents.records.iter().map(|stored| &stored.record.operation);
            let unfinished_purge = stored.schedule.unfinished_purge(others);
            if let Err(fault) = self.run_schedule(pool, namespace.clone(), stored.clone(), unfinished_purge).await {
                tracing::warn!(pool, problem = %fault, "the schedule of a trash could not be followed");
            }
        }
    }

    async fn run_schedule(
        self: &Arc<Self>,
        pool: &str,
        namespace: Option<String>,
        stored: StoredSchedule,
        unfinished_purge: Option<String>,
    ) -> Result<(), Fault> {
        let deadline = deadline_in(RECORD_TIME);
        let place = stored.schedule.place.clone();
        if self.forgotten(&place, deadline).await? {
            return Ok(());
        }
        let skipped = match unfinished_purge {
            None => self.not_full(&stored.schedule, deadline).await?,
            unfinished_purge => unfinished_purge,
        };
        let owner = self.owner.clone();
        let begun = self
            .records(pool, deadline, move |io| {
                let store = match &namespace {
                    Some(namespace) => RecordStore::for_namespace(io, namespace)?,
                    None => RecordStore::for_pool(io)?,
                };
                let (now, schedule) = (Timestamp::now(), &stored.schedule);
                if skipped.is_some() {
                    let next = schedule.after(now, LastRun { at: now, operation: None, skipped });
                    return store.advance(&stored, &next, None);
                }
                let record = schedule.record(store.new_id().to_string(), owner, now);
                let last = LastRun { at: now, operation: Some(record.operation.id.clone()), skipped: None };
                let known = store.all(deadline)?;
                store.advance(&stored, &schedule.after(now, last), Some((&record, &known)))
            })
            .await?;
        if let Some(begun) = begun {
            tracing::info!(operation = begun.record.operation.id, pool, "a schedule begins to purge a trash");
            self.drive(begun, OperationRunner::Thread);
        }
        Ok(())
    }

    /// Forgets the schedule of a namespace that is gone; whether it did.
    async fn forgotten(&self, place: &Place, deadline: Instant) -> Result<bool, Fault> {
        let connection = self.link.connection()?;
        let looked = place.clone();
        let lane = format!("operations of pool {}", place.pool);
        let look = move || connection.context(&looked.pool, &looked.namespace).map(drop);
        match self.workers.run(&lane, deadline, look).await {
            Err(fault) if fault.kind() == Kind::NamespaceNotFound => {
                self.remove_schedule(place, deadline).await?;
                Ok(true)
            }
            looked => looked.map(|()| false),
        }
    }

    /// Why a schedule that waits for the pool to fill does not purge now.
    async fn not_full(&self, schedule: &PurgeSchedule, deadline: Instant) -> Result<Option<String>, Fault> {
        let Some(least) = schedule.pool_fuller_than_percent else { return Ok(None) };
        let (connection, pool) = (self.link.connection()?, schedule.place.pool.clone());
        let ask = move || used_percent(connection.cluster(), &pool);
        let used = self.workers.run("the cluster", deadline, ask).await?;
        Ok(match used {
            Ok(used) if used > f64::from(least) => None,
            Ok(used) => Some(format!("{used:.1} % of the pool are used, not more than {least} %.")),
            Err(unknown) => Some(format!("How full the pool is is not known: {unknown}")),
        })
    }
}

fn schedule_not_found(place: &Place) -> Fault {
    let trash =
        if place.namespace.is_empty() { place.pool.clone() } else { format!("{}/{}", place.pool, place.namespace) };
    Fault::new(Kind::ScheduleNotFound, format!("The trash of {trash:?} has no schedule: it is not purged by itself."))
        .correction("PUT one.")
}

/// Removes what this service keeps for a namespace that is gone: its schedule, and the records that were kept in it. Blocks.
///
/// # Errors
/// What Ceph gives.
pub fn forget_namespace(io: &IoContext, namespace: &str, deadline: Instant) -> Result<(), Fault> {
    RecordStore::for_pool(io)?.remove_schedule(namespace, deadline)?;
    Ok(io.in_namespace(namespace)?.remove_object(RECORDS_OBJECT_IN_NAMESPACE)?)
}
