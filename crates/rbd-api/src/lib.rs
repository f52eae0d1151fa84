//! Ceph RBD over REST.
