//! sparrow-entry on a real API server, with the rights that are shipped.

#![allow(clippy::unwrap_used, reason = "these are tests, also where clippy sees only their helpers")]

mod chain;
#[path = "../common/mod.rs"]
mod common;
mod migrate;
mod replicas;
mod secrecy;
mod settings;
mod support;
mod tenants;
mod told;
