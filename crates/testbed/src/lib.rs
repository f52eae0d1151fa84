//! Real parts for tests, benches and the demo.
//!
//! - [`ceph`]: a real one-node Ceph on loopback, with faults on demand.

pub mod ceph;
mod command;
