//! What an Ingress asks for.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use entry_model::{
    Action, BACKENDS_ANNOTATION, BackendAddress, BackendMode, EndpointsId, FieldPath, HostName, Ingress,
    IngressBackend, IngressPath, IngressRule, Key, Kind, Match, ObjectRef, PathRewrite, PathType, PortRef, Reason,
    Service, ServiceKind, ServicePort, Snapshot,
};

use super::rule_path::{PathOutcome, RulePath, missing_group, read_rule_path};
use super::{
    CanaryClaim, Claim, Claims, DefaultClaim, TlsClaim, asked_tls_passthrough, choose_protocol, denied_paths,
    describe_pattern, forward_action, further_hosts, host_action, is_closed, kept_path, redirect_action,
    report_backend_without_tls, speaks_tls, unavailable_message, unless_closed, unusable_path_message,
    with_cookie_path,
};
use crate::claim_site::ClaimSite;
use crate::host::parse_host;
use crate::policy::annotations::{Annotations, read_annotations};
use crate::policy::canary_request::{Canary, CanaryRole};
use crate::policy::client_redirects::HttpsRedirect;
use crate::policy::outside_server::{Unreachable, find_external_name};
use crate::policy::path_treatment::{PathTreatment, PatternDialect};
use crate::policy::reader::AnnotationContext;
use crate::resolve::{self, ResolveError, ResolveFault};
use crate::verdict_draft::{VerdictDraft, object_name, quoted};
use crate::{HostOwnership, TranslateSettings};

const SPEC: FieldPath<'_> = FieldPath::root("spec");

/// What an Ingress asks for. `tls`: whether its hosts may have certificates.
pub fn read_ingress_claims(ingress: &Ingress, snapshot: &Snapshot, settings: &TranslateSettings, tls: bool) -> Claims {
    let service = Key { namespace: ingress.meta.namespace.clone(), name: String::new() };
    let draft = VerdictDraft::default();
    let (is_canary, has_backend_without_tls) = (false, false);
    let references = Vec::new();
    IngressReader { snapshot, settings, tls, ingress, draft, service, is_canary, has_backend_without_tls, references }
        .read_claims()
}

/// An Ingress that is asked what it wants.
struct IngressReader<'a> {
    snapshot: &'a Snapshot,
    settings: &'a TranslateSettings,
    /// Whether its hosts may have certificates.
    tls: bool,
    ingress: &'a Ingress,
    draft: VerdictDraft,
    /// The Service that is looked for: of the Ingress's namespace.
    service: Key,
    /// Whether it gets requests of other Ingresses only.
    is_canary: bool,
    /// Whether TLS is not spoken to a backend of it.
    has_backend_without_tls: bool,
    /// Services to which those that it names lead.
    references: Vec<ObjectRef>,
}

