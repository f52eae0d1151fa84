//! What each object asks for: a file for each kind that can ask.

mod denied_paths;
mod further_hosts;
mod ingress;
mod rule_path;
mod service;
mod shared_paths;

use std::sync::Arc;

use entry_model::{
    Action, Backend, BackendAddress, Balancing, ClientCertificates, Forward, HostName, Key, Match, ObjectRef,
    PathMatch, PathRewrite, Policy, PortRef, Protocol, Reason, ServicePort, Snapshot,
};

use self::rule_path::{RulePath, unusable_path};
use crate::attach::RouteObject;
use crate::claim_site::ClaimSite;
use crate::endpoints::{endpoints_at, endpoints_of};
use crate::policy::annotations::Annotations;
use crate::policy::canary_request::Canary;
use crate::policy::client_redirects::{ActionOfHost, HttpsRedirect, RequestRedirect};
use crate::policy::shared_policy::is_shared_default;
use crate::regex_path;
use crate::resolve;
use crate::rule_weight::{PolicySize, rates_of, rule_weight};
use crate::verdict_draft::{VerdictDraft, quoted};
use crate::{HostOwnership, TranslateSettings};

/// What an object asks for, and what its owner is told of that.
#[derive(Debug, Default)]
pub struct Claims {
    /// The object, once it is known among others.
    pub object: Option<ObjectRef>,
    pub rules: Vec<Claim>,
    pub default: Option<Box<DefaultClaim>>,
    pub tls: Vec<TlsClaim>,
    /// What is done with all requests of its hosts, those of other objects among them.
    pub host_action: Option<Action>,
    /// The same of some of its hosts, which comes first.
    pub host_actions: Vec<ActionOfHost>,
    /// Of a canary, which has none of the others.
    pub canaries: Vec<CanaryClaim>,
    /// Hosts that the object names for what cannot be served. Nothing is asked for there, and nobody else gets them.
    pub held_hosts: Vec<HostName>,
    /// What the claims depend on, beside the object, the Services that it names as backends, and the settings.
    pub references: Vec<ObjectRef>,
    pub draft: VerdictDraft,
}

/// A rule that is asked for.
#[derive(Debug, Clone)]
pub struct Claim {
    pub host: HostName,
    pub matches: Match,
    pub action: Action,
    /// How requests are treated; whether they are redirected to HTTPS is decided later.
    pub policy: Arc<Policy>,
    /// What is said about redirecting to HTTPS.
    pub redirect: HttpsRedirect,
    pub site: ClaimSite,
    /// The annotation with which the object asks that TLS connections for the host go to the backend of its path `/`.
    pub tls_passthrough: Option<ClaimSite>,
    /// From a default backend: it gets only what nobody names.
    pub weak: bool,
    /// Its host is one that the object does not name in a rule: it stands only where no rule names it.
    pub yields: bool,
    /// A location of a snippet answers its path: it comes before patterns, and of the same paths it stands if nobody may ask.
    pub denies: bool,
    /// What it counts among rules.
    pub weight: u32,
}

impl Claim {
    /// Whether not everybody gets what is served there.
    pub fn is_closed(&self) -> bool {
        self.policy.is_restricted() || matches!(self.action, Action::Respond(_) | Action::Answer(_))
    }

    /// Whether it keeps clients out, and so comes before others of the same path.
    pub fn keeps_out(&self) -> bool {
        self.denies && self.action.refuses()
    }

    /// A rule that an object names, for a path of its own.
    pub fn new(
        host: HostName,
        matches: Match,
        action: Action,
        policy: Arc<Policy>,
        redirect: HttpsRedirect,
        site: ClaimSite,
    ) -> Self {
        Self {
            host,
            matches,
            action,
            policy,
            redirect,
            site,
            tls_passthrough: None,
            weak: false,
            yields: false,
            denies: false,
            weight: 1,
        }
    }
}

/// What is to be done with requests that no rule matches.
#[derive(Debug, PartialEq, Eq)]
pub struct DefaultClaim {
    pub action: Action,
    pub policy: Arc<Policy>,
    pub site: ClaimSite,
}

/// A certificate that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct TlsClaim {
    /// Index in `spec.tls`.
    pub entry: usize,
    /// The hosts that it names; none for those that the object has.
    pub hosts: Option<Vec<(ClaimSite, HostName)>>,
    /// Further hosts of the object, which get it if it is for them.
    pub further: Vec<HostName>,
    pub secret: Option<Key>,
    /// What its object says about redirecting to HTTPS.
    pub redirect: HttpsRedirect,
}

