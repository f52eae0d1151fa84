//! Why an image cannot be changed as it is: asked of Ceph, not guessed from an errno.
//!
//! The same errno means many things: `EBUSY` is a client, a migration or a clone; `EROFS` is a lock or the other end of
//! mirroring; `ENOENT` is the image, its parent or their pools. What is known of an image before a call is [`header_obstacles`]
//! (its header alone) and [`check_act`] (its clients too); what a failed call meant is [`explain_error`].

mod header;
mod query;

pub use header::{header_obstacles, migration_state};
pub use query::{check_act, check_ready, client_obstacle, explain_error, find_obstacle, with_group_name};
