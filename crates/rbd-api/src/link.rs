//! The one connection to Ceph: made when Ceph comes, made anew when its files change or it is refused, and the I/O
//! contexts on it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ceph::{Cluster, Errno, IoContext};

use crate::problem::{Kind, Problem};

/// How often the files are looked at and the monitors asked.
const PULSE: Duration = Duration::from_secs(1);

/// The connection and who keeps it. Cheap to clone.
#[derive(Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    settings: ceph::Settings,
    current: RwLock<Option<Arc<Connection>>>,
    /// Why there is no connection.
    trouble: Mutex<Option<String>>,
    ever_connected: AtomicBool,
    connects: AtomicU64,
    failed_connects: AtomicU64,
    suspect: AtomicBool,
    /// When the monitors were last asked without having answered yet.
    asked: Mutex<Option<Instant>>,
    stop: Mutex<bool>,
    stopped: Condvar,
}

/// A connection and the contexts opened on it.
pub struct Connection {
    cluster: Cluster,
    contexts: Mutex<HashMap<(String, String), IoContext>>,
}

/// How the connection is, for readiness and metrics.
#[derive(Debug, Clone)]
pub struct LinkState {
    /// Connected now.
    pub connected: bool,
    /// Connected at some time.
    pub ever_connected: bool,
    /// Connections made.
    pub connects: u64,
    /// Attempts that failed.
    pub failed_connects: u64,
    /// Why there is no connection.
    pub trouble: Option<String>,
    /// For how long the monitors have not answered.
    pub monitors_silent: Option<Duration>,
}

impl Link {
    /// Starts to connect, on a thread of its own. Returns at once.
    pub fn start(settings: ceph::Settings) -> Self {
        let inner = Arc::new(Inner {
            settings,
            current: RwLock::new(None),
            trouble: Mutex::new(Some("The service has just started and has not connected yet.".into())),
            ever_connected: AtomicBool::new(false),
            connects: AtomicU64::new(0),
            failed_connects: AtomicU64::new(0),
            suspect: AtomicBool::new(false),
            asked: Mutex::new(None),
            stop: Mutex::new(false),
            stopped: Condvar::new(),
        });
        for (name, body) in [("ceph-link", Inner::keep as fn(&Inner)), ("ceph-pulse", Inner::ask_monitors)] {
            let inner = Arc::clone(&inner);
            let thread = std::thread::Builder::new().name(name.into()).spawn(move || body(&inner));
            if let Err(error) = thread {
                tracing::error!(%error, "cannot start the thread that connects to Ceph");
            }
        }
        Self { inner }
    }

    /// The connection.
    ///
    /// # Errors
    /// `ceph-unavailable` with the reason while there is none.
    pub fn connection(&self) -> Result<Arc<Connection>, Problem> {
        let current = self.inner.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone().ok_or_else(|| {
            let trouble = self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Problem::new(Kind::CephUnavailable, "There is no connection to Ceph.")
                .cause(trouble.unwrap_or_default())
                .correction("Run `sparrow-rbd check` with the same flags; it says what is missing.")
                .retry_after(2)
        })
    }

    /// Told of an errno that may mean that this client was cut off; it then connects anew.
    pub fn suspect(&self, errno: Errno) {
        if matches!(errno, Errno::ESHUTDOWN | Errno::ENOTCONN) {
            self.inner.suspect.store(true, Ordering::Relaxed);
        }
    }

    /// How it is now.
    pub fn state(&self) -> LinkState {
        let inner = &self.inner;
        LinkState {
            connected: inner.current.read().unwrap_or_else(PoisonError::into_inner).is_some(),
            ever_connected: inner.ever_connected.load(Ordering::Relaxed),
            connects: inner.connects.load(Ordering::Relaxed),
            failed_connects: inner.failed_connects.load(Ordering::Relaxed),
            trouble: inner.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            monitors_silent: inner
                .asked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .map(|since| since.elapsed())
                .filter(|silent| *silent > PULSE),
        }
    }

