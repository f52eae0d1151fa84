//! What is read of a cluster.

use std::collections::BTreeSet;

use entry_model::{BackendMode, Key};

/// What is read from an API server. The roles that it needs follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOptions {
    /// A label selector, such as `sparrow/expose=true`: which Services are exposed by annotations. It is sent to the API
    /// server if `ingresses` is false. Otherwise all Services are read, because an Ingress can name any.
    pub service_selector: String,
    /// A label selector, such as `role=entry`: which Nodes are read.
    pub node_selector: String,
    /// How Secrets are read.
    pub tls_secrets: TlsSecrets,
    /// The Secret for entries of `spec.tls` that name none, which [`TlsSecrets::Named`] has to fetch too.
    pub default_certificate: Option<Key>,
    /// The `ConfigMaps` that are read. Those that they name, as [`entry_model::ConfigMap::named_config_maps`] has them, are too, and those of
    /// their own namespace that annotations name.
    pub config_maps: BTreeSet<Key>,
    /// The only namespace to look at, but for `config_maps`; all if there is none.
    pub namespace: Option<String>,
    /// Whether Ingresses are read, and with them `IngressClasses` and certificates.
    pub ingresses: bool,
    /// To what of Services requests are sent. `EndpointSlices` are read for endpoints, and from the moment on when a Service or an
    /// Ingress asks for them.
    pub backends: BackendMode,
    /// Whether hosts have owners, for which Namespaces are read.
    pub ownership: bool,
    /// The namespace of the record of which namespace holds what; it is read if there is one.
    pub record: Option<String>,
    /// Whether a kind that the API server refuses to list counts as one without objects after five seconds. Otherwise
    /// there is no first snapshot until the right is given. What was listed once always stays.
    pub go_without: bool,
}

impl SourceOptions {
    /// How Secrets are read. Without Ingresses there are no certificates, and the few that Services name are fetched one by one.
    pub fn secrets(&self) -> TlsSecrets {
        if self.ingresses { self.tls_secrets } else { TlsSecrets::Named }
    }
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            service_selector: "sparrow/expose=true".into(),
            node_selector: "role=entry".into(),
            tls_secrets: TlsSecrets::Watched,
            default_certificate: None,
            config_maps: BTreeSet::new(),
            namespace: None,
            ingresses: true,
            backends: BackendMode::ClusterIp,
            ownership: true,
            record: None,
            go_without: true,
        }
    }
}

/// How Secrets are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsSecrets {
    /// All of the type `kubernetes.io/tls` are watched. Others that annotations name are fetched one by one, by the same right.
    Watched,
    /// Those that Ingresses name are fetched one by one, and again every minute. Needs rights for those only.
    Named,
}
