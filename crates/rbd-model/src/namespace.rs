//! Namespaces of pools.

use schemars::JsonSchema;
use serde::Serialize;

/// Whether a namespace can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceState {
    /// It can.
    Ready,
    /// Its making or its removal was cut off: making or deleting it again finishes that.
    Incomplete,
    /// Its name is not one that a client of Ceph can use.
    Unusable,
    /// It could not be read.
    Unknown,
}
