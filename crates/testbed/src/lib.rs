//! Real parts for tests, benches and the demo.
//!
//! - [`ceph`]: a real one-node Ceph on loopback, with faults on demand.
//! - [`cluster`]: a real Kubernetes cluster with nodes that run pods, and a Ceph beside it.
//! - [`description`]: whether a service answers as its API description says.
//! - [`kube`]: a real Kubernetes API server with its etcd, with faults on demand.
//! - [`nginx`]: the nginx binaries.
//! - [`service`]: `sparrow-rbd` as a process of its own, and a client for it.

pub mod ceph;
pub mod cluster;
mod command;
pub mod description;
mod keeper;
pub mod kube;
pub mod nginx;
pub mod service;
