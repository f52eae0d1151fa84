//! How much a client may ask for.

use std::sync::Arc;

use crate::{AddressRange, ObjectRef};

/// How much a client may ask for, at each replica: a client is an address, and each object counts for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limits {
    /// How many requests in a second.
    pub requests_per_second: Option<RequestLimit>,
    /// How many requests in a minute.
    pub requests_per_minute: Option<RequestLimit>,
    /// How many requests at the same time.
    pub connections: Option<u32>,
    /// The object for which requests are counted, if that is not the one of the rule: those of a canary count for its main.
    pub counted_for: Option<ObjectRef>,
    /// Clients that are not counted.
    pub exempt: Arc<[AddressRange]>,
    /// What is answered when it is more: 503 where there is none.
    pub status: Option<u16>,
    /// How many bytes of each answer are sent in a second.
    pub bytes_per_second: Option<u64>,
    /// How many bytes of each answer are sent before.
    pub bytes_before: Option<u64>,
}

/// How many requests there may be in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestLimit {
    /// How many there may be in that time for ever.
    pub rate: u32,
    /// How many more there may be at once.
    pub burst: u32,
}

impl Limits {
    /// Whether requests of clients are counted.
    pub fn counts_clients(&self) -> bool {
        self.requests_per_second.is_some() || self.requests_per_minute.is_some() || self.connections.is_some()
    }
}
