//! What each object asks for.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;

use entry_model::{
    Action, Backend, Forward, HostName, Ingress, IngressBackend, IngressPath, Key, Kind, Match, ObjectRef, PathMatch,
    PathRewrite, PathType, Policy, PortRef, Protocol, Reason, Service, ServicePort, Snapshot,
};

use crate::attach::{Age, Attached, Source};
use crate::draft::{BackendPart, Draft, Place, PortPart, RulePart, TlsPart, named, quoted};
use crate::host::host;
use crate::options::{Options, options};
use crate::path::{path, prefix};
use crate::pattern;
use crate::resolve::{self, Fault, Problem};
use crate::theirs::Context;
use crate::{BuildSettings, Ownership};

/// What all objects ask for.
#[derive(Debug, Default)]
pub struct Claims<'a> {
    pub rules: Vec<(HostName, Claim<'a>)>,
    pub defaults: Vec<DefaultClaim<'a>>,
    pub tls: Vec<TlsClaim<'a>>,
}

/// A rule that is asked for.
#[derive(Debug)]
pub struct Claim<'a> {
    pub matches: Match,
    pub action: Action,
    /// How requests are treated; whether they are redirected to HTTPS is decided later.
    pub policy: Policy,
    /// What is said about redirecting to HTTPS.
    pub redirect: Option<bool>,
    pub owner: Age,
    pub place: Place<'a>,
    /// From a default backend: it gets only what nobody names.
    pub weak: bool,
}

/// What is to be done with requests that no rule matches.
#[derive(Debug)]
pub struct DefaultClaim<'a> {
    pub action: Action,
    pub policy: Policy,
    pub owner: Age,
    pub place: Place<'a>,
}

/// A certificate that is asked for.
#[derive(Debug)]
pub struct TlsClaim<'a> {
    pub owner: Age,
    /// Index in `spec.tls`.
    pub entry: usize,
    /// The hosts that it names; none for those that the object has.
    pub hosts: Option<Vec<(Place<'a>, HostName)>>,
    pub secret: Option<Key>,
}

