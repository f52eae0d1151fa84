//! Which requests a rule is for.

use std::cmp::{Ordering, Reverse};

use crate::{Pattern, Request};

/// Below this path certificate authorities ask for ACME HTTP-01 challenges, over plain HTTP (RFC 8555, section 8.3): it is never
/// redirected.
pub const ACME_CHALLENGE: &str = "/.well-known/acme-challenge/";

/// Which requests a rule is for: those that all of its parts match.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Match {
    /// Which paths.
    pub path: PathMatch,
    /// Which method; any without one. Case counts.
    pub method: Option<String>,
    /// Which headers it must have, sorted by name, each name once.
    pub headers: Vec<HeaderMatch>,
    /// Which cookies it must have, sorted by name, each name once.
    pub cookies: Vec<CookieMatch>,
    /// Which parameters its query must have, sorted by name, each name once.
    pub query: Vec<QueryParamMatch>,
}

/// Matches a path, which is decoded and normalised: no dot segments, no doubled slashes, no query. Case counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// This path and no other; a final slash counts.
    Exact(String),
    /// This path, and those below it: `/a` matches `/a`, `/a/` and `/a/b`, not `/ab`. No final slash but in `/`.
    Prefix(String),
    /// Any path that the pattern matches.
    Regex(Pattern),
}

/// A header that a request must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderMatch {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: ValueMatch,
}

/// A cookie that a request must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CookieMatch {
    /// Its name. Case counts.
    pub name: String,
    /// Its value.
    pub value: ValueMatch,
}

/// A parameter that a query must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryParamMatch {
    /// Its name, as it is sent. Case counts.
    pub name: String,
    /// Its value, as it is sent.
    pub value: ValueMatch,
}

/// Matches a value. Case counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueMatch {
    /// This value.
    Exact(String),
    /// Any value that the pattern matches.
    Regex(Pattern),
}

impl ValueMatch {
    /// Whether it matches a value.
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => value == exact.as_bytes(),
            Self::Regex(pattern) => pattern.is_match(value),
        }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text) => text,
            Self::Regex(pattern) => pattern.text(),
        }
    }
}

impl PathMatch {
    /// Whether it matches a path.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/');
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Regex(pattern) => pattern.is_match(path),
        }
    }

    /// Its text, of a pattern as its object has written it.
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(path) | Self::Prefix(path) => path,
            Self::Regex(pattern) => pattern.written(),
        }
    }

    /// Whether it matches ACME HTTP-01 challenges only.
    pub fn is_acme_challenge(&self) -> bool {
        let is_all = |path: &str| Some(path) == ACME_CHALLENGE.strip_suffix('/');
        match self {
            Self::Exact(path) => path.starts_with(ACME_CHALLENGE),
            Self::Prefix(path) => path.starts_with(ACME_CHALLENGE) || is_all(path),
            Self::Regex(_) => false,
        }
    }

    /// The order in which paths are tried. Equal are only those of which a request can match both, or that are the same.
    pub fn precedence(&self, other: &Self) -> Ordering {
        let (one, two) = (self.text(), other.text());
        // A challenge is asked for once, by a certificate authority.
        let is_challenge = |path: &str| path.len() > ACME_CHALLENGE.len() && path.starts_with(ACME_CHALLENGE);
        let rank = |path: &Self, length: usize| match path {
            Self::Exact(path) if is_challenge(path) => (0, Reverse(length), 0),
            Self::Prefix(path) if is_challenge(path) => (0, Reverse(length), 1),
            Self::Regex(pattern) if pattern.is_first() => (1, Reverse(length), 0),
            Self::Exact(_) => (2, Reverse(0), 0),
            Self::Regex(_) => (3, Reverse(length), 0),
            Self::Prefix(_) => (3, Reverse(length), 1),
        };
        let ordered = rank(self, one.len()).cmp(&rank(other, two.len()));
        ordered.then_with(|| match self {
            // These exclude each other, unless they are the same: any order will do, as long as it is always the same.
            Self::Exact(_) | Self::Prefix(_) => one.cmp(two),
            Self::Regex(_) => Ordering::Equal,
        })
    }
}

impl Match {
    /// All requests with such a path.
    pub fn path(path: PathMatch) -> Self {
        Self { path, method: None, headers: Vec::new(), cookies: Vec::new(), query: Vec::new() }
    }

    /// All requests.
    pub fn any() -> Self {
        Self::path(PathMatch::Prefix("/".to_owned()))
    }

    /// Whether the path is all that counts.
    pub fn is_path_only(&self) -> bool {
        self.method.is_none() && self.headers.is_empty() && self.cookies.is_empty() && self.query.is_empty()
    }

    /// The order in which rules are tried, as the Gateway API has it for `HTTPRouteMatch`: an exact path comes before all others;
    /// a longer path before a shorter one; one with a method before one without; more headers before fewer; then more
    /// parameters before fewer. The API leaves the place of patterns open: their texts count as paths do, as in ingress-nginx, but
    /// for those that are placed first.
    /// Cookies, which it does not have, come between headers and parameters.
    ///
    /// Of equal ones that of the older object is tried first, and of one object the first.
    pub fn precedence(&self, other: &Self) -> Ordering {
        let counts = |one: &Self| {
            let more = [one.headers.len(), one.cookies.len(), one.query.len()].map(Reverse);
            (one.method.is_none(), more)
        };
        self.path.precedence(&other.path).then_with(|| counts(self).cmp(&counts(other)))
    }

    /// Whether it matches a request, whose host and listener do not matter here.
    pub fn matches(&self, request: &Request<'_>) -> bool {
        let header = |wanted: &HeaderMatch| {
            request.header(&wanted.name).is_some_and(|value| wanted.value.matches(value.as_bytes()))
        };
        let cookie = |wanted: &CookieMatch| {
            request.cookie(&wanted.name).is_some_and(|value| wanted.value.matches(value.as_bytes()))
        };
        let parameter = |wanted: &QueryParamMatch| {
            request.query_parameter(&wanted.name).is_some_and(|value| wanted.value.matches(value.as_bytes()))
        };
        self.path.matches(request.path)
            && self.method.as_deref().is_none_or(|method| method == request.method)
            && self.headers.iter().all(header)
            && self.cookies.iter().all(cookie)
            && self.query.iter().all(parameter)
    }
}
