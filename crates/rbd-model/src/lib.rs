//! The values that others see of RBD in a Ceph cluster: pools, images, snapshots, trash, operations, and what went wrong.
//!
//! They know neither librados nor HTTP: whoever shows, sends or reads them needs no more than this.

pub mod ceph_fault;
pub mod child;
pub mod clients;
pub mod encryption;
pub mod fault;
pub mod features;
pub mod image;
pub mod layout;
pub mod metadata;
pub mod mirroring;
pub mod names;
pub mod namespace;
pub mod obstacle;
pub mod operation;
pub mod pool;
pub mod problem_document;
pub mod snapshot;
pub mod time;
pub mod trash;
pub mod unread;
