//! Real parts for tests, benches and the demo.
//!
//! - [`ceph`]: a real one-node Ceph on loopback, with faults on demand.
//! - [`clients`]: clients under whose load something is changed, and what they lose.
//! - [`cluster`]: a real Kubernetes cluster with nodes that run pods, and a Ceph beside it.
//! - [`daemon`]: the daemons of both, frozen, ended and started again.
//! - [`description`]: whether a service answers as its API description says.
//! - [`echo`]: a backend that answers with what it was asked.
//! - [`http`]: HTTP/1.1 as tests send it, byte for byte, and as they read it.
//! - [`kube`]: a real Kubernetes API server with its etcd, with faults on demand.
//! - [`nginx`]: the nginx binaries, and one that runs.
//! - [`pod`]: a backend that ends as a pod does.
//! - [`ports`]: the ports on which they listen.
//! - [`service`]: `sparrow-rbd` as a process of its own, and a client for it.

pub mod ceph;
pub mod clients;
pub mod cluster;
mod command;
pub mod daemon;
pub mod description;
pub mod echo;
pub mod http;
mod keeper;
pub mod kube;
pub mod nginx;
pub mod pod;
pub mod ports;
pub mod reference;
pub mod service;
