//! Backends: an `upstream` each, for only such keep connections. One that is reached at its endpoints has a `server` for each.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use entry_model::{
    Action, Affinity, Backend, BackendAddress, Balancing, Destination, Forward, ObjectRef, Policy, Protocol, Routes,
    Rule,
};

use crate::endpoint_choice;
use crate::inexpressible::is_branching;
use crate::upstream_name::{UpstreamName, is_tls};
use crate::writer::Writer;
use crate::{RenderNote, Settings, Version, inexpressible};

/// From here on `proxy_pass` speaks HTTP/2, which can send a path as it came, less its prefix. `grpc_pass` cannot.
const PROXY_HTTP2: Version = Version::new(1, 29, 4);

/// Most connections that are kept to all endpoints of a backend, by a worker.
const MAX_KEPT: usize = 256;

/// The upstreams.
#[derive(Debug)]
pub struct Upstreams<'a> {
    routes: &'a Routes,
    settings: &'a Settings,
    /// The upstreams of backends in order, each with the first that asked for it.
    backends: Vec<(UpstreamName<'a>, &'a ObjectRef)>,
    /// What they and those of a table speak.
    protocols: BTreeSet<Protocol>,
    /// Whether there are those of a table.
    is_beside_table: bool,
}

impl<'a> Upstreams<'a> {
    /// Those that the routes lead to, beside the backends of a table, which speak these protocols. What this nginx is not able to
    /// speak is left out, and its routes answer 503.
    pub fn of(
        routes: &'a Routes,
        of_table: BTreeSet<Protocol>,
        settings: &'a Settings,
        notes: &mut Vec<RenderNote>,
    ) -> Self {
        let mut backends = Vec::new();
        for (rule, backend) in routes.rules().flat_map(|rule| backends_of(rule).map(move |backend| (rule, backend))) {
            match unreachable_note(rule, backend, settings) {
                Some(note) => notes.push(note),
                None if servers(routes, backend).next().is_some() => {
                    backends.push((UpstreamName::of(backend, routes.policy(rule)), &rule.origin));
                }
                // Its object is told of that already.
                None => {}
            }
        }
        backends.sort_by_key(|(name, _)| *name);
        backends.dedup_by_key(|(name, _)| *name);
        let spoken = backends.iter().map(|(name, _)| name.protocol);
        let is_beside_table = !of_table.is_empty();
        let protocols = spoken.chain(of_table).collect();
        Self { routes, settings, backends, protocols, is_beside_table }
    }

    /// The name of the upstream of a backend, which is one of the routes', for a rule with this policy; none if it cannot be reached, or
    /// has no endpoint.
    pub fn name<'b>(&self, backend: &'b Backend, policy: &'b Policy) -> Option<UpstreamName<'b>> {
        let is_reached = missing(backend, self.settings).is_none() && self.servers(backend).next().is_some();
        is_reached.then_some(UpstreamName::of(backend, policy))
    }

