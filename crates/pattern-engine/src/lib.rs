//! Regular expressions of strangers: bounded, run in linear time, and written for nginx.
//!
//! ```text
//! text ─► BoundedPattern ─┬─► entry_model::Pattern, which the crate `regex-automata` runs
//!                         └─► PCRE that means the same, for nginx
//! ```
//!
//! Both are made of what the crate `regex-syntax` understands, byte by byte; no text of a stranger is ever handed on. There is no
//! look-around and no back-reference: no engine could run them in linear time. nginx's engine goes back and tries again, so
//! patterns with which that takes long are rejected as far as that can be told, and the rest is bounded where they are used.

mod bounds;
mod compiled;
mod engine;
mod linear;
mod pcre;

pub use bounds::{MAX_PATTERN_BYTES, PatternError};
pub use compiled::CompiledPatterns;
pub use engine::{BoundedPattern, compile};
