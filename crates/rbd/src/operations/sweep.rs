//! Looking after the operations of replicas that are gone.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ceph::{Access, Errno, ImageRef, IoContext};
use jiff::Timestamp;
use rbd_model::fault::{Fault, Kind};
use rbd_model::image::INCOMPLETE_KEY;
use rbd_model::operation::{OperationState, Work};

use super::drive::OperationRunner;
use super::record::Id;
use super::replica::{HEARTBEAT_LEASE, Operations, RECORD_TIME};
use super::store::{ChangeOutcome, RecordStore, StoredRecord};
use crate::pool_applications;
use crate::workers::deadline_in;

/// How often the records of all pools are looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);
/// How many replicas may end while they run an operation, before it is not begun again.
const MAX_DEATHS: u32 = 3;

impl Operations {
    /// Looks through the records of all pools again and again, for operations whose replica is gone.
    pub async fn sweep(self: Arc<Self>) {
        let mut pools: HashMap<String, tokio::task::JoinHandle<()>> = HashMap::new();
        let seen = Arc::new(Mutex::new(HashMap::new()));
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            if self.handing_over.load(Ordering::Relaxed) {
                return;
            }
            let Ok(connection) = self.link.connection() else { continue };
            let Ok(names) = pool_applications::pools_with_images(connection.cluster()) else { continue };
            pools.retain(|_, task| !task.is_finished());
            for name in names {
                // A pool that is stuck has its one sweep waiting, and keeps no other.
                pools.entry(name.clone()).or_insert_with(|| {
                    let (operations, seen) = (Arc::clone(&self), Arc::clone(&seen));
                    tokio::spawn(async move { operations.sweep_pool(&name, &seen).await })
                });
            }
        }
    }

    async fn sweep_pool(self: &Arc<Self>, pool: &str, seen: &Mutex<HashMap<String, (u64, Instant)>>) {
        let namespaces = match self.link.connection() {
            Ok(connection) => connection.used_namespaces(pool),
            Err(_) => Vec::new(),
        };
        match self.sweep_store(pool, None, seen).await {
            Err(fault) if fault.kind() == Kind::CephForbidden => {
                for namespace in namespaces {
                    let _ = self.sweep_store(pool, Some(namespace), seen).await;
                }
            }
            _ => {}
        }
    }

    /// Looks through the records of a pool, or of one of its namespaces.
    async fn sweep_store(
        self: &Arc<Self>,
        pool: &str,
        namespace: Option<String>,
        seen: &Mutex<HashMap<String, (u64, Instant)>>,
    ) -> Result<(), Fault> {
        let deadline = deadline_in(RECORD_TIME);
        let retention = jiff::SignedDuration::try_from(self.retention).unwrap_or(jiff::SignedDuration::MAX);
        let within_namespace = namespace.clone();
        let read = self.records(pool, deadline, move |io| {
            let store = match &within_namespace {
                Some(namespace) => RecordStore::for_namespace(io, namespace)?,
                None => RecordStore::for_pool(io)?,
            };
            let contents = store.contents(deadline)?;
            if let Ok(before) = Timestamp::now().checked_sub(retention) {
                store.expire(&contents.records, before)?;
            }
            Ok(contents)
        });
        let contents = match read.await {
            Ok(contents) => contents,
            Err(fault) => {
                // Those that this entity may not read are none of its own.
                if fault.kind() != Kind::CephForbidden {
                    self.unread(pool, seen);
                }
                return Err(fault);
            }
        };
        self.run_schedules(pool, namespace, &contents).await;
        self.take_over_orphans(pool, contents.records, seen).await;
        Ok(())
    }

    /// What cannot be read cannot have stood still. Records of other pools can have.
    fn unread(&self, pool: &str, seen: &Mutex<HashMap<String, (u64, Instant)>>) {
        let Ok(Ok(pool_id)) = self.link.connection().map(|connection| connection.cluster().pool_id(pool)) else {
            return;
        };
        for (id, (_, since)) in seen.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if Id::parse(id).is_some_and(|id| id.pool_id == pool_id) {
                *since = Instant::now();
            }
        }
    }

    async fn take_over_orphans(
        self: &Arc<Self>,
        pool: &str,
        all: Vec<StoredRecord>,
        seen: &Mutex<HashMap<String, (u64, Instant)>>,
    ) {
        let orphans: Vec<StoredRecord> = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            all.into_iter()
                .filter(|stored| !stored.record.operation.state.is_finished())
                .filter(|stored| !self.running().contains_key(&stored.record.operation.id))
                .filter(|stored| {
                    let record = &stored.record;
                    if record.owner.is_empty() {
                        return true;
                    }
                    let now = (record.beat, Instant::now());
                    let entry = seen.entry(record.operation.id.clone()).or_insert(now);
                    if entry.0 != record.beat {
                        *entry = now;
                    }
                    entry.1.elapsed() > HEARTBEAT_LEASE
                })
                .collect()
        };
        for orphan in orphans {
            seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&orphan.record.operation.id);
            if let Err(fault) = self.take_over(orphan).await {
                tracing::warn!(pool, problem = %fault, "an operation could not be taken over");
            }
        }
    }

    async fn take_over(self: &Arc<Self>, orphan: StoredRecord) -> Result<(), Fault> {
        let mut record = orphan.record.clone();
        let operation = &mut record.operation;
        let unbegun = operation.state == OperationState::Queued && !matches!(operation.work, Work::Import { .. });
        let died = operation.state == OperationState::Running && !record.owner.is_empty();
        record.deaths += u32::from(died);
        let deadly = record.deaths >= MAX_DEATHS;
        let resume = (operation.work.is_resumable() || unbegun) && !deadly;
        record.owner.clone_from(&self.owner);
        record.beat += 1;
        if resume {
            operation.resumed += 1;
            operation.state = OperationState::Queued;
        } else {
            let (state, fault) = if deadly {
                (OperationState::Failed, ended_its_replicas(record.deaths))
            } else {
                let gone = Fault::new(Kind::Internal, "The replica that ran the operation is gone.");
                (OperationState::Interrupted, gone.correction(operation.work.after_interruption()))
            };
            operation.state = state;
            operation.finished_at = Some(Timestamp::now());
            operation.problem = Some((self.describe)(&fault, &operation.request_id));
        }
        let place = operation.place.clone();
        let filled = operation.work.filled_image().filter(|_| !resume).map(str::to_owned);
        let (pool, deadline) = (place.pool.clone(), deadline_in(RECORD_TIME));
        let id = operation.id.clone();
        let outcome = self
            .records(&pool, deadline, move |io| {
                if let Some(image) = filled {
                    mark_incomplete(&io.in_namespace(&place.namespace)?, &image)?;
                }
                let Some(id) = Id::parse(&record.operation.id) else { return Ok(ChangeOutcome::Lost) };
                RecordStore::for_operation(io, &id)?.change(&orphan, record)
            })
            .await?;
        if let ChangeOutcome::Written(stored) = outcome {
            if resume {
                tracing::info!(operation = id, "took an operation over");
                self.counts.taken_over.fetch_add(1, Ordering::Relaxed);
                self.drive(*stored, OperationRunner::Thread);
            } else {
                tracing::warn!(operation = id, deaths = stored.record.deaths, "an operation was interrupted");
                let counted = if deadly { &self.counts.failed } else { &self.counts.interrupted };
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Marks an image as one whose data has not all arrived, if it is there.
fn mark_incomplete(io: &IoContext, image: &str) -> Result<(), Fault> {
    match io.open_image(ImageRef::Name(image), None, Access::ReadWrite) {
        Ok(image) => {
            image.set_metadata(INCOMPLETE_KEY, "The replica that filled it is gone.")?;
            Ok(image.close()?)
        }
        Err(error) if error.is(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// An operation that is not begun once more: it may be what ends its replicas, one after the other.
fn ended_its_replicas(deaths: u32) -> Fault {
    let detail = format!("It was run {deaths} times, and each time the replica that ran it ended before it did.");
    Fault::new(Kind::Internal, detail)
        .cause("What it works on may be damaged in a way that ends the process that touches it.")
        .correction("Look into the logs of the replicas for why they ended; begin it again when that is mended.")
}
