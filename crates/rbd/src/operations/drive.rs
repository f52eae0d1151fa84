//! Running an operation, and writing down how far it is, until it has ended.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ceph::Errno;
use jiff::Timestamp;
use rbd_model::fault::{Fault, Kind};
use rbd_model::operation::{Operation, OperationState};
use tokio::sync::{Notify, Semaphore, oneshot, watch};

use super::record::{Id, Record};
use super::replica::{Operations, RECORD_TIME, Running};
use super::run;
use super::signals::Signals;
use super::store::{ChangeOutcome, RecordStore, StoredRecord};
use crate::workers::deadline_in;

/// How often a running operation writes its record.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Operations that run at once in one pool, per replica.
const RUNNING_PER_POOL: usize = 4;
/// Between tries to write how an operation ended: Ceph does not answer then, and nobody but its caller waits.
const WRITE_RETRY: Duration = Duration::from_secs(1);

/// Who does the work of an operation.
pub(super) enum OperationRunner {
    /// A thread of this replica.
    Thread,
    /// A request, which says how it ended.
    Request(oneshot::Receiver<Result<(), Fault>>),
}

impl Operations {
    /// Runs an operation of which this replica has the record, until it has ended and that is written.
    pub(super) fn drive(self: &Arc<Self>, stored: StoredRecord, job: OperationRunner) -> Arc<Running> {
        let operation = stored.record.operation.clone();
        let running = Arc::new(Running {
            operation: Mutex::new(operation.clone()),
            signals: Arc::new(Signals::default()),
            started: AtomicBool::new(false),
            write_now: Notify::new(),
            known_to_run: Notify::new(),
            handover: AtomicBool::new(false),
            finished: watch::channel(false).0,
        });
        if self.running().insert(operation.id.clone(), Arc::clone(&running)).is_some() {
            return running;
        }
        self.counts.begun.fetch_add(1, Ordering::Relaxed);
        let (operations, driven) = (Arc::clone(self), Arc::clone(&running));
        tokio::spawn(async move {
            operations.drive_to_end(stored, job, &driven).await;
            operations.running().remove(&operation.id);
            driven.finished.send_replace(true);
        });
        running
    }

