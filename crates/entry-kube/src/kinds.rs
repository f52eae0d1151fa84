//! The one table of kinds that are read. The sources, the manifests, the roles and the writers all follow from it.
//!
//! A new kind is a row here, a row in [`entry_model::Kind`]'s table, and a file in `convert/`.

use std::collections::BTreeSet;
use std::fmt::Debug;

use entry_model::{BackendMode, Kind};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use kube::Client;
use kube::api::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::convert::{Convert, SERVICE_NAME, TLS_SECRET};
use crate::options::{SourceOptions, TlsSecrets};

/// The version of all kinds that are read.
pub const VERSION: &str = "v1";

/// What is known of a kind.
#[derive(Debug, Clone, Copy)]
pub struct KindInfo {
    /// The kind.
    pub kind: Kind,
    /// Its group in the API; empty for the core group.
    pub group: &'static str,
    /// Its name in paths and roles, e.g. `services`.
    pub resource: &'static str,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether it is read.
    is_read: fn(&SourceOptions) -> bool,
    /// With which selectors it is listed and watched.
    selectors: fn(&SourceOptions) -> Selectors,
    /// Whether its status is written.
    pub writes_status: bool,
    /// Whether Events are written on its objects.
    pub has_events: bool,
}

/// The selectors with which objects are asked for; all of them without any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selectors {
    pub(crate) labels: Option<String>,
    pub(crate) fields: Option<String>,
}

impl Selectors {
    fn none(_: &SourceOptions) -> Self {
        Self::default()
    }

    fn labels(selector: &str) -> Self {
        Self { labels: Some(selector.to_owned()), fields: None }
    }

    fn fields(selector: String) -> Self {
        Self { labels: None, fields: Some(selector) }
    }

    /// For the one object of this name.
    pub(crate) fn name(name: &str) -> Self {
        Self::fields(format!("metadata.name={name}"))
    }
}

/// A type of the API that is of a kind in the table.
pub(crate) trait ReadKind:
    Convert + Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static
{
    /// Its kind.
    const KIND: Kind;

    /// Where objects of it are asked for.
    fn api(client: &Client, options: &SourceOptions) -> Api<Self>;
}

/// What is done for a kind, in terms of its type in the API.
pub(crate) trait KindVisitor {
    /// What comes of it.
    type Output;

    /// Does it for this type.
    fn visit<K: ReadKind>(self) -> Self::Output;
}

/// One row: the type of the API, its group and its name there, and what else differs between kinds.
macro_rules! kinds {
    ($($kind:ident: $type:ty, $scope:ident $group:literal $resource:literal {
        is_read: $is_read:expr, selectors: $selectors:expr, writes_status: $status:literal, has_events: $events:literal,
    })+) => {
        /// All kinds that are read.
        pub const KINDS: [KindInfo; [$(Kind::$kind),+].len()] = [$(KindInfo {
            kind: Kind::$kind,
            group: $group,
            resource: $resource,
            namespaced: kinds!(@is_namespaced $scope),
            is_read: $is_read,
            selectors: $selectors,
            writes_status: $status,
            has_events: $events,
        }),+];

        $(impl ReadKind for $type {
            const KIND: Kind = Kind::$kind;

            fn api(client: &Client, options: &SourceOptions) -> Api<Self> {
                kinds!(@api $scope, client, options)
            }
        })+

        /// Calls the visitor with the API's type of a kind; none for a kind without one.
        pub(crate) fn visit<V: KindVisitor>(kind: Kind, visitor: V) -> Option<V::Output> {
            match kind {
                $(Kind::$kind => Some(visitor.visit::<$type>()),)+
                Kind::Manifest => None,
            }
        }
    };
    (@is_namespaced Namespaced) => { true };
    (@is_namespaced Cluster) => { false };
    (@api Namespaced, $client:expr, $options:expr) => {
        match &$options.namespace {
            Some(namespace) => Api::namespaced($client.clone(), namespace),
            None => Api::all($client.clone()),
        }
    };
    (@api Cluster, $client:expr, $options:expr) => {{
        let _ = $options;
        Api::all($client.clone())
    }};
}

