//! How much is served.

/// How much of one thing is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Of the objects of one namespace.
    pub namespace: usize,
    /// Of all objects together.
    pub all: usize,
}

impl Bound {
    /// No bound.
    pub const NONE: Self = Self { namespace: usize::MAX, all: usize::MAX };
}

/// How much is served. What is asked for beyond a bound is left out, the newest claims first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Hosts with a name, wildcards among them.
    pub hosts: Bound,
    /// Rules. One with a long path counts once more for each 256 bytes.
    pub rules: Bound,
    /// Hosts that are wildcards: each is a pattern, and patterns are tried in turn.
    pub patterns: Bound,
    /// Certificates that are served, by their content.
    pub certificates: Bound,
}

impl Bounds {
    /// No bounds.
    pub const NONE: Self =
        Self { hosts: Bound::NONE, rules: Bound::NONE, patterns: Bound::NONE, certificates: Bound::NONE };

    /// The same for each namespace, and none for all.
    #[must_use]
    pub fn of_namespaces(&self) -> Self {
        let alone = |bound: Bound| Bound { all: usize::MAX, ..bound };
        Self {
            hosts: alone(self.hosts),
            rules: alone(self.rules),
            patterns: alone(self.patterns),
            certificates: alone(self.certificates),
        }
    }
}
