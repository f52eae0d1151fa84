//! What a real nginx does with the configuration, compared with what the routes say.

#![allow(clippy::unwrap_used, reason = "tests")]

mod client;
mod hosts;
mod http2;
mod log;
mod path_cases;
mod paths;
mod proxying;
mod steering;
mod support;
mod template;
