//! The one connection to Ceph: made when Ceph comes, made anew when its files change or it is rejected, and the I/O
//! contexts on it.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ceph::{Cluster, Errno, IoContext};
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::Place;

use crate::check::{self, ConnectionAttempt, Severity};

/// How often the files are looked at and the monitors asked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How old a connection must be to be made anew because Ceph rejected something: capabilities that were widened since count
/// for new connections only.
const RECONNECT_PAUSE: Duration = Duration::from_secs(5);

/// Counts the errnos that Ceph gives.
pub type CountErrno = Box<dyn Fn(Errno) + Send + Sync>;

/// The connection and who keeps it. Cheap to clone.
#[derive(Clone)]
pub struct CephLink {
    inner: Arc<Inner>,
}

struct Inner {
    settings: ceph::Settings,
    count: CountErrno,
    current: RwLock<Option<Arc<Connection>>>,
    /// Why there is no connection.
    trouble: Mutex<Option<String>>,
    ever_connected: AtomicBool,
    connects: AtomicU64,
    failed_connects: AtomicU64,
    suspect: AtomicBool,
    rejected: AtomicBool,
    /// When the monitors were last asked without having answered yet.
    asked: Mutex<Option<Instant>>,
    /// The namespaces that were used since the start, whatever the connection, each after its pool.
    namespaces: Arc<Mutex<BTreeSet<(String, String)>>>,
    stop: Mutex<bool>,
    stopped: Condvar,
    configured: Vec<Place>,
}

