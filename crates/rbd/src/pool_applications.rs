//! What pools are for, as their applications say. Read from the map that this client has: it asks nobody.

use ceph::{Cluster, IoContext};
use rbd_model::fault::{Fault, Kind};

/// The application that images belong to.
pub const RBD: &str = "rbd";

/// The applications of a pool, when it has some and rbd is not among them.
pub fn other_applications(io: &IoContext) -> Option<Vec<String>> {
    let applications = io.applications().unwrap_or_default();
    (!applications.is_empty() && !applications.iter().any(|name| name == RBD)).then_some(applications)
}

/// Whether a pool may hold images. One that nobody has said anything of may.
pub fn may_hold_images(io: &IoContext) -> bool {
    other_applications(io).is_none()
}

/// The pools that may hold images, in the map that this client has.
///
/// # Errors
/// What librados gives.
pub fn pools_with_images(cluster: &Cluster) -> Result<Vec<String>, Fault> {
    let mut pools = cluster.pools()?;
    // One that was deleted since holds none.
    pools.retain(|pool| cluster.io_context(pool, "").is_ok_and(|io| may_hold_images(&io)));
    pools.sort();
    Ok(pools)
}

/// Refuses to make anything of RBD in a pool that belongs to another application, `CephFS` or the object gateway.
///
/// # Errors
/// `foreign-pool` with the applications; what librados gives.
pub fn reject_foreign(io: &IoContext) -> Result<(), Fault> {
    if may_hold_images(io) {
        return Ok(());
    }
    // It may have been given to rbd a moment ago.
    io.cluster().refresh()?;
    match other_applications(io) {
        None => Ok(()),
        Some(applications) => Err(foreign_pool_fault(io.pool(), applications)),
    }
}

/// As [`reject_foreign`], for the pool that is to take the data of an image. One that does not exist is left to others to
/// reject.
///
/// # Errors
/// As [`reject_foreign`].
pub fn reject_foreign_data_pool(cluster: &Cluster, data_pool: Option<&str>) -> Result<(), Fault> {
    match data_pool.map(|pool| cluster.io_context(pool, "")) {
        Some(Ok(io)) => reject_foreign(&io),
        Some(Err(_)) | None => Ok(()),
    }
}

fn foreign_pool_fault(pool: &str, applications: Vec<String>) -> Fault {
    let list = applications.join(", ");
    Fault::new(Kind::ForeignPool, format!("Pool {pool:?} is for {list}, not for rbd: nothing is made in it."))
        .correction(format!(
            "Choose a pool that is for rbd, or PUT a new one. If this pool is to hold images beside what it holds: `ceph osd \
             pool application enable {pool} rbd --yes-i-really-mean-it`."
        ))
        .with("applications", applications)
}
