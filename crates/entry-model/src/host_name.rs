//! Names of hosts.

use std::fmt;

/// The name of a host, or a pattern for several, in lower case and in ASCII (internationalised names as A-labels); no final
/// dot, no port.
///
/// Of those that match a host, the first in the order of [`HostName::candidates`] is asked, and no other. The order of the
/// type is one that sorts: it says nothing about which is asked first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostName {
    /// This one.
    Exact(String),
    /// Any with exactly one label more, as Ingress has it: `*.example.com` is `OneLabel("example.com")`.
    OneLabel(String),
    /// Any with one label more or several, as the Gateway API has it: `*.example.com` is `Suffix("example.com")`.
    Suffix(String),
    /// All that no other matches.
    Any,
}

impl HostName {
    /// The names that match a host, a plain name in lower case, in the order in which they are asked: the name itself, then
    /// patterns from the longest to the shortest, of one length the one for a single label first, then [`HostName::Any`].
    pub fn candidates(host: &str) -> impl Iterator<Item = Self> {
        let parents = host.match_indices('.').filter(|(at, _)| *at > 0).map(|(at, _)| &host[at + 1..]);
        let nearest = host.find('.').filter(|at| *at > 0);
        let one_label = nearest.map(|at| Self::OneLabel(host[at + 1..].to_owned()));
        let suffixes = parents.map(|parent| Self::Suffix(parent.to_owned()));
        std::iter::once(Self::Exact(host.to_owned())).chain(one_label).chain(suffixes).chain([Self::Any])
    }

    /// The wildcard of one label that matches this name too, as `*.example.com` does `a.example.com`.
    pub fn wildcard_above(&self) -> Option<Self> {
        match self {
            Self::Exact(name) => name.split_once('.').map(|(_, parent)| Self::OneLabel(parent.to_owned())),
            _ => None,
        }
    }

    /// Whether it stands for several hosts, though not for all.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::OneLabel(_) | Self::Suffix(_))
    }
}

impl fmt::Display for HostName {
    /// `a.example.com`, `*.example.com` for one label, `**.example.com` for any number of labels, `*` for all hosts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::OneLabel(parent) => write!(f, "*.{parent}"),
            Self::Suffix(parent) => write!(f, "**.{parent}"),
            Self::Any => f.write_str("*"),
        }
    }
}
