//! An I/O context: one pool and one of its namespaces.

use std::ffi::c_int;
use std::fmt;
use std::sync::Arc;

use ceph_sys as sys;

use crate::cluster::Cluster;
use crate::error::{Result, check, failure};
use crate::text::c_string;

/// One pool and one of its namespaces, on a connection it keeps alive. Cheap to clone.
#[derive(Clone)]
pub struct IoContext {
    inner: Arc<Inner>,
}

struct Inner {
    raw: sys::rados_ioctx_t,
    pool: String,
    pool_id: i64,
    namespace: String,
    // After `raw`, so that the connection outlives the context.
    cluster: Cluster,
}

// SAFETY: librados allows any thread to use an I/O context.
unsafe impl Send for Inner {}
// SAFETY: concurrent operations on one context are librados' normal use. What is not safe to do concurrently is to
// change its namespace, locator or snapshot: the namespace is set once, in `open`, before it is shared, and the others never.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: created by rados_ioctx_create2, destroyed once, here; everything that uses it holds the `Arc`.
        unsafe { sys::rados_ioctx_destroy(self.raw) };
    }
}

impl Cluster {
    /// An I/O context for a pool and one of its namespaces (empty for the default one).
    ///
    /// # Errors
    /// `ENOENT` when there is no such pool in the map this client has. It is looked up in that map first:
    /// `rados_ioctx_create` itself waits without a limit for monitors that are gone when the pool is unknown.
    pub fn io_context(&self, pool: &str, namespace: &str) -> Result<IoContext> {
        let id = self.pool_id(pool)?;
        IoContext::open(self, id, pool, namespace)
    }
}

impl IoContext {
    pub(crate) fn open(cluster: &Cluster, pool_id: i64, pool: &str, namespace: &str) -> Result<Self> {
        let c_namespace = c_string(namespace)?;
        let raw = cluster.raw_io_context(pool_id).map_err(|r| failure("rados_ioctx_create2", pool.to_owned(), r))?;
        // SAFETY: a fresh context that nobody shares yet; the name lives during the call.
        unsafe { sys::rados_ioctx_set_namespace(raw, c_namespace.as_ptr()) };
        // Without this, writes to a full pool wait until there is space; with it they fail with `ENOSPC` or `EDQUOT`, and
        // what gives space back works. Images that are opened on this context inherit it.
        // SAFETY: as above.
        unsafe { sys::rados_set_pool_full_try(raw) };
        Ok(Self {
            inner: Arc::new(Inner {
                raw,
                pool: pool.to_owned(),
                pool_id,
                namespace: namespace.to_owned(),
                cluster: cluster.clone(),
            }),
        })
    }

    pub(crate) fn raw(&self) -> sys::rados_ioctx_t {
        self.inner.raw
    }

    /// The pool's name when the context was made.
    pub fn pool(&self) -> &str {
        &self.inner.pool
    }

    /// The pool's id.
    pub fn pool_id(&self) -> i64 {
        self.inner.pool_id
    }

    /// The namespace; empty for the default one.
    pub fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    /// The connection it uses.
    pub fn cluster(&self) -> &Cluster {
        &self.inner.cluster
    }

    /// The same pool's other namespace.
    ///
    /// # Errors
    /// `ENOENT` when the pool is gone.
    pub fn in_namespace(&self, namespace: &str) -> Result<Self> {
        Self::open(self.cluster(), self.pool_id(), self.pool(), namespace)
    }

    /// `pool`, `pool/name` or `pool/namespace/name`, for messages.
    pub fn subject(&self, name: &str) -> String {
        let mut subject = self.pool().to_owned();
        for part in [self.namespace(), name] {
            if !part.is_empty() {
                subject.push('/');
                subject.push_str(part);
            }
        }
        subject
    }

    pub(crate) fn check<T: Into<i64> + Copy>(&self, operation: &'static str, name: &str, r: T) -> Result<T> {
        check(operation, || self.subject(name), r)
    }

    /// The applications the pool is marked for, such as `rbd`.
    ///
    /// # Errors
    /// `ENOENT` when the pool is gone.
    pub fn applications(&self) -> Result<Vec<String>> {
        let fill = |buffer: *mut std::ffi::c_char, length: &mut usize| -> c_int {
            // SAFETY: the buffer has `length` bytes.
            unsafe { sys::rados_application_list(self.raw(), buffer, &raw mut *length) }
        };
        let buffer =
            crate::text::growing(256, fill).map_err(|r| failure("rados_application_list", self.subject(""), r))?;
        Ok(crate::text::separated(&buffer))
    }

    /// What the pool holds, from the manager's reports: zero without one.
    ///
    /// # Errors
    /// `ETIMEDOUT` when no monitor answers.
    pub fn pool_stat(&self) -> Result<sys::rados_pool_stat_t> {
        // SAFETY: plain numbers, for which zero is a value.
        let mut stat: sys::rados_pool_stat_t = unsafe { std::mem::zeroed() };
        // SAFETY: the context is open and `stat` is valid for writing.
        let r = unsafe { sys::rados_ioctx_pool_stat(self.raw(), &raw mut stat) };
        self.check("rados_ioctx_pool_stat", "", r)?;
        Ok(stat)
    }
}

impl fmt::Debug for IoContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IoContext").field(&self.subject("")).finish()
    }
}
