//! Ceph RBD over REST.
//!
//! ```text
//! HTTP ─► server ─► auth ─► api (a handler) ─► the crate `rbd`: workers (bounded, a deadline per call) ─► ceph ─► cluster
//! ```
//!
//! [`api`] has the list from which the router, the API description, authorization and metrics follow; [`auth`] knows who calls
//! and what they may, [`audit`] writes down what they did; [`problem`] is what errors look like. What is done with RBD, and why
//! something cannot be done, is in the crates `rbd` and `rbd-model`.

pub mod activity;
pub mod api;
pub mod app;
pub mod audit;
pub mod auth;
pub mod bare;
pub mod body;
pub mod call;
pub mod docs;
pub mod endpoint;
pub mod envelope;
pub mod head;
pub mod hosts;
pub mod metrics;
pub mod names;
pub mod openapi;
pub mod problem;
pub mod reload;
pub mod schema;
pub mod server;
pub mod settings;
pub mod stall;
pub mod streams;
pub mod tls;
