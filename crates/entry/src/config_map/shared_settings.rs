//! Settings for all of the entry.

/// Settings for all of the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSettings {
    /// What nginx does for all routes.
    pub nginx: nginx_conf::Settings,
    /// What is done with a route that says nothing else.
    pub defaults: entry_translate::PolicyDefaults,
}
