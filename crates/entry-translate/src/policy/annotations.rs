//! What the annotations of an object ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use entry_model::{Action, BackendMode, IngressBackend, Kind, ObjectRef, PathMatch, Policy, Protocol};

use super::aliases::Aliases;
use super::auth_answer::AuthAnswer;
use super::canary_request::CanaryRole;
use super::client_redirects::{ActionOfHost, AnsweredPath, HttpsRedirect, PathRedirect, Redirects};
use super::path_treatment::PathTreatment;
use super::reader::{AnnotationContext, AnnotationReader};
use super::shared_policy::SharedPolicy;
use super::upstream_vhost::UpstreamVhost;
use crate::PolicyDefaults;
use crate::claim_site::ClaimSite;
use crate::verdict_draft::VerdictDraft;

/// What the annotations of an object ask for.
#[derive(Debug, Default)]
pub struct Annotations<'a> {
    /// The path of a Service.
    pub path: Option<&'a str>,
    /// The host of a Service.
    pub host: Option<&'a str>,
    /// The port of a Service.
    pub port: Option<&'a str>,
    /// Whether the path that matched is taken off.
    pub strip_prefix: Option<bool>,
    /// What the paths are, and what becomes of them.
    pub paths: PathTreatment<'a>,
    /// What is spoken to the backend, rather than the port's `appProtocol`.
    pub protocol: Option<Protocol>,
    /// Whether connections to the backend are kept.
    pub keep_alive: Option<bool>,
    /// To what of a Service requests are sent.
    pub backends: Option<BackendMode>,
    /// Whether HTTP is redirected to HTTPS.
    pub https_redirect: HttpsRedirect,
    /// Where else clients are sent.
    pub redirects: Redirects,
    /// Further names of the first host.
    pub aliases: Aliases,
    /// Whether some requests of another Ingress go to the backends of this one, which then serves nothing of its own.
    pub canary: Option<CanaryRole>,
    /// The annotation that has TLS connections go to the backend as they come.
    pub tls_passthrough: Option<ClaimSite>,
    /// How requests are to be treated, but for redirects to HTTPS.
    pub policy: SharedPolicy,
    /// The `Host` that backends are told, in which there may be variables of the backend.
    pub upstream_vhost: Option<UpstreamVhost<'a>>,
    /// The annotation that says how TLS to backends is to be, and whether it is one of ours.
    pub backend_tls: Option<(&'static str, bool)>,
    /// What is done with requests, rather than forwarding them.
    pub action: Option<Action>,
    /// What is done with all requests of its hosts, those of other objects among them.
    pub host_action: Option<Action>,
    /// Paths whose requests are redirected.
    pub path_redirects: Vec<PathRedirect>,
    /// What is done with all requests for the paths of the object at a host, each host by the first that is for it.
    pub actions_of_hosts: Vec<ActionOfHost>,
    /// What is done with all requests for a host, those for other objects among them, likewise.
    pub host_actions: Vec<ActionOfHost>,
    /// Paths of its hosts that are answered by a snippet: for most nobody may ask.
    pub answered_paths: Vec<AnsweredPath>,
    /// Whether who may ask, or where requests go, is said in a way that cannot be used: then nobody may, and requests are answered 503.
    pub unavailable: bool,
    /// What snippets do with the answer of who is asked.
    pub auth_answer: AuthAnswer,
    /// Whether a server is asked because it is for all.
    pub is_asked_for_all: bool,
    /// What else was looked up, beside the Services that are backends: what is asked for depends on it.
    pub references: Vec<ObjectRef>,
}

impl Annotations<'_> {
    /// The same policy for a path: nobody is asked of those for which settings say so, if it is they who have somebody asked.
    pub fn exempt_path(&self, mut policy: Arc<Policy>, path: &PathMatch, defaults: &PolicyDefaults) -> Arc<Policy> {
        if self.is_asked_for_all && defaults.external_auth.exempts(path) {
            Arc::make_mut(&mut policy).external_auth = None;
        }
        policy
    }

    /// How requests for a backend are to be treated, of an Ingress of this namespace: as all of them, but for the host that it is told.
    pub fn policy_for(&self, all: &Arc<Policy>, backend: &IngressBackend, namespace: &str) -> Arc<Policy> {
        match self.upstream_vhost.and_then(|vhost| vhost.for_backend(backend, namespace)) {
            None => Arc::clone(all),
            Some(host) => {
                let mut policy = Policy::clone(all);
                policy.request_headers.host = Some(host);
                Arc::new(policy)
            }
        }
    }
}

/// Reads annotations. Of one that cannot be used a finding says what is in force instead.
pub fn read_annotations<'a>(
    kind: Kind,
    texts: &'a BTreeMap<String, String>,
    context: AnnotationContext<'a>,
    draft: &mut VerdictDraft,
) -> Annotations<'a> {
    let mut annotations = Annotations { https_redirect: context.defaults.https_redirect, ..Annotations::default() };
    let mut reader = AnnotationReader::new(kind, texts, context, draft);
    if !reader.is_empty() || context.defaults.ask_of_all() {
        super::read(&mut reader, &mut annotations);
        annotations.unavailable |= reader.is_closed();
        annotations.references = reader.finish();
    }
    annotations
}
