//! With real nginx, the oldest and the newest that are supported.

mod bench;
mod supervisor;
