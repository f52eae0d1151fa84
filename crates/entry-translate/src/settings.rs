//! What a translation needs to know beside the objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use entry_model::{BackendMode, HostOwners, Key, Listener, ObjectRef, Reason, Scheme, Timeouts};

use crate::default_backend::DefaultBackend;
use crate::policy::client_redirects::HttpsRedirect;
use crate::policy::global_auth::GlobalAuth;
use crate::{Bounds, LastGoodSecret, StreamServices};

/// Who may have what of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostOwnership {
    /// All of it belongs to one namespace.
    Namespace,
    /// Each path to whoever claims it first.
    None,
}

/// What listeners do where no annotation says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyDefaults {
    /// Times.
    pub timeouts: Timeouts,
    /// Largest request body, in bytes; 0 is without limit.
    pub max_body_bytes: u64,
    /// To what of a Service requests are sent.
    pub backends: BackendMode,
    /// Whether names that annotations have can be looked up.
    pub resolves_names: bool,
    /// Whether HTTP is redirected to HTTPS.
    pub https_redirect: HttpsRedirect,
    /// The Service that gets what no rule takes, and makes pages of errors where no annotation names another.
    pub default_backend: Option<DefaultBackend>,
    /// The statuses for which there are such pages where no annotation names others, each once.
    pub custom_http_errors: Vec<u16>,
    /// Whether errors of backends themselves go through all the same.
    pub passes_backend_errors: bool,
    /// A server that is asked whether requests may pass, where no annotation says otherwise.
    pub external_auth: GlobalAuth,
}

impl PolicyDefaults {
    /// Whether they ask for something of objects that have no annotations.
    pub(crate) fn ask_of_all(&self) -> bool {
        !self.custom_http_errors.is_empty() || self.external_auth.is_asked()
    }
}

/// Which annotations have TLS connections for a host go to the backend as they come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsPassthroughAnnotations {
    /// None.
    None,
    /// `sparrow/tls-passthrough` only. That of ingress-nginx is without effect, as it is there without the flag
    /// `--enable-ssl-passthrough`.
    #[default]
    Own,
    /// That of ingress-nginx, `ssl-passthrough`, too.
    All,
}

/// What [`crate::translate()`] needs to know beside the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranslateSettings {
    /// `spec.controller` of the `IngressClasses` that are served here.
    pub controller: String,
    /// The label, name and value, of the Services that are served without an Ingress.
    pub service_selector: (String, String),
    /// Where requests come in: those of the flags. Without one for HTTPS no certificate is used and nothing is redirected.
    pub listeners: Vec<Listener>,
    /// The time, in seconds since 1970. Only what is said of certificates depends on it.
    pub now: i64,
    /// Who may have what of a host.
    pub ownership: HostOwnership,
    /// How much is served.
    pub bounds: Bounds,
    /// Which namespace holds what since earlier, as [`crate::Translation::host_owners`] has it, the record that counts more first. It comes after
    /// what the snapshot has.
    pub host_owners: Vec<Arc<HostOwners>>,
    /// What listeners do where no annotation says otherwise. On times and sizes only what is said of foreign annotations depends.
    pub defaults: PolicyDefaults,
    /// Whether annotations of ingress-nginx are followed.
    pub follows_ingress_nginx: bool,
    /// Which annotations have TLS connections go to backends as they come.
    pub tls_passthrough: TlsPassthroughAnnotations,
    /// The `ConfigMaps` of TCP and UDP services.
    pub stream_services: StreamServices,
    /// Objects that are put aside.
    pub quarantine: BTreeMap<ObjectRef, Quarantine>,
    /// Secrets as they were when they last gave a whole certificate, as [`crate::Translation::last_good`] has them: one that is broken now goes
    /// on giving it.
    pub last_good: Arc<BTreeMap<Key, LastGoodSecret>>,
    /// The Secret for entries of `spec.tls` that name none.
    pub default_certificate: Option<Key>,
}

/// Why an object is put aside, and what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Why.
    pub reason: Reason,
    /// What is wrong with it, to which is added what becomes of it.
    pub message: String,
    /// Whether it keeps its paths, where requests are answered 503: else a shorter path, which may ask for no password, would get
    /// them. Otherwise the object contributes nothing.
    pub keeps_paths: bool,
}

impl TranslateSettings {
    /// Whether they are the same as others, but for the time, and for what earlier translations have made.
    pub(crate) fn is_same_but_for_the_past(&self, others: &Self) -> bool {
        let Self {
            controller,
            service_selector,
            listeners,
            now: _,
            ownership,
            bounds,
            host_owners: _,
            defaults,
            follows_ingress_nginx,
            tls_passthrough,
            stream_services,
            quarantine,
            last_good: _,
            default_certificate,
        } = self;
        (controller, service_selector, listeners) == (&others.controller, &others.service_selector, &others.listeners)
            && (ownership, bounds, defaults) == (&others.ownership, &others.bounds, &others.defaults)
            && *follows_ingress_nginx == others.follows_ingress_nginx
            && *tls_passthrough == others.tls_passthrough
            && *stream_services == others.stream_services
            && *quarantine == others.quarantine
            && *default_certificate == others.default_certificate
    }

    /// Whether there is a listener for HTTPS.
    pub fn has_https(&self) -> bool {
        self.listeners.iter().any(|listener| listener.protocol == Scheme::Https)
    }
}

impl Default for TranslateSettings {
    /// As the flags have it, but for bounds, of which there are none.
    fn default() -> Self {
        Self {
            controller: "sparrow/entry".to_owned(),
            service_selector: ("sparrow/expose".to_owned(), "true".to_owned()),
            listeners: Listener::built_in(&[([0, 0, 0, 0], 80).into()], &[([0, 0, 0, 0], 443).into()]),
            now: 0,
            ownership: HostOwnership::Namespace,
            bounds: Bounds::NONE,
            host_owners: Vec::new(),
            defaults: PolicyDefaults::default(),
            follows_ingress_nginx: true,
            tls_passthrough: TlsPassthroughAnnotations::default(),
            stream_services: StreamServices::default(),
            quarantine: BTreeMap::new(),
            last_good: Arc::default(),
            default_certificate: None,
        }
    }
}
