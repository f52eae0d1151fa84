//! `sparrow-entry`: nginx as the way into a cluster, its configuration made from the cluster's objects and kept true.
//!
//! ```text
//! source ──Snapshot──► pipeline: build, render, offer ──► volume ──► supervisor ──► nginx
//!                          ▲                                │
//!                          └────────── outcome ◄────────────┘
//! ```
//!
//! The rooms: `entry-kube` reads objects, `entry-routes` makes routes and verdicts of them, `nginx-conf` writes them as a
//! configuration, `nginx-process` puts it in force. Here are the flags, the loop, and what is told outside.

pub mod admin;
pub mod bounds;
pub mod commands;
pub mod metrics;
mod newer;
pub mod pipeline;
pub mod record;
pub mod settings;
pub mod source;
