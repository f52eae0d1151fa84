//! The one list of kinds that are watched. The sources, the roles and the writers all follow it.

use entry_model::Kind;

/// What is known of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindInfo {
    /// The kind.
    pub kind: Kind,
    /// Its group in the API; empty for the core group.
    pub group: &'static str,
    /// Its name in paths and roles, e.g. `services`.
    pub resource: &'static str,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

/// The version of all kinds that are read.
pub const VERSION: &str = "v1";

/// All kinds that are read.
pub const KINDS: [KindInfo; 6] = [
    KindInfo { kind: Kind::Service, group: "", resource: "services", namespaced: true },
    KindInfo { kind: Kind::Ingress, group: "networking.k8s.io", resource: "ingresses", namespaced: true },
    KindInfo { kind: Kind::IngressClass, group: "networking.k8s.io", resource: "ingressclasses", namespaced: false },
    KindInfo { kind: Kind::Secret, group: "", resource: "secrets", namespaced: true },
    KindInfo { kind: Kind::Node, group: "", resource: "nodes", namespaced: false },
    KindInfo { kind: Kind::Namespace, group: "", resource: "namespaces", namespaced: false },
];

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
}
