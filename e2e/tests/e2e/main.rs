//! Both services in a real cluster, from outside of it.

mod chain;
