//! Backends of a template: an `upstream` each, for only such keep connections. One that is reached at its endpoints has a `server` for each.

use std::net::SocketAddr;

use entry_model::{Backend, BackendAddress, Balancing, ObjectRef, Policy, Routes, Rule};

use crate::backend_protocols::missing_module;
use crate::frame_needs::backends;
use crate::template_rule::forward_of;
use crate::upstream_name::UpstreamName;
use crate::writer::Writer;
use crate::{RenderNote, Settings, endpoint_choice};

/// Most connections that are kept to all endpoints of a backend, by a worker.
const MAX_KEPT: usize = 256;

/// The upstreams of a template.
#[derive(Debug)]
pub struct Upstreams<'a> {
    routes: &'a Routes,
    settings: &'a Settings,
    /// The upstreams of backends in order, each with the first that asked for it.
    backends: Vec<(UpstreamName<'a>, &'a ObjectRef)>,
}

impl<'a> Upstreams<'a> {
    /// Those that the routes lead to. What this nginx is not able to speak is left out.
    pub fn of(routes: &'a Routes, settings: &'a Settings, notes: &mut Vec<RenderNote>) -> Self {
        let mut backends = Vec::new();
        for (rule, backend) in routes.rules().filter_map(|rule| Some((rule, forward_of(rule)?.1))) {
            match unreachable_note(rule, backend, settings) {
                Some(note) => notes.push(note),
                None if servers_at(routes, &backend.address).next().is_some() => {
                    backends.push((UpstreamName::of(backend, routes.policy(rule)), &rule.origin));
                }
                // Its object is told of that already.
                None => {}
            }
        }
        backends.sort_by_key(|(name, _)| *name);
        backends.dedup_by_key(|(name, _)| *name);
        Self { routes, settings, backends }
    }

    /// The name of the upstream of a backend, which is one of the routes', for a rule with this policy; none if it cannot be reached, or
    /// has no endpoint.
    pub fn name<'b>(&self, backend: &'b Backend, policy: &'b Policy) -> Option<UpstreamName<'b>> {
        let is_reached = missing(backend, self.settings).is_none() && self.servers(backend).next().is_some();
        is_reached.then_some(UpstreamName::of(backend, policy))
    }

    /// Where requests for a backend are sent: to one of these.
    pub fn servers<'b>(&'b self, backend: &'b Backend) -> impl Iterator<Item = SocketAddr> + use<'a, 'b> {
        servers_at(self.routes, &backend.address)
    }

    /// Writes them. Where a session leads to a server, or a hash to some, and not to one, requests get them in turn: that needs variables
    /// and the module.
    pub fn write(&self, writer: &mut Writer<'a>) {
        // nginx sets aside memory for each connection that may be kept: many upstreams get fewer each.
        let kept: usize = match self.backends.len() {
            0..=512 => 32,
            513..=2048 => 16,
            _ => 8,
        };
        for (name, origin) in &self.backends {
            let UpstreamName { address, protocol: _, keeps_connections, balancing } = *name;
            let servers: Vec<_> = servers_at(self.routes, address).collect();
            // Addresses and names of them are of characters that nginx can read.
            let _ = writer.line("upstream").text(|text| text.upstream(*name)).open(Some(origin));
            if let Some(method) = endpoint_choice::method(balancing, self.settings) {
                writer.write(&method);
            }
            // nginx knows no `backup` where a hash chooses.
            write_servers(writer, &servers, !matches!(balancing, Balancing::Hash(_)));
            let kept = kept.max(servers.len().saturating_mul(2).min(MAX_KEPT));
            let kept = self.settings.kept_connections.count(kept);
            let kept = if keeps_connections { kept } else { 0 };
            self.settings.kept_connections.write(writer, kept, self.settings.version);
            writer.close();
        }
    }
}

/// The addresses that can be written, by where a backend is.
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

/// What is told of a rule of whose backends some cannot be reached by this nginx.
pub fn unreachable_notes(rule: &Rule, settings: &Settings) -> impl Iterator<Item = RenderNote> {
    backends(rule).filter_map(|backend| unreachable_note(rule, backend, settings))
}

fn unreachable_note(rule: &Rule, backend: &Backend, settings: &Settings) -> Option<RenderNote> {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use entry_model::{
        Action, EndpointsId, Forward, Host, HostName, Key, Kind, ListenerSet, Match, PathMatch, PathRewrite, Policies,
        Protocol, SessionCookie,
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
            let upstreams = Upstreams::of(&routes, &settings, &mut Vec::new());
            let names: BTreeSet<_> = upstreams
                .backends
                .iter()
                .map(|(name, _)| name.to_string())
                .collect();
            prop_assert_eq!(names.len(), upstreams.backends.len());
            prop_assert!(!names.is_empty());
        }
    }
}
