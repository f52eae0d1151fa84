//! Who uses an image: parent, children, watchers, locks, space.

use crate::endpoint::Endpoint;

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    Vec::new()
}
