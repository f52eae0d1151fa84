//! Connecting, with a diagnosis when it fails.

use ceph::Cluster;

/// Looks at the files and connects.
///
/// # Errors
/// What is wrong, and what to do, in words for the operator.
pub fn connect(settings: &ceph::Settings) -> Result<Cluster, String> {
    settings.configure().and_then(ceph::Unconnected::connect).map_err(|error| error.to_string())
}
