//! What objects asked for, as long as they do not change.

use std::sync::Arc;

use entry_model::Object;

use crate::claim::Claims;

/// What an object asked for, as long as it does not change.
#[derive(Debug)]
pub struct CachedClaims {
    /// Nobody else gets its place in memory.
    pub _object: Object,
    pub claims: Arc<Claims>,
    /// Whether its hosts could have certificates then.
    pub tls: bool,
}
