//! sparrow-entry on a directory of manifests, with real nginx: the oldest that is supported, and the newest.

#![allow(clippy::unwrap_used, reason = "these are tests, also where clippy sees only their helpers")]

mod admin;
mod affinity;
mod basic_auth;
mod client_certificates;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod counts;
mod default_backend;
mod endpoints;
mod external_names;
mod faults;
mod follow;
mod full;
mod global_auth;
mod grpc;
mod keys;
mod own_directives;
mod refused;
mod rewrites;
mod secrecy;
mod settings;
mod snippets;
mod stream_services;
mod streams;
mod tenants;
mod tls;
mod tls_passthrough;
mod variables;
mod words;
