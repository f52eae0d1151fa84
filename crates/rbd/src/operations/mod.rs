//! Long work: begun by a request, run by one replica, known to all.
//!
//! A record in RADOS says what is to be done, by whom, and how far it is (`store`). The replica that took the request
//! runs it (`run`) and counts up the record's `beat`. A replica that sees a beat stand still for a [`LEASE`] takes the
//! operation over: it resumes it, or says that it was interrupted, or that too many replicas have died of it. A replica that ends hands over what librbd lets
//! it stop. Every change is guarded by what was read, so of two replicas only one succeeds.

pub mod record;
mod run;
pub mod schedule;
mod schedules;
pub mod snapshot_purge;
mod store;
mod trash_purge;

pub use self::store::NAMESPACE as RADOS_NAMESPACE;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ceph::{Access, Errno, ImageRef, IoContext};
use jiff::Timestamp;
use rbd_model::fault::{Fault, Kind};
use rbd_model::image::{INCOMPLETE_KEY, Image, ImageState};
use rbd_model::names::Place;
use rbd_model::operation::{Operation, OperationState, Progress, Work};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, oneshot, watch};

use self::record::{Id, Record};
use self::run::Signals;
use self::store::{OBJECT_IN_NAMESPACE, Outcome, Store, Stored};
use crate::check::place_forbidden;
use crate::link::Link;
use crate::pool_use;
use crate::workers::{Workers, within};

/// For how long a beat may stand still before another replica takes the operation over.
pub const LEASE: Duration = Duration::from_secs(15);
/// How often a running operation writes its record.
const BEAT: Duration = Duration::from_secs(2);
/// How often the records of all pools are looked through.
const SWEEP: Duration = Duration::from_secs(2);
/// How long a read or write of records may take.
const RECORD_TIME: Duration = Duration::from_secs(5);
/// How many replicas may end while they run an operation, before it is not begun again.
const MOST_DEATHS: u32 = 3;
/// Operations that run at once in one pool, per replica.
const RUNNING_PER_POOL: usize = 4;

/// Makes of a fault what clients read, and the record of the failed operation keeps; the second is the request's id.
pub type Describe = fn(&Fault, &str) -> Value;

/// All operations of this replica, and the way to those of others.
pub struct Operations {
    link: Link,
    workers: Workers,
    /// This replica's name in records: new at every start.
    owner: String,
    retention: Duration,
    describe: Describe,
    running: Mutex<HashMap<String, Arc<Running>>>,
    slots: Mutex<HashMap<String, Arc<Semaphore>>>,
    handing_over: AtomicBool,
    /// What was counted, for the metrics.
    pub counts: Counts,
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
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
struct Running {
    operation: Mutex<Operation>,
    signals: Arc<Signals>,
    started: AtomicBool,
    /// Asks for the record to be written now.
    write_now: Notify,
    /// The record says that it runs.
    known_to_run: Notify,
    handover: AtomicBool,
    finished: watch::Sender<bool>,
}

impl Running {
    fn now(&self) -> Operation {
        let mut operation = self.operation.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !operation.state.finished() {
            operation.state =
                if self.started.load(Ordering::Relaxed) { OperationState::Running } else { OperationState::Queued };
            operation.progress = self.signals.progress();
            operation.waiting_for = self.signals.waiting_for();
        }
        operation
    }
}

/// Who does the work of an operation.
enum Job {
    /// A thread of this replica.
    Thread,
    /// A request, which says how it ended.
    Request(oneshot::Receiver<Result<(), Fault>>),
}

/// Work that a request does itself, under a record. Dropped without a word, the operation has failed.
pub struct Filling {
    end: Option<oneshot::Sender<Result<(), Fault>>>,
    running: Arc<Running>,
}

impl Filling {
    /// Says how far it is.
    pub fn progress(&self, done: u64, total: u64) {
        self.running.signals.tell(done, total);
    }

    /// Says that it ended well, and waits until that is written.
    pub async fn succeed(mut self) {
        let mut finished = self.running.finished.subscribe();
        if let Some(end) = self.end.take() {
            let _ = end.send(Ok(()));
        }
        let _ = tokio::time::timeout(RECORD_TIME, finished.wait_for(|finished| *finished)).await;
    }

