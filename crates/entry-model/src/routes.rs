//! The domain model: what is served where. In the vocabulary of the Gateway API, of which a Service's annotations and an
//! Ingress's paths are simple cases.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::ObjectRef;

/// Where certificate authorities ask for proofs over plain HTTP (RFC 8555, section 8.3): what is below is never redirected.
pub const CHALLENGE: &str = "/.well-known/acme-challenge/";

/// Everything that is served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// By host. Only the host that matches best is asked; a request that none of its rules matches gets `default`.
    pub hosts: BTreeMap<HostName, Host>,
    /// For what no rule matches; without it such a request is not found.
    pub default: Option<Rule>,
    /// The certificates that hosts name.
    pub certificates: BTreeMap<CertificateId, Certificate>,
}

/// The name of a host, in lower case and in ASCII (internationalised names as A-labels); no final dot, no port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostName {
    /// This one.
    Exact(String),
    /// Any with exactly one label more: `*.example.com` is `Wildcard("example.com")`.
    Wildcard(String),
    /// All that no other matches.
    Any,
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// What is served for a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Its certificate; without one it is not served over TLS.
    pub certificate: Option<CertificateId>,
    /// Sorted as they are tried: exact paths first, then longer prefixes before shorter ones. Without any, nothing is found
    /// there: the name is kept for its owner.
    pub rules: Vec<Rule>,
    /// Whether what no rule matches is not found, though there is a default: that is another namespace's.
    pub closed: bool,
}

/// Names a certificate: the lower-case hexadecimal SHA-256 of its chain and key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateId(pub String);

/// A certificate with its key, known to fit each other.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The Secret it is from.
    pub origin: ObjectRef,
    /// The chain in PEM.
    pub chain: Vec<u8>,
    /// The key in PEM.
    pub key: Vec<u8>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// A rule: what a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which paths.
    pub path: PathMatch,
    /// What is done.
    pub action: Action,
    /// Whether a request over plain HTTP is sent to HTTPS instead, but for one below [`CHALLENGE`].
    pub redirect_to_https: bool,
    /// The object that asked for it.
    pub origin: ObjectRef,
}

/// Matches a path, which is decoded and normalised: no dot segments, no doubled slashes, no query. Case counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathMatch {
    /// This path and no other; a final slash counts.
    Exact(String),
    /// This path, and those below it: `/a` matches `/a`, `/a/` and `/a/b`, not `/ab`. No final slash but in `/`.
    Prefix(String),
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is forwarded.
    Forward(Forward),
    /// It is answered 503: the rule stands, and where it leads is not there.
    Unavailable,
}

/// Where and how a request is forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Where to.
    pub backend: Backend,
    /// Whether the prefix that matched is taken off the path.
    pub strip_prefix: bool,
    /// Times; the listener's where there is none.
    pub timeouts: Timeouts,
    /// Largest request body, in bytes; 0 is without limit; the listener's when there is none.
    pub max_body_bytes: Option<u64>,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// The address of a Service's port.
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Whether a connection is kept for further requests, whose ever they are.
    pub keep_alive: bool,
}

/// What a backend speaks. Source: `appProtocol` of KEP-1422 and KEP-3726.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1, and with it WebSocket.
    Http,
    /// The same over TLS.
    Https,
    /// HTTP/2 in the clear, and with it gRPC.
    Http2,
    /// HTTP/2 over TLS.
    Http2Tls,
}

/// Times of forwarding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect to the backend.
    pub connect: Option<Duration>,
    /// Between two reads of its answer.
    pub read: Option<Duration>,
    /// Between two writes of the request.
    pub send: Option<Duration>,
}

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// A request, as far as it matters for its route.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// How it came.
    pub scheme: Scheme,
    /// Its host, in any case, without port.
    pub host: &'a str,
    /// Its path, decoded and normalised.
    pub path: &'a str,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// It is sent to HTTPS, by this rule.
    Redirect(&'a Rule),
    /// The rule is followed.
    Rule(&'a Rule),
    /// 404.
    NotFound,
    /// Over TLS, for a host without certificate: the handshake is rejected.
    NoCertificate,
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
        }
    }

    /// Its text.
    pub fn path(&self) -> &str {
        match self {
            Self::Exact(path) | Self::Prefix(path) => path,
        }
    }
}

impl Routes {
    /// The executable definition of matching, with which tests compare what serves.
    pub fn find(&self, request: &Request<'_>) -> Found<'_> {
        let name = request.host.trim_end_matches('.').to_ascii_lowercase();
        let exact = self.hosts.get(&HostName::Exact(name.clone()));
        let wildcard = || {
            let (first, parent) = name.split_once('.')?;
            (!first.is_empty()).then(|| self.hosts.get(&HostName::Wildcard(parent.to_owned())))?
        };
        let host = exact.or_else(wildcard).or_else(|| self.hosts.get(&HostName::Any));
        if request.scheme == Scheme::Https && host.is_none_or(|host| host.certificate.is_none()) {
            return Found::NoCertificate;
        }
        let default = self.default.iter().filter(|_| host.is_none_or(|host| !host.closed));
        let mut rules = host.into_iter().flat_map(|host| &host.rules).chain(default);
        let in_clear = request.scheme == Scheme::Http && !request.path.starts_with(CHALLENGE);
        match rules.find(|rule| rule.path.matches(request.path)) {
            Some(rule) if rule.redirect_to_https && in_clear => Found::Redirect(rule),
            Some(rule) => Found::Rule(rule),
            None => Found::NotFound,
        }
    }
}
