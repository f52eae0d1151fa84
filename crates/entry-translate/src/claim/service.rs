//! What a Service with the label asks for.

use entry_model::{Action, FieldPath, HostName, Kind, Match, PathMatch, Reason, Service};

use super::{Claim, Claims, forward, looks_like_pattern, port_ref, protocol, unavailable};
use crate::TranslateSettings;
use crate::draft::Draft;
use crate::host::host;
use crate::options::options;
use crate::path::{path, prefix};
use crate::resolve::{self, Fault, Problem};
use crate::site::Site;
use crate::theirs::Context;

/// The annotations that it has for that.
const HOST: Site = Site::HOST_ANNOTATION;
const PATH: Site = Site::Annotation("sparrow/path");
const PORT: Site = Site::Annotation("sparrow/port");

/// What a Service with the label asks for: one rule.
pub fn claims(service: &Service, settings: &TranslateSettings) -> Claims {
    let mut draft = Draft::default();
    let rule = rule(service, settings, &mut draft);
    Claims { rules: rule.into_iter().collect(), draft, ..Claims::default() }
}

fn rule(service: &Service, settings: &TranslateSettings, draft: &mut Draft) -> Option<Claim> {
    let spec = FieldPath::root("spec");
    let context = Context { defaults: &settings.defaults, paths: &[], tls: true };
    let options = options(Kind::Service, &service.meta.annotations, &context, draft);
    let unusable = |draft: &mut Draft, site: Site, message: String| {
        draft.lose(&site, Reason::Invalid, format!("{message}. The Service is not served"));
    };
    let host = match options.host.filter(|text| !text.is_empty()).map_or(Ok(HostName::Any), host) {
        Ok(host) => Some(host),
        Err(message) => {
            unusable(draft, HOST, message);
            None
        }
    };
    let (site, parsed) = match options.path {
        Some(text) => (PATH, path(text)),
        None => (Site::Name, path(&["/", &service.meta.name].concat())),
    };
    let path = match parsed {
        Ok(path) => {
            if let Some(message) = options.path.and_then(looks_like_pattern) {
                draft.lose(&site, Reason::Unsupported, message);
            }
            Some(PathMatch::Prefix(prefix(path)))
        }
        Err(message) => {
            unusable(draft, site, message);
            None
        }
    };

    let address = match resolve::address(service) {
        Ok(address) => Some(address),
        Err(Problem { reason, fault: Fault::Kind, message }) => {
            draft.lose(&spec.field("type"), reason, message);
            return None;
        }
        Err(Problem { reason, message, .. }) => {
            draft.lose(&spec.field("clusterIP"), reason, unavailable(&message));
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
                draft.note(&spec.field("ports"), Reason::Unsupported, message);
            }
            Some((index, port))
        }
        Err(Problem { reason, fault: Fault::Port, message }) => {
            draft.lose(&PORT, reason, unavailable(&message));
            None
        }
        Err(Problem { reason, fault, message }) => {
            let message = format!("{message}. The Service is not served");
            match fault {
                _ if options.port.is_some() => draft.lose(&PORT, reason, message),
                Fault::PortValue(index) => draft.lose(&spec.at("ports", index).field("port"), reason, message),
                _ => draft.lose(&spec.field("ports"), reason, message),
            }
            return None;
        }
    };
    let action = match (address, port) {
        (Some(address), Some((index, port))) => {
            let protocol = protocol(port, &options, draft, |draft, message| {
                draft.note(&spec.at("ports", index).field("appProtocol"), Reason::Unsupported, message);
            });
            forward(address, port, protocol, &options, true)
        }
        _ => Action::UNAVAILABLE,
    };
    let (matches, policy) = (Match::path(path?), options.policy());
    Some(Claim { host: host?, matches, action, policy, redirect: options.ssl_redirect, site, weak: false })
}
