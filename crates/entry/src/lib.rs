//! `sparrow-entry`: nginx as the way into a cluster, its configuration made from the cluster's objects and kept true.
//!
//! ```text
//! source ──Snapshot──► pipeline: build, render, offer ──► volume ──► supervisor ──► nginx
//!                          ▲                                │
//!                          └────────── outcome ◄────────────┘
//! ```
//!
//! The rooms: `entry-kube` reads objects, `entry-translate` makes routes and verdicts of them, `nginx-conf` writes them as a
//! configuration, `nginx-process` puts it in force. Here are the flags, the loop, and what is told outside.

pub mod admin;
pub mod admin_state;
mod closed_ports;
pub mod commands;
pub mod config_map;
pub mod external_names;
pub mod flags;
pub mod generator;
pub mod host_record;
pub mod metrics;
pub mod migration;
mod pending;
pub mod pipeline;
mod quarantine;
pub mod source;
pub mod table_plan;