    /// Ends the threads. The connection goes with its last user.
    pub fn stop(&self) {
        *self.inner.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.inner.stopped.notify_all();
    }
}

impl Inner {
    /// Waits; true when it is time to end.
    fn pause(&self, time: Duration) -> bool {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        let (stop, _) =
            self.stopped.wait_timeout_while(stop, time, |stop| !*stop).unwrap_or_else(PoisonError::into_inner);
        *stop
    }

    fn keep(&self) {
        let mut files = self.fingerprint();
        loop {
            let connected = self.current.read().unwrap_or_else(PoisonError::into_inner).is_some();
            let now = self.fingerprint();
            let changed = now != files;
            let suspect = self.suspect.swap(false, Ordering::Relaxed);
            if !connected || changed || suspect {
                match crate::check::connect(&self.settings) {
                    Ok(cluster) => {
                        tracing::info!(entity = cluster.entity(), "connected to Ceph");
                        self.connects.fetch_add(1, Ordering::Relaxed);
                        self.ever_connected.store(true, Ordering::Relaxed);
                        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
                        let connection = Connection { cluster, contexts: Mutex::new(HashMap::new()) };
                        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(connection));
                        files = now;
                    }
                    Err(trouble) => {
                        self.failed_connects.fetch_add(1, Ordering::Relaxed);
                        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
                        if known.as_deref() != Some(&trouble) {
                            tracing::error!(%trouble, kept = connected, "cannot connect to Ceph");
                        }
                        *known = Some(trouble);
                    }
                }
            }
            if self.pause(PULSE) {
                return;
            }
        }
    }

    /// Asks the monitors now and then, on a thread of its own since it may not return.
    fn ask_monitors(&self) {
        while !self.pause(PULSE) {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(connection) = current else { continue };
            *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            let result = connection.cluster.refresh();
            if let Err(error) = result {
                tracing::warn!(%error, "the monitors do not answer");
                if error.errno().is_some_and(|errno| errno != Errno::ETIMEDOUT) {
                    self.suspect.store(true, Ordering::Relaxed);
                }
                continue;
            }
            *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// What tells whether the files have changed: their contents, not their times, which mounts of Secrets renew.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let files: [Option<&PathBuf>; 2] = [self.settings.conf_file.as_ref(), self.settings.keyring.as_ref()];
        for file in files.into_iter().flatten() {
            std::fs::read(file).ok().hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Connection {
    /// The cluster handle.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The context of a pool and namespace, kept from call to call. Blocks; run it in a worker.
    ///
    /// # Errors
    /// `pool-not-found`, `namespace-not-found`.
    pub fn context(&self, pool: &str, namespace: &str) -> Result<IoContext, Problem> {
        let id = match self.cluster.pool_id(pool) {
            Ok(id) => id,
            // Maybe made by another client a moment ago.
            Err(_) => {
                self.cluster.refresh()?;
                self.cluster.pool_id(pool).map_err(|_| pool_not_found(pool))?
            }
        };
        let key = (pool.to_owned(), namespace.to_owned());
        let kept = self.contexts.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        // A pool that was deleted and made again has another id.
        let io = match kept.filter(|io| io.pool_id() == id) {
            Some(io) => io,
            None => {
                let io = self.cluster.io_context(pool, namespace).map_err(|_| pool_not_found(pool))?;
                self.contexts.lock().unwrap_or_else(PoisonError::into_inner).insert(key, io.clone());
                io
            }
        };
        // librbd lists a missing namespace as an empty one.
        if !namespace.is_empty() && !self.context(pool, "")?.namespace_exists(namespace)? {
            return Err(Problem::new(
                Kind::NamespaceNotFound,
                format!("Pool {pool:?} has no namespace {namespace:?}."),
            ));
        }
        Ok(io)
    }
}

/// There is no such pool.
pub fn pool_not_found(pool: &str) -> Problem {
    Problem::new(Kind::PoolNotFound, format!("There is no pool {pool:?}."))
        .correction("GET /api/v1/pools lists the pools.")
}
