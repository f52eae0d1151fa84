//! The handlers, one file per resource as in [`rbd_api::endpoints`].

mod cluster;
mod data;
mod groups;
mod image_clients;
mod image_creation;
mod image_lineage;
mod image_operations;
mod image_settings;
mod image_usage;
mod images;
mod kubernetes;
mod namespaces;
mod operations;
mod pools;
mod snapshot_purge;
mod snapshots;
mod trash;
mod trash_schedule;

use crate::bind::BoundEndpoint;

/// All endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    [
        cluster::endpoints(),
        pools::endpoints(),
        namespaces::endpoints(),
        images::endpoints(),
        image_creation::endpoints(),
        image_settings::endpoints(),
        image_lineage::endpoints(),
        image_clients::endpoints(),
        image_usage::endpoints(),
        image_operations::endpoints(),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_declared_endpoint_has_one_handler() {
        let bound: Vec<String> = super::endpoints().into_iter().map(|bound| bound.declaration.id).collect();
        let declared: Vec<String> =
            rbd_api::endpoints::declarations().into_iter().map(|declaration| declaration.id).collect();
        assert_eq!(bound.iter().collect::<BTreeSet<_>>(), declared.iter().collect::<BTreeSet<_>>());
        assert_eq!(bound.len(), declared.len(), "one is bound twice");
    }
}
