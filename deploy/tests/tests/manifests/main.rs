//! Manifests and chart, on a real API server.
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, but not in their helpers")]

mod chart;
mod content;
mod overlays;
