//! The API of the storage service: its endpoints with what they take and answer, and its description.
//!
//! Nothing here needs librados, so that the description in `openapi/` is made and checked anywhere.
//!
//! ```text
//! endpoints/*  ──► Endpoint<Path, Query, Body, Answer> ──► openapi
//!                              │
//!                              └──► bound to a handler of these types by whoever serves it
//! ```

pub mod answer;
pub mod body;
pub mod duration;
pub mod endpoint;
pub mod endpoints;
pub mod input;
pub mod list;
pub mod media;
pub mod names;
pub mod openapi;
pub mod path;
pub mod problem;
pub mod query;
pub mod role;
pub mod schema;
