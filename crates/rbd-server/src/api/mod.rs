//! The endpoints, one file per resource.

mod cluster;
mod data;
mod groups;
mod image_new;
mod image_settings;
mod image_use;
mod image_work;
mod images;
mod kubernetes;
mod layout_fields;
mod namespaces;
mod operations;
mod pools;
mod snapshot_purge;
mod snapshots;
mod trash;
mod trash_schedule;

use crate::endpoint::Endpoint;

/// All endpoints of `/api/v1`, in the order of the reference.
pub fn endpoints() -> Vec<Endpoint> {
    [
        cluster::endpoints(),
        pools::endpoints(),
        namespaces::endpoints(),
        images::endpoints(),
        image_new::endpoints(),
        image_settings::endpoints(),
        image_use::endpoints(),
        image_work::endpoints(),
        data::endpoints(),
        snapshots::endpoints(),
        snapshot_purge::endpoints(),
        groups::endpoints(),
        trash::endpoints(),
        trash_schedule::endpoints(),
        operations::endpoints(),
        kubernetes::endpoints(),
    ]
    .concat()
}
