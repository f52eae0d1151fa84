//! What a real nginx does with a frame and its table, compared with what the routes say.

#![allow(clippy::unwrap_used, reason = "tests")]

mod access_log;
mod backend_tls;
mod balancing;
mod basic_auth;
mod branches;
mod buffers;
mod carried;
mod client_certificates;
mod client_tls;
mod cors;
mod error_pages;
mod external_auth;
mod forwarded_headers;
mod headers;
mod hosts;
mod http2;
mod limits;
mod mirror;
mod neighbours;
mod path_cases;
mod paths;
mod patterns;
mod persistent_sessions;
mod proxying;
mod retries;
mod settings;
mod source_ranges;
mod streams;
mod support;
mod table;
mod template;
mod texts;
mod tls_passthrough;
mod x_accel_headers;
