//! Routes become the files of an nginx configuration.
//!
//! ```text
//! Routes + Settings ──render──► Revision (files, their hash, which lines are whose)
//! ```
//!
//! Pure: no clock, no files, no network. This is the only place where nginx's words are written, and every value from
//! outside enters them through `token`, whose constructors quote it or refuse it. What cannot be written is left out
//! and named in [`Revision::notes`].

mod access_log;
mod blame;
mod client;
mod client_headers;
mod complaint;
mod error_page;
mod http;
mod inexpressible;
#[cfg(any(test, feature = "lexer"))]
pub mod lexer;
mod listen;
mod location;
mod location_kind;
#[cfg(test)]
mod properties;
mod proxy_target;
mod raw_path;
mod render;
mod revision;
mod server;
mod settings;
#[cfg(any(test, feature = "lexer"))]
pub mod shape;
mod splice;
mod steering;
mod template;
mod tls;
mod token;
mod upstream;
mod upstream_name;
mod version;
mod writer;

pub use client_headers::CLIENT_HEADERS;
pub use complaint::{origin_of, reason_of};
pub use render::render;
pub use revision::{Note, Origin, Revision};
pub use settings::{Settings, SettingsError, Timeouts};
pub use template::{TemplateError, render_template};
pub use version::{Modules, ParseVersionError, Version};
