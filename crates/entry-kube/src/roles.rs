//! The rights that are needed, and no others. They follow from the list of kinds.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::host_record::HOST_RECORD_NAME;
use crate::kinds::{KINDS, KindInfo};
use crate::lease::LEASE_NAME;
use crate::options::SourceOptions;

/// The roles for a service account.
#[derive(Debug, Clone, PartialEq)]
pub struct Roles {
    /// For a `ClusterRoleBinding`.
    pub cluster: ClusterRole,
    /// For a `RoleBinding` in the namespace of each.
    pub namespaced: Vec<Role>,
}

/// The roles named `name` of a deployment in the namespace `own`, for these options.
///
/// With [`TlsSecrets::Named`](crate::TlsSecrets::Named) there is no right to any Secret: a namespace that has Secrets to share gives a
/// role with `get` on them.
pub fn roles(name: &str, own: &str, options: &SourceOptions) -> Roles {
    let metadata = |namespace: Option<&str>| ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ObjectMeta::default()
    };
    let (spread, whole): (Vec<&KindInfo>, Vec<&KindInfo>) =
        KINDS.iter().filter(|info| info.is_watched(options)).partition(|info| info.namespaced);
    let mut in_namespaces: Vec<PolicyRule> =
        spread.iter().map(|info| rule(info.group, info.resource, &["list", "watch"])).collect();
    let with_status = spread.iter().filter(|info| info.writes_status);
    in_namespaces
        .extend(with_status.map(|info| rule(info.group, &format!("{}/status", info.resource), &["get", "patch"])));
    in_namespaces.push(rule("events.k8s.io", "events", &["create"]));
    let mut cluster: Vec<PolicyRule> =
        whole.iter().map(|info| rule(info.group, info.resource, &["list", "watch"])).collect();
    let mut lease = vec![
        // The name of what is created is not known to the authoriser.
        rule("coordination.k8s.io", "leases", &["create"]),
        PolicyRule {
            resource_names: Some(vec![LEASE_NAME.to_owned()]),
            ..rule("coordination.k8s.io", "leases", &["get", "update"])
        },
    ];
    if options.ownership {
        lease.extend([
            rule("", "configmaps", &["create"]),
            PolicyRule {
                resource_names: Some(vec![HOST_RECORD_NAME.to_owned()]),
                ..rule("", "configmaps", &["get", "list", "watch", "update"])
            },
        ]);
    }
    let role = |namespace: &str, rules| Role { metadata: metadata(Some(namespace)), rules: Some(rules) };
    let namespaced = match options.namespace.as_deref() {
        None => {
            cluster.splice(0..0, in_namespaces);
            vec![role(own, lease)]
        }
        Some(namespace) if namespace == own => {
            in_namespaces.extend(lease);
            vec![role(own, in_namespaces)]
        }
        Some(namespace) => vec![role(own, lease), role(namespace, in_namespaces)],
    };
    let cluster = ClusterRole { metadata: metadata(None), rules: Some(cluster), aggregation_rule: None };
    Roles { cluster, namespaced }
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}
