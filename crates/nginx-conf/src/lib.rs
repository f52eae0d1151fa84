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
mod branch;
mod candidates;
mod chosen;
mod client_headers;
mod condition;
mod error_output;
mod error_page;
mod forwarded_headers;
mod frame;
mod frame_needs;
mod http;
mod inexpressible;
#[cfg(any(test, feature = "lexer"))]
pub mod lexer;
mod listen;
mod location;
mod location_headers;
mod location_kind;
mod policy;
mod policy_class;
#[cfg(test)]
mod properties;
mod proxy_target;
mod raw_path;
mod redirect;
mod render;
mod revision;
mod rewritten_path;
mod server;
mod settings;
#[cfg(any(test, feature = "lexer"))]
pub mod shape;
mod share;
mod splice;
mod template;
mod template_culprits;
mod tls;
mod token;
mod upstream;
mod upstream_name;
mod version;
mod writer;
mod x_accel_headers;

pub use client_headers::CLIENT_HEADERS;
pub use error_output::{object_of_error, reason_of_error};
pub use frame_needs::FrameNeeds;
pub use policy_class::PolicyClass;
pub use render::{render, render_frame};
pub use revision::{LineOrigin, RenderNote, Revision};
pub use settings::{Settings, SettingsError, Timeouts};
pub use template::{TemplateError, render_template};
pub use upstream::unreachable_note;
pub use version::{Modules, ParseVersionError, Version};
