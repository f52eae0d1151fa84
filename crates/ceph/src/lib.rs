//! A safe, synchronous layer over librados and librbd (Ceph 16 to 20).
//!
//! Handles own each other: an [`Image`] keeps its [`IoContext`], which keeps its [`Cluster`]. Every call may block for
//! as long as a daemon is gone: run them on threads that may wait, with a deadline on the wait. Asynchronous are only
//! the reads of omaps ([`IoContext::omaps`]) and of image data ([`Image::read`]).
//!
//! Functions are documented at <https://docs.ceph.com/en/latest/rados/api/librados/> and in `rbd/librbd.h`.

mod caps;
mod cluster;
mod end;
mod error;
mod good_pools;
mod group;
mod handle;
mod header_lock;
mod image;
mod ioctx;
mod membership;
mod namespace;
mod omap;
mod pool_stats;
mod progress;
mod snapshot;
mod text;
mod trash;
mod validation;

pub use caps::PoolAccess;
pub use cluster::{Cluster, ClusterSpace, Settings, Unconnected, has_function, library_versions};
pub use end::{end_at_once, end_process};
pub use error::{Errno, Error, Result};
pub use group::{GroupMember, GroupSnapshot};
pub use image::{
    Access, Child, CopyKind, Extent, Image, ImageRef, ImageSpec, LockMode, Locker, Locks, MOST_ANCESTORS, MirrorMode,
    MirrorState, Mirroring, Pending, Stat, Watcher,
};
pub use ioctx::IoContext;
pub use omap::{Entry, OmapChange, OmapPage, OmapRange, omap_values};
pub use pool_stats::{ImageTotals, PoolTotals};
pub use progress::{Progress, ignore_progress};
pub use rbd_format::{ImageSize, Unbounded, Unopenable};
pub use snapshot::SnapshotInfo;
pub use trash::TrashItem;
