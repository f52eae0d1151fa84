//! The API against a real Ceph: one file per resource. Tests share one cluster and one service, and keep to pools and
//! images of their own.

mod images;
mod pools;
mod support;