/// A path that a canary is for.
#[derive(Debug)]
pub struct CanaryClaim {
    pub host: HostName,
    pub path: PathMatch,
    /// As it is written.
    pub text: String,
    /// Which requests.
    pub canary: Arc<Canary>,
    /// Where they go; none if that does not exist.
    pub backend: Option<Backend>,
    pub site: ClaimSite,
}

impl Claims {
    /// Whether other claims are for the same, wherever they lead and however requests are treated.
    pub fn ask_for_the_same(&self, other: &Self) -> bool {
        let same_rule = |(one, two): (&Claim, &Claim)| {
            let Claim {
                host,
                matches,
                action: _,
                policy,
                redirect,
                site,
                tls_passthrough,
                weak,
                yields,
                denies,
                weight,
            } = one;
            // Where not everybody may ask, others' paths may have to be closed; and who keeps clients out comes first.
            (one.is_closed(), one.keeps_out()) == (two.is_closed(), two.keeps_out())
                // What is asked of connections is for all of a host.
                && policy.client_certificates == two.policy.client_certificates
                // What is counted of it is as it was.
                && *weight == two.weight
                && rates_of(&policy.limits).eq(rates_of(&two.policy.limits))
                && policy.client_tls == two.policy.client_tls
                && *tls_passthrough == two.tls_passthrough
                // A pattern is tried at the place that its text gives it, as it is written.
                && matches.path.text() == two.matches.path.text()
                && (host, matches, redirect, site, weak, yields, denies)
                    == (&two.host, &two.matches, &two.redirect, &two.site, &two.weak, &two.yields, &two.denies)
        };
        // Whose requests a canary gets is decided among others.
        self.canaries.is_empty()
            && other.canaries.is_empty()
            && self.rules.len() == other.rules.len()
            && self.rules.iter().zip(&other.rules).all(same_rule)
            && self.default == other.default
            && (&self.host_action, &self.host_actions) == (&other.host_action, &other.host_actions)
            && self.tls == other.tls
            && self.held_hosts == other.held_hosts
    }

    /// Holds a host for which nothing is asked.
    pub fn hold(&mut self, host: &HostName) {
        if *host != HostName::Any && !self.held_hosts.contains(host) {
            self.held_hosts.push(host.clone());
        }
    }

    /// What is left of them where it is not known whether their object is a canary: its paths, where requests are answered 503, unless others
    /// ask for them.
    fn closed_unless_others_ask(mut self) -> Self {
        for rule in &mut self.rules {
            (rule.action, rule.tls_passthrough, rule.weak) = (Action::UNAVAILABLE, None, true);
        }
        if let Some(default) = &mut self.default {
            default.action = Action::UNAVAILABLE;
        }
        self
    }

    /// What is left of them where their object is put aside: its paths, where requests are answered 503.
    pub fn unavailable(&self) -> Self {
        // A certificate is asked for by the whole host: without one that can be had, the host lets nobody in.
        let policy = |policy: &Policy| {
            let client_certificates = policy.client_certificates.as_ref().map(|_| ClientCertificates::Unusable);
            Arc::new(Policy { client_certificates, ..Policy::default() })
        };
        let rule = |rule: &Claim| Claim {
            host: rule.host.clone(),
            matches: rule.matches.clone(),
            action: Action::UNAVAILABLE,
            policy: policy(&rule.policy),
            redirect: HttpsRedirect::Never,
            tls_passthrough: None,
            ..*rule
        };
        let default = self.default.as_ref().map(|default| {
            let policy = policy(&default.policy);
            Box::new(DefaultClaim { action: Action::UNAVAILABLE, policy, site: default.site })
        });
        let (rules, held_hosts) = (self.rules.iter().map(rule).collect(), self.held_hosts.clone());
        let host_action = self.host_action.as_ref().map(|_| Action::UNAVAILABLE);
        let host_actions = self.host_actions.iter().map(ActionOfHost::unavailable).collect();
        let object = self.object.clone();
        Self { object, rules, default, host_action, host_actions, held_hosts, ..Self::default() }
    }

    /// Gives back the room that nothing was put into, and shares policies with whoever asked for the same one before: claims are
    /// kept as long as their object is as it is.
    pub fn compact(&mut self, last_policy: &mut Arc<Policy>) {
        self.rules.shrink_to_fit();
        let policies = self.rules.iter_mut().map(|rule| &mut rule.policy);
        for policy in policies.chain(self.default.iter_mut().map(|default| &mut default.policy)) {
            if *policy == *last_policy {
                *policy = Arc::clone(last_policy);
            } else {
                *last_policy = Arc::clone(policy);
            }
        }
    }

