//! Namespaces of a pool.
