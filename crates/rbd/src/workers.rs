//! The bounded pool of threads on which Ceph is called, with a deadline per call.
//!
//! librados and librbd block for as long as a daemon is gone, and nothing ends them. So a deadline ends the *wait*:
//! the call keeps its slot until its thread returns. Slots and queue are per Ceph pool, so that a pool which is stuck
//! fills only its own.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rbd_model::fault::{Fault, Kind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many calls may run and wait.
#[derive(Debug, Clone, Copy)]
pub struct WorkerLimits {
    /// Calls that run at once, per Ceph pool.
    pub running_per_pool: usize,
    /// Calls that wait for one of them to end, per Ceph pool.
    pub waiting_per_pool: usize,
    /// Threads of the whole service, whatever the number of pools.
    pub threads: usize,
}

impl Default for WorkerLimits {
    fn default() -> Self {
        Self { running_per_pool: 16, waiting_per_pool: 256, threads: 256 }
    }
}

/// The pool of workers. Cheap to clone.
#[derive(Clone)]
pub struct Workers {
    inner: Arc<Inner>,
}

struct Inner {
    limits: WorkerLimits,
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
    running: AtomicUsize,
    stuck: AtomicUsize,
    rejected: AtomicU64,
}

struct Lane {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// What the workers are doing, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Threads in a call.
    pub running: usize,
    /// Of these, those that nobody waits for any more: their deadline has passed.
    pub stuck: usize,
    /// Calls that wait for a slot.
    pub waiting: usize,
    /// Calls turned away because the queue was full, since the start.
    pub rejected: u64,
}

/// Counts a thing while it lives.
struct CountGuard<'a>(&'a AtomicUsize);

impl<'a> CountGuard<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for CountGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// A pool of workers with these limits. The runtime must allow `limits.threads` blocking threads and some more.
    pub fn new(limits: WorkerLimits) -> Self {
        Self {
            inner: Arc::new(Inner {
                limits,
                lanes: Mutex::new(HashMap::new()),
                running: AtomicUsize::new(0),
                stuck: AtomicUsize::new(0),
                rejected: AtomicU64::new(0),
            }),
        }
    }

    fn lane(&self, name: &str, running: usize) -> Arc<Lane> {
        let mut lanes = self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(name) {
            return Arc::clone(lane);
        }
        // Lanes that nobody uses are forgotten, so that their number follows that of the pools in use.
        lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        let slots = Arc::new(Semaphore::new(running));
        let lane = Arc::new(Lane { slots, waiting: AtomicUsize::new(0) });
        lanes.insert(name.to_owned(), Arc::clone(&lane));
        lane
    }

    /// A slot of a lane, for work that is not one blocking call (a stream).
    ///
    /// # Errors
    /// `busy` when the queue is full or no slot came free in time.
    pub async fn slot(&self, lane_name: &str, deadline: Instant) -> Result<Slot, Fault> {
        let lane = self.lane(lane_name, self.inner.limits.running_per_pool);
        let queue = CountGuard::new(&lane.waiting);
        let permit = match Arc::clone(&lane.slots).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if lane.waiting.load(Ordering::Relaxed) > self.inner.limits.waiting_per_pool => {
                self.inner.rejected.fetch_add(1, Ordering::Relaxed);
                return Err(busy_fault(lane_name, "the queue is full"));
            }
            Err(_) => {
                let acquire = Arc::clone(&lane.slots).acquire_owned();
                match tokio::time::timeout_at(deadline.into(), acquire).await {
                    Ok(Ok(permit)) => permit,
                    Ok(Err(_)) | Err(_) => {
                        self.inner.rejected.fetch_add(1, Ordering::Relaxed);
                        return Err(busy_fault(lane_name, "none came free in time"));
                    }
                }
            }
        };
        drop(queue);
        Ok(Slot { _permit: permit, _lane: lane })
    }

    /// A slot of a lane that has `most` of them, at once or not at all, for work that goes on for long.
    ///
    /// # Errors
    /// `busy` when all are taken.
    pub fn try_slot(&self, lane_name: &str, most: usize) -> Result<Slot, Fault> {
        let lane = self.lane(lane_name, most);
        match Arc::clone(&lane.slots).try_acquire_owned() {
            Ok(permit) => Ok(Slot { _permit: permit, _lane: lane }),
            Err(_) => {
                self.inner.rejected.fetch_add(1, Ordering::Relaxed);
                Err(busy_fault(lane_name, &format!("all {most} run")))
            }
        }
    }

    /// Runs a blocking call in a lane and waits for it until the deadline. After that the call goes on and keeps its
    /// slot; its result is dropped.
    ///
    /// # Errors
    /// What the call gives; `busy`; `ceph-unavailable` when the deadline passed.
    pub async fn run<T: Send + 'static>(
        &self,
        lane: &str,
        deadline: Instant,
        call: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let slot = self.slot(lane, deadline).await?;
        if self.inner.running.load(Ordering::Relaxed) >= self.inner.limits.threads {
            self.inner.rejected.fetch_add(1, Ordering::Relaxed);
            return Err(busy_fault(lane, "all threads of the service are in calls"));
        }
        let inner = Arc::clone(&self.inner);
        let mut task = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let _running = CountGuard::new(&inner.running);
            // A panic must not take the slot's accounting with it, nor hide what was asked.
            std::panic::catch_unwind(AssertUnwindSafe(call))
        });
        match tokio::time::timeout_at(deadline.into(), &mut task).await {
            Ok(Ok(Ok(result))) => result,
            Ok(Ok(Err(_)) | Err(_)) => Err(Fault::new(Kind::Internal, "a worker panicked")
                .correction("This is a fault of sparrow-rbd: report it with the log.")),
            Err(_) => {
                let inner = Arc::clone(&self.inner);
                tokio::spawn(async move {
                    let _stuck = CountGuard::new(&inner.stuck);
                    let _ = task.await;
                });
                Err(Fault::new(Kind::CephUnavailable, format!("Ceph has not answered in time ({lane})."))
                    .cause("The call goes on; whether a change takes effect is not known.")
                    .correction("Look at `ceph -s`, and read the object again before repeating a change.")
                    .retry_after(5))
            }
        }
    }

    /// What the workers are doing now.
    pub fn load(&self) -> WorkerLoad {
        let lanes = self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        WorkerLoad {
            running: self.inner.running.load(Ordering::Relaxed),
            stuck: self.inner.stuck.load(Ordering::Relaxed),
            waiting: lanes.values().map(|lane| lane.waiting.load(Ordering::Relaxed)).sum(),
            rejected: self.inner.rejected.load(Ordering::Relaxed),
        }
    }
}

/// A place in a lane, held while work goes on.
pub struct Slot {
    _permit: OwnedSemaphorePermit,
    _lane: Arc<Lane>,
}

fn busy_fault(lane: &str, why: &str) -> Fault {
    Fault::new(Kind::Busy, format!("No worker is free for {lane}: {why}."))
        .cause("Calls to Ceph take longer than they should, or more come than it can take.")
        .correction("Try again later; if it stays so, look at `ceph -s`.")
        .retry_after(2)
}

/// How long after now, as an instant.
pub fn deadline_in(duration: Duration) -> Instant {
    Instant::now() + duration
}
