//! The rights that are needed, and no others. They follow from the list of kinds.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::host_record::HOST_RECORD_NAME;
use crate::kinds::{KINDS, KindInfo};
use crate::lease::LEASE_NAME;
use crate::options::{SourceOptions, TlsSecrets};

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
/// The right to list Secrets is enough also for those that annotations name: they are listed by their names.
///
/// With [`TlsSecrets::Named`] there is no right to any Secret, nor to a `ConfigMap` that no option names: a namespace that has some to share
/// gives a role with `get` on the Secrets, and `get`, `list` and `watch` on the `ConfigMaps`.
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
    if options.secrets() == TlsSecrets::Watched {
        // RBAC knows no `ConfigMaps` that annotations name; those are asked for by their names, and no others.
        in_namespaces.push(rule("", "configmaps", &["list", "watch"]));
    }
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
    let mut rules = BTreeMap::from([(own, lease)]);
    match options.namespace.as_deref() {
        None => drop(cluster.splice(0..0, in_namespaces)),
        // What is looked at stands before what is written.
        Some(namespace) => drop(rules.entry(namespace).or_default().splice(0..0, in_namespaces)),
    }
    for (namespace, rule) in config_map_rules(options) {
        rules.entry(namespace).or_default().push(rule);
    }
    let role = |(namespace, rules)| Role { metadata: metadata(Some(namespace)), rules: Some(rules) };
    // The own namespace first.
    let own_rules = rules.remove_entry(own);
    let namespaced = own_rules.into_iter().chain(rules).map(role).collect();
    let cluster = ClusterRole { metadata: metadata(None), rules: Some(cluster), aggregation_rule: None };
    Roles { cluster, namespaced }
}

/// The right to read the `ConfigMaps` that the options name, and no others, by namespace. Events on one are written where they may be.
fn config_map_rules(options: &SourceOptions) -> impl Iterator<Item = (&str, PolicyRule)> {
    let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for key in &options.config_maps {
        names.entry(&key.namespace).or_default().push(key.name.clone());
    }
    names.into_iter().map(|(namespace, names)| {
        // A list or a watch of one name is authorised as that name.
        let rule = rule("", "configmaps", &["get", "list", "watch"]);
        (namespace, PolicyRule { resource_names: Some(names), ..rule })
    })
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}
