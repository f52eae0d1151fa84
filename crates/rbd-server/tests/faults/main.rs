//! Faults, each on a real Ceph: what the service answers while something is broken, how soon it is itself again, and what
//! is left behind.
//!
//! Tests that break a daemon have a cluster of their own; the others share one and keep to pools of their own.

#![allow(clippy::unwrap_used, reason = "these are tests, also where clippy sees only their helpers")]

mod keyring;
mod killed;
mod monitor;
mod namespace_rights;
mod osd;
mod quota;
mod replicas;
mod restart;
mod same_names;
mod streams;
mod stuck_pool;
mod support;
mod terminate;
mod trash_schedule;
