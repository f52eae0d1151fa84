//! The cluster.
