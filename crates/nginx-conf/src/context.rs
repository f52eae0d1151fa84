//! What the locations of a server are made of.

use entry_model::Routes;

use crate::Settings;
use crate::policy_class::PolicyClasses;
use crate::upstream::Upstreams;

/// What the locations of a server have in common.
pub struct Context<'a> {
    /// All routes.
    pub routes: &'a Routes,
    /// The classes of their policies.
    pub policy_classes: &'a PolicyClasses<'a>,
    /// The settings.
    pub settings: &'a Settings,
    /// The upstreams of all routes.
    pub upstreams: &'a Upstreams<'a>,
    /// Whether requests may come here that name no host, as HTTP/1.0 allows.
    pub nameless: bool,
    /// Whether all locations are patterns, which nginx tries in their order: those of a host with rules for patterns, which come
    /// before prefixes.
    pub in_order: bool,
    /// Whether nginx has the module, which remembers passwords.
    pub has_module: bool,
}
