//! What the tests of this crate share: a connection, pools, waiting for a future.

// Each test file uses its part.
#![allow(dead_code)]

use std::future::Future;
use std::pin::pin;
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
    connect(&settings(ceph))
}

/// A connection in a process that ends at once: the libraries' own end races with their threads, and aborts now and then.
pub fn connect(settings: &Settings) -> Cluster {
    let cluster = settings.configure().expect("a configuration").connect().expect("a connection");
    ceph::end_at_once();
    cluster
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

/// A size within the bound.
pub fn size(bytes: u64) -> ceph::ImageSize {
    ceph::ImageSize::new(bytes).expect("a size within the bound")
}