/// A connection and the contexts opened on it.
pub struct Connection {
    cluster: Cluster,
    contexts: Mutex<HashMap<(String, String), IoContext>>,
    namespaces: Arc<Mutex<BTreeSet<(String, String)>>>,
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

impl CephLink {
    /// Starts to connect, on a thread of its own. Returns at once.
    ///
    /// `told` are namespaces that the entity has rights for where it has none for their pools.
    pub fn start(settings: ceph::Settings, configured: Vec<Place>, count: CountErrno) -> Self {
        let named = configured.clone().into_iter().map(|place| (place.pool, place.namespace));
        let inner = Arc::new(Inner {
            settings,
            count,
            current: RwLock::new(None),
            trouble: Mutex::new(Some("The service has just started and has not connected yet.".into())),
            ever_connected: AtomicBool::new(false),
            connects: AtomicU64::new(0),
            failed_connects: AtomicU64::new(0),
            suspect: AtomicBool::new(false),
            rejected: AtomicBool::new(false),
            asked: Mutex::new(None),
            namespaces: Arc::new(Mutex::new(named.collect())),
            configured,
            stop: Mutex::new(false),
            stopped: Condvar::new(),
        });
        for (name, body) in [("ceph-link", Inner::keep_connected as fn(&Inner)), ("ceph-pulse", Inner::ask_monitors)] {
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
    pub fn connection(&self) -> Result<Arc<Connection>, Fault> {
        let current = self.inner.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone().ok_or_else(|| {
            let trouble = self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Fault::new(Kind::CephUnavailable, "There is no connection to Ceph.")
                .cause(trouble.unwrap_or_default())
                .correction("Run `sparrow-rbd check` with the same flags; it says what is missing.")
                .retry_after(2)
        })
    }

    /// Told of every errno that Ceph gives: it is counted, and it may mean that this client was cut off, or may do more by
    /// now; then it connects anew.
    pub fn report_errno(&self, errno: Errno) {
        (self.inner.count)(errno);
        match errno {
            Errno::ESHUTDOWN | Errno::ENOTCONN => self.inner.suspect.store(true, Ordering::Relaxed),
            Errno::EACCES | Errno::EPERM => self.inner.rejected.store(true, Ordering::Relaxed),
            _ => {}
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
                .filter(|silent| *silent > CHECK_INTERVAL),
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

    fn keep_connected(&self) {
        let mut files: Vec<PathBuf> = Vec::new();
        let mut seen = fingerprint(&files);
        let mut connected_at: Option<Instant> = None;
        loop {
            let changed = fingerprint(&files) != seen;
            let suspect = self.suspect.swap(false, Ordering::Relaxed);
            let rejected = connected_at.is_some_and(|at| at.elapsed() > RECONNECT_PAUSE)
                && self.rejected.swap(false, Ordering::Relaxed);
            if connected_at.is_none() || changed || suspect || rejected {
                let ConnectionAttempt { report, cluster, files: looked_at } = check::try_connect(&self.settings);
                // Those that were seen with a connection stay the reference: when they are back, all is well.
                if cluster.is_some() || connected_at.is_none() {
                    seen = fingerprint(&looked_at);
                    files = looked_at;
                }
                if self.accept_connection(report, cluster) {
                    connected_at = Some(Instant::now());
                } else {
                    self.suspect.fetch_or(suspect, Ordering::Relaxed);
                }
            } else {
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            if self.pause(CHECK_INTERVAL) {
                return;
            }
        }
    }

    /// Takes a connection into use, or notes why there is none; whether it did.
    ///
    /// The first connection must also be good for the images of some pool, else the service is not ready, and says
    /// why. Later ones are taken as they are: what was lost since shows in the answers.
    fn accept_connection(&self, mut report: check::Report, cluster: Option<Cluster>) -> bool {
        let first = !self.ever_connected.load(Ordering::Relaxed);
        if let Some(cluster) = cluster.as_ref().filter(|_| first) {
            report.findings.extend(check::capabilities(cluster, &self.configured, self.settings.connect_timeout));
        }
        let trouble = report.error_summary();
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let news = *known != trouble;
        known.clone_from(&trouble);
        drop(known);
        for finding in report.findings.iter().filter(|_| first && news) {
            let (subject, correction) = (finding.subject.name(), finding.correction.as_deref());
            match finding.state {
                Severity::Ok => tracing::info!(subject, "{}", finding.detail),
                Severity::Warning => tracing::warn!(subject, correction, "{}", finding.detail),
                Severity::Error => tracing::error!(subject, correction, "{}", finding.detail),
            }
        }
        match (cluster, trouble) {
            (Some(cluster), None) => {
                tracing::info!(entity = cluster.entity(), "connected to Ceph");
                self.connects.fetch_add(1, Ordering::Relaxed);
                let namespaces = Arc::clone(&self.namespaces);
                let connection = Connection { cluster, contexts: Mutex::default(), namespaces };
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(connection));
                self.ever_connected.store(true, Ordering::Relaxed);
                true
            }
            (_, trouble) => {
                self.failed_connects.fetch_add(1, Ordering::Relaxed);
                if news && !first {
                    tracing::error!(trouble, "cannot connect to Ceph anew; the connection there is stays");
                }
                false
            }
        }
    }

    /// Asks the monitors now and then, on a thread of its own since it may not return.
    fn ask_monitors(&self) {
        while !self.pause(CHECK_INTERVAL) {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(connection) = current else { continue };
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
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
}

/// What tells whether files have changed: their contents, not their times, which mounts of Secrets renew.
fn fingerprint(files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        std::fs::read(file).ok().hash(&mut hasher);
    }
    hasher.finish()
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
    pub fn context(&self, pool: &str, namespace: &str) -> Result<IoContext, Fault> {
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
        if namespace.is_empty() {
            return Ok(io);
        }
        let key = (pool.to_owned(), namespace.to_owned());
        // Nor can there be one whose name is longer than Ceph takes.
        let exists = match io.namespace_exists(namespace) {
            Err(error) if error.is(Errno::ENAMETOOLONG) => false,
            exists => exists?,
        };
        if exists {
            self.used().insert(key);
            return Ok(io);
        }
        // Made-up names must not fill the memory.
        self.used().remove(&key);
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        Err(Fault::new(Kind::NamespaceNotFound, format!("Pool {pool:?} has no namespace {namespace:?}.")))
    }

    fn used(&self) -> std::sync::MutexGuard<'_, BTreeSet<(String, String)>> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The namespaces of a pool that were used since the service started. An entity that has rights for namespaces alone cannot
    /// list them.
    pub fn used_namespaces(&self, pool: &str) -> Vec<String> {
        self.used().iter().filter(|(known, _)| known == pool).map(|(_, namespace)| namespace.clone()).collect()
    }
}

/// There is no such pool.
pub fn pool_not_found(pool: &str) -> Fault {
    Fault::new(Kind::PoolNotFound, format!("There is no pool {pool:?}."))
        .correction("GET /api/v1/pools lists the pools.")
}
