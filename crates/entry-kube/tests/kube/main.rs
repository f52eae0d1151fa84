//! Against a real API server.

#![allow(clippy::unwrap_used, reason = "these are tests, also where clippy sees only their helpers")]

mod config_maps;
mod lease;
mod rights;
mod source;
mod status;
mod support;
