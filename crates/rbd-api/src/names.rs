//! Names in paths and queries.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::Place;

/// The path of a place below `/api/v1`.
pub fn place_path(place: &Place) -> String {
    let pool = encode_segment(&place.pool);
    if place.namespace.is_empty() {
        format!("/pools/{pool}")
    } else {
        format!("/pools/{pool}/namespaces/{}", encode_segment(&place.namespace))
    }
}

/// The bytes that a segment of a path may hold as they are (RFC 3986, section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name as one segment of a path.
pub fn encode_segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// Whether percent-encoded text stands for UTF-8. In a name of Ceph's any bytes can be, but paths and queries of this API
/// hold text.
///
/// # Errors
/// `bad-request`.
pub fn check_utf8(encoded: &str, what: &str) -> Result<(), Fault> {
    match percent_decode_str(encoded).decode_utf8() {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::new(Kind::BadRequest, format!("The {what} holds bytes that are not UTF-8."))
            .cause("Names that are not UTF-8 have a slash before them and `\\xNN` for such a byte in lists.")
            .correction(
                "Rename it to a name of UTF-8 with Ceph's own tools, such as `rbd rename`, and use that name.",
            )),
    }
}
