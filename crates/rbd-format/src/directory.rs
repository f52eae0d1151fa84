//! `rbd_directory`, which maps image names to ids and back, `rbd_id.<name>`, which holds the id of one image, and
//! `rbd_namespace`, which lists a pool's namespaces.
//!
//! Source: `dir_add_image`, `dir_state_set`, `set_id`, `namespace_add` in Ceph's `src/cls/rbd/cls_rbd.cc`.

use crate::Name;
use crate::decode::{Cursor, DecodeError, Result};
use crate::id::id;

/// The object with one pair of entries per image, in each namespace of a pool.
pub const DIRECTORY_OBJECT: &str = "rbd_directory";
/// The object with one key per namespace, in a pool's default namespace.
pub const NAMESPACE_OBJECT: &str = "rbd_namespace";
/// What the keys of [`DirectoryEntry::Name`] begin with. Asking RADOS for this prefix alone halves a listing.
pub const NAME_PREFIX: &str = "name_";
/// What the keys of [`DirectoryEntry::Id`] begin with.
pub const ID_PREFIX: &str = "id_";

/// What the name of the object begins with that holds the id of the image of a name.
pub const ID_OBJECT_PREFIX: &str = "rbd_id.";

/// One omap entry of `rbd_directory`. Each image has one of each kind, unless its creation or removal was interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryEntry {
    /// Key `name_<name>`.
    Name {
        /// The image's name.
        name: Name,
        /// The image's id, as in `rbd_header.<id>`.
        id: String,
    },
    /// Key `id_<id>`.
    Id {
        /// The image's id.
        id: String,
        /// The image's name.
        name: Name,
    },
    /// Key `state`: whether images may be added, which ends when the namespace is about to be removed.
    State {
        /// False when adding images is rejected.
        ready: bool,
    },
}

impl DirectoryEntry {
    /// Decodes one entry; `None` when the key is of no known kind.
    ///
    /// # Errors
    /// When the value is damaged, or is no id; the error names the key, and other entries are not affected.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Option<Self>, DecodeError> {
        decode_entry(key, value).map_err(|error| error.at_key(key))
    }
}

fn decode_entry(key: &[u8], value: &[u8]) -> Result<Option<DirectoryEntry>> {
    let mut value = Cursor::new(value);
    Ok(Some(if let Some(name) = key.strip_prefix(NAME_PREFIX.as_bytes()) {
        DirectoryEntry::Name { name: Name::from(name), id: value.id("id")? }
    } else if let Some(key_id) = key.strip_prefix(ID_PREFIX.as_bytes()) {
        DirectoryEntry::Id { id: id(key_id, "id")?, name: value.name("name")? }
    } else if key == b"state" {
        DirectoryEntry::State { ready: value.u8("directory state")? == 0 }
    } else {
        return Ok(None);
    }))
}

/// The namespace named by a key of `rbd_namespace`, whose values are empty; `None` when the key is of no known kind.
pub fn namespace_from_key(key: &[u8]) -> Option<Name> {
    key.strip_prefix(NAME_PREFIX.as_bytes()).map(Name::from)
}

/// The name of the object that holds the id of the image with this name, in its data rather than its omap.
pub fn id_object(name: &Name) -> Vec<u8> {
    [ID_OBJECT_PREFIX.as_bytes(), name.as_bytes()].concat()
}

/// The image id in the data of `rbd_id.<name>`.
///
/// # Errors
/// When the data is damaged.
pub fn decode_id_object(data: &[u8]) -> Result<String, DecodeError> {
    Cursor::new(data).id("image id")
}
