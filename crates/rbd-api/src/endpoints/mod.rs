//! The endpoints, one file per resource.

/// Defines endpoints, and the list of them.
macro_rules! endpoints {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $value:expr;)*) => {
        $(
            $(#[$doc])*
            pub const $name: $type = $value;
        )*

        /// What is declared here.
        pub fn declarations() -> Vec<crate::endpoint::Declaration> {
            vec![$($name.declaration(),)*]
        }
    };
}

mod layout_fields;

pub mod cluster;
pub mod data;
pub mod groups;
pub mod image_clients;
pub mod image_creation;
pub mod image_lineage;
pub mod image_operations;
pub mod image_settings;
pub mod image_usage;
pub mod images;
pub mod kubernetes;
pub mod namespaces;
pub mod operations;
pub mod pools;
pub mod snapshot_purge;
pub mod snapshots;
pub mod trash;
pub mod trash_schedule;

use crate::endpoint::Declaration;

/// All endpoints of `/api/v1`, in the order of the reference.
pub fn declarations() -> Vec<Declaration> {
    [
        cluster::declarations(),
        pools::declarations(),
        namespaces::declarations(),
        images::declarations(),
        image_creation::declarations(),
        image_settings::declarations(),
        image_lineage::declarations(),
        image_clients::declarations(),
        image_usage::declarations(),
        image_operations::declarations(),
        data::declarations(),
        snapshots::declarations(),
        snapshot_purge::declarations(),
        groups::declarations(),
        trash::declarations(),
        trash_schedule::declarations(),
        operations::declarations(),
        kubernetes::declarations(),
    ]
    .concat()
}

/// All endpoints, with `{scope}` resolved.
pub fn all() -> Vec<Declaration> {
    declarations().into_iter().flat_map(Declaration::scoped).collect()
}
