//! A safe, synchronous layer over librados and librbd.
