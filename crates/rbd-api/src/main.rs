//! Ceph RBD over REST.
fn main() {}
