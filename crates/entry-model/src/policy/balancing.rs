//! Which of its endpoints a backend's request gets.

use std::num::NonZeroU16;

/// Which of its endpoints a backend's request gets. It matters only to backends that are reached at their endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Balancing {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest requests at the moment.
    LeastConnections,
    /// The same one for requests of which these parts are the same, as long as endpoints stay. When one comes or goes, most others keep
    /// their requests.
    Hash(Vec<HashPart>),
    /// Any of the same few for requests of which these parts are the same. When one comes or goes, others move, too.
    HashSubset(Vec<HashPart>, NonZeroU16),
    /// The same one for requests of a session, as long as endpoints stay.
    Session(Box<SessionCookie>),
}

/// A part of what requests are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashPart {
    /// A text, which tells none apart.
    Text(String),
    /// The path with the query, as it was sent.
    RequestUri,
    /// The host.
    Host,
    /// The address of the client.
    ClientAddress,
    /// The address that the connection comes from: that of a proxy, where one is in front.
    PeerAddress,
    /// The method.
    Method,
    /// The query, as it was sent.
    Query,
    /// A header, by its name in lower case.
    Header(String),
    /// A cookie, by its name: letters, digits and `_`.
    Cookie(String),
    /// A parameter of the query, by its name: letters, digits and `_`.
    Parameter(String),
}

/// The cookie that names a session. Clients without one get it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionCookie {
    /// Its name, of characters that names of cookies have (RFC 6265).
    pub name: String,
    /// For which domain; without one for the host alone.
    pub domain: Option<String>,
    /// How long, in seconds; without it as long as the client likes.
    pub max_age_seconds: Option<u64>,
    /// To which requests of other sites it is added.
    pub same_site: Option<SameSite>,
    /// Whether it is sent over TLS only; without it, if the client's first request came so.
    pub secure: Option<bool>,
    /// What holds the session at its endpoint.
    pub affinity: Affinity,
    /// Whether each request of a session is drawn anew among the shares of a rule, rather than once for the session.
    pub changes_share: bool,
}

impl SessionCookie {
    /// A cookie of this name that says nothing else: for the host alone, and for as long as the client likes.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            domain: None,
            max_age_seconds: None,
            same_site: None,
            secure: None,
            affinity: Affinity::default(),
            changes_share: false,
        }
    }
}

/// What holds a session at its endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Affinity {
    /// A hash of the cookie, which says nothing: when an endpoint comes or goes, some sessions move, so that all endpoints have their share.
    #[default]
    Balanced,
    /// The cookie names the endpoint: a session moves only when that goes. While it fails, others serve the session, which comes back.
    Persistent,
    /// The same, but a session stays where it was served when its endpoint failed.
    PersistentUntilFailure,
}

/// To which requests of other sites a cookie is added (RFC 6265bis, section 4.1.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SameSite {
    /// All.
    None,
    /// Those with which a user follows a link.
    Lax,
    /// None of them.
    Strict,
    /// All, which those clients are not told that take it for `Strict`, or for no cookie at all: older ones, for whom a cookie that says nothing is
    /// added to all.
    NoneIfUnderstood,
}
