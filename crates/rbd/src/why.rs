//! Why an image cannot be changed as it is: asked of Ceph, not guessed from an errno.
//!
//! The same errno means many things: `EBUSY` is a client, a migration or a clone; `EROFS` is a lock or the other end of
//! mirroring; `ENOENT` is the image, its parent or their pools. What is known of an image before a call is [`standing()`]
//! (its header alone) and [`before`] (its clients too); what a failed call meant is [`explain`].

mod ask;
mod standing;

pub use ask::{before, clients, explain, named, obstacle, ready_for};
pub use standing::{migration_state, standing};