    /// Says why it failed. That is written when Ceph answers.
    pub fn fail(mut self, fault: Fault) {
        if let Some(end) = self.end.take() {
            let _ = end.send(Err(fault));
        }
    }
}

/// Who asks for an operation.
#[derive(Debug, Clone)]
pub struct Request {
    /// The caller's name.
    pub requested_by: String,
    /// The request's id.
    pub request_id: String,
    /// Until when writing the record may take.
    pub deadline: Instant,
}

impl Operations {
    /// Operations over a connection; finished ones are remembered for `retention`.
    pub fn new(link: Link, workers: Workers, retention: Duration, describe: Describe) -> Arc<Self> {
        Arc::new(Self {
            link,
            workers,
            owner: uuid::Uuid::now_v7().to_string(),
            retention,
            describe,
            running: Mutex::default(),
            slots: Mutex::default(),
            handing_over: AtomicBool::new(false),
            counts: Counts::default(),
        })
    }

    /// Begins an operation. When the image has an unfinished one of the same kind, that one is given instead.
    ///
    /// # Errors
    /// `conflict` when the image has an unfinished operation of another kind; `busy`; what Ceph gives.
    pub async fn begin(self: &Arc<Self>, request: Request, place: &Place, work: Work) -> Result<Operation, Fault> {
        let (stored, known) = self.add(request, place, work).await?;
        let operation = stored.record.operation.clone();
        if !known && !stored.record.owner.is_empty() {
            self.drive(stored, Job::Thread);
        }
        Ok(operation)
    }

    /// Begins work that the request does itself.
    ///
    /// # Errors
    /// As [`Operations::begin`].
    pub async fn begin_filling(
        self: &Arc<Self>,
        request: Request,
        place: &Place,
        image: &str,
    ) -> Result<Filling, Fault> {
        let (mut stored, _) = self.add(request, place, Work::Import { image: image.to_owned() }).await?;
        stored.record.owner.clone_from(&self.owner);
        let (end, ended) = oneshot::channel();
        let running = self.drive(stored, Job::Request(ended));
        Ok(Filling { end: Some(end), running })
    }

    async fn add(self: &Arc<Self>, request: Request, place: &Place, work: Work) -> Result<(Stored, bool), Fault> {
        // A replica that ends leaves it to the others, or to its successor.
        let handing_over = self.handing_over.load(Ordering::Relaxed) && work.fills().is_none();
        let owner = if handing_over { String::new() } else { self.owner.clone() };
        let deadline = request.deadline;
        let place = place.clone();
        self.records(&place.pool.clone(), deadline, move |io| {
            let (store, contents) = Store::for_place(io, &place.namespace, deadline)?;
            let known = contents.records;
            let elsewhere = store.elsewhere(&place.namespace, deadline)?;
            let same_place = |stored: &&Stored| stored.record.operation.place == place;
            let unfinished = known
                .iter()
                .chain(&elsewhere)
                .filter(|stored| !stored.record.operation.state.finished())
                .filter(same_place);
            for stored in unfinished {
                let other = &stored.record.operation;
                if other.work == work && !matches!(work, Work::Import { .. }) {
                    return Ok((stored.clone(), true));
                }
                let same_image = work.image_id().is_some() && other.work.image_id() == work.image_id();
                if same_image || (work.fills().is_some() && other.work.fills() == work.fills()) {
                    return Err(Fault::new(
                        Kind::Conflict,
                        format!("Operation {} works on the image already.", other.id),
                    )
                    .correction("Wait for it, or cancel it with DELETE.")
                    .with("operation", other.id.clone()));
                }
            }
            let now = Timestamp::now();
            let operation = Operation {
                id: store.new_id().to_string(),
                cancellable: work.cancellable(),
                work,
                place,
                state: OperationState::Queued,
                progress: Progress::default(),
                waiting_for: None,
                cancel_requested: false,
                requested_by: request.requested_by,
                request_id: request.request_id,
                created_at: now,
                updated_at: now,
                finished_at: None,
                resumed: 0,
                problem: None,
            };
            let stored = store.add(&Record { operation, owner, beat: 0, deaths: 0 }, &known)?;
            Ok((stored, false))
        })
        .await
    }

