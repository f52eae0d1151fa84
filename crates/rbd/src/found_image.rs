//! Finding the image that is asked for, and why it cannot be found.

use std::time::Instant;

use ceph::{Errno, IoContext};
use rbd_format::{ImageHeader, Snapshot as RawSnapshot, SnapshotNamespace};
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::Place;

use crate::directory::{self, place_of};
use crate::header::read_header;
use crate::{format_1, trash_directory};

/// An image that exists, as its header describes it.
#[derive(Debug, Clone)]
pub struct FoundImage {
    /// Its name.
    pub name: String,
    /// Its id, which stays through renames.
    pub id: String,
    /// What its header says.
    pub header: ImageHeader,
}

/// Finds an image by its name and reads its header: three RADOS reads, nothing is opened.
///
/// # Errors
/// `image-not-found`; `removing` for one whose removal was cut off; `damaged`.
pub fn find(io: &IoContext, name: &str, deadline: Instant) -> Result<FoundImage, Fault> {
    let Some(named) = directory::find(io, name, deadline)? else { return Err(missing_image(io, name, deadline)) };
    let named = named.into_sound()?;
    match read_header(io, &named.id, deadline)? {
        Some(header) => Ok(FoundImage { name: named.name, id: named.id, header }),
        None => Err(removal_fault(name)),
    }
}

/// Why there is no image of this name in the directory: it never was, or its removal was cut off.
fn missing_image(io: &IoContext, name: &str, deadline: Instant) -> Fault {
    match trash_directory::removing(io, name, deadline) {
        Ok(images) if images.iter().any(|image| image.name == name) => removal_fault(name),
        Ok(_) if format_1::exists(io, name, deadline).is_ok_and(|exists| exists) => format_1::not_supported(name),
        Ok(_) => image_not_found(&place_of(io), name),
        Err(fault) => fault,
    }
}

/// The image went while something was done with it.
pub fn image_gone(io: &IoContext, name: &str, deadline: Instant) -> Fault {
    find(io, name, deadline).err().unwrap_or_else(|| {
        Fault::new(Kind::Conflict, format!("Image {name:?} was removed, and another has its name now."))
            .correction("GET the image, and repeat the call if it is meant for that one.")
    })
}

/// There is no such image.
pub fn image_not_found(place: &Place, image: &str) -> Fault {
    let place = if place.namespace.is_empty() {
        format!("Pool {:?}", place.pool)
    } else {
        format!("Namespace {:?} of pool {:?}", place.namespace, place.pool)
    };
    Fault::new(Kind::ImageNotFound, format!("{place} has no image {image:?}."))
        .correction("GET the images of the pool; a deleted one may be in its trash.")
}

/// The image's removal was begun and not finished.
fn removal_fault(name: &str) -> Fault {
    Fault::new(Kind::Removing, format!("The removal of image {name:?} was begun and has not finished."))
        .correction("DELETE the image with ?permanent=true to finish it; then its name is free.")
        .errno(Errno::ENOENT)
}

/// There is no such snapshot.
pub fn snapshot_not_found(image: &str, snapshot: &str) -> Fault {
    Fault::new(Kind::SnapshotNotFound, format!("Image {image:?} has no snapshot {snapshot:?}."))
        .correction("GET the snapshots of the image.")
}

impl FoundImage {
    /// A snapshot by its name. One in the trash of snapshots has none that could be asked for.
    ///
    /// # Errors
    /// `snapshot-not-found`.
    pub fn snapshot(&self, name: &str) -> Result<&RawSnapshot, Fault> {
        self.header
            .snapshots
            .iter()
            .filter(|snapshot| !matches!(snapshot.namespace, SnapshotNamespace::Trash { .. }))
            .find(|snapshot| snapshot.name == name)
            .ok_or_else(|| snapshot_not_found(&self.name, name))
    }
}
