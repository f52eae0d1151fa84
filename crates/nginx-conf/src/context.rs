//! What locations are made of.

use crate::Settings;
use crate::backend_protocols::BackendProtocols;

/// What all locations have in common.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// What backends speak.
    pub protocols: &'a BackendProtocols,
}
