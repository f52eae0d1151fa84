//! What a translation makes.

use std::collections::BTreeMap;
use std::sync::Arc;

use entry_model::{HostOwners, Key, Routes, Verdicts};

use crate::LastGoodSecret;

/// What [`crate::translate()`] makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translation {
    /// What is served.
    pub routes: Routes,
    /// What is said of each object that concerns this controller.
    pub verdicts: Verdicts,
    /// The Secrets that gave a certificate, as they were when they were good.
    pub last_good: Arc<BTreeMap<Key, LastGoodSecret>>,
    /// Which namespace holds what from now on; nothing without ownership.
    pub host_owners: Arc<HostOwners>,
}
