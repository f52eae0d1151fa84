//! Groups of images and their snapshots.

use crate::endpoint::Endpoint;

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    Vec::new()
}
