//! What annotations say of the paths of an object.

use std::borrow::Cow;

use entry_model::{Pattern, Scheme};

/// What the paths of an object are, and what becomes of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathTreatment<'a> {
    /// Whether they are patterns.
    pub patterns: PatternDialect,
    /// What they become.
    pub target: Option<PathTarget<'a>>,
}

/// Whether paths are patterns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PatternDialect {
    /// They are paths.
    #[default]
    Plain,
    /// They are patterns for which case counts.
    Own,
    /// They are patterns as those of ingress-nginx, for which case does not count.
    IngressNginx,
}

/// What a path becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathTarget<'a> {
    /// The whole path becomes what this template makes of it.
    Whole(&'a str),
    /// The prefix that matched becomes this.
    Prefix(&'a str),
    /// A path that a pattern matches becomes what a template makes of it; another one stays.
    Matched {
        /// The pattern, of the whole path.
        pattern: Pattern,
        /// The template.
        template: String,
    },
    /// Clients are sent elsewhere, where the path is what a template makes of it.
    Elsewhere {
        /// The scheme; that of the request without one.
        scheme: Option<Scheme>,
        /// The host.
        host: String,
        /// The port; that of the scheme without one.
        port: Option<u16>,
        /// The template of the path.
        path: Cow<'a, str>,
    },
    /// What cannot be used, so that no request may be forwarded.
    Unusable,
}
