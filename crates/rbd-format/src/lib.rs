//! Decoding of what librbd keeps in RADOS.
