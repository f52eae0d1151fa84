//! nginx as a child process: how a revision of its configuration reaches it, and what becomes of it.
//!
//! - [`Volume`]: the directory in which a generator offers revisions, publishes tables for them, and reads what became of both.
//! - [`Control`]: asks nginx's workers which revision they serve, and what they count.
//! - [`RouteCounter`]: what they count by route, in memory of the supervisor.
//! - [`Supervisor`]: owns nginx. Tests what is offered, swaps it in, reloads, confirms that new connections are answered by
//!   it, and goes back to the last good one if they are not.
//!
//! What a configuration must have for this: a server on the unix socket [`SupervisorSettings::control`] that answers
//! `GET /generation` with the hash and, if it has a route table, `GET /table` with `$pid $sparrow_table_revision
//! $sparrow_table_fault`, no `daemon` directive (it is given on the command line), and `error_log stderr`, so that
//! the reason of a failed reload is known at once.

mod child;
mod control;
mod error;
mod memory_link;
mod priority;
mod proc;
mod random_key;
mod reaper;
mod route_counter;
mod settings;
mod supervisor;
mod unloadable_module;
mod volume;
mod watch;

pub use child::nginx_version;
pub use control::{ConnectionCounts, Control, WorkerTable};
pub use error::{Error, Result};
pub use priority::yield_to_nginx;
pub use route_counter::RouteCounter;
pub use settings::{SupervisorHandle, SupervisorSettings, SupervisorState, SupervisorStatus};
pub use supervisor::Supervisor;
pub use volume::{OfferEffect, OutcomeState, RevisionOutcome, Shortage, TableOutcome, TableRecords, Volume};
pub use watch::VolumeWatch;