    /// Calls the records of a pool, in a lane of their own: long calls to the pool's images do not keep them.
    async fn records<T: Send + 'static>(
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

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an operation of which this replica has the record, until it has ended and that is written.
    fn drive(self: &Arc<Self>, stored: Stored, job: Job) -> Arc<Running> {
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

    async fn drive_to_end(self: &Arc<Self>, mut stored: Stored, job: Job, running: &Arc<Running>) {
        let mut result = std::pin::pin!(self.result(job, stored.record.operation.clone(), running));
        let result = loop {
            tokio::select! {
                result = &mut result => break result,
                () = running.write_now.notified() => {}
                () = tokio::time::sleep(BEAT) => {}
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
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Does the work, or waits for the request that does.
    async fn result(self: &Arc<Self>, job: Job, operation: Operation, running: &Arc<Running>) -> Result<(), Fault> {
        let job = match job {
            Job::Request(ended) => {
                running.started.store(true, Ordering::Relaxed);
                return ended.await.unwrap_or_else(|_| {
                    Err(Fault::new(Kind::Conflict, "The client went away before all bytes had arrived.")
                        .correction(operation.work.after_interruption()))
                });
            }
            Job::Thread => operation.work.clone(),
        };
        let slots = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(RUNNING_PER_POOL));
            Arc::clone(slots.entry(operation.place.pool.clone()).or_insert_with(new))
        };
        let _slot = slots.acquire_owned().await;
        if running.signals.cancelled() {
            return Err(cancelled());
        }
        running.started.store(true, Ordering::Relaxed);
        // Whoever finds the record after this replica has died must not take it for one that never began: it may be what
        // ended the replica.
        running.write_now.notify_one();
        running.known_to_run.notified().await;
        if running.signals.cancelled() {
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
            self.link.suspect(errno);
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
            Err(_) if running.signals.cancelled() && running.handover.load(Ordering::Relaxed) => {
                operation.state = OperationState::Queued;
                record.owner.clear();
                return record;
            }
            Err(_) if running.signals.cancelled() => operation.state = OperationState::Cancelled,
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
    async fn write(&self, old: &Stored, mut record: Record) -> Result<Option<Stored>, Fault> {
        let deadline = within(RECORD_TIME);
        let (old, owner) = (old.clone(), self.owner.clone());
        let pool = record.operation.place.pool.clone();
        self.records(&pool, deadline, move |io| {
            let Some(id) = Id::parse(&record.operation.id) else { return Ok(None) };
            let store = Store::holding(io, &id)?;
            let mut old = old;
            for _ in 0..5 {
                match store.change(&old, record.clone())? {
                    Outcome::Written(stored) => return Ok(Some(*stored)),
                    Outcome::Lost => {}
                }
                match store.get(&id, deadline)? {
                    Some(now) if now.record.owner == owner && !now.record.operation.state.finished() => {
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

    /// One operation, of whichever replica.
    ///
    /// # Errors
    /// `operation-not-found`; what Ceph gives.
    pub async fn get(&self, id: &str, deadline: Instant) -> Result<Operation, Fault> {
        if let Some(running) = self.running().get(id) {
            return Ok(running.now());
        }
        let (parsed, pool) = self.locate(id, deadline).await?;
        let found =
            self.records(&pool, deadline, move |io| Store::holding(io, &parsed)?.get(&parsed, deadline)).await?;
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
            let (store, contents) = Store::for_place(io, &namespace, deadline)?;
            let mut all = contents.records;
            all.retain(|stored| stored.record.operation.place.namespace == namespace);
            all.extend(store.elsewhere(&namespace, deadline)?);
            all.sort_by_key(|stored| stored.record.operation.created_at);
            Ok(all)
        };
        let all = self.records(&place.pool, deadline, read).await?;
        Ok(self.as_they_are(all))
    }

    /// What the records say, or what this replica knows better.
    fn as_they_are(&self, records: Vec<Stored>) -> Vec<Operation> {
        let running = self.running();
        let now = |stored: Stored| {
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
        let until = within(time);
        loop {
            let operation = self.get(id, within(deadline)).await?;
            let over = Instant::now() >= until || self.handing_over.load(Ordering::Relaxed);
            if operation.state.finished() || over {
                return Ok(operation);
            }
            let local = self.running().get(id).map(|running| running.finished.subscribe());
            let step = within(Duration::from_millis(500)).min(until);
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
                let store = Store::holding(io, &parsed)?;
                loop {
                    let stored = store.get(&parsed, deadline)?.ok_or_else(|| missing.clone())?;
                    let operation = &stored.record.operation;
                    if operation.state.finished() {
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
                    if let Outcome::Written(stored) = store.change(&stored, record)? {
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

    /// Looks through the records of all pools again and again, for operations whose replica is gone.
    pub async fn sweep(self: Arc<Self>) {
        let mut pools: HashMap<String, tokio::task::JoinHandle<()>> = HashMap::new();
        let seen = Arc::new(Mutex::new(HashMap::new()));
        loop {
            tokio::time::sleep(SWEEP).await;
            if self.handing_over.load(Ordering::Relaxed) {
                return;
            }
            let Ok(connection) = self.link.connection() else { continue };
            let Ok(names) = pool_use::with_images(connection.cluster()) else { continue };
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
        let deadline = within(RECORD_TIME);
        let retention = jiff::SignedDuration::try_from(self.retention).unwrap_or(jiff::SignedDuration::MAX);
        let within_namespace = namespace.clone();
        let read = self.records(pool, deadline, move |io| {
            let store = match &within_namespace {
                Some(namespace) => Store::within(io, namespace)?,
                None => Store::of(io)?,
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
        all: Vec<Stored>,
        seen: &Mutex<HashMap<String, (u64, Instant)>>,
    ) {
        let orphans: Vec<Stored> = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            all.into_iter()
                .filter(|stored| !stored.record.operation.state.finished())
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
                    entry.1.elapsed() > LEASE
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

    async fn take_over(self: &Arc<Self>, orphan: Stored) -> Result<(), Fault> {
        let mut record = orphan.record.clone();
        let operation = &mut record.operation;
        let unbegun = operation.state == OperationState::Queued && !matches!(operation.work, Work::Import { .. });
        let died = operation.state == OperationState::Running && !record.owner.is_empty();
        record.deaths += u32::from(died);
        let deadly = record.deaths >= MOST_DEATHS;
        let resume = (operation.work.resumable() || unbegun) && !deadly;
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
        let filled = operation.work.fills().filter(|_| !resume).map(str::to_owned);
        let (pool, deadline) = (place.pool.clone(), within(RECORD_TIME));
        let id = operation.id.clone();
        let outcome = self
            .records(&pool, deadline, move |io| {
                if let Some(image) = filled {
                    mark_incomplete(&io.in_namespace(&place.namespace)?, &image)?;
                }
                let Some(id) = Id::parse(&record.operation.id) else { return Ok(Outcome::Lost) };
                Store::holding(io, &id)?.change(&orphan, record)
            })
            .await?;
        if let Outcome::Written(stored) = outcome {
            if resume {
                tracing::info!(operation = id, "took an operation over");
                self.counts.taken_over.fetch_add(1, Ordering::Relaxed);
                self.drive(*stored, Job::Thread);
            } else {
                tracing::warn!(operation = id, deaths = stored.record.deaths, "an operation was interrupted");
                let counted = if deadly { &self.counts.failed } else { &self.counts.interrupted };
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// How many operations this replica runs now.
    pub fn running_now(&self) -> usize {
        self.running().len()
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

/// Shows as incomplete those of some images of a place that an unfinished operation fills. Blocks.
///
/// # Errors
/// What reading gives; an entity that may not read the records sees none.
pub fn mark_being_filled(io: &IoContext, images: &mut [Image], deadline: Instant) -> Result<(), Fault> {
    let all = match Store::for_place(io, io.namespace(), deadline) {
        Err(fault) if fault.kind() == Kind::CephForbidden => return Ok(()),
        Err(fault) => return Err(fault),
        Ok((store, mut contents)) => {
            contents.records.extend(store.elsewhere(io.namespace(), deadline)?);
            contents.records
        }
    };
    for operation in all.into_iter().map(|stored| stored.record.operation) {
        let here = !operation.state.finished() && operation.place.namespace == io.namespace();
        let Some(filled) = operation.work.fills().filter(|_| here) else { continue };
        for image in images.iter_mut().filter(|image| image.name == filled && image.state == ImageState::Ready) {
            image.state = ImageState::Incomplete;
            image.state_reason = Some(format!("Operation {} fills it.", operation.id));
        }
    }
    Ok(())
}

/// Removes what this service keeps for a namespace that is gone: its schedule, and the records that were kept in it. Blocks.
///
/// # Errors
/// What Ceph gives.
pub fn forget_namespace(io: &IoContext, namespace: &str, deadline: Instant) -> Result<(), Fault> {
    Store::of(io)?.remove_schedule(namespace, deadline)?;
    Ok(io.in_namespace(namespace)?.remove_object(OBJECT_IN_NAMESPACE)?)
}

/// The records of a pool, or of these of its namespaces when the entity may not read those of the pool.
fn all_of_pool(io: &IoContext, namespaces: &[String], deadline: Instant) -> Result<Vec<Stored>, Fault> {
    let all = Store::of(io)?.all(deadline);
    match all {
        Err(fault) if fault.kind() == Kind::CephForbidden && !namespaces.is_empty() => {
            let mut all = Vec::new();
            for namespace in namespaces {
                all.extend(Store::within(io, namespace)?.all(deadline)?);
            }
            Ok(all)
        }
        all => all,
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

fn cancelled() -> Fault {
    Fault::new(Kind::Conflict, "The operation was cancelled before it began.").errno(Errno::ECANCELED)
}

fn not_found(id: &str) -> Fault {
    Fault::new(Kind::OperationNotFound, format!("There is no operation {id:?}."))
        .correction("Finished operations are forgotten after a while; GET /api/v1/operations lists those known.")
}
