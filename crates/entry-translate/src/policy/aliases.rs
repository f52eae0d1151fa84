//! What annotations say of further names of a host.

use entry_model::HostName;

/// Further names of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases {
    pub hosts: Vec<HostName>,
    /// The annotation that says so.
    pub annotation: &'static str,
}
