//! Both services in a real cluster, from outside of it.

mod chain;
mod exposure;
mod original;
mod placement;
mod rights;
mod rollouts;
mod transfer;
