//! What is done with RBD in a Ceph cluster: pools, images, snapshots, groups, trash, and long work on them.
//!
//! Nothing here knows HTTP. Errors are [faults](rbd_model::fault::Fault) that say what happened, why, and what to do.

pub mod ancestors;
pub mod ceph_link;
pub mod check;
pub mod children;
pub mod clients;
pub mod directory;
pub mod encryption;
pub mod format_1;
pub mod found_image;
pub mod group;
pub mod group_names;
pub mod header;
pub mod image;
pub mod image_mutex;
pub mod image_names;
pub mod layout;
pub mod listing;
pub mod many_pools;
pub mod mirroring;
pub mod monitor;
pub mod namespaces;
pub mod obstacles;
pub mod operations;
pub mod pool;
pub mod pool_applications;
pub mod pool_clients;
pub mod pool_users;
pub mod totals;
pub mod trash;
pub mod trash_directory;
pub mod unread;
pub mod workers;
