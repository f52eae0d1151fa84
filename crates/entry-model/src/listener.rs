//! Where requests come in.

use std::fmt;
use std::net::SocketAddr;

use crate::Scheme;

/// Names a listener among those of the same routes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u8);

/// Where requests come in, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its number.
    pub id: ListenerId,
    /// Its name, as a Gateway has it; `http` and `https` for those of the flags.
    pub name: String,
    /// The addresses at which it listens.
    pub sockets: Vec<SocketAddr>,
    /// Whether connections begin with TLS.
    pub protocol: Scheme,
}

impl Listener {
    /// The built-in listeners, one for HTTP and one for HTTPS, as far as they have addresses.
    pub fn built_in(http: &[SocketAddr], https: &[SocketAddr]) -> Vec<Self> {
        let both = [("http", http, Scheme::Http), ("https", https, Scheme::Https)];
        let given = both.into_iter().zip(0..).filter(|((_, sockets, _), _)| !sockets.is_empty());
        let listener = |((name, sockets, protocol), id): ((&str, &[SocketAddr], Scheme), u8)| Self {
            id: ListenerId(id),
            name: name.to_owned(),
            sockets: sockets.to_vec(),
            protocol,
        };
        given.map(listener).collect()
    }
}

/// Some of the listeners, or all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerSet(u64);

impl ListenerSet {
    /// All, whichever there are: what an Ingress asks for, which names none.
    pub const ALL: Self = Self(u64::MAX);
    /// None.
    pub const NONE: Self = Self(0);
    /// How many listeners can be told apart.
    pub const CAPACITY: u8 = 64;

    /// Whether one is among them.
    pub fn contains(self, id: ListenerId) -> bool {
        id.0 < Self::CAPACITY && self.0 >> id.0 & 1 == 1
    }

    /// A bit for each, that of the listener 0 lowest.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Those whose bits are set.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Those of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<ListenerId> for ListenerSet {
    /// One that cannot be told apart is left out.
    fn from_iter<I: IntoIterator<Item = ListenerId>>(ids: I) -> Self {
        let known = ids.into_iter().filter(|id| id.0 < Self::CAPACITY);
        Self(known.fold(0, |all, id| all | 1 << id.0))
    }
}

impl fmt::Debug for ListenerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => f.write_str("ListenerSet::ALL"),
            some => f.debug_set().entries((0..Self::CAPACITY).map(ListenerId).filter(|id| some.contains(*id))).finish(),
        }
    }
}
