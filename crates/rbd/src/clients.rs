//! The clients of an open image.

use ceph::{Image, LockMode};
use rbd_model::clients::{Lock, Watcher};
use rbd_model::fault::Fault;

/// The clients that have an open image open for writing.
///
/// # Errors
/// What librbd gives.
pub fn watchers(image: &Image) -> Result<Vec<Watcher>, Fault> {
    let own = image.io_context().cluster().instance_id();
    Ok(image
        .watchers()?
        .into_iter()
        .map(|watcher| Watcher {
            client: format!("client.{}", watcher.client_id),
            address: watcher.address,
            cookie: watcher.cookie,
            this_service: u64::try_from(watcher.client_id) == Ok(own),
        })
        .collect())
}

/// Who holds the lock of an open image.
///
/// # Errors
/// What librbd gives.
pub fn locks(image: &Image) -> Result<Vec<Lock>, Fault> {
    let own = format!("client.{}", image.io_context().cluster().instance_id());
    let locks = image.locks()?;
    let mode = match locks.mode {
        LockMode::Exclusive => "exclusive",
        LockMode::Shared => "shared",
    };
    Ok(locks
        .lockers
        .into_iter()
        .map(|locker| Lock {
            this_service: locker.client == own,
            client: locker.client,
            cookie: locker.cookie,
            address: locker.address,
            mode,
            tag: locks.tag.clone(),
        })
        .collect())
}
