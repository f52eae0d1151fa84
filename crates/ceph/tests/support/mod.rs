//! What the tests of this crate share: a connection, pools, waiting for a future.

// Each test file uses its part.
#![allow(dead_code)]

use std::ffi::{c_int, c_void};
use std::future::Future;
use std::pin::pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use ceph::{Cluster, IoContext, Settings};
use testbed::ceph::Ceph;

/// How to reach this cluster as its administrator.
pub fn settings(ceph: &Ceph) -> Settings {
    Settings {
        conf_file: Some(ceph.conf().to_owned()),
        keyring: Some(ceph.keyring().to_owned()),
        ..Settings::new("client.admin")
    }
}

pub fn connected(ceph: &Ceph) -> Cluster {
    let cluster = settings(ceph).configure().expect("a configuration").connect().expect("a connection");
    end_at_once();
    cluster
}

/// Lets this process end without destroying the libraries' statics, as [`ceph::end_process`] does: librados' threads may
/// still use them. Call it after connecting, so that it comes before what the libraries have registered until then.
pub fn end_at_once() {
    extern "C" fn end(status: c_int, _: *mut c_void) {
        ceph::end_process(u8::try_from(status).unwrap_or(u8::MAX));
    }
    unsafe extern "C" {
        // on_exit(3): as atexit(3), with the status.
        fn on_exit(function: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }
    // SAFETY: the function lives as long as the process and does not use its argument.
    let r = unsafe { on_exit(end, ptr::null_mut()) };
    assert_eq!(r, 0, "no room for another function");
}

/// A pool of its own on a cluster, prepared for images.
pub fn pool(ceph: &Ceph, cluster: &Cluster) -> IoContext {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("c{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    ceph.create_pool(&name).expect("a pool");
    cluster.refresh().expect("the newest map");
    cluster.io_context(&name, "").expect("a context")
}

/// A pool of its own on the shared cluster.
pub fn shared_pool() -> IoContext {
    let ceph = Ceph::shared().expect("a cluster");
    pool(ceph, &connected(ceph))
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
