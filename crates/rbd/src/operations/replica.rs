//! What one replica knows of operations: its own name, those that it runs, and the way to the records of all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ceph::IoContext;
use rbd_model::fault::Fault;
use rbd_model::names::Place;
use rbd_model::operation::{Operation, OperationState};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, watch};

use super::signals::Signals;
use crate::ceph_link::CephLink;
use crate::check::place_forbidden;
use crate::workers::Workers;

/// For how long a beat may stand still before another replica takes the operation over.
pub const HEARTBEAT_LEASE: Duration = Duration::from_secs(15);
/// How long a read or write of records may take.
pub(super) const RECORD_TIME: Duration = Duration::from_secs(5);

/// Makes of a fault what clients read, and the record of the failed operation keeps; the second is the request's id.
pub type DescribeFault = fn(&Fault, &str) -> Value;

/// All operations of this replica, and the way to those of others.
pub struct Operations {
    pub(super) link: CephLink,
    pub(super) workers: Workers,
    /// This replica's name in records: new at every start.
    pub(super) owner: String,
    pub(super) retention: Duration,
    pub(super) describe: DescribeFault,
    pub(super) running: Mutex<HashMap<String, Arc<Running>>>,
    pub(super) slots: Mutex<HashMap<String, Arc<Semaphore>>>,
    pub(super) handing_over: AtomicBool,
    /// What was counted, for the metrics.
    pub counts: OperationCounts,
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct OperationCounts {
    /// Operations begun here.
    pub begun: AtomicU64,
    /// Taken over from another replica.
    pub taken_over: AtomicU64,
    /// Found interrupted.
    pub interrupted: AtomicU64,
    /// Ended well here.
    pub succeeded: AtomicU64,
    /// Failed here.
    pub failed: AtomicU64,
}

/// An operation that this replica runs.
pub(super) struct Running {
    pub(super) operation: Mutex<Operation>,
    pub(super) signals: Arc<Signals>,
    pub(super) started: AtomicBool,
    /// Asks for the record to be written now.
    pub(super) write_now: Notify,
    /// The record says that it runs.
    pub(super) known_to_run: Notify,
    pub(super) handover: AtomicBool,
    pub(super) finished: watch::Sender<bool>,
}

impl Running {
    pub(super) fn now(&self) -> Operation {
        let mut operation = self.operation.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !operation.state.is_finished() {
            operation.state =
                if self.started.load(Ordering::Relaxed) { OperationState::Running } else { OperationState::Queued };
            operation.progress = self.signals.progress();
            operation.waiting_for = self.signals.waiting_for();
        }
        operation
    }
}

impl Operations {
    /// Operations over a connection; finished ones are remembered for `retention`.
    pub fn new(link: CephLink, workers: Workers, retention: Duration, describe: DescribeFault) -> Arc<Self> {
        Arc::new(Self {
            link,
            workers,
            owner: uuid::Uuid::now_v7().to_string(),
            retention,
            describe,
            running: Mutex::default(),
            slots: Mutex::default(),
            handing_over: AtomicBool::new(false),
            counts: OperationCounts::default(),
        })
    }

    /// Calls the records of a pool, in a lane of their own: long calls to the pool's images do not keep them.
    pub(super) async fn records<T: Send + 'static>(
        &self,
        pool: &str,
        deadline: Instant,
        call: impl FnOnce(&IoContext) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let connection = self.link.connection()?;
        let entity = connection.cluster().entity().to_owned();
        let name = pool.to_owned();
        let run = move || call(&connection.context(&name, "")?);
        let whole = Place { pool: pool.to_owned(), namespace: String::new() };
        let named = |fault| place_forbidden(fault, &entity, &whole);
        self.workers.run(&format!("operations of pool {pool}"), deadline, run).await.map_err(named)
    }

    pub(super) fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations this replica runs now.
    pub fn running_now(&self) -> usize {
        self.running().len()
    }
}
