//! Annotations: what ours ask for, and what becomes of those of ingress-nginx.

use std::collections::BTreeMap;
use std::ops::Bound;

use entry_model::{BackendMode, FieldPath, Kind, Policy, Protocol, Reason, Timeouts};

use crate::annotation_value::{parse_boolean, parse_duration, parse_protocol, parse_size};
use crate::ingress_nginx_annotations::{AnnotationContext, AnnotationEffect, FOREIGN_PREFIX, annotation_effect};
use crate::verdict_draft::{VerdictDraft, quoted};

/// All annotations that are ours begin with it.
const OWN_PREFIX: &str = "sparrow/";

/// What annotations ask for.
#[derive(Debug, Default)]
pub struct Annotations<'a> {
    /// `sparrow/path`, of Services only.
    pub path: Option<&'a str>,
    /// `sparrow/host`, of Services only.
    pub host: Option<&'a str>,
    /// `sparrow/port`, of Services only.
    pub port: Option<&'a str>,
    /// `sparrow/strip-prefix`.
    pub strip_prefix: Option<bool>,
    /// `sparrow/connect-timeout`, `sparrow/read-timeout`, `sparrow/send-timeout`.
    pub timeouts: Timeouts,
    /// `sparrow/max-body-size`, in bytes; 0 is without limit.
    pub max_body_bytes: Option<u64>,
    /// `sparrow/backend-protocol`: rather than the port's `appProtocol`.
    pub protocol: Option<Protocol>,
    /// `sparrow/keep-alive`: whether connections to the backend are kept.
    pub keep_alive: Option<bool>,
    /// `sparrow/backends`: to what of a Service requests are sent.
    pub backends: Option<BackendMode>,
    /// `sparrow/ssl-redirect`.
    pub ssl_redirect: Option<bool>,
}

impl Annotations<'_> {
    /// How requests are to be treated, but for redirects to HTTPS.
    pub fn policy(&self) -> Policy {
        Policy { timeouts: self.timeouts, max_body_bytes: self.max_body_bytes, redirect_to_https: false }
    }
}

/// Those whose names begin so.
fn with_prefix<'a>(
    annotations: &'a BTreeMap<String, String>,
    prefix: &'static str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let all = annotations.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
    all.map(|(name, value)| (name.as_str(), value.as_str())).take_while(move |(name, _)| name.starts_with(prefix))
}

/// Reads annotations. One that cannot be used is as if it were not there, and a finding says so.
pub fn read_annotations<'a>(
    kind: Kind,
    texts: &'a BTreeMap<String, String>,
    context: &AnnotationContext<'_>,
    draft: &mut VerdictDraft,
) -> Annotations<'a> {
    let mut annotations = Annotations::default();
    let metadata = FieldPath::root("metadata");
    let annotations_field = metadata.field("annotations");
    for (name, value) in with_prefix(texts, FOREIGN_PREFIX) {
        let field = annotations_field.key(name);
        match annotation_effect(&name[FOREIGN_PREFIX.len()..], value, context) {
            AnnotationEffect::Unchanged => {}
            AnnotationEffect::SameProtocol(protocol) => annotations.protocol = Some(protocol),
            AnnotationEffect::Unknown => {
                let message = "The annotation has no effect: neither ingress-nginx nor this entry knows one of this name; \
                               correct or remove it";
                draft.report_note(&field, Reason::Unsupported, message.to_owned());
            }
            AnnotationEffect::Unsupported(hint) => {
                let message =
                    format!("The annotation is one of ingress-nginx and has no effect: {hint}. Replace or remove it");
                draft.report_loss(&field, Reason::Unsupported, message);
            }
        }
    }
    for (name, value) in with_prefix(texts, OWN_PREFIX) {
        let wrong = match (&name[OWN_PREFIX.len()..], kind) {
            ("path", Kind::Service) => store(&mut annotations.path, Ok(value)),
            ("host", Kind::Service) => store(&mut annotations.host, Ok(value)),
            ("port", Kind::Service) => store(&mut annotations.port, Ok(value)),
            ("strip-prefix", _) => store(&mut annotations.strip_prefix, parse_boolean(value)),
            ("connect-timeout", _) => store(&mut annotations.timeouts.connect, parse_duration(value)),
            ("read-timeout", _) => store(&mut annotations.timeouts.read, parse_duration(value)),
            ("send-timeout", _) => store(&mut annotations.timeouts.send, parse_duration(value)),
            ("max-body-size", _) => store(&mut annotations.max_body_bytes, parse_size(value)),
            ("backend-protocol", _) => store(&mut annotations.protocol, parse_protocol(value)),
            ("keep-alive", _) => store(&mut annotations.keep_alive, parse_boolean(value)),
            ("backends", _) => store(&mut annotations.backends, value.parse()),
            ("ssl-redirect", _) => store(&mut annotations.ssl_redirect, parse_boolean(value)),
            (other, _) => {
                let hint = match other {
                    "path" | "host" | "port" => "it is for Services; an Ingress has fields for that. Remove it",
                    _ => "there is none of this name; correct or remove it",
                };
                let message = format!("The annotation has no effect: {hint}");
                draft.report_loss(&annotations_field.key(name), Reason::Unsupported, message);
                None
            }
        };
        if let Some(hint) = wrong {
            let message = format!("The value {} cannot be used, the default stays in force: {hint}", quoted(value));
            draft.report_loss(&annotations_field.key(name), Reason::Invalid, message);
        }
    }
    annotations
}

/// Keeps a value, or returns what is wrong with it.
fn store<T>(option: &mut Option<T>, value: Result<T, &'static str>) -> Option<&'static str> {
    match value {
        Ok(value) => {
            *option = Some(value);
            None
        }
        Err(hint) => Some(hint),
    }
}
