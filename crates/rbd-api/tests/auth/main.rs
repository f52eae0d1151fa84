//! Who may do what: against a real Ceph, and a real Kubernetes API server where that is asked.

mod audit;
mod kubernetes;
mod start;
mod support;
mod tls;
mod tokens;
