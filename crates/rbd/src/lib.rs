//! What is done with RBD in a Ceph cluster: pools, images, snapshots, groups, trash, and long work on them.
//!
//! Nothing here knows HTTP. Errors are [`fault`]s that say what happened, why, and what to do.

pub mod check;
pub mod children;
pub mod encryption;
pub mod fault;
pub mod format_1;
pub mod group;
pub mod image;
pub mod layout;
pub mod link;
pub mod listing;
pub mod mirroring;
pub mod monitor;
pub mod names;
pub mod namespaces;
pub mod operations;
pub mod pool;
pub mod pool_clients;
pub mod pool_use;
pub mod pool_users;
pub mod problem_document;
pub mod totals;
pub mod trash;
pub mod turn;
pub mod unread;
pub mod why;
pub mod workers;
