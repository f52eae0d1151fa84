//! What a real nginx does that routes by a table: all that one does whose configuration has a location for each rule. The tests are
//! those of that layout, and run on this one.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../../nginx-conf/tests/serve/access_log.rs"]
mod access_log;
#[path = "../../../nginx-conf/tests/serve/backend_tls.rs"]
mod backend_tls;
#[path = "../../../nginx-conf/tests/serve/balancing.rs"]
mod balancing;
#[path = "../../../nginx-conf/tests/serve/basic_auth.rs"]
mod basic_auth;
#[path = "../../../nginx-conf/tests/serve/branches.rs"]
mod branches;
#[path = "../../../nginx-conf/tests/serve/buffers.rs"]
mod buffers;
mod carried;
#[path = "../../../nginx-conf/tests/serve/client_certificates.rs"]
mod client_certificates;
#[path = "../../../nginx-conf/tests/serve/client_tls.rs"]
mod client_tls;
#[path = "../../../nginx-conf/tests/serve/cors.rs"]
mod cors;
#[path = "../../../nginx-conf/tests/serve/error_pages.rs"]
mod error_pages;
#[path = "../../../nginx-conf/tests/serve/external_auth.rs"]
mod external_auth;
#[path = "../../../nginx-conf/tests/serve/forwarded_headers.rs"]
mod forwarded_headers;
#[path = "../../../nginx-conf/tests/serve/headers.rs"]
mod headers;
#[path = "../../../nginx-conf/tests/serve/hosts.rs"]
mod hosts;
#[path = "../../../nginx-conf/tests/serve/http2.rs"]
mod http2;
mod layout;
#[path = "../../../nginx-conf/tests/serve/limits.rs"]
mod limits;
#[path = "../../../nginx-conf/tests/serve/mirror.rs"]
mod mirror;
#[path = "../../../nginx-conf/tests/serve/neighbours.rs"]
mod neighbours;
#[path = "../../../nginx-conf/tests/serve/path_cases.rs"]
mod path_cases;
#[path = "../../../nginx-conf/tests/serve/paths.rs"]
mod paths;
#[path = "../../../nginx-conf/tests/serve/patterns.rs"]
mod patterns;
#[path = "../../../nginx-conf/tests/serve/persistent_sessions.rs"]
mod persistent_sessions;
#[path = "../../../nginx-conf/tests/serve/proxying.rs"]
mod proxying;
#[path = "../../../nginx-conf/tests/serve/retries.rs"]
mod retries;
#[path = "../../../nginx-conf/tests/serve/settings.rs"]
mod settings;
#[path = "../../../nginx-conf/tests/serve/source_ranges.rs"]
mod source_ranges;
#[path = "../../../nginx-conf/tests/serve/streams.rs"]
mod streams;
#[path = "../../../nginx-conf/tests/serve/support.rs"]
mod support;
#[path = "../../../nginx-conf/tests/serve/texts.rs"]
mod texts;
#[path = "../../../nginx-conf/tests/serve/tls_passthrough.rs"]
mod tls_passthrough;
#[path = "../../../nginx-conf/tests/serve/x_accel_headers.rs"]
mod x_accel_headers;
