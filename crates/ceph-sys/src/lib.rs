//! The C API of librados and librbd as it is, for the `ceph` crate alone.
//!
//! Generated from the headers of Ceph 16.2.15, the oldest release served, whose functions every later one still
//! exports. What came after it is looked up at run time by the `ceph` crate, so one binary runs on Ceph 16 to 20.
//! Checked in rather than generated in the build: a build then needs the two libraries and no libclang.
//! `generate` writes `bindings.rs` anew.

#![allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    unsafe_code,
    rustdoc::all
)]

mod bindings;
pub use bindings::*;

#[link(name = "rbd")]
unsafe extern "C" {}
#[link(name = "rados")]
unsafe extern "C" {}
