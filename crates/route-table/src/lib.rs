//! Routes in shared memory, from which nginx routes without a reload.
//!
//! ```text
//! Routes ─Planner─► Changes ─bytes, checksum─► Changes ─TableWriter─► memory ◄─Table─ a worker of nginx
//!        generator            volume                    supervisor           mapped read-only
//! ```
//!
//! The memory holds immutable blobs, each with a checksum: what is known of a host, the rules of a path of it, a
//! backend, a certificate with its key. They
//! are found by a trie over a keyed hash of their keys. A publication writes new blobs and the few nodes on the way to them, then
//! the root by one store of eight bytes. So whoever reads has all of one table or all of the next, however much changed,
//! and it costs what changed.
//!
//! What was replaced is written over only [`REUSE_AFTER`] publications later. A look-up during which so many went by starts over.
//!
//! Neither side trusts the memory or the records: whatever is in them, nothing panics, loops or reads beyond. What is damaged
//! is an error for those routes only that lead through it.

mod allocator;
mod backend;
mod blob;
mod bytes;
mod cache;
mod carried_host;
mod certificate;
mod changes;
mod counts;
mod counts_sweep;
mod fault;
mod find;
mod find_certificate;
mod host_entry;
mod key;
mod key_hash;
mod layout;
mod match_work;
mod not_carried;
mod origin_name;
mod path_rules;
mod pattern_order;
mod planner;
mod request;
mod root;
mod route_totals;
mod space;
mod table;
mod trie;
mod word;
mod writer;

pub use backend::{Backend, Endpoint};
pub use carried_host::Classifier;
pub use certificate::Certificate;
pub use changes::{Change, Changes, RecordError};
pub use counts::{CountsError, MOST_COUNTED_ROUTES, RouteCounts};
pub use counts_sweep::{CountedRoutes, CountsSweep};
pub use fault::Fault;
pub use find::{Found, Route, Step};
pub use find_certificate::Handshake;
pub use host_entry::TlsClass;
pub use key::Path;
pub use key_hash::KeyHasher;
pub use layout::{LEAST_WORDS, REUSE_AFTER, VERSION};
pub use match_work::may_run;
pub use not_carried::{NotCarried, NotCarriedReason};
pub use path_rules::{Action, Class, Conditions, EndpointChoice, PathRules, Rule, Share, Target};
pub use planner::Planner;
pub use request::{Headers, NoHeaders, Request};
pub use root::Revision;
pub use route_totals::{BUCKET_MS, BUCKETS, CountedRequest, RouteTotals, STATUS_CLASSES};
pub use table::{OpenError, Table, TableContents};
pub use writer::{ChangeCounts, CreateError, TableWriter, Usage, WriteError};