    /// Where requests for a backend are sent: to one of these.
    pub fn servers<'b>(&'b self, backend: &'b Backend) -> impl Iterator<Item = SocketAddr> + use<'a, 'b> {
        servers(self.routes, backend)
    }

    /// Whether there may be one with several endpoints, of which another is tried when one fails. Those of a table come and go
    /// without a change here.
    pub fn has_several_endpoints(&self) -> bool {
        self.is_beside_table
            || self.backends.iter().any(|(name, _)| servers_at(self.routes, name.address).nth(1).is_some())
    }

    /// Whether there is one that is spoken to with `grpc_pass`.
    pub fn has_grpc(&self, settings: &Settings) -> bool {
        self.protocols.iter().any(|protocol| uses_grpc(*protocol, settings))
    }

    /// Whether there is one that is spoken to with HTTP/2 by `proxy_pass`.
    pub fn has_proxy_http2(&self, settings: &Settings) -> bool {
        self.protocols.iter().any(|protocol| is_http2(*protocol) && !uses_grpc(*protocol, settings))
    }

    /// Whether there is one that is spoken to with TLS.
    pub fn has_tls(&self) -> bool {
        self.protocols.iter().any(|protocol| is_tls(*protocol))
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.backends.len()
    }

    /// The endpoints that cookies of sessions name.
    pub fn persistent_endpoints(&self) -> BTreeSet<SocketAddr> {
        let is_persistent = |balancing: &Balancing| matches!(balancing, Balancing::Session(cookie) if cookie.affinity != Affinity::Balanced);
        let backends = self.backends.iter().filter(|(name, _)| is_persistent(name.balancing));
        backends.flat_map(|(name, _)| servers_at(self.routes, name.address)).collect()
    }

    /// Writes them, with what they need to choose among their servers.
    pub fn write(&self, writer: &mut Writer<'a>) {
        self.write_choosing(writer, |balancing| balancing);
    }

    /// Writes them where there are no variables of this program: servers that are chosen by some get requests in turn.
    pub fn write_without_variables(&self, writer: &mut Writer<'a>) {
        self.write_choosing(writer, |balancing| match balancing {
            Balancing::Session(_) | Balancing::HashSubset(..) => &Balancing::RoundRobin,
            other => other,
        });
    }

    fn write_choosing(&self, writer: &mut Writer<'a>, chosen: impl Fn(&'a Balancing) -> &'a Balancing) {
        // nginx sets aside memory for each connection that may be kept: many upstreams get fewer each.
        let kept: usize = match self.len() {
            0..=512 => 32,
            513..=2048 => 16,
            _ => 8,
        };
        for (name, origin) in &self.backends {
            let UpstreamName { address, protocol: _, keeps_connections, balancing } = *name;
            let balancing = chosen(balancing);
            let servers: Vec<_> = servers_at(self.routes, address).collect();
            let choice = endpoint_choice::choice(*name, balancing, &servers, self.settings);
            for directive in choice.iter().flat_map(|choice| &choice.variables) {
                writer.write(directive);
            }
            // Addresses and names of them are of characters that nginx can read.
            let _ = writer.line("upstream").text(|text| text.upstream(*name)).open(Some(origin));
            if let Some(choice) = choice {
                writer.write(&choice.method);
            }
            // nginx knows no `backup` where a hash chooses.
            let has_backups = matches!(balancing, Balancing::RoundRobin | Balancing::LeastConnections);
            write_servers(writer, &servers, has_backups);
            let kept = kept.max(servers.len().saturating_mul(2).min(MAX_KEPT));
            let kept = self.settings.kept_connections.count(kept);
            let kept = if keeps_connections { kept } else { 0 };
            self.settings.kept_connections.write(writer, kept, self.settings.version);
            writer.close();
        }
    }
}

/// The addresses of a backend that can be written.
fn servers<'a>(routes: &'a Routes, backend: &'a Backend) -> impl Iterator<Item = SocketAddr> + use<'a> {
    servers_at(routes, &backend.address)
}

/// The same, by where the backend is.
pub fn servers_at<'a>(routes: &'a Routes, address: &'a BackendAddress) -> impl Iterator<Item = SocketAddr> + use<'a> {
    routes.addresses_at(address).iter().copied().filter(|address| address.port() != 0)
}

/// The servers of an upstream. One of several that has failed three times gets no requests for ten seconds; while that holds for
/// all, all are tried: for that they stand there once more, as `backup`, where nginx knows that.
pub fn write_servers(writer: &mut Writer<'_>, servers: &[SocketAddr], with_backups: bool) {
    let is_only = servers.len() == 1;
    // Addresses are of characters that nginx can read.
    for address in servers {
        let line = writer.line("server").text(|text| text.address(*address));
        let _ = if is_only { line } else { line.words(["max_fails=3", "fail_timeout=10s"]) }.end();
    }
    for address in servers.iter().filter(|_| !is_only && with_backups) {
        let _ = writer.line("server").text(|text| text.address(*address)).words(["max_fails=0", "backup"]).end();
    }
}

/// Whether HTTP/2 is spoken.
pub fn is_http2(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Http2 | Protocol::Http2Tls)
}

/// Whether `grpc_pass` speaks it, for want of better. Never beside `proxy_pass`: neither can use a connection to an upstream
/// that the other has kept, and the request fails.
pub fn uses_grpc(protocol: Protocol, settings: &Settings) -> bool {
    is_http2(protocol) && settings.version < PROXY_HTTP2
}

/// How and where a rule forwards all requests for its path, if it does and nginx can be told so.
pub fn forward_of(rule: &Rule) -> Option<(&Forward, &Backend)> {
    match &rule.action {
        Action::Forward(forward) if inexpressible::of_rule(rule).is_none() && !is_branching(rule) => {
            Some((forward, forward.only_backend()?))
        }
        _ => None,
    }
}

/// The backends to which a rule forwards requests, if nginx can be told so.
fn backends_of(rule: &Rule) -> impl Iterator<Item = &Backend> {
    let shares = match &rule.action {
        Action::Forward(forward) if inexpressible::of_rule(rule).is_none() => &forward.backends[..],
        _ => &[],
    };
    let weighted = shares.iter().filter(|share| share.weight > 0);
    weighted.filter_map(|share| match &share.destination {
        Destination::Backend(backend) => Some(backend),
        Destination::Status(_) => None,
    })
}

