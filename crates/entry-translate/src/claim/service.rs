//! What a Service with the label asks for.

use entry_model::{Action, FieldPath, HostName, Kind, Match, Reason, Service, Snapshot};

use super::rule_path::{RulePath, read_rule_path};
use super::{
    Claim, Claims, asked_tls_passthrough, choose_protocol, describe_pattern, forward_action, kept_path, parse_port_ref,
    redirect_action, report_backend_without_tls, speaks_tls, unavailable_message, unless_closed, unusable_path_message,
    with_cookie_path,
};
use crate::TranslateSettings;
use crate::claim_site::ClaimSite;
use crate::host::parse_host;
use crate::policy::annotations::{Annotations, read_annotations};
use crate::policy::path_treatment::PatternDialect;
use crate::policy::reader::AnnotationContext;
use crate::resolve::{self, ResolveError, ResolveFault};
use crate::verdict_draft::VerdictDraft;

/// The annotations that it has for that.
const HOST: ClaimSite = ClaimSite::HOST_ANNOTATION;
const PATH: ClaimSite = ClaimSite::Annotation("sparrow/path");
const PORT: ClaimSite = ClaimSite::Annotation("sparrow/port");

/// What a Service with the label asks for: one rule.
pub fn read_service_claims(service: &Service, snapshot: &Snapshot, settings: &TranslateSettings) -> Claims {
    let mut draft = VerdictDraft::default();
    let host = service.meta.annotations.get("sparrow/host").map_or("", String::as_str);
    let context = AnnotationContext {
        defaults: &settings.defaults,
        follows_ingress_nginx: settings.follows_ingress_nginx,
        paths: &[],
        tls: true,
        namespace: &service.meta.namespace,
        quarantine: &settings.quarantine,
        hosts: &[host],
        snapshot,
        tls_passthrough: settings.tls_passthrough,
    };
    let mut annotations = read_annotations(Kind::Service, &service.meta.annotations, context, &mut draft);
    let references = std::mem::take(&mut annotations.references);
    let rule = rule(service, &annotations, settings, &mut draft);
    let host = annotations.host.filter(|_| rule.is_none()).and_then(|text| parse_host(text).ok());
    let held_hosts = host.into_iter().collect();
    Claims { rules: rule.into_iter().collect(), held_hosts, references, draft, ..Claims::default() }
}

fn rule(
    service: &Service,
    annotations: &Annotations<'_>,
    settings: &TranslateSettings,
    draft: &mut VerdictDraft,
) -> Option<Claim> {
    let spec = FieldPath::root("spec");
    let unusable = |draft: &mut VerdictDraft, site: ClaimSite, message: String| {
        draft.report_loss(&site, Reason::Invalid, format!("{message}. The Service is not served"));
    };
    let host = match annotations.host.filter(|text| !text.is_empty()).map_or(Ok(HostName::Any), parse_host) {
        Ok(host) => Some(host),
        Err(message) => {
            unusable(draft, HOST, message);
            None
        }
    };
    let by_name = ["/", &service.meta.name].concat();
    let (site, text) = match annotations.path {
        Some(text) => (PATH, text),
        // A name is no pattern, and needs none.
        None => (ClaimSite::Name, &*by_name),
    };
    let path = read_path(text, site, annotations, draft);

    let mode = annotations.backends.unwrap_or(settings.defaults.backends);
    let address = match resolve::service_address(service, mode) {
        Ok(address) => Some(address),
        Err(ResolveError { reason, fault: ResolveFault::Kind, message }) => {
            draft.report_loss(&spec.field("type"), reason, message);
            return None;
        }
        Err(ResolveError { reason, message, .. }) => {
            draft.report_loss(&spec.field("clusterIP"), reason, unavailable_message(&message));
            None
        }
    };
    let found = match annotations.port {
        Some(text) => resolve::find_port(service, &parse_port_ref(text)).map(|(index, port)| (index, port, false)),
        None => resolve::default_port(service),
    };
    let port = match found {
        Ok((index, port, several)) => {
            if several {
                let message = format!(
                    "The Service has several TCP ports, and one of them is served: {}, the first. Name the one that is meant \
                     in the annotation sparrow/port, or call it `http`",
                    port.port
                );
                draft.report_note(&spec.field("ports"), Reason::Unsupported, message);
            }
            Some((index, port))
        }
        Err(ResolveError { reason, fault: ResolveFault::Port, message }) => {
            draft.report_loss(&PORT, reason, unavailable_message(&message));
            None
        }
        Err(ResolveError { reason, fault, message }) => {
            let message = format!("{message}. The Service is not served");
            match fault {
                _ if annotations.port.is_some() => draft.report_loss(&PORT, reason, message),
                ResolveFault::PortValue(index) => {
                    draft.report_loss(&spec.at("ports", index).field("port"), reason, message);
                }
                _ => draft.report_loss(&spec.field("ports"), reason, message),
            }
            return None;
        }
    };
    let RulePath { matches, outcome } = path?;
    let redirected = redirect_action(annotations, host.as_ref().unwrap_or(&HostName::Any));
    let action = match (redirected.or_else(|| outcome.without_backend()), address, port) {
        (Some(action), ..) => action,
        (None, Some(address), Some((index, port))) => {
            let rewrite = outcome.into_rewrite();
            let protocol = choose_protocol(port, annotations, draft, |draft, message| {
                draft.report_note(&spec.at("ports", index).field("appProtocol"), Reason::Unsupported, message);
            });
            if !speaks_tls(protocol) {
                report_backend_without_tls(annotations, draft);
            }
            forward_action(address.with_port(port.port), protocol, annotations, rewrite, true)
        }
        _ => Action::UNAVAILABLE,
    };
    let tls_passthrough = asked_tls_passthrough(annotations, settings, draft);
    let action = unless_closed(annotations, action);
    let policy = with_cookie_path(annotations.policy.share(), &matches);
    let policy = annotations.exempt_path(policy, &matches, &settings.defaults);
    let matches = Match::path(matches);
    Some(Claim { tls_passthrough, ..Claim::new(host?, matches, action, policy, annotations.https_redirect, site) })
}

fn read_path(text: &str, site: ClaimSite, annotations: &Annotations<'_>, draft: &mut VerdictDraft) -> Option<RulePath> {
    let message = match read_rule_path(text, false, &annotations.paths, Some(&[text])) {
        Ok(path) => {
            let is_plain = annotations.paths.patterns == PatternDialect::Plain;
            if let Some(message) = annotations.path.filter(|_| is_plain).and_then(describe_pattern) {
                draft.report_loss(&site, Reason::Unsupported, message);
            }
            return Some(path);
        }
        Err(message) => message,
    };
    let kept = kept_path(text, annotations);
    let message = match &kept {
        Some(_) => unusable_path_message(&message, true),
        None => format!("{message}. The Service is not served"),
    };
    draft.report_loss(&site, Reason::Invalid, message);
    kept
}