/// Asks every object.
pub fn claims<'a>(snapshot: &'a Snapshot, settings: &BuildSettings, attached: &mut [Attached<'a>]) -> Claims<'a> {
    let mut asked = Claims::default();
    // A certificate comes from an Ingress of the same namespace, unless namespaces share hosts.
    let with_tls = attached.iter().filter(|attached| brings_certificate(attached));
    let with_tls: HashSet<&str> = with_tls.map(|attached| attached.source.meta().namespace.as_str()).collect();
    let mut service = Key { namespace: String::new(), name: String::new() };
    for (index, Attached { source, draft, .. }) in attached.iter_mut().enumerate() {
        let owner = (source.meta().created, index);
        match *source {
            Source::Service(service) => asked.rules.extend(of_service(service, settings, owner, draft)),
            Source::Ingress(ingress) => {
                service.namespace.clone_from(&ingress.meta.namespace);
                let namespace = ingress.meta.namespace.as_str();
                let shared = settings.ownership == Ownership::None && !with_tls.is_empty();
                let tls = settings.has_https() && (shared || with_tls.contains(namespace));
                OfIngress { snapshot, settings, tls, ingress, owner, draft, service: &mut service }.ask(&mut asked);
            }
        }
    }
    asked
}

fn brings_certificate(attached: &Attached<'_>) -> bool {
    matches!(attached.source, Source::Ingress(ingress) if !ingress.tls.is_empty())
}

/// The rule of a Service with the label.
fn of_service<'a>(
    service: &'a Service,
    settings: &BuildSettings,
    owner: Age,
    draft: &mut Draft<'a>,
) -> Option<(HostName, Claim<'a>)> {
    const PORT: Place<'_> = Place::Annotation("sparrow/port");
    let context = Context { defaults: &settings.defaults, paths: &[], tls: true };
    let options = options(Kind::Service, &service.meta.annotations, &context, draft);
    let unusable = |draft: &mut Draft<'a>, place, message: String| {
        draft.lose(place, Reason::Invalid, format!("{message}. The Service is not served"));
    };
    let host = match options.host.filter(|text| !text.is_empty()).map_or(Ok(HostName::Any), host) {
        Ok(host) => Some(host),
        Err(message) => {
            unusable(draft, Place::Annotation("sparrow/host"), message);
            None
        }
    };
    let (place, parsed) = match options.path {
        Some(text) => (Place::Annotation("sparrow/path"), path(text)),
        None => (Place::Name, path(&["/", &service.meta.name].concat())),
    };
    let path = match parsed {
        Ok(path) => {
            if let Some(message) = options.path.and_then(looks_like_pattern) {
                draft.lose(place, Reason::Unsupported, message);
            }
            Some(PathMatch::Prefix(prefix(path)))
        }
        Err(message) => {
            unusable(draft, place, message);
            None
        }
    };

    let address = match resolve::address(service) {
        Ok(address) => Some(address),
        Err(Problem { reason, fault: Fault::Kind, message }) => {
            draft.lose(Place::ServiceType, reason, message);
            return None;
        }
        Err(Problem { reason, message, .. }) => {
            draft.lose(Place::ClusterIp, reason, unavailable(&message));
            None
        }
    };
    let found = match options.port {
        Some(text) => resolve::port(service, &port_ref(text)).map(|(index, port)| (index, port, false)),
        None => resolve::only_port(service),
    };
    let port = match found {
        Ok((index, port, several)) => {
            if several {
                let message = format!(
                    "The Service has several TCP ports, and one of them is served: {}, the first. Name the one that is meant \
                     in the annotation sparrow/port, or call it `http`",
                    port.port
                );
                draft.note(Place::Ports, Reason::Unsupported, message);
            }
            Some((index, port))
        }
        Err(Problem { reason, fault: Fault::Port, message }) => {
            draft.lose(PORT, reason, unavailable(&message));
            None
        }
        Err(Problem { reason, fault, message }) => {
            let place = match fault {
                _ if options.port.is_some() => PORT,
                Fault::PortValue(index) => Place::Port(index, PortPart::Number),
                _ => Place::Ports,
            };
            draft.lose(place, reason, format!("{message}. The Service is not served"));
            return None;
        }
    };
    let action = match (address, port) {
        (Some(address), Some((index, port))) => {
            let protocol = protocol(port, &options, Place::Port(index, PortPart::AppProtocol), draft);
            forward(address, port, protocol, &options, true)
        }
        _ => Action::UNAVAILABLE,
    };
    let (matches, policy) = (Match::path(path?), options.policy());
    Some((host?, Claim { matches, action, policy, redirect: options.ssl_redirect, owner, place, weak: false }))
}

/// An Ingress that is asked what it wants.
struct OfIngress<'a, 'b> {
    snapshot: &'a Snapshot,
    settings: &'b BuildSettings,
    /// Whether its hosts may have certificates.
    tls: bool,
    ingress: &'a Ingress,
    owner: Age,
    draft: &'b mut Draft<'a>,
    /// The Service that is looked for; kept, since thousands may be.
    service: &'b mut Key,
}