/// What is told of a rule whose backend cannot be reached by this nginx.
pub fn unreachable_note(rule: &Rule, backend: &Backend, settings: &Settings) -> Option<RenderNote> {
    let message = format!(
        "requests for {} are answered 503: the backend {} cannot be reached, {}",
        rule.matches.path.text(),
        backend.address,
        missing(backend, settings)?
    );
    Some(RenderNote { object: rule.origin.clone(), message })
}

/// Why a backend cannot be reached by this nginx.
fn missing(backend: &Backend, settings: &Settings) -> Option<&'static str> {
    match backend.address.cluster_ip() {
        Some(address) if address.port() == 0 => Some("for 0 is no port"),
        _ => missing_module(backend.protocol, settings),
    }
}

/// Why a protocol cannot be spoken by this nginx.
pub fn missing_module(protocol: Protocol, settings: &Settings) -> Option<&'static str> {
    if uses_grpc(protocol, settings) && !settings.modules.grpc {
        Some("for this nginx is built without http_grpc_module")
    } else if is_http2(protocol) && !settings.modules.http_v2 {
        Some("for this nginx is built without http_v2_module")
    } else if is_tls(protocol) && !settings.modules.ssl {
        Some("for this nginx is built without http_ssl_module")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use entry_model::{
        EndpointsId, Host, HostName, Key, Kind, ListenerSet, Match, PathMatch, PathRewrite, Policies, Policy,
        SessionCookie,
    };
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn balancings() -> Vec<Balancing> {
        let session = |name: &str, domain: Option<&str>| {
            let domain = domain.map(str::to_owned);
            Balancing::Session(Box::new(SessionCookie { domain, ..SessionCookie::new(name) }))
        };
        let hash = |part| Balancing::Hash(vec![part]);
        vec![
            Balancing::RoundRobin,
            Balancing::LeastConnections,
            hash(entry_model::HashPart::Host),
            hash(entry_model::HashPart::RequestUri),
            Balancing::HashSubset(vec![entry_model::HashPart::Host], std::num::NonZeroU16::MIN),
            session("a", None),
            session("a", Some("b")),
            session("b", None),
        ]
    }

    fn backend(port: u16, keep_alive: bool, protocol: Protocol) -> Backend {
        let service = Key { namespace: "shop".to_owned(), name: "web".to_owned() }.into();
        Backend { address: BackendAddress::Endpoints(EndpointsId { service, port }), protocol, keep_alive }
    }

    /// Rules, each of a backend with a policy of its own, whose balancing is one of few and whose other fields differ.
    fn routes() -> impl Strategy<Value = Routes> {
        let policy = (select(balancings()), select(&["", "/", "/api"][..]), proptest::option::of(1..3_u64)).prop_map(
            |(balancing, session_path, max_body_bytes)| Policy {
                balancing,
                session_path: session_path.to_owned(),
                max_body_bytes,
                ..Policy::default()
            },
        );
        let protocol = select(&[Protocol::Http, Protocol::Https][..]);
        vec((1..3_u16, any::<bool>(), protocol, policy), 1..12).prop_map(|all| {
            let mut policies = Policies::default();
            let mut endpoints = entry_model::SortedMap::default();
            let rules = all.into_iter().enumerate().map(|(n, (port, keep_alive, protocol, policy))| {
                let backend = backend(port, keep_alive, protocol);
                if let BackendAddress::Endpoints(id) = &backend.address {
                    endpoints.insert(id.clone(), vec![SocketAddr::from(([10, 1, 0, 1], 8080))].into());
                }
                let key = Key { namespace: "shop".to_owned(), name: format!("web-{n}") };
                Rule {
                    listeners: ListenerSet::ALL,
                    matches: Match::path(PathMatch::Prefix(format!("/{n}"))),
                    action: Action::Forward(Forward::to(backend, PathRewrite::Keep)),
                    policy: policies.intern(&policy),
                    origin: ObjectRef::new(Kind::Ingress, key),
                }
            });
            let host = Host { rules: rules.collect(), ..Host::default() };
            Routes { hosts: [(HostName::Any, host.into())].into(), policies, endpoints, ..Routes::default() }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// nginx refuses a configuration with two upstreams of one name.
        #[test]
        fn upstreams_have_names_of_their_own(routes in routes()) {
            let settings = Settings::default();
            let upstreams = Upstreams::of(&routes, BTreeSet::new(), &settings, &mut Vec::new());
            let names: BTreeSet<_> = upstreams
                .backends
                .iter()
                .map(|(name, _)| name.to_string())
                .collect();
            prop_assert_eq!(names.len(), upstreams.len());
            prop_assert!(!names.is_empty());
        }
    }
}
