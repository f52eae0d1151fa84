//! Long work: begun by a request, run by one replica, known to all.
//!
//! A record in RADOS says what is to be done, by whom, and how far it is (`store`). The replica that took the request
//! runs it (`run`) and counts up the record's `beat`. A replica that sees a beat stand still for a [`HEARTBEAT_LEASE`] takes the
//! operation over: it resumes it, or says that it was interrupted, or that too many replicas have died of it. A replica that ends hands over what librbd lets
//! it stop. Every change is guarded by what was read, so of two replicas only one succeeds.

mod begin;
mod drive;
mod query;
pub mod record;
mod replica;
mod run;
pub mod schedule;
mod schedules;
mod signals;
pub mod snapshot_purge;
mod store;
mod sweep;
mod trash_purge;

pub use self::begin::{OperationRequest, RequestOperation};
pub use self::query::mark_being_filled;
pub use self::replica::{DescribeFault, HEARTBEAT_LEASE, OperationCounts, Operations};
pub use self::schedules::forget_namespace;
pub use self::store::NAMESPACE as RADOS_NAMESPACE;