    /// What is done with all requests of a host, those of other objects among them, if this object says so.
    pub fn action_for(&self, host: &HostName) -> Option<Action> {
        let of_host = self.host_actions.iter().find_map(|action| action.action_for(host));
        of_host.or_else(|| self.host_action.clone())
    }

    /// Whether it says so of a host.
    pub fn has_host_actions(&self) -> bool {
        self.host_action.is_some() || !self.host_actions.is_empty()
    }

    /// Whether a rule, the default or a canary leads to endpoints.
    pub fn name_endpoints(&self) -> bool {
        let rules = self.rules.iter().map(|rule| &rule.action);
        let all = rules.chain(self.default.iter().map(|default| &default.action));
        let mut canaries = self.canaries.iter().filter_map(|canary| canary.backend.as_ref());
        all.flat_map(endpoints_of).next().is_some() || canaries.any(|backend| endpoints_at(&backend.address).is_some())
    }

    /// The hosts that it names for something else than a rule: for certificates, for canaries, or to keep them from others.
    pub fn hosts_beside_rules(&self) -> impl Iterator<Item = &HostName> {
        let of_tls = self.tls.iter().flat_map(|tls| {
            let named = tls.hosts.iter().flatten().map(|(_, host)| host);
            named.chain(&tls.further)
        });
        of_tls.chain(self.canaries.iter().map(|canary| &canary.host)).chain(&self.held_hosts)
    }

    /// The hosts that are asked for.
    pub fn hosts(&self) -> impl Iterator<Item = &HostName> {
        self.rules.iter().map(|rule| &rule.host)
    }
}

/// Asks an object. `tls`: whether its hosts may have certificates. What comes of it depends on nothing else than the object,
/// the Services that it names, the settings, and what is in [`Claims::references`].
pub fn read_claims(source: RouteObject<'_>, snapshot: &Snapshot, settings: &TranslateSettings, tls: bool) -> Claims {
    let mut claims = match source {
        RouteObject::Service(object) => service::read_service_claims(object, snapshot, settings),
        RouteObject::Ingress(object) => ingress::read_ingress_claims(object, snapshot, settings, tls),
    };
    if settings.ownership == HostOwnership::Namespace {
        shared_paths::bind_patterns(&mut claims);
    }
    weigh_rules(&mut claims.rules);
    claims
}

/// Says what each rule counts. Most of an object have the same policy, and most objects have that of all.
fn weigh_rules(rules: &mut [Claim]) {
    let mut last: Option<(Arc<Policy>, PolicySize)> = None;
    for rule in rules {
        let size = match &last {
            _ if is_shared_default(&rule.policy) => PolicySize::default(),
            Some((policy, size)) if Arc::ptr_eq(policy, &rule.policy) => *size,
            _ => last.insert((Arc::clone(&rule.policy), PolicySize::of(&rule.policy))).1,
        };
        let weight = rule_weight(&rule.matches, &rule.action, size);
        rule.weight = u32::try_from(weight).unwrap_or(u32::MAX);
    }
}

/// The same policy, with a cookie of sessions for this path, unless it is said for which it is.
fn with_cookie_path(mut policy: Arc<Policy>, path: &PathMatch) -> Arc<Policy> {
    if matches!(policy.balancing, Balancing::Session(_)) && policy.session_path.is_empty() {
        let text = path.text();
        let is_path = !matches!(path, PathMatch::Regex(_)) && text.len() <= 256 && !text.contains([';', ',']);
        if is_path && !text.is_empty() { text } else { "/" }.clone_into(&mut Arc::make_mut(&mut policy).session_path);
    }
    policy
}

/// What is said of a path that looks like a pattern.
fn describe_pattern(text: &str) -> Option<String> {
    let instead = regex_path::suggest_prefix(text)?;
    Some(format!(
        "The path {} looks like a regular expression, and is none: each of its characters stands for itself, and so it is served. \
         `sparrow/path-regex: \"true\"` makes regular expressions of the paths of its object; or write {} with the type `Prefix`, which is \
         for all that is below it",
        quoted(text),
        quoted(&instead)
    ))
}

/// The annotation with which an object asks for TLS passthrough, if TLS connections come here.
fn asked_tls_passthrough(
    annotations: &Annotations<'_>,
    settings: &TranslateSettings,
    draft: &mut VerdictDraft,
) -> Option<ClaimSite> {
    let site = annotations.tls_passthrough?;
    if !settings.has_https() {
        let message = "There is no HTTPS listener here, so no TLS connections are passed through; requests over HTTP are served, \
                       without redirect";
        draft.report_loss(&site, Reason::Unsupported, message.to_owned());
        return None;
    }
    Some(site)
}

