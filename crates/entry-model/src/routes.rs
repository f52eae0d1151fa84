//! What is served where, in the vocabulary of the Gateway API, of which a Service's annotations and an Ingress's paths are
//! simple cases.
//!
//! ```text
//! Routes ─► listeners
//!        ─► hosts ─► rules: match ─► action, policy
//!        ─► TLS passthrough: host ─► backend, whatever its rules are
//!        ─► streams: port ─► backend, whatever is spoken
//!        ─► policies, certificates, endpoints, by what hosts and rules name them with
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::{
    ACME_CHALLENGE, Action, Backend, BackendAddress, EndpointsId, HostName, Listener, ListenerId, ListenerSet, Match,
    ObjectRef, Policies, Policy, PolicyId, Request, RuleList, Scheme, SortedMap, StreamPort, StreamRoute,
    TlsPassthrough,
};

/// Everything that is served.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    /// Where requests come in.
    pub listeners: Vec<Listener>,
    /// By host. Only the host that matches best is asked; a request that none of its rules matches gets `default`.
    pub hosts: SortedMap<HostName, Arc<Host>>,
    /// For what no rule matches; without it such a request is not found.
    pub default: Option<Rule>,
    /// Where TLS connections go as they come, by host: of hosts that are there, and have no certificate here.
    pub tls_passthrough: SortedMap<HostName, TlsPassthrough>,
    /// Ports at which what comes goes to a backend as it is.
    pub streams: SortedMap<StreamPort, StreamRoute>,
    /// The policies that rules name.
    pub policies: Policies,
    /// The certificates that hosts name.
    pub certificates: SortedMap<CertificateId, Arc<Certificate>>,
    /// The endpoints that backends name, sorted. Requests for a backend without any are answered 503.
    pub endpoints: SortedMap<EndpointsId, Endpoints>,
}

/// The addresses of endpoints, shared by all who know them.
pub type Endpoints = Arc<[SocketAddr]>;

/// What is served for a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Its certificate; without one it is not served over TLS.
    pub certificate: Option<CertificateId>,
    /// As they are tried; of those that are tried alike, the older object's first. Without any, nothing is found there:
    /// the name is kept for its owner.
    pub rules: RuleList,
    /// Whether what no rule matches is not found, though there is a default: that is another namespace's.
    pub closed: bool,
}

/// Names a certificate: the lower-case hexadecimal SHA-256 of its chain and key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateId(pub Arc<str>);

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

/// A rule: what is done with which requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// At which listeners.
    pub listeners: ListenerSet,
    /// Which requests.
    pub matches: Match,
    /// What is done.
    pub action: Action,
    /// How it is done.
    pub policy: PolicyId,
    /// The object that asked for it.
    pub origin: ObjectRef,
}

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoutingDecision<'a> {
    /// It is sent to HTTPS, by this rule.
    RedirectToHttps(&'a Rule),
    /// The rule is followed.
    Rule(&'a Rule),
    /// 404.
    NotFound,
    /// Over TLS, for a host without certificate: the handshake is rejected.
    NoCertificate,
}

impl Host {
    /// Whether it is served at a listener.
    pub fn is_at(&self, listener: ListenerId) -> bool {
        self.rules.is_empty() || self.rules.iter().any(|rule| rule.listeners.contains(listener))
    }
}

impl Routes {
    /// The executable definition of matching, with which tests compare what serves.
    pub fn find(&self, request: &Request<'_>) -> RoutingDecision<'_> {
        let name = request.host.trim_end_matches('.').to_ascii_lowercase();
        let host = HostName::candidates(&name)
            .find_map(|name| self.hosts.get(&name).filter(|host| host.is_at(request.listener)));
        if request.scheme == Scheme::Https && host.is_none_or(|host| host.certificate.is_none()) {
            return RoutingDecision::NoCertificate;
        }
        let default = self.default.iter().filter(|_| host.is_none_or(|host| !host.closed));
        let rules = host.into_iter().flat_map(|host| &host.rules).chain(default);
        let mut rules = rules.filter(|rule| rule.listeners.contains(request.listener));
        let in_clear = request.scheme == Scheme::Http && !request.path.starts_with(ACME_CHALLENGE);
        match rules.find(|rule| rule.matches.matches(request)) {
            Some(rule) if in_clear && self.policies[rule.policy].redirect_to_https => {
                RoutingDecision::RedirectToHttps(rule)
            }
            Some(rule) => RoutingDecision::Rule(rule),
            None => RoutingDecision::NotFound,
        }
    }

    /// How requests of a rule are treated.
    pub fn policy(&self, rule: &Rule) -> &Policy {
        &self.policies[rule.policy]
    }

    /// Where requests for a backend are sent: to one of these. None are for one whose endpoints nobody knows.
    pub fn addresses<'a>(&'a self, backend: &'a Backend) -> &'a [SocketAddr] {
        self.addresses_at(&backend.address)
    }

    /// The same, by where the backend is.
    pub fn addresses_at<'a>(&'a self, address: &'a BackendAddress) -> &'a [SocketAddr] {
        match address {
            BackendAddress::ClusterIp(address) => std::slice::from_ref(address),
            BackendAddress::Endpoints(id) => self.endpoints.get(id).map_or(&[], |endpoints| endpoints),
        }
    }

    /// All rules, host by host, then the default.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.hosts.values().flat_map(|host| &host.rules).chain(&self.default)
    }

    /// Whether a rule is the same as one of other routes: the numbers of policies are known to their routes only.
    fn is_same_rule(&self, rule: &Rule, others: &Self, other: &Rule) -> bool {
        let Rule { listeners, matches, action, policy: _, origin } = rule;
        (listeners, matches, action, origin) == (&other.listeners, &other.matches, &other.action, &other.origin)
            && self.policy(rule) == others.policy(other)
    }

    fn is_same_host(&self, host: &Host, others: &Self, other: &Host) -> bool {
        let Host { certificate, rules, closed } = host;
        (certificate, closed, rules.len()) == (&other.certificate, &other.closed, other.rules.len())
            && rules.iter().zip(&other.rules).all(|(rule, other)| self.is_same_rule(rule, others, other))
    }
}

impl PartialEq for Routes {
    /// Whether the same is served, however policies are numbered, and whichever more there are.
    fn eq(&self, other: &Self) -> bool {
        let hosts = || {
            let mut both = self.hosts.iter().zip(other.hosts.iter());
            both.all(|((name, host), (name2, host2))| name == name2 && self.is_same_host(host, other, host2))
        };
        let default = match (&self.default, &other.default) {
            (Some(rule), Some(rule2)) => self.is_same_rule(rule, other, rule2),
            (rule, rule2) => rule.is_none() && rule2.is_none(),
        };
        self.listeners == other.listeners
            && default
            && self.tls_passthrough == other.tls_passthrough
            && self.streams == other.streams
            && self.certificates == other.certificates
            && self.endpoints == other.endpoints
            && self.hosts.len() == other.hosts.len()
            && hosts()
    }
}

impl Eq for Routes {}
