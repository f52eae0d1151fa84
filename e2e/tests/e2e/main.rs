//! Both services in a real cluster, from outside of it.

#![allow(clippy::unwrap_used, reason = "these are tests, also where clippy sees only their helpers")]

mod chain;
mod chart;
mod ends;
mod exposure;
mod migration;
mod original;
mod placement;
mod rights;
mod rollouts;
mod transfer;
