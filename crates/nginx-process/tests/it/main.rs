//! With real nginx, the oldest and the newest that are supported.

#![allow(clippy::unwrap_used, reason = "these are tests, also where clippy sees only their helpers")]

mod again;
mod bench;
mod counts;
mod death;
mod load;
mod offers;
mod table_bench;
mod table_generator;
mod table_volume;
mod tables;
mod unloadable_module;
mod volume;
