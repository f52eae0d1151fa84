//! Operations as they are now, of whichever replica: one, several, waited for, cancelled.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ceph::{Errno, IoContext};
use rbd_model::fault::{Fault, Kind};
use rbd_model::image::{Image, ImageState};
use rbd_model::names::Place;
use rbd_model::operation::Operation;

use super::record::Id;
use super::replica::Operations;
use super::store::{ChangeOutcome, RecordStore, StoredRecord};
use crate::workers::deadline_in;

impl Operations {
    /// One operation, of whichever replica.
    ///
    /// # Errors
    /// `operation-not-found`; what Ceph gives.
    pub async fn get(&self, id: &str, deadline: Instant) -> Result<Operation, Fault> {
        if let Some(running) = self.running().get(id) {
            return Ok(running.now());
        }
        let (parsed, pool) = self.locate(id, deadline).await?;
        let found = self
            .records(&pool, deadline, move |io| RecordStore::for_operation(io, &parsed)?.get(&parsed, deadline))
            .await?;
        found.map(|stored| stored.record.operation).ok_or_else(|| not_found(id))
    }

    async fn locate(&self, id: &str, deadline: Instant) -> Result<(Id, String), Fault> {
        let parsed = Id::parse(id).ok_or_else(|| not_found(id))?;
        let connection = self.link.connection()?;
        let pool_id = parsed.pool_id;
        // About a pool that it does not know librados asks the monitors, and waits for them. In a lane of its own, so
        // that made-up ids keep nobody.
        let name = move || match connection.cluster().pool_name(pool_id) {
            Err(error) if error.is(Errno::ENOENT) => Ok(None),
            name => Ok(Some(name?)),
        };
        let pool = self.workers.run(&format!("the pool of id {pool_id}"), deadline, name).await?;
        Ok((parsed, pool.ok_or_else(|| not_found(id))?))
    }

    /// All operations of a pool, oldest first. An entity that may not read the records of the whole pool sees those of the
    /// namespaces that it was asked for.
    ///
    /// # Errors
    /// `pool-not-found`; what Ceph gives.
    pub async fn list(&self, pool: &str, deadline: Instant) -> Result<Vec<Operation>, Fault> {
        let namespaces = self.link.connection()?.used_namespaces(pool);
        let all = self.records(pool, deadline, move |io| all_of_pool(io, &namespaces, deadline)).await?;
        Ok(self.as_they_are(all))
    }

    /// The operations of a pool's namespace, oldest first.
    ///
    /// # Errors
    /// `pool-not-found`; what Ceph gives.
    pub async fn list_place(&self, place: &Place, deadline: Instant) -> Result<Vec<Operation>, Fault> {
        let namespace = place.namespace.clone();
        let read = move |io: &IoContext| {
            let (store, contents) = RecordStore::for_place(io, &namespace, deadline)?;
            let mut all = contents.records;
            all.retain(|stored| stored.record.operation.place.namespace == namespace);
            all.extend(store.records_elsewhere(&namespace, deadline)?);
            all.sort_by_key(|stored| stored.record.operation.created_at);
            Ok(all)
        };
        let all = self.records(&place.pool, deadline, read).await?;
        Ok(self.as_they_are(all))
    }

    /// What the records say, or what this replica knows better.
    fn as_they_are(&self, records: Vec<StoredRecord>) -> Vec<Operation> {
        let running = self.running();
        let now = |stored: StoredRecord| {
            let operation = stored.record.operation;
            running.get(&operation.id).map_or(operation, |running| running.now())
        };
        records.into_iter().map(now).collect()
    }