impl<'a> OfIngress<'a, '_> {
    fn ask(mut self, asked: &mut Claims<'a>) {
        let (ingress, owner) = (self.ingress, self.owner);
        let paths = ingress.rules.iter().flat_map(|rule| &rule.paths);
        let paths: Vec<&str> = paths.map(|path| path.path.as_deref().unwrap_or("/")).collect();
        let context = Context { defaults: &self.settings.defaults, paths: &paths, tls: self.tls };
        let options = options(Kind::Ingress, &ingress.meta.annotations, &context, self.draft);
        let mut hosts = BTreeSet::new();
        for (n, rule) in ingress.rules.iter().enumerate() {
            let host = match rule.host.as_deref().filter(|text| !text.is_empty()).map_or(Ok(HostName::Any), host) {
                Ok(host) => host,
                Err(message) => {
                    let message = format!("{message}. This rule is not served, the others are");
                    self.draft.lose(Place::Rule(n, RulePart::Host), Reason::Invalid, message);
                    continue;
                }
            };
            if rule.paths.is_empty() && ingress.default_backend.is_none() {
                let message = "The rule has no paths, so nothing is served for its host; add one, or a default backend";
                self.draft.lose(Place::Rule(n, RulePart::Paths), Reason::Invalid, message.to_owned());
            }
            for (m, entry) in rule.paths.iter().enumerate() {
                let Some(path) = self.path(n, m, entry) else { continue };
                let place = |part| Place::Rule(n, RulePart::Backend(m, part));
                let action = self.action(&entry.backend, &options, place);
                let (redirect, place) = (options.ssl_redirect, Place::Rule(n, RulePart::Path(m)));
                let (matches, policy) = (Match::path(path), options.policy());
                asked
                    .rules
                    .push((host.clone(), Claim { matches, action, policy, redirect, owner, place, weak: false }));
            }
            if ingress.default_backend.is_some() {
                hosts.insert(host);
            }
        }
        let tls_hosts = self.tls(asked);

        let Some(backend) = &ingress.default_backend else {
            if ingress.rules.is_empty() {
                let message =
                    "The Ingress has neither rules nor a default backend, so nothing is served; add one of them";
                self.draft.lose(Place::Spec, Reason::Invalid, message.to_owned());
            }
            return;
        };
        let action = self.action(backend, &options, Place::DefaultBackend);
        let place = Place::DefaultBackend(BackendPart::Whole);
        if ingress.rules.is_empty() {
            // Without rules it is for all hosts; those that it has certificates for need rules to be known by name.
            hosts = tls_hosts;
            asked.defaults.push(DefaultClaim { action: action.clone(), policy: options.policy(), owner, place });
        }
        asked.rules.extend(hosts.into_iter().map(|host| {
            let (matches, action, policy) = (Match::any(), action.clone(), options.policy());
            (host, Claim { matches, action, policy, redirect: options.ssl_redirect, owner, place, weak: true })
        }));
    }

    fn path(&mut self, n: usize, m: usize, entry: &IngressPath) -> Option<PathMatch> {
        let text = entry.path.as_deref().filter(|text| !text.is_empty()).unwrap_or("/");
        let parsed = match path(text) {
            Ok(path) => {
                if let Some(message) = looks_like_pattern(text) {
                    self.draft.lose(Place::Rule(n, RulePart::Path(m)), Reason::Unsupported, message);
                }
                path
            }
            Err(message) => {
                let message = format!("{message}. This path is not served, the others are");
                self.draft.lose(Place::Rule(n, RulePart::Path(m)), Reason::Invalid, message);
                return None;
            }
        };
        match &entry.path_type {
            PathType::Exact => Some(PathMatch::Exact(parsed)),
            PathType::Prefix | PathType::ImplementationSpecific => Some(PathMatch::Prefix(prefix(parsed))),
            PathType::Unknown(text) => {
                let message = format!(
                    "The path type {} is not known, so this path is not served, the others are; write `Prefix` or `Exact`",
                    quoted(text)
                );
                self.draft.lose(Place::Rule(n, RulePart::PathType(m)), Reason::Invalid, message);
                None
            }
        }
    }

    /// What is done with what a backend is for. If it cannot be reached, the rule stands: else a shorter path, which may be
    /// somebody else's, would get its requests.
    fn action(
        &mut self,
        backend: &IngressBackend,
        options: &Options<'_>,
        place: impl Fn(BackendPart) -> Place<'a>,
    ) -> Action {
        let (name, wanted) = match backend {
            IngressBackend::Service { name, port } => (name, port),
            IngressBackend::Resource { kind, name } => {
                let message = format!(
                    "The backend is a resource, {} {}, which is not supported; name a Service",
                    quoted(kind),
                    quoted(name)
                );
                self.draft.lose(place(BackendPart::Resource), Reason::Unsupported, unavailable(&message));
                return Action::UNAVAILABLE;
            }
        };
        self.service.name.clone_from(name);
        let Some(service) = self.snapshot.services.get(&*self.service) else {
            let message = format!("There is no {}; make it, or name another", self.named_service());
            self.draft.lose(place(BackendPart::Name), Reason::RefNotFound, unavailable(&message));
            return Action::UNAVAILABLE;
        };
        let resolved = resolve::address(service).and_then(|address| Ok((address, resolve::port(service, wanted)?.1)));
        match resolved {
            Ok((address, port)) => {
                let protocol = protocol(port, options, place(BackendPart::Port), self.draft);
                forward(address, port, protocol, options, false)
            }
            Err(Problem { reason, fault, message }) => {
                let part = match fault {
                    Fault::Kind | Fault::Address => BackendPart::Name,
                    Fault::Port | Fault::PortValue(_) => BackendPart::Port,
                };
                let object = self.named_service();
                self.draft.lose(place(part), reason, unavailable(&format!("{object}: {message}")));
                Action::UNAVAILABLE
            }
        }
    }

    fn named_service(&self) -> String {
        named(&ObjectRef::new(Kind::Service, self.service.clone()))
    }

    /// Asks for certificates, and returns the hosts that they are for by name.
    fn tls(&mut self, asked: &mut Claims<'a>) -> BTreeSet<HostName> {
        let mut all = BTreeSet::new();
        for (n, entry) in self.ingress.tls.iter().enumerate() {
            let hosts = (!entry.hosts.is_empty()).then(|| self.tls_hosts(n, &entry.hosts));
            match &hosts {
                Some(hosts) => all.extend(hosts.iter().map(|(_, host)| host.clone())),
                None => drop(all.insert(HostName::Any)),
            }
            let namespace = &self.ingress.meta.namespace;
            let secret = entry.secret.as_ref().filter(|name| !name.is_empty());
            let secret = secret.map(|name| Key { namespace: namespace.clone(), name: name.clone() });
            asked.tls.push(TlsClaim { owner: self.owner, entry: n, hosts, secret });
        }
        all
    }

    fn tls_hosts(&mut self, entry: usize, texts: &[String]) -> Vec<(Place<'a>, HostName)> {
        let mut hosts = Vec::new();
        for (m, text) in texts.iter().enumerate() {
            let place = Place::TlsEntry(entry, TlsPart::Host(m));
            match host(text) {
                Ok(host) => hosts.push((place, host)),
                Err(message) => {
                    let message = format!("{message}. It gets no certificate, the other hosts do");
                    self.draft.lose(place, Reason::Invalid, message);
                }
            }
        }
        hosts
    }
}

