//! Decoding of what librbd keeps in RADOS.
//!
//! Listing images by opening each of them with librbd costs milliseconds and a watch apiece; reading the omap of
//! `rbd_directory` and of every `rbd_header.<id>` costs one RADOS read operation each. This crate turns those bytes
//! into values. It does no input or output of its own.
//!
//! | object | module |
//! |---|---|
//! | `rbd_directory`, `rbd_namespace` | [`directory`] |
//! | `rbd_header.<image id>` | [`header`], with [`snapshot`] |
//! | `rbd_trash` | [`trash`] |
//! | `rbd_children` (clones of format 1) | [`children`] |
//!
//! Whoever can write to a pool chooses these bytes, so every input counts as hostile: reads are checked against what is
//! left, a length prefix is checked before anything is allocated for it, and nothing panics.
//!
//! The layouts are those of Ceph's `src/cls/rbd/cls_rbd.h`, `cls_rbd_types.cc` and `src/cls/lock/cls_lock_types.h`, the
//! primitives those of `src/include/encoding.h`. As in Ceph, a structure of a newer version is read as far as it is known and the rest of it skipped,
//! unless it says that it cannot be understood that way ([`DecodeError::Unsupported`]).

pub mod children;
mod decode;
pub mod directory;
pub mod header;
mod name;
pub mod snapshot;
pub mod trash;

pub use children::{ChildImage, ParentSnapshot};
pub use decode::{DecodeError, Timestamp};
pub use directory::DirectoryEntry;
pub use header::{HeaderBuilder, ImageHeader, Parent, decode_header};
pub use name::Name;
pub use snapshot::{Protection, Snapshot, SnapshotNamespace};
pub use trash::{TrashEntry, TrashSource, TrashState};
