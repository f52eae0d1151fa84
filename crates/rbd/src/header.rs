//! The header of an image.

use std::time::Instant;

use ceph::{Errno, IoContext};
use rbd_format::header::header_object;
use rbd_format::{ImageHeader, decode_header};
use rbd_model::fault::Fault;

/// The header of an image; `None` when its object is missing.
///
/// # Errors
/// `damaged`, and what reading gives.
pub fn read_header(io: &IoContext, id: &str, deadline: Instant) -> Result<Option<ImageHeader>, Fault> {
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