    /// Waits until an operation has ended, for a time at most, and gives it as it is then. A replica that ends itself
    /// waits no longer: its client asks the next one.
    ///
    /// # Errors
    /// As [`Operations::get`].
    pub async fn wait(&self, id: &str, time: Duration, deadline: Duration) -> Result<Operation, Fault> {
        let until = deadline_in(time);
        loop {
            let operation = self.get(id, deadline_in(deadline)).await?;
            let over = Instant::now() >= until || self.handing_over.load(Ordering::Relaxed);
            if operation.state.is_finished() || over {
                return Ok(operation);
            }
            let local = self.running().get(id).map(|running| running.finished.subscribe());
            let step = deadline_in(Duration::from_millis(500)).min(until);
            match local {
                Some(mut finished) => {
                    let _ = tokio::time::timeout_at(step.into(), finished.wait_for(|finished| *finished)).await;
                }
                None => tokio::time::sleep_until(step.into()).await,
            }
        }
    }

    /// Asks an operation to end early, whichever replica runs it.
    ///
    /// # Errors
    /// `conflict` when it has ended or librbd cannot end it; `operation-not-found`; what Ceph gives.
    pub async fn cancel(&self, id: &str, deadline: Instant) -> Result<Operation, Fault> {
        let (parsed, pool) = self.locate(id, deadline).await?;
        let missing = not_found(id);
        let operation = self
            .records(&pool, deadline, move |io| {
                let store = RecordStore::for_operation(io, &parsed)?;
                loop {
                    let stored = store.get(&parsed, deadline)?.ok_or_else(|| missing.clone())?;
                    let operation = &stored.record.operation;
                    if operation.state.is_finished() {
                        return Err(Fault::new(Kind::Conflict, "The operation has ended already."));
                    }
                    if !operation.cancellable {
                        return Err(Fault::new(
                            Kind::Conflict,
                            "librbd cannot end this kind of operation early, or would leave a mix of two states.",
                        )
                        .correction("Wait for its end."));
                    }
                    let mut record = stored.record.clone();
                    record.operation.cancel_requested = true;
                    if let ChangeOutcome::Written(stored) = store.change(&stored, record)? {
                        return Ok(stored.record.operation);
                    }
                }
            })
            .await?;
        if let Some(running) = self.running().get(id) {
            running.signals.cancel();
        }
        Ok(operation)
    }
}

/// Shows as incomplete those of some images of a place that an unfinished operation fills. Blocks.
///
/// # Errors
/// What reading gives; an entity that may not read the records sees none.
pub fn mark_being_filled(io: &IoContext, images: &mut [Image], deadline: Instant) -> Result<(), Fault> {
    let all = match RecordStore::for_place(io, io.namespace(), deadline) {
        Err(fault) if fault.kind() == Kind::CephForbidden => return Ok(()),
        Err(fault) => return Err(fault),
        Ok((store, mut contents)) => {
            contents.records.extend(store.records_elsewhere(io.namespace(), deadline)?);
            contents.records
        }
    };
    for operation in all.into_iter().map(|stored| stored.record.operation) {
        let here = !operation.state.is_finished() && operation.place.namespace == io.namespace();
        let Some(filled) = operation.work.filled_image().filter(|_| here) else { continue };
        for image in images.iter_mut().filter(|image| image.name == filled && image.state == ImageState::Ready) {
            image.state = ImageState::Incomplete;
            image.state_reason = Some(format!("Operation {} fills it.", operation.id));
        }
    }
    Ok(())
}

/// The records of a pool, or of these of its namespaces when the entity may not read those of the pool.
fn all_of_pool(io: &IoContext, namespaces: &[String], deadline: Instant) -> Result<Vec<StoredRecord>, Fault> {
    let all = RecordStore::for_pool(io)?.all(deadline);
    match all {
        Err(fault) if fault.kind() == Kind::CephForbidden && !namespaces.is_empty() => {
            let mut all = Vec::new();
            for namespace in namespaces {
                all.extend(RecordStore::for_namespace(io, namespace)?.all(deadline)?);
            }
            Ok(all)
        }
        all => all,
    }
}

fn not_found(id: &str) -> Fault {
    Fault::new(Kind::OperationNotFound, format!("There is no operation {id:?}."))
        .correction("Finished operations are forgotten after a while; GET /api/v1/operations lists those known.")
}
