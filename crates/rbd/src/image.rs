//! The image that a request is about: finding it, opening it, and saying why it cannot be opened or changed.

use std::time::Instant;

use ceph::{Access, Errno, Image, ImageRef, IoContext, LockMode};
use rbd_format::header::header_object;
use rbd_format::{ImageHeader, Snapshot as RawSnapshot, SnapshotNamespace, decode_header};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::fault::{Fault as Problem, Kind};
use crate::format_1;
use crate::listing;
use crate::names::Place;
use crate::why::{self, Act};

/// An image that exists, as its header describes it.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its id, which stays through renames.
    pub id: String,
    /// What its header says.
    pub header: ImageHeader,
}

/// A client that has an image open for writing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Watcher {
    /// The client, such as `client.4123`: one connection to Ceph.
    pub client: String,
    /// Its address and nonce, such as `10.0.0.7:0/3936685195`.
    pub address: String,
    /// Tells apart what one client has open.
    pub cookie: u64,
    /// Whether it is this very service.
    pub this_service: bool,
}

/// One who holds the lock of an image.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lock {
    /// The client, such as `client.4123`: one connection to Ceph.
    pub client: String,
    /// The cookie it chose. One that begins with `auto ` is librbd's own exclusive lock.
    pub cookie: String,
    /// Its address and nonce, such as `10.0.0.7:0/3936685195`.
    pub address: String,
    /// `exclusive` or `shared`.
    pub mode: &'static str,
    /// What all holders of a shared lock agree on; `internal` for librbd's own.
    pub tag: String,
    /// Whether it is this very service.
    pub this_service: bool,
}

/// Finds an image by its name and reads its header: three RADOS reads, nothing is opened.
///
/// # Errors
/// `image-not-found`; `removing` for one whose removal was cut off; `damaged`.
pub fn find(io: &IoContext, name: &str, deadline: Instant) -> Result<Found, Problem> {
    let Some(named) = listing::find(io, name, deadline)? else { return Err(missing(io, name, deadline)) };
    let named = named.sound()?;
    match read_header(io, &named.id, deadline)? {
        Some(header) => Ok(Found { name: named.name, id: named.id, header }),
        None => Err(removing(name)),
    }
}

/// The header of an image; `None` when its object is missing.
///
/// # Errors
/// `damaged`, and what reading gives.
pub fn read_header(io: &IoContext, id: &str, deadline: Instant) -> Result<Option<ImageHeader>, Problem> {
    let object = header_object(id);
    let entries = match io.omap_all(&object, "", Some(deadline)) {
        Ok(entries) => entries,
        Err(error) if error.is(Errno::ENOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    decode_header(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice())))
        .map(Some)
        .map_err(|source| ceph::Error::Decode { subject: io.subject(&object), source }.into())
}

/// Why there is no image of this name in the directory: it never was, or its removal was cut off.
fn missing(io: &IoContext, name: &str, deadline: Instant) -> Problem {
    match listing::removing(io, name, deadline) {
        Ok(images) if images.iter().any(|image| image.name == name) => removing(name),
        Ok(_) if format_1::exists(io, name, deadline).is_ok_and(|exists| exists) => format_1::only_shown(name),
        Ok(_) => {
            let place = Place { pool: io.pool().to_owned(), namespace: io.namespace().to_owned() };
            image_not_found(&place, name)
        }
        Err(problem) => problem,
    }
}

/// The image went while something was done with it.
pub fn gone(io: &IoContext, name: &str, deadline: Instant) -> Problem {
    find(io, name, deadline).err().unwrap_or_else(|| {
        Problem::new(Kind::Conflict, format!("Image {name:?} was removed, and another has its name now."))
            .correction("GET the image, and repeat the call if it is meant for that one.")
    })
}

/// There is no such image.
pub fn image_not_found(place: &Place, image: &str) -> Problem {
    let place = if place.namespace.is_empty() {
        format!("Pool {:?}", place.pool)
    } else {
        format!("Namespace {:?} of pool {:?}", place.namespace, place.pool)
    };
    Problem::new(Kind::ImageNotFound, format!("{place} has no image {image:?}."))
        .correction("GET the images of the pool; a deleted one may be in its trash.")
}

/// The image's removal was begun and not finished.
fn removing(name: &str) -> Problem {
    Problem::new(Kind::Removing, format!("The removal of image {name:?} was begun and has not finished."))
        .correction("DELETE the image with ?permanent=true to finish it; then its name is free.")
        .errno(Errno::ENOENT)
}

/// There is no such snapshot.
pub fn snapshot_not_found(image: &str, snapshot: &str) -> Problem {
    Problem::new(Kind::SnapshotNotFound, format!("Image {image:?} has no snapshot {snapshot:?}."))
        .correction("GET the snapshots of the image.")
}

impl Found {
    /// Opens it, by its id. Only [`Access::ReadWrite`] adds a watcher, which keeps others from removing the image.
    ///
    /// # Errors
    /// `removing` or `image-not-found` when it went meanwhile, and as [`Found::explain`].
    pub fn open(&self, io: &IoContext, access: Access, deadline: Instant) -> Result<Image, Problem> {
        io.open_image(ImageRef::Id(&self.id), None, access).map_err(|error| self.explain(io, error, deadline))
    }

    /// Opens it, changes it, and closes it again, so that this service itself is not among those who stand in the way
    /// of what comes next. The inner result is that of the change; give what is not expected to [`Found::explain`].
    ///
    /// # Errors
    /// As [`Found::open`].
    pub fn change<T>(
        &self,
        io: &IoContext,
        deadline: Instant,
        change: impl FnOnce(&Image) -> ceph::Result<T>,
    ) -> Result<ceph::Result<T>, Problem> {
        let image = self.open(io, Access::ReadWrite, deadline)?;
        Ok(change(&image))
    }

    /// A snapshot by its name. One in the trash of snapshots has none that could be asked for.
    ///
    /// # Errors
    /// `snapshot-not-found`.
    pub fn snapshot(&self, name: &str) -> Result<&RawSnapshot, Problem> {
        self.header
            .snapshots
            .iter()
            .filter(|snapshot| !matches!(snapshot.namespace, SnapshotNamespace::Trash { .. }))
            .find(|snapshot| snapshot.name == name)
            .ok_or_else(|| snapshot_not_found(&self.name, name))
    }

    /// What an error from a call on this image means, see [`why::explain`].
    pub fn explain(&self, io: &IoContext, error: ceph::Error, deadline: Instant) -> Problem {
        why::explain(io, &self.name, &self.id, error, deadline)
    }

    /// Refuses an act that something stands in the way of, see [`why::before`].
    ///
    /// # Errors
    /// As there.
    pub fn ready_for(&self, io: &IoContext, act: Act, deadline: Instant) -> Result<(), Problem> {
        why::before(io, &self.name, &self.id, act, deadline)
    }
}

/// Things as a member of a problem document.
pub fn members<T: Serialize>(things: &[T]) -> Value {
    serde_json::to_value(things).unwrap_or_default()
}

/// The clients that have an open image open for writing.
///
/// # Errors
/// What librbd gives.
pub fn watchers(image: &Image) -> Result<Vec<Watcher>, Problem> {
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
pub fn locks(image: &Image) -> Result<Vec<Lock>, Problem> {
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
