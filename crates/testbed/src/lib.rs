//! Real parts for tests, benches and the demo.
//!
//! - [`kube`]: a real Kubernetes API server with its etcd, with faults on demand.

mod keeper;
pub mod kube;
