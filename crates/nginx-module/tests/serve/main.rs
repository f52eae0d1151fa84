//! What a real nginx does that has the module, compared with what the table's routes say.

#![allow(clippy::unwrap_used, reason = "tests")]

mod answers;
mod backends;
mod certificates;
mod changes;
mod client;
mod configuration;
mod counts;
mod endpoints;
mod faults;
mod fewest_requests;
mod held_backend;
mod http3;
mod kept_connections;
mod leaving_clients;
mod long_requests;
mod passwords;
#[path = "../../../entry/tests/serve/path_cases.rs"]
mod path_cases;
mod paths;
mod patterns;
mod protocols;
mod routing;
mod sessions;
mod soak;
mod support;
mod tls_client;
mod upgrade;