/// What is said of a path that looks like a pattern.
fn looks_like_pattern(text: &str) -> Option<String> {
    let instead = pattern::instead(text)?;
    Some(format!(
        "The path {} looks like a pattern, and there are none: each of its characters stands for itself, and so it is served. Write \
         {} with the type `Prefix`, which is for all that is below it; `sparrow/strip-prefix` takes it off",
        quoted(text),
        quoted(&instead)
    ))
}

/// A number is a port's number, all else its name.
fn port_ref(text: &str) -> PortRef {
    text.parse().map_or_else(|_| PortRef::Name(text.to_owned()), PortRef::Number)
}

fn unavailable(message: &str) -> String {
    format!("{message}. Until then, requests for it are answered 503")
}

/// What is spoken on a port.
fn protocol<'a>(port: &ServicePort, options: &Options<'_>, place: Place<'a>, draft: &mut Draft<'a>) -> Protocol {
    let asked = || match port.app_protocol.as_deref() {
        None | Some("") => Protocol::Http,
        Some(name) => resolve::protocol(name).unwrap_or_else(|| {
            let message = format!(
                "The appProtocol {} of the port is not known, so HTTP/1.1 is spoken; write `http`, `https`, \
                 `kubernetes.io/h2c`, `kubernetes.io/ws`, `kubernetes.io/wss`, `grpc` or `grpcs`",
                quoted(name)
            );
            draft.note(place, Reason::Unsupported, message);
            Protocol::Http
        }),
    };
    options.protocol.unwrap_or_else(asked)
}

fn forward(
    mut address: SocketAddr,
    port: &ServicePort,
    protocol: Protocol,
    options: &Options<'_>,
    strip_prefix: bool,
) -> Action {
    address.set_port(port.port);
    let backend = Backend { address, protocol, keep_alive: options.keep_alive.unwrap_or(true) };
    let strips = options.strip_prefix.unwrap_or(strip_prefix);
    Action::Forward(Forward::to(backend, if strips { PathRewrite::StripPrefix } else { PathRewrite::Keep }))
}