impl<'a> IngressReader<'a> {
    /// What is known beside the annotations.
    fn annotation_context<'p>(&self, paths: &'p [&'p str], hosts: &'p [&'p str]) -> AnnotationContext<'p>
    where
        'a: 'p,
    {
        let (settings, ingress, snapshot) = (self.settings, self.ingress, self.snapshot);
        AnnotationContext {
            defaults: &settings.defaults,
            follows_ingress_nginx: settings.follows_ingress_nginx,
            paths,
            tls: self.tls,
            namespace: &ingress.meta.namespace,
            quarantine: &settings.quarantine,
            hosts,
            snapshot,
            tls_passthrough: settings.tls_passthrough,
        }
    }

    fn read_claims(mut self) -> Claims {
        let ingress = self.ingress;
        let mut asked = Claims::default();
        let (hosts, paths) = hosts_and_paths(ingress);
        let context = self.annotation_context(&paths, &hosts);
        let mut annotations = read_annotations(Kind::Ingress, &ingress.meta.annotations, context, &mut self.draft);
        asked.references = std::mem::take(&mut annotations.references);
        asked.host_action = annotations.host_action.take();
        asked.host_actions = std::mem::take(&mut annotations.host_actions);
        match annotations.canary.take() {
            None => {}
            Some(CanaryRole::Of(canary)) => return self.read_canary(&annotations, canary, &paths, asked),
            Some(CanaryRole::Unknown) => {
                let asked = self.read_rules(&annotations, &paths, asked);
                return asked.closed_unless_others_ask();
            }
        }
        self.read_rules(&annotations, &paths, asked)
    }

    /// What is asked for by the rules, and beside them.
    fn read_rules(mut self, annotations: &Annotations<'_>, paths: &[&str], mut asked: Claims) -> Claims {
        let ingress = self.ingress;
        let policy = annotations.policy.share();
        let tls_passthrough = asked_tls_passthrough(annotations, self.settings, &mut self.draft);
        let mut hosts = BTreeSet::new();
        for (n, rule) in ingress.rules.iter().enumerate() {
            let Some(host) = self.host(n, rule) else { continue };
            if rule.paths.is_empty() && ingress.default_backend.is_none() {
                let message = "The rule has no paths, so nothing is served for its host; add one, or a default backend";
                self.draft.report_loss(
                    &SPEC.at("rules", n).field("http").field("paths"),
                    Reason::Invalid,
                    message.to_owned(),
                );
                asked.hold(&host);
            }
            for (m, entry) in rule.paths.iter().enumerate() {
                let Some(path) = self.path((n, m, entry), &host, annotations, paths) else {
                    asked.hold(&host);
                    continue;
                };
                let (rule, site) = (SPEC.at("rules", n), ClaimSite::Path(n, m));
                let http = rule.field("http");
                let path_field = http.at("paths", m);
                let field = path_field.field("backend");
                let action = host_action(annotations, &host).or_else(|| redirect_action(annotations, &host));
                let action = action.or_else(|| path.outcome.without_backend());
                let rewrite = path.outcome.into_rewrite();
                let action = action.unwrap_or_else(|| self.action(&entry.backend, annotations, rewrite, &field, site));
                let action = unless_closed(annotations, action);
                let (host, matches) = (host.clone(), Match::path(path.matches));
                let policy = annotations.policy_for(&policy, &entry.backend, &ingress.meta.namespace);
                let policy = with_cookie_path(policy, &matches.path);
                let policy = annotations.exempt_path(policy, &matches.path, &self.settings.defaults);
                let claim = Claim::new(host, matches, action, policy, annotations.https_redirect, site);
                asked.rules.push(Claim { tls_passthrough, ..claim });
            }
            if ingress.default_backend.is_some() {
                hosts.insert(host);
            }
        }
        let tls_hosts = self.tls(&mut asked, annotations.https_redirect);
        if tls_passthrough.is_some() {
            // Whoever wants TLS ended by the backend alone brings no certificate for here.
            asked.tls.clear();
        }

        let Some(backend) = &ingress.default_backend else {
            if ingress.rules.is_empty() {
                let message =
                    "The Ingress has neither rules nor a default backend, so nothing is served; add one of them";
                self.draft.report_loss(&SPEC, Reason::Invalid, message.to_owned());
            }
            return self.complete_claims(asked, annotations);
        };
        let policy = with_cookie_path(policy, &Match::any().path);
        let site = ClaimSite::DefaultBackend;
        let forwarded = match redirect_action(annotations, &HostName::Any) {
            // No request comes there.
            Some(_) => Action::UNAVAILABLE,
            None => self.action(backend, annotations, None, &SPEC.field("defaultBackend"), site),
        };
        let action_for = |host: &HostName| {
            unless_closed(annotations, redirect_action(annotations, host).unwrap_or_else(|| forwarded.clone()))
        };
        let policy = annotations.policy_for(&policy, backend, &ingress.meta.namespace);
        if ingress.rules.is_empty() {
            // Without rules it is for all hosts; those that it has certificates for need rules to be known by name.
            hosts = tls_hosts;
            let (action, policy) = (action_for(&HostName::Any), Arc::clone(&policy));
            asked.default = Some(Box::new(DefaultClaim { action, policy, site }));
        }
        asked.rules.extend(hosts.into_iter().map(|host| {
            let of_host = host_action(annotations, &host).map(|action| unless_closed(annotations, action));
            let (action, policy) = (of_host.unwrap_or_else(|| action_for(&host)), Arc::clone(&policy));
            let claim = Claim::new(host, Match::any(), action, policy, annotations.https_redirect, site);
            Claim { tls_passthrough, weak: true, ..claim }
        }));
        self.complete_claims(asked, annotations)
    }

    /// Adds what annotations ask for beside the paths.
    fn complete_claims(mut self, mut asked: Claims, annotations: &Annotations<'_>) -> Claims {
        self.deny_paths(&mut asked, annotations);
        denied_paths::keep_actions_of_held_hosts(&mut asked, annotations);
        further_hosts::add_further_claims(&mut asked, annotations);
        if self.has_backend_without_tls {
            report_backend_without_tls(annotations, &mut self.draft);
        }
        asked.references.append(&mut self.references);
        Claims { draft: self.draft, ..asked }
    }

    fn deny_paths(&mut self, asked: &mut Claims, annotations: &Annotations<'_>) {
        let shares = self.settings.ownership == HostOwnership::Namespace;
        denied_paths::add_denied_paths(asked, annotations, shares, &mut self.draft);
    }

    /// What a canary asks for: which paths of other Ingresses it is one of.
    fn read_canary(
        mut self,
        annotations: &Annotations<'_>,
        canary: Canary,
        paths: &[&str],
        mut asked: Claims,
    ) -> Claims {
        self.is_canary = true;
        let canary = Arc::new(canary);
        for (n, rule) in self.ingress.rules.iter().enumerate() {
            let Some(host) = self.host(n, rule) else { continue };
            for (m, entry) in rule.paths.iter().enumerate() {
                let Some(path) = self.path((n, m, entry), &host, annotations, paths) else { continue };
                let (rule, site) = (SPEC.at("rules", n), ClaimSite::Path(n, m));
                let http = rule.field("http");
                let path_field = http.at("paths", m);
                let action = self.action(&entry.backend, annotations, None, &path_field.field("backend"), site);
                let backend = match action {
                    Action::Forward(forward) => forward.only_backend().cloned(),
                    Action::Redirect(_) | Action::Respond(_) | Action::Answer(_) => None,
                };
                let (host, canary) = (host.clone(), Arc::clone(&canary));
                let text = entry.path.clone().unwrap_or_default();
                asked.canaries.push(CanaryClaim { host, path: path.matches, text, canary, backend, site });
            }
        }
        if asked.canaries.is_empty() {
            let message = "The Ingress is a canary and has no rules with paths, so it gets no requests; add the host and the path of \
                           which it is one";
            self.draft.report_loss(&SPEC.field("rules"), Reason::Invalid, message.to_owned());
        }
        asked.references.append(&mut self.references);
        Claims { draft: self.draft, ..asked }
    }

    fn host(&mut self, n: usize, rule: &IngressRule) -> Option<HostName> {
        match rule.host.as_deref().filter(|text| !text.is_empty()).map_or(Ok(HostName::Any), parse_host) {
            Ok(host) => Some(host),
            Err(message) => {
                let message = format!("{message}. This rule is not served, the others are");
                self.draft.report_loss(&ClaimSite::Host(n), Reason::Invalid, message);
                None
            }
        }
    }

    fn path(
        &mut self,
        (n, m, entry): (usize, usize, &IngressPath),
        host: &HostName,
        annotations: &Annotations<'_>,
        all: &[&str],
    ) -> Option<RulePath> {
        let treatment = &annotations.paths;
        // Namespaces share the paths of hosts that no rule names, by their segments.
        let all = if is_closed(annotations) && *host != HostName::Any { None } else { Some(all) };
        let text = entry.path.as_deref().filter(|text| !text.is_empty()).unwrap_or("/");
        let site = ClaimSite::Path(n, m);
        let path = match read_rule_path(text, entry.path_type == PathType::Exact, treatment, all) {
            Ok(path) => {
                self.report_pattern(text, treatment, site);
                path
            }
            Err(message) => {
                // A canary is one of a path that another Ingress has.
                let kept = kept_path(text, annotations).filter(|_| !self.is_canary);
                self.draft.report_loss(&site, Reason::Invalid, unusable_path_message(&message, kept.is_some()));
                return kept;
            }
        };
        let PathType::Unknown(text) = &entry.path_type else { return Some(path) };
        let message = format!("The path type {} is not known; write `Prefix` or `Exact`", quoted(text));
        let is_kept = is_closed(annotations) && !self.is_canary;
        self.draft.report_loss(
            &SPEC.at("rules", n).field("http").at("paths", m).field("pathType"),
            Reason::Invalid,
            unusable_path_message(&message, is_kept),
        );
        is_kept.then_some(RulePath { outcome: PathOutcome::Unavailable, ..path })
    }

    /// What there is to know of a path that looks like a pattern, or is one.
    fn report_pattern(&mut self, text: &str, treatment: &PathTreatment<'_>, site: ClaimSite) {
        let looks = (treatment.patterns == PatternDialect::Plain).then(|| describe_pattern(text)).flatten();
        if let Some(message) = looks {
            // It is the same in ingress-nginx.
            self.draft.report_note(&site, Reason::Unsupported, message);
        }
        if let Some(group) = missing_group(text, treatment) {
            let message = format!(
                "The target of the rewrite names ${group}, and the path {} has no such group, so it stands for nothing, as in \
                 ingress-nginx",
                quoted(text)
            );
            self.draft.report_note(&site, Reason::Invalid, message);
        }
    }

    /// What is done with what a backend is for. If it cannot be reached, the rule stands: else a shorter path, which may be
    /// somebody else's, would get its requests.
    fn action(
        &mut self,
        backend: &IngressBackend,
        annotations: &Annotations<'_>,
        rewrite: Option<PathRewrite>,
        field: &FieldPath<'_>,
        claim: ClaimSite,
    ) -> Action {
        let service_field = field.field("service");
        let (name, wanted) = match backend {
            IngressBackend::Service { name, port } => (name, port),
            IngressBackend::Resource { kind, name } => {
                let message = format!(
                    "The backend is a resource, {} {}, which is not supported; name a Service",
                    quoted(kind),
                    quoted(name)
                );
                self.report_backend(&field.field("resource"), claim, Reason::Unsupported, &message);
                return Action::UNAVAILABLE;
            }
        };
        self.service.name.clone_from(name);
        let Some(service) = self.snapshot.services.get(&self.service) else {
            let message = format!("There is no {}; make it, or name another", self.service_name());
            self.report_backend(&service_field.field("name"), claim, Reason::RefNotFound, &message);
            return Action::UNAVAILABLE;
        };
        let resolved = match &service.kind {
            ServiceKind::ExternalName(name) => self.external_address(service, name, wanted),
            _ => {
                let mode = annotations.backends.unwrap_or_else(|| self.mode_of(service, &service_field, claim));
                resolve::service_address(service, mode).and_then(|address| {
                    let port = resolve::find_port(service, wanted)?.1;
                    Ok((address.with_port(port.port), Cow::Borrowed(port)))
                })
            }
        };
        match resolved {
            Ok((address, port)) => {
                let port = &*port;
                let protocol = choose_protocol(port, annotations, &mut self.draft, |draft, message| {
                    draft.report_note(&service_field.field("port"), Reason::Unsupported, message);
                    draft.concerns_backend(claim);
                });
                self.has_backend_without_tls |= !speaks_tls(protocol);
                forward_action(address, protocol, annotations, rewrite, false)
            }
            Err(ResolveError { reason, fault, message }) => {
                let part = match fault {
                    ResolveFault::Kind | ResolveFault::Address => "name",
                    ResolveFault::Port | ResolveFault::PortValue(_) => "port",
                };
                let message = format!("{}: {message}", self.service_name());
                self.report_backend(&service_field.field(part), claim, reason, &message);
                Action::UNAVAILABLE
            }
        }
    }

    /// Where what a Service of the type `ExternalName` names is reached. Without ports it has whichever is asked for.
    fn external_address<'s>(
        &mut self,
        service: &'s Service,
        name: &str,
        wanted: &PortRef,
    ) -> Result<(BackendAddress, Cow<'s, ServicePort>), ResolveError> {
        let port = match wanted {
            PortRef::Number(number) if service.ports.is_empty() => Cow::Owned(ServicePort {
                name: String::new(),
                port: *number,
                protocol: "TCP".to_owned(),
                app_protocol: None,
            }),
            wanted => Cow::Borrowed(resolve::find_port(service, wanted)?.1),
        };
        let (snapshot, references) = (self.snapshot, &mut self.references);
        let mut services = |key: &Key| {
            references.push(ObjectRef::new(Kind::Service, key.clone()));
            snapshot.services.get(key).map(|service| &**service)
        };
        match find_external_name(&mut services, &self.ingress.meta.namespace, (name, port.port)) {
            Ok(Some(address)) => Ok((address.into(), port)),
            Ok(None) => {
                let id = EndpointsId { service: Arc::new(service.meta.key()), port: port.port };
                Ok((BackendAddress::Endpoints(id), port))
            }
            Err(Unreachable { reason, message }) => Err(ResolveError { reason, fault: ResolveFault::Kind, message }),
        }
    }

    /// To what of a Service requests are sent, where the Ingress does not say it. What is wrong with the Service's annotation
    /// nobody else is told, if the Service is not exposed by itself.
    fn mode_of(&mut self, service: &Service, field: &FieldPath<'_>, claim: ClaimSite) -> BackendMode {
        let default = self.settings.defaults.backends;
        let Some(text) = service.meta.annotations.get(BACKENDS_ANNOTATION) else { return default };
        text.parse().unwrap_or_else(|hint| {
            let message = format!(
                "{}: the value {} of its annotation {BACKENDS_ANNOTATION} cannot be used, the default stays in force: {hint}",
                self.service_name(),
                quoted(text)
            );
            self.draft.report_note(&field.field("name"), Reason::Invalid, message);
            self.draft.concerns_backend(claim);
            default
        })
    }

    /// What a claim is for has no backend.
    fn report_backend(&mut self, field: &FieldPath<'_>, claim: ClaimSite, reason: Reason, message: &str) {
        let message = if self.is_canary {
            format!("{message}. Until then, the Ingress of which this is a canary gets all requests")
        } else {
            unavailable_message(message)
        };
        self.draft.report_loss(field, reason, message);
        self.draft.concerns_backend(claim);
    }

    fn service_name(&self) -> String {
        object_name(&ObjectRef::new(Kind::Service, self.service.clone()))
    }

    /// Asks for certificates, and returns the hosts that they are for by name.
    fn tls(&mut self, asked: &mut Claims, redirect: HttpsRedirect) -> BTreeSet<HostName> {
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
            asked.tls.push(TlsClaim { entry: n, hosts, further: Vec::new(), secret, redirect });
        }
        all
    }

    fn tls_hosts(&mut self, entry: usize, texts: &[String]) -> Vec<(ClaimSite, HostName)> {
        let mut hosts = Vec::new();
        for (m, text) in texts.iter().enumerate() {
            let site = ClaimSite::TlsHost(entry, m);
            match parse_host(text) {
                Ok(host) => hosts.push((site, host)),
                Err(message) => {
                    let message = format!("{message}. It gets no certificate, the other hosts do");
                    self.draft.report_loss(&site, Reason::Invalid, message);
                }
            }
        }
        hosts
    }
}

/// The hosts of the rules of an Ingress, empty where one is for all, and their paths, as they are written.
fn hosts_and_paths(ingress: &Ingress) -> (Vec<&str>, Vec<&str>) {
    let hosts = ingress.rules.iter().map(|rule| rule.host.as_deref().unwrap_or_default());
    let paths = ingress.rules.iter().flat_map(|rule| &rule.paths);
    (hosts.collect(), paths.map(|path| path.path.as_deref().unwrap_or("/")).collect())
}
