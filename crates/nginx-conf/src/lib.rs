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
mod backend_protocols;
mod balancing_key;
mod balancing_name;
mod brotli;
mod buffering;
mod client_filter;
mod client_headers;
mod context;
mod control_server;
mod endpoint_choice;
mod error_output;
mod error_page;
mod forwarded_headers;
mod frame;
mod frame_needs;
mod gzip;
mod header;
mod host_tls;
mod http;
mod kept_connections;
#[cfg(any(test, feature = "lexer"))]
pub mod lexer;
mod listen;
mod location_headers;
mod log_format;
mod policy;
mod policy_class;
#[cfg(test)]
mod properties;
mod proxy_module;
mod render;
mod revision;
mod server_name;
mod settings;
#[cfg(any(test, feature = "lexer"))]
pub mod shape;
mod shared_headers;
mod splice;
mod stream;
mod template;
mod template_culprits;
mod template_rule;
mod tls;
mod token;
mod upstream;
mod upstream_name;
mod value_template;
mod version;
mod writer;
mod x_accel_headers;

pub use brotli::Brotli;
pub use buffering::Buffering;
pub use client_filter::{ClientFilter, TextPattern};
pub use client_headers::CLIENT_HEADERS;
pub use error_output::{object_of_error, reason_of_error, unbound_ports};
pub use frame::unwritten_note;
pub use frame_needs::{FrameNeeds, SeenRules};
pub use gzip::{Gzip, is_media_type};
pub use host_tls::HostTls;
pub use kept_connections::KeptConnections;
pub use log_format::{LogEscape, LogField, LogFormat};
pub use policy_class::PolicyClass;
pub use render::render;
pub use revision::{LineOrigin, RenderNote, Revision};
pub use settings::{ClientLimits, LimitStatuses, MODULE, Settings, SettingsError, Timeouts};
pub use shared_headers::{HeaderName, Hsts, SharedHeaders};
pub use template::{TemplateError, render_template};
pub use tls::{TlsSettings, TlsVersions};
pub use upstream::unreachable_notes;
pub use value_template::{TemplateFault, ValueTemplate};
pub use version::{Modules, ParseVersionError, Version};
