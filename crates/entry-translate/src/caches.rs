//! What earlier translations made, which spares later ones what did not change.

use std::collections::HashMap;
use std::sync::Arc;

use entry_model::{Object, Policy};

use crate::claim::Claims;
use crate::endpoints::EndpointFinder;
use crate::merge::HostMerger;

/// What earlier translations made, which spares later ones what did not change.
#[derive(Debug, Default)]
pub struct Caches {
    /// By the objects' places in memory, which stay theirs as long as they are known here.
    pub claims: HashMap<usize, CachedClaims>,
    pub merger: HostMerger,
    pub endpoints: EndpointFinder,
    /// How the object that was asked last wants to be treated: most want the same.
    pub last_policy: Arc<Policy>,
}

/// What an object asked for, as long as it does not change.
#[derive(Debug)]
pub struct CachedClaims {
    /// Nobody else gets its place in memory.
    pub _object: Object,
    pub claims: Arc<Claims>,
    /// Whether its hosts could have certificates then.
    pub tls: bool,
}
