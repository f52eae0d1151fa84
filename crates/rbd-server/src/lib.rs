//! `sparrow-rbd`: the API of [`rbd_api`] served over HTTP, on what [`rbd`] does.
//!
//! ```text
//! HTTP ─► server ─► auth ─► bind (path, query, body) ─► api (a handler) ─► rbd (in a worker, with a deadline) ─► cluster
//! ```
//!
//! [`auth`] knows who calls and what they may, [`audit`] writes down what they did; [`bind`] gives each handler what its
//! endpoint declares, and answers what the handler returns.

pub mod activity;
pub mod api;
pub mod app;
pub mod audit;
pub mod auth;
pub mod bind;
pub mod call;
pub mod docs;
pub mod head;
pub mod hosts;
pub mod hyper_answers;
pub mod metrics;
pub mod reload;
pub mod server;
pub mod settings;
pub mod stall;
pub mod streams;
pub mod tls;
