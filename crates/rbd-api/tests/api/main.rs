//! The API against a real Ceph: one file per resource. Tests share one cluster and one service, and keep to pools and
//! images of their own.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod cluster;
mod data;
mod groups;
mod image_settings;
mod image_use;
mod image_work;
mod images;
mod kubernetes;
mod namespaces;
mod operations;
mod pools;
mod snapshots;
mod support;
mod trash;
