//! The API against a real Ceph: one file per resource. Tests share one cluster and one service, and keep to pools and
//! images of their own.

#![allow(clippy::unwrap_used, reason = "these are tests, also where clippy sees only their helpers")]

mod bounds;
mod cluster;
mod damaged_entries;
mod data;
mod docs;
mod foreign_pools;
mod format_1;
mod groups;
mod image_clients;
mod image_lineage;
mod image_operations;
mod image_settings;
mod image_usage;
mod images;
mod kubernetes;
mod limits;
mod mirroring;
mod missing_pools;
mod namespaces;
mod not_utf_8;
mod obstacles;
mod open_images;
mod operations;
mod pools;
mod requests;
mod snapshot_purge;
mod snapshots;
mod support;
mod trash;
mod trash_purge;
mod unopenable;
