//! Decoding of what librbd keeps in RADOS, and the `rbd diff` stream format.
//!
//! Listing images by opening each of them with librbd takes milliseconds apiece; reading the omap of `rbd_directory` and
//! of every `rbd_header.<id>` takes one RADOS read operation each, many of them at a time. This crate turns those bytes
//! into values. It does no input or output of its own.
//!
//! | object | module |
//! |---|---|
//! | `rbd_directory`, `rbd_id.<name>`, `rbd_namespace` | [`directory`] |
//! | `rbd_header.<image id>` | [`header`], with [`snapshot`] |
//! | `rbd_trash` | [`trash`] |
//! | `rbd_children` (clones of format 1) | [`children`] |
//! | `<name>.rbd`, the data of `rbd_directory` (images of format 1) | [`format1`] |
//! | `rbd_mirroring`, `journal.<image id>` | [`mirror`] |
//! | `rbd_group_directory`, `rbd_group_header.<group id>` | [`group`] |
//! | extended attribute `lock.rbd_lock` of the header | [`lock`] |
//! | the output of `rbd export-diff` | [`diff`] |
//!
//! Whoever can write to a pool chooses these bytes, so every input counts as hostile: reads are checked against what is
//! left, a length prefix is checked before anything is allocated for it, and nothing panics.
//!
//! The layouts are those of Ceph's `src/cls/rbd/cls_rbd.h`, `cls_rbd_types.cc` and `src/cls/lock/cls_lock_types.h`, the
//! primitives those of `src/include/encoding.h`. As in Ceph, a structure of a newer version is read as far as it is
//! known and the rest of it skipped, unless it says that it cannot be understood that way
//! ([`DecodeError::Unsupported`]).

pub mod bounds;
pub mod children;
mod decode;
pub mod diff;
pub mod directory;
pub mod format1;
pub mod group;
pub mod header;
mod id;
pub mod lock;
pub mod mirror;
mod name;
pub mod openable;
pub mod snapshot;
pub mod trash;

pub use bounds::{ImageSize, Unbounded};
pub use children::{ChildImage, ParentSnapshot};
pub use decode::{DecodeError, Timestamp};
pub use directory::DirectoryEntry;
pub use format1::{Format1Header, decode_format_1_directory, decode_format_1_header};
pub use group::GroupEntry;
pub use header::{HeaderBuilder, ImageHeader, Parent, decode_header};
pub use id::is_id;
pub use lock::LockInfo;
pub use mirror::{MirrorImage, MirrorMode, MirrorRole, MirrorState, decode_journal_tag};
pub use name::Name;
pub use openable::{Origin, Unopenable};
pub use snapshot::{Protection, Snapshot, SnapshotNamespace};
pub use trash::{TrashEntry, TrashSource, TrashState};