    async fn drive_to_end(self: &Arc<Self>, mut stored: StoredRecord, job: OperationRunner, running: &Arc<Running>) {
        let mut result = std::pin::pin!(self.result(job, stored.record.operation.clone(), running));
        let result = loop {
            tokio::select! {
                result = &mut result => break result,
                () = running.write_now.notified() => {}
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
            let mut record = stored.record.clone();
            record.beat += 1;
            record.operation = Operation { cancel_requested: record.operation.cancel_requested, ..running.now() };
            match self.write(&stored, record).await {
                Ok(Some(written)) => {
                    stored = written;
                    if stored.record.operation.state == OperationState::Running {
                        running.known_to_run.notify_one();
                    }
                }
                // Another replica thinks that this one is dead, and goes on with it: leave it to that one.
                Ok(None) => {
                    running.signals.cancel();
                    running.known_to_run.notify_one();
                    let _ = result.await;
                    return;
                }
                // The record went with its pool, and with it all that was to be done.
                Err(fault) if fault.kind() == Kind::PoolNotFound => {
                    running.signals.cancel();
                    running.known_to_run.notify_one();
                    let _ = result.await;
                    return;
                }
                Err(fault) => {
                    tracing::warn!(operation = stored.record.operation.id, problem = %fault, "a beat was not written");
                }
            }
            if stored.record.operation.cancel_requested && stored.record.operation.cancellable {
                running.signals.cancel();
            }
            *running.operation.lock().unwrap_or_else(PoisonError::into_inner) = stored.record.operation.clone();
        };
        let record = self.ended(&stored.record, running, result);
        *running.operation.lock().unwrap_or_else(PoisonError::into_inner) = record.operation.clone();
        loop {
            let mut last = record.clone();
            last.beat = stored.record.beat + 1;
            match self.write(&stored, last).await {
                Ok(_) => return,
                // The record went with its pool.
                Err(fault) if fault.kind() == Kind::PoolNotFound => return,
                Err(fault) => {
                    tracing::warn!(operation = record.operation.id, problem = %fault, "the end of an operation was not written");
                    tokio::time::sleep(WRITE_RETRY).await;
                }
            }
        }
    }

    /// Does the work, or waits for the request that does.
    async fn result(
        self: &Arc<Self>,
        job: OperationRunner,
        operation: Operation,
        running: &Arc<Running>,
    ) -> Result<(), Fault> {
        let job = match job {
            OperationRunner::Request(ended) => {
                running.started.store(true, Ordering::Relaxed);
                return ended.await.unwrap_or_else(|_| {
                    Err(Fault::new(Kind::Conflict, "The client went away before all bytes had arrived.")
                        .correction(operation.work.after_interruption()))
                });
            }
            OperationRunner::Thread => operation.work.clone(),
        };
        let slots = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(RUNNING_PER_POOL));
            Arc::clone(slots.entry(operation.place.pool.clone()).or_insert_with(new))
        };
        let _slot = slots.acquire_owned().await;
        if running.signals.is_cancelled() {
            return Err(cancelled());
        }
        running.started.store(true, Ordering::Relaxed);
        // Whoever finds the record after this replica has died must not take it for one that never began: it may be what
        // ended the replica.
        running.write_now.notify_one();
        running.known_to_run.notified().await;
        if running.signals.is_cancelled() {
            return Err(cancelled());
        }
        let connection = self.link.connection()?;
        let signals = Arc::clone(&running.signals);
        let (send, receive) = oneshot::channel();
        let thread = std::thread::Builder::new().name("operation".into()).spawn(move || {
            let work = AssertUnwindSafe(|| run::run(&connection, &operation.place, &job, &signals));
            let result = std::panic::catch_unwind(work)
                .unwrap_or_else(|_| Err(Fault::new(Kind::Internal, "The operation panicked.")));
            let _ = send.send(result);
        });
        if let Err(error) = thread {
            return Err(Fault::new(Kind::Busy, format!("No thread could be started: {error}.")));
        }
        let result =
            receive.await.unwrap_or_else(|_| Err(Fault::new(Kind::Internal, "The operation's thread is gone.")));
        if let Some(errno) = result.as_ref().err().and_then(Fault::ceph_errno) {
            self.link.report_errno(errno);
        }
        result
    }

    fn ended(&self, before: &Record, running: &Running, result: Result<(), Fault>) -> Record {
        let mut record = before.clone();
        let operation = &mut record.operation;
        operation.progress = running.signals.progress();
        operation.waiting_for = None;
        match result {
            Ok(()) => {
                operation.state = OperationState::Succeeded;
                operation.progress.total = operation.progress.total.max(1);
                operation.progress.done = operation.progress.total;
                self.counts.succeeded.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) if running.signals.is_cancelled() && running.handover.load(Ordering::Relaxed) => {
                operation.state = OperationState::Queued;
                record.owner.clear();
                return record;
            }
            Err(_) if running.signals.is_cancelled() => operation.state = OperationState::Cancelled,
            Err(fault) => {
                tracing::warn!(operation = operation.id, problem = %fault, "an operation failed");
                operation.state = OperationState::Failed;
                operation.problem = Some((self.describe)(&fault, &operation.request_id));
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        operation.finished_at = Some(Timestamp::now());
        record
    }

    /// Writes a record. When another wrote it meanwhile and it still is this replica's, that (a request to cancel) is
    /// taken up and written again; `None` when it is this replica's no more.
    async fn write(&self, old: &StoredRecord, mut record: Record) -> Result<Option<StoredRecord>, Fault> {
        let deadline = deadline_in(RECORD_TIME);
        let (old, owner) = (old.clone(), self.owner.clone());
        let pool = record.operation.place.pool.clone();
        self.records(&pool, deadline, move |io| {
            let Some(id) = Id::parse(&record.operation.id) else { return Ok(None) };
            let store = RecordStore::for_operation(io, &id)?;
            let mut old = old;
            for _ in 0..5 {
                match store.change(&old, record.clone())? {
                    ChangeOutcome::Written(stored) => return Ok(Some(*stored)),
                    ChangeOutcome::Lost => {}
                }
                match store.get(&id, deadline)? {
                    Some(now) if now.record.owner == owner && !now.record.operation.state.is_finished() => {
                        record.operation.cancel_requested |= now.record.operation.cancel_requested;
                        old = now;
                    }
                    _ => return Ok(None),
                }
            }
            Err(Fault::new(Kind::Conflict, "The record of the operation was changed at each try.")
                .correction("Repeat the call."))
        })
        .await
    }

    /// Ends: takes nothing over any more, hands over what librbd lets it stop, and waits for the rest until `latest`.
    pub async fn hand_over(&self, latest: Instant) {
        self.handing_over.store(true, Ordering::Relaxed);
        let all: Vec<Arc<Running>> = self.running().values().cloned().collect();
        for running in &all {
            let operation = running.now();
            if operation.cancellable || operation.state == OperationState::Queued {
                running.handover.store(true, Ordering::Relaxed);
                running.signals.cancel();
            }
        }
        for running in all {
            let mut finished = running.finished.subscribe();
            let _ = tokio::time::timeout_at(latest.into(), finished.wait_for(|finished| *finished)).await;
        }
    }
}

fn cancelled() -> Fault {
    Fault::new(Kind::Conflict, "The operation was cancelled before it began.").errno(Errno::ECANCELED)
}
