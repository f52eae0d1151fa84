//! Manifests and chart, on a real API server.

mod chart;
mod content;
mod overlays;
