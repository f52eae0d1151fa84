//! Images of format 1: they are listed and shown, and nothing else is done with them.
//!
//! Their names are in the data of `rbd_directory`, and no id; see [`rbd_format::format1`].

use std::time::Instant;

use ceph::{Errno, IoContext};
use rbd_format::directory::DIRECTORY_OBJECT;
use rbd_format::format1::{header_object, is_header};
use rbd_format::{Format1Header, Name, decode_format_1_directory, decode_format_1_header};
use rbd_model::fault::{Fault, Kind};
use rbd_model::image::{Image, ImageState, NamedImage};
use rbd_model::names::NonUtf8Name;
use rbd_model::snapshot::Snapshot;

use crate::directory::place_of;
use crate::encryption;

/// How much of the list, or of a header, is read: more than a hundred thousand snapshots take.
pub const MOST_BYTES: usize = 4 << 20;

/// The names in the data of `rbd_directory` that begin with a prefix, in their order.
pub fn names(io: &IoContext, directory: &[u8], prefix: &str) -> Vec<String> {
    let names = decode_format_1_directory(directory).unwrap_or_else(|error| {
        tracing::warn!(pool = io.pool(), %error, "the list of images of format 1 cannot be read");
        Vec::new()
    });
    let mut names: Vec<String> =
        names.iter().map(ToString::to_string).filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names
}

/// The names of the images of format 1.
///
/// # Errors
/// What reading gives; a list that is missing is an empty one.
pub fn all_names(io: &IoContext, prefix: &str, deadline: Instant) -> Result<Vec<String>, Fault> {
    match io.read_data(DIRECTORY_OBJECT, MOST_BYTES, Some(deadline)) {
        Ok(data) => Ok(names(io, &data, prefix)),
        Err(error) if error.is(Errno::ENOENT) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The data of the header of an image of format 1; nothing when there is no such image.
fn header(io: &IoContext, name: &str, deadline: Instant) -> Result<Option<Vec<u8>>, Fault> {
    match io.read_data(&header_object(name), MOST_BYTES, Some(deadline)) {
        Ok(data) if is_header(&data) => Ok(Some(data)),
        Ok(_) => Ok(None),
        Err(error) if error.is(Errno::ENOENT) => Ok(None),
        // No object can have a name as long as that would be.
        Err(error) if error.is(Errno::ENAMETOOLONG) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether there is an image of format 1 with this name.
///
/// # Errors
/// What reading gives.
pub fn exists(io: &IoContext, name: &str, deadline: Instant) -> Result<bool, Fault> {
    Ok(header(io, name, deadline)?.is_some())
}

/// The image of format 1 with this name as the API shows it.
///
/// # Errors
/// What reading gives.
pub fn find(io: &IoContext, name: &str, deadline: Instant) -> Result<Option<Image>, Fault> {
    let mut image = header(io, name, deadline)?.map(|data| decode_image(io, name, &data));
    encryption::read_encryption(io, image.as_mut_slice(), deadline);
    Ok(image)
}

fn decode_image(io: &IoContext, name: &str, data: &[u8]) -> Image {
    let named = NamedImage::new(&Name::from(name), String::new());
    match decode_format_1_header(data) {
        Ok(header) => image(io, named, &header),
        Err(error) => {
            let reason = format!("Its header is damaged: {error}.");
            Image { format: 1, ..Image::unreadable(place_of(io), named, ImageState::Damaged, &reason) }
        }
    }
}

fn image(io: &IoContext, named: NamedImage, header: &Format1Header) -> Image {
    let snapshots = header.snapshots.iter().map(|raw| Snapshot {
        name: raw.name.to_string(),
        name_base64: NonUtf8Name::of(&raw.name).map(|name| name.base64()),
        id: raw.id,
        size_bytes: raw.size_bytes,
        protected: false,
        kind: "user",
        clones: 0,
        created_at: None,
    });
    Image {
        format: 1,
        state_reason: None,
        size_bytes: Some(header.size_bytes),
        object_size_bytes: Some(header.object_size_bytes()),
        snapshots: snapshots.collect(),
        first_object: Some(format!("{}.{:012x}", header.object_prefix, 0)),
        ..Image::unreadable(place_of(io), named, ImageState::Ready, "")
    }
}

/// Images of format 1 are shown, and nothing else is done with them.
pub fn not_supported(name: &str) -> Fault {
    Fault::new(Kind::Conflict, format!("Image {name:?} is of format 1, which this service only shows."))
        .cause("Ceph has deprecated the format; it has no ids, locks, clones or trash.")
        .correction(
            "Make an image of format 2 of it, with `rbd cp` under another name, or with `rbd migration prepare`, `execute` and \
             `commit` under its own. `rbd rm` removes it.",
        )
        .with("format", 1)
}

/// The name of a new image is that of one of format 1.
pub fn name_taken(name: &str) -> Fault {
    let only = not_supported(name);
    let advice = only.advice().unwrap_or_default().to_owned();
    Fault::new(Kind::Exists, format!("There is an image {name:?} of format 1 already."))
        .correction(format!("Choose another name. {advice}"))
        .errno(Errno::EEXIST)
        .with("format", 1)
}