kinds! {
    Service: core::Service, Namespaced "" "services" {
        is_read: |_| true,
        // An Ingress can name any Service.
        selectors: |options| {
            if options.ingresses { Selectors::default() } else { Selectors::labels(&options.service_selector) }
        },
        writes_status: false, has_events: true,
    }
    Ingress: networking::Ingress, Namespaced "networking.k8s.io" "ingresses" {
        is_read: |options| options.ingresses, selectors: Selectors::none, writes_status: true, has_events: true,
    }
    IngressClass: networking::IngressClass, Cluster "networking.k8s.io" "ingressclasses" {
        is_read: |options| options.ingresses, selectors: Selectors::none, writes_status: false, has_events: true,
    }
    Secret: core::Secret, Namespaced "" "secrets" {
        is_read: |_| true,
        selectors: |_| Selectors::fields(format!("type={TLS_SECRET}")),
        writes_status: false, has_events: true,
    }
    // Only those that something names are read, each by a watch of its own: `named_config_maps`.
    ConfigMap: core::ConfigMap, Namespaced "" "configmaps" {
        is_read: |_| true, selectors: Selectors::none,
        writes_status: false, has_events: true,
    }
    EndpointSlice: discovery::EndpointSlice, Namespaced "discovery.k8s.io" "endpointslices" {
        is_read: |_| true,
        selectors: |_| Selectors::labels(SERVICE_NAME),
        writes_status: false, has_events: false,
    }
    Node: core::Node, Cluster "" "nodes" {
        is_read: |_| true,
        selectors: |options| Selectors::labels(&options.node_selector),
        writes_status: false, has_events: true,
    }
    // Events on a Namespace would need a right of their own where one namespace is looked at; the log has it, and `check`.
    Namespace: core::Namespace, Cluster "" "namespaces" {
        is_read: |options| options.ownership, selectors: Selectors::none, writes_status: false, has_events: false,
    }
}

impl KindInfo {
    /// Its name in manifests, e.g. `Service`.
    pub fn name(&self) -> String {
        self.kind.to_string()
    }

    /// `v1` or `networking.k8s.io/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { VERSION.to_owned() } else { format!("{}/{VERSION}", self.group) }
    }

    /// What is known of a kind, if it is one of a cluster's.
    pub fn of(kind: Kind) -> Option<&'static KindInfo> {
        KINDS.iter().find(|info| info.kind == kind)
    }

    /// The selectors with which it is asked for.
    pub(crate) fn selectors(&self, options: &SourceOptions) -> Selectors {
        (self.selectors)(options)
    }

    /// Whether it is read only from the moment on when an object asks for it. `EndpointSlices` are many, and they change all the
    /// time: who sends requests to cluster IPs does not pay for them.
    pub(crate) fn is_on_demand(&self, options: &SourceOptions) -> bool {
        self.kind == Kind::EndpointSlice && options.backends == BackendMode::ClusterIp
    }

    /// Whether all objects of it are listed and watched, if they are asked for: Secrets may be fetched one by one instead, and of
    /// `ConfigMaps` each that is named is watched by itself.
    pub(crate) fn is_watched(&self, options: &SourceOptions) -> bool {
        let is_one_by_one = match self.kind {
            Kind::Secret => options.secrets() == TlsSecrets::Named,
            Kind::ConfigMap => true,
            _ => false,
        };
        (self.is_read)(options) && !is_one_by_one
    }
}

/// The kinds that are read with these options from the beginning on.
pub(crate) fn kinds_at_start(options: &SourceOptions) -> BTreeSet<Kind> {
    KINDS.iter().filter(|info| (info.is_read)(options) && !info.is_on_demand(options)).map(|info| info.kind).collect()
}
