//! Which locations the paths of rules become, and which paths are taken.

use std::collections::HashSet;

use entry_model::PathMatch;
use pattern_engine::BoundedPattern;

/// Where a location stands.
#[derive(Debug)]
pub enum LocationKind<'a> {
    /// This path.
    Path(&'a str),
    /// The path of a prefix, without a final slash.
    Top(&'a str),
    /// What is below a prefix, which has no final slash here.
    Below(&'a str),
    /// One path below such a prefix.
    Within {
        /// The path.
        path: &'a str,
        /// The prefix.
        prefix: &'a str,
    },
    /// Paths that a pattern matches.
    Pattern(BoundedPattern),
    /// All paths, of requests that the module leads to the default.
    Default,
}

impl<'a> LocationKind<'a> {
    /// The path of the rule; empty if it is a pattern.
    pub fn path(&self) -> &'a str {
        match self {
            Self::Path(path) | Self::Top(path) | Self::Below(path) | Self::Within { prefix: path, .. } => path,
            Self::Pattern(_) | Self::Default => "",
        }
    }

    /// Whether it is for what is below the path of the rule.
    pub fn is_below(&self) -> bool {
        matches!(self, Self::Below(_) | Self::Within { .. } | Self::Default)
    }
}

/// Paths that are taken. nginx takes an exact path before a prefix, and a longer prefix before a shorter one; a rule that
/// comes after one that matches all its paths is never reached, so it is left out.
#[derive(Debug, Default)]
pub struct TakenPaths<'a> {
    /// Exact paths, and those of prefixes.
    pub exact: HashSet<&'a str>,
    /// Prefixes, without a final slash.
    pub prefixes: HashSet<&'a str>,
    /// Those of them of which a rule gets all requests.
    closed: HashSet<&'a str>,
    /// The texts of patterns.
    patterns: HashSet<&'a str>,
}

impl<'a> TakenPaths<'a> {
    /// Takes a path; the locations that it becomes. `is_final`: whether its rule gets all requests for it.
    pub fn add(&mut self, path: &'a PathMatch, is_final: bool) -> [Option<LocationKind<'a>>; 2] {
        match path {
            PathMatch::Exact(exact) => {
                let new = !self.covers(exact) && self.exact.insert(exact);
                [new.then_some(LocationKind::Path(exact)), None]
            }
            PathMatch::Regex(pattern) => {
                let new = !self.patterns.contains(pattern.text()) && !self.covers("");
                self.patterns.insert(pattern.text());
                let pattern = BoundedPattern::parse(pattern.text()).ok().filter(|_| new);
                [pattern.map(LocationKind::Pattern), None]
            }
            PathMatch::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/');
                if self.covers(prefix) {
                    return [None, None];
                }
                if is_final {
                    self.closed.insert(prefix);
                }
                let below = self.prefixes.insert(prefix);
                let top = !prefix.is_empty() && self.exact.insert(prefix);
                [top.then_some(LocationKind::Top(prefix)), below.then_some(LocationKind::Below(prefix))]
            }
        }
    }

    /// Whether a prefix of which nothing is left matches a path and all below it.
    fn covers(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        !self.closed.is_empty() && ends.into_iter().any(|end| self.closed.contains(&path[..end]))
    }
}
