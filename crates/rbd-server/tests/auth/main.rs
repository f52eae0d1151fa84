//! Who may do what: against a real Ceph, and a real Kubernetes API server where that is asked.

#![allow(clippy::unwrap_used, reason = "these are tests, also where clippy sees only their helpers")]

mod audit;
mod browsers;
mod kubernetes;
mod start;
mod support;
mod tls;
mod tokens;
