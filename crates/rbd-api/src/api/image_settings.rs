//! What an image is set to: name, features, metadata, `QoS`.

use crate::endpoint::Endpoint;

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    Vec::new()
}
