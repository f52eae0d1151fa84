//! Ids of images and groups.
//!
//! An id becomes part of the names of objects, and librbd ends the process of who gives it an empty one. So bytes that are no id
//! are an error where they are decoded, and nothing else has to look at them.

use crate::decode::{DecodeError, Result};

/// Whether bytes can be the id of an image or a group: ASCII letters and digits, at least one. Ceph's own class takes no others
/// (`is_valid_id` in `src/cls/rbd/cls_rbd.cc`).
pub fn is_id(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_alphanumeric)
}

/// The id that bytes are.
pub(crate) fn id(bytes: &[u8], what: &'static str) -> Result<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) if is_id(bytes) => Ok(text.to_owned()),
        _ if bytes.is_empty() => Err(DecodeError::Invalid { what, reason: "is empty" }),
        _ => Err(DecodeError::Invalid { what, reason: "holds other bytes than ASCII letters and digits" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_with_bytes_that_are_no_id_are_errors() {
        use crate::{DirectoryEntry, GroupEntry, TrashEntry};
        for id in [&b""[..], b"a\0b", b"a/b"] {
            let value = [&u32::try_from(id.len()).unwrap().to_le_bytes()[..], id].concat();
            assert!(DirectoryEntry::decode(b"name_a", &value).is_err(), "{id:?}");
            let key = [b"id_", id].concat();
            assert!(DirectoryEntry::decode(&key, b"\x01\0\0\0a").is_err(), "{id:?}");
            assert!(TrashEntry::decode(&key, &[2, 1, 22, 0, 0, 0, 0, 0, 0, 0, 0]).is_err(), "{id:?}");
            assert!(GroupEntry::decode(&[b"image_0000000000000001_", id].concat(), b"\0").is_err(), "{id:?}");
        }
    }

    #[test]
    fn id_is_letters_and_digits() {
        for text in ["1", "10226b8b4567", "5e3f6b8b4567Z"] {
            assert_eq!(id(text.as_bytes(), "id"), Ok(text.to_owned()));
        }
        for bytes in [&b""[..], b"a\0b", b"a/b", b"../a", b"a b", b"a.b", b"a\n", "\u{e4}".as_bytes(), b"\xff"] {
            assert!(id(bytes, "id").is_err() && !is_id(bytes), "{bytes:?}");
        }
    }
}