/// A number is a port's number, all else its name.
fn parse_port_ref(text: &str) -> PortRef {
    text.parse().map_or_else(|_| PortRef::Name(text.to_owned()), PortRef::Number)
}

fn unavailable_message(message: &str) -> String {
    format!("{message}. Until then, requests for it are answered 503")
}

/// What is spoken on a port.
fn choose_protocol(
    port: &ServicePort,
    annotations: &Annotations<'_>,
    draft: &mut VerdictDraft,
    note: impl FnOnce(&mut VerdictDraft, String),
) -> Protocol {
    let asked = || match port.app_protocol.as_deref() {
        None | Some("") => Protocol::Http,
        Some(name) => resolve::parse_protocol(name).unwrap_or_else(|| {
            let message = format!(
                "The appProtocol {} of the port is not known, so HTTP/1.1 is spoken; write `http`, `https`, \
                 `kubernetes.io/h2c`, `kubernetes.io/ws`, `kubernetes.io/wss`, `grpc` or `grpcs`",
                quoted(name)
            );
            note(draft, message);
            Protocol::Http
        }),
    };
    annotations.protocol.unwrap_or_else(asked)
}

/// What becomes of all requests of an object for a host that are not forwarded.
fn redirect_action(annotations: &Annotations<'_>, host: &HostName) -> Option<Action> {
    let redirect = annotations.redirects.all.as_ref().map(|redirect| match redirect {
        RequestRedirect::To(url) => url.for_host(host).map_or(Action::UNAVAILABLE, Action::Redirect),
        RequestRedirect::Unusable => Action::UNAVAILABLE,
    });
    redirect.or_else(|| annotations.action.clone())
}

/// What becomes of all requests of a host that are not forwarded, because a snippet says so of that host.
fn host_action(annotations: &Annotations<'_>, host: &HostName) -> Option<Action> {
    annotations.actions_of_hosts.iter().find_map(|redirect| redirect.action_for(host))
}

/// The path of a rule that cannot be used, where not everybody may ask: else what is served at a shorter path, which may be open to all,
/// would get its requests.
fn kept_path(text: &str, annotations: &Annotations<'_>) -> Option<RulePath> {
    is_closed(annotations).then(|| unusable_path(text, &annotations.paths)).flatten()
}

/// Whether not everybody may ask.
fn is_closed(annotations: &Annotations<'_>) -> bool {
    annotations.unavailable || annotations.policy.is_restricted()
}

/// What is told of a path that cannot be used.
fn unusable_path_message(message: &str, is_kept: bool) -> String {
    if is_kept {
        format!(
            "{message}. Not everybody may ask for it, so whatever begins like it is answered 503; the other paths are served"
        )
    } else {
        format!("{message}. This path is not served, the others are")
    }
}

/// What is done with requests; nothing, where it cannot be known who may ask.
fn unless_closed(annotations: &Annotations<'_>, action: Action) -> Action {
    if annotations.unavailable { Action::UNAVAILABLE } else { action }
}

/// Tells an object that a backend is spoken to without TLS, and that it says how TLS to it is to be.
fn report_backend_without_tls(annotations: &Annotations<'_>, draft: &mut VerdictDraft) {
    let Some((annotation, is_own)) = annotations.backend_tls else { return };
    let site = ClaimSite::Annotation(annotation);
    if is_own {
        let message = "A backend of the object is spoken to without TLS, so it is neither verified nor shown a certificate; write \
                       `sparrow/backend-protocol: https` or `grpcs`, or remove this";
        draft.report_loss(&site, Reason::Unsupported, message.to_owned());
    } else {
        let message = "A backend of the Ingress is spoken to without TLS, so it is not verified, as in ingress-nginx; write the annotation \
                       backend-protocol with the value `HTTPS` or `GRPCS`, or remove this";
        draft.report_note(&site, Reason::Unsupported, message.to_owned());
    }
}

/// Whether TLS is spoken to a backend.
fn speaks_tls(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Https | Protocol::Http2Tls)
}

fn forward_action(
    address: BackendAddress,
    protocol: Protocol,
    annotations: &Annotations<'_>,
    rewrite: Option<PathRewrite>,
    strip_prefix: bool,
) -> Action {
    let backend = Backend { address, protocol, keep_alive: annotations.keep_alive.unwrap_or(true) };
    let by_default =
        if annotations.strip_prefix.unwrap_or(strip_prefix) { PathRewrite::StripPrefix } else { PathRewrite::Keep };
    Action::Forward(Forward::to(backend, rewrite.unwrap_or(by_default)))
}
