//! The roles: enough, and nothing more.

use std::collections::BTreeSet;
use std::time::Duration;

use entry_kube::{KubeSource, SourceOptions, TlsSecrets};
use entry_model::{Kind, ObjectRef};
use futures_util::{StreamExt, stream};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::api::{Api, PostParams};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Tenant, ingress, service, until};

/// What there is to have rights to.
const RESOURCES: &[(&str, &str)] = &[
    ("", "services"),
    ("", "services/status"),
    ("", "secrets"),
    ("", "nodes"),
    ("", "nodes/status"),
    ("", "pods"),
    ("", "pods/exec"),
    ("", "configmaps"),
    ("", "endpoints"),
    ("", "events"),
    ("", "namespaces"),
    ("", "serviceaccounts"),
    ("", "serviceaccounts/token"),
    ("apps", "deployments"),
    ("coordination.k8s.io", "leases"),
    ("discovery.k8s.io", "endpointslices"),
    ("events.k8s.io", "events"),
    ("networking.k8s.io", "ingresses"),
    ("networking.k8s.io", "ingresses/status"),
    ("networking.k8s.io", "ingressclasses"),
    ("networking.k8s.io", "networkpolicies"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "roles"),
];
const VERBS: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// All rights of a service account in a namespace, as `VERB GROUP/RESOURCE`, and with `NAME` for leases and config maps of that name.
async fn rights(tenant: &Tenant, account: &str, namespace: &str) -> BTreeSet<String> {
    let api = Api::<SubjectAccessReview>::all(tenant.admin().await);
    let user = format!("system:serviceaccount:{}:{account}", tenant.namespace);
    let mut asked = Vec::new();
    for (group, resource) in RESOURCES {
        for verb in VERBS {
            asked.push((*group, *resource, *verb, "other"));
            match *resource {
                "leases" => asked.push((*group, *resource, *verb, "sparrow-entry")),
                "configmaps" => asked.push((*group, *resource, *verb, "sparrow-entry-hosts")),
                _ => {}
            }
        }
    }
    let review = async |(group, resource, verb, name): (&str, &str, &str, &str)| {
        let (main, sub) = resource.split_once('/').unwrap_or((resource, ""));
        let review = json!({ "metadata": {}, "spec": { "user": user, "groups": ["system:serviceaccounts"], "resourceAttributes": {
            "group": group, "resource": main, "subresource": sub, "verb": verb, "namespace": namespace, "name": name,
        }}});
        let review = serde_json::from_value(review).unwrap();
        let answer = api.create(&PostParams::default(), &review).await.unwrap();
        let name = if ["leases", "configmaps"].contains(&resource) { format!(" {name}") } else { String::new() };
        answer.status.unwrap().allowed.then(|| format!("{verb} {group}/{resource}{name}"))
    };
    stream::iter(asked).map(review).buffer_unordered(8).filter_map(async |right| right).collect().await
}

fn set(rights: &[&str]) -> BTreeSet<String> {
    rights.iter().map(|right| (*right).to_owned()).collect()
}

const NODES: &[&str] = &["list /nodes", "watch /nodes", "list /namespaces", "watch /namespaces"];
const CLASSES: &[&str] = &["list networking.k8s.io/ingressclasses", "watch networking.k8s.io/ingressclasses"];
/// With `ConfigMaps`, of which annotations name some, too.
const SECRETS: &[&str] = &[
    "list /secrets",
    "watch /secrets",
    "list /configmaps other",
    "watch /configmaps other",
    "list /configmaps sparrow-entry-hosts",
    "watch /configmaps sparrow-entry-hosts",
];
const SERVICES: &[&str] = &[
    "list /services",
    "watch /services",
    "list discovery.k8s.io/endpointslices",
    "watch discovery.k8s.io/endpointslices",
    "create events.k8s.io/events",
];
const INGRESSES: &[&str] = &[
    "list networking.k8s.io/ingresses",
    "watch networking.k8s.io/ingresses",
    "get networking.k8s.io/ingresses/status",
    "patch networking.k8s.io/ingresses/status",
];
const LEASE_NAME: &[&str] = &[
    "create coordination.k8s.io/leases other",
    "create coordination.k8s.io/leases sparrow-entry",
    "get coordination.k8s.io/leases sparrow-entry",
    "update coordination.k8s.io/leases sparrow-entry",
    "create /configmaps other",
    "create /configmaps sparrow-entry-hosts",
    "get /configmaps sparrow-entry-hosts",
    "list /configmaps sparrow-entry-hosts",
    "watch /configmaps sparrow-entry-hosts",
    "update /configmaps sparrow-entry-hosts",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_grant_exactly_the_needed_rights() {
    let tenant = Tenant::new();
    let own = tenant.namespace.as_str();
    let whole = SourceOptions::default();
    tenant.account("whole", &whole).await;
    let everywhere = [NODES, CLASSES, SECRETS, SERVICES, INGRESSES].concat();
    assert_eq!(rights(&tenant, "whole", "default").await, set(&everywhere));
    assert_eq!(rights(&tenant, "whole", own).await, set(&[everywhere.as_slice(), LEASE_NAME].concat()));

    tenant.account("named", &SourceOptions { tls_secrets: TlsSecrets::Named, ..whole.clone() }).await;
    let without: Vec<&str> = everywhere.iter().copied().filter(|right| !SECRETS.contains(right)).collect();
    assert_eq!(rights(&tenant, "named", "default").await, set(&without));

    tenant.account("services", &SourceOptions { ingresses: false, ..whole.clone() }).await;
    assert_eq!(rights(&tenant, "services", "default").await, set(&[NODES, SERVICES].concat()));

    let settings = BTreeSet::from([tenant.key("other")]);
    tenant.account("settings", &SourceOptions { config_maps: settings, ..whole.clone() }).await;
    let named = ["get /configmaps other", "list /configmaps other", "watch /configmaps other"];
    assert_eq!(rights(&tenant, "settings", "default").await, set(&everywhere));
    assert_eq!(rights(&tenant, "settings", own).await, set(&[everywhere.as_slice(), LEASE_NAME, &named].concat()));

    tenant.account("one", &SourceOptions { namespace: Some(own.to_owned()), ..whole.clone() }).await;
    assert_eq!(rights(&tenant, "one", "default").await, set(&[NODES, CLASSES].concat()));
    assert_eq!(rights(&tenant, "one", own).await, set(&[everywhere.as_slice(), LEASE_NAME].concat()));

    let other = Tenant::new();
    tenant.account("two", &SourceOptions { namespace: Some(other.namespace.clone()), ..whole }).await;
    assert_eq!(rights(&tenant, "two", own).await, set(&[NODES, CLASSES, LEASE_NAME].concat()));
    assert_eq!(rights(&tenant, "two", &other.namespace).await, set(&everywhere));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_right_is_reported_and_other_kinds_are_read() {
    let tenant = Tenant::new();
    tenant.service("a", 80);
    tenant.ingress("web");
    // The role does not have Secrets, which are asked for.
    let client = tenant.account("less", &SourceOptions { tls_secrets: TlsSecrets::Named, ..tenant.options() }).await;
    let error = KubeSource::read(client.clone(), &tenant.options()).await.unwrap_err().to_string();
    assert!(
        error.contains("cannot list Secret objects") && error.contains(r#"resources ["secrets"], verbs ["list"]"#),
        "{error}"
    );
    let less = client.clone();
    let watching = KubeSource::start(client, tenant.options());
    let (mut receiver, mut errors) = (watching.snapshots, watching.errors);
    until(&mut receiver, "without Secrets", |new| new.services.len() == 1 && new.ingresses.len() == 1).await;
    let told = timeout(Duration::from_secs(20), errors.wait_for(|errors| errors.contains_key(&Kind::Secret)));
    let told = told.await.unwrap().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[&Kind::Secret].contains(r#"apiGroups [""], resources ["secrets"], verbs ["list", "watch"]"#),
        "{told:?}"
    );
    tenant.service("a", 81);
    until(&mut receiver, "a change", |new| new.services[&tenant.key("a")].ports[0].port == 81).await;
    // Who asks for all or nothing gets nothing.
    let waiting = KubeSource::start(less, SourceOptions { go_without: false, ..tenant.options() });
    let (mut whole, mut told) = (waiting.snapshots, waiting.errors);
    drop(
        timeout(Duration::from_secs(20), told.wait_for(|told| told.contains_key(&Kind::Secret)))
            .await
            .unwrap()
            .unwrap(),
    );
    assert!(timeout(Duration::from_secs(10), whole.changed()).await.is_err());
    // The right comes late.
    tenant.account("less", &tenant.options()).await;
    let over = timeout(Duration::from_secs(40), errors.wait_for(|errors| errors.is_empty()));
    drop(over.await.unwrap().unwrap());
    until(&mut whole, "all", |new| new.services.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_secrets_are_fetched_with_get_only() {
    let tenant = Tenant::new();
    let options = SourceOptions { tls_secrets: TlsSecrets::Named, ..tenant.options() };
    tenant.ingress("web");
    let client = tenant.account("named", &options).await;
    let watching = KubeSource::start(client.clone(), options.clone());
    let (mut receiver, mut errors) = (watching.snapshots, watching.errors);
    until(&mut receiver, "without", |new| new.ingresses.len() == 1 && new.secrets.is_empty()).await;
    let told = timeout(Duration::from_secs(20), errors.wait_for(|errors| errors.contains_key(&Kind::Secret)));
    let told = told.await.unwrap().unwrap()[&Kind::Secret].clone();
    let rule = r#"verbs ["get"], resourceNames ["cert"]"#;
    assert!(told.contains(rule), "{told}");
    // So is who named it: it is not said that there is none.
    let cert = ObjectRef::new(Kind::Secret, tenant.key("cert"));
    until(&mut receiver, "why", |new| new.unreadable.get(&cert).is_some_and(|why| why.contains(rule))).await;
    // The owner of the namespace allows it, for this Secret.
    let (group, user) = ("rbac.authorization.k8s.io", format!("{}-secrets", tenant.namespace));
    tenant.apply(json!({ "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": { "name": user },
        "rules": [{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["cert"] }] }));
    tenant.apply(json!({ "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": { "name": user },
        "roleRef": { "apiGroup": group, "kind": "Role", "name": user },
        "subjects": [{ "kind": "ServiceAccount", "name": "named", "namespace": tenant.namespace }] }));
    tenant.apply(json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": "cert" }, "stringData": { "tls.crt": "x", "tls.key": "y" } }));
    until(&mut receiver, "it comes late", |new| new.secrets.contains_key(&tenant.key("cert"))).await;
    assert!(receiver.borrow().as_ref().unwrap().unreadable.is_empty());
    assert!(errors.wait_for(|errors| errors.is_empty()).await.is_ok());
    let once = KubeSource::read(client, &options).await.unwrap();
    assert!(once.secrets.contains_key(&tenant.key("cert")));
    // Nobody names it any more.
    tenant.delete("/apis/networking.k8s.io/v1/namespaces/NS/ingresses/web");
    until(&mut receiver, "not named", |new| new.ingresses.is_empty() && new.secrets.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_that_a_service_names_is_fetched_without_ingresses_too() {
    let tenant = Tenant::new();
    let options = SourceOptions { ingresses: false, ..tenant.options() };
    let mut service = service("web", 80);
    service["metadata"]["labels"] = json!({ "sparrow/expose": "true" });
    service["metadata"]["annotations"] = json!({ "sparrow/basic-auth-secret": "users" });
    tenant.apply(service);
    tenant.apply(json!({ "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": "users" }, "stringData": { "auth": "user:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=" } }));
    let client = tenant.account("services", &options).await;
    let mut receiver = KubeSource::watch(client.clone(), options.clone());
    let users = ObjectRef::new(Kind::Secret, tenant.key("users"));
    let rule = r#"verbs ["get"], resourceNames ["users"]"#;
    until(&mut receiver, "why not", |new| new.unreadable.get(&users).is_some_and(|why| why.contains(rule))).await;
    let (group, user) = ("rbac.authorization.k8s.io", format!("{}-users", tenant.namespace));
    tenant.apply(json!({ "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": { "name": user },
        "rules": [{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["users"] }] }));
    tenant.apply(json!({ "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": { "name": user },
        "roleRef": { "apiGroup": group, "kind": "Role", "name": user },
        "subjects": [{ "kind": "ServiceAccount", "name": "services", "namespace": tenant.namespace }] }));
    until(&mut receiver, "allowed", |new| new.secrets.contains_key(&tenant.key("users"))).await;
    let once = KubeSource::read(client, &options).await.unwrap();
    assert!(once.secrets.contains_key(&tenant.key("users")));
}

/// An Ingress whose annotation names a Secret.
fn annotated(tenant: &Tenant, secret: &str) {
    let mut ingress = ingress("web");
    ingress["metadata"]["annotations"] = json!({ "nginx.ingress.kubernetes.io/auth-secret": secret });
    tenant.apply(ingress);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_that_an_annotation_names_is_read_whatever_its_type() {
    let tenant = Tenant::new();
    let users = |text: &str| {
        tenant.apply(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "users" },
            "stringData": { "auth": text, "token": "hidden" } }));
    };
    users("a:b");
    tenant.apply(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "other" },
        "stringData": { "auth": "c:d" } }));
    annotated(&tenant, "users");
    let client = tenant.account("watching", &tenant.options()).await;
    let mut receiver = KubeSource::watch(client.clone(), tenant.options());
    // Nothing is published before it is known.
    let first = until(&mut receiver, "the first", |_| true).await;
    let found = &first.secrets[&tenant.key("users")];
    assert_eq!((found.passwords.as_slice(), found.is_tls, found.password_hashes.len()), (&b"a:b"[..], false, 0));
    assert!(!first.secrets.contains_key(&tenant.key("other")));
    let once = KubeSource::read(client, &tenant.options()).await.unwrap();
    assert_eq!(once.secrets, first.secrets);
    // A Secret of another type is watched, and takes nothing away.
    tenant.apply(json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": "cert" }, "stringData": { "tls.crt": "x", "tls.key": "y" } }));
    let both = until(&mut receiver, "both", |new| new.secrets.contains_key(&tenant.key("cert"))).await;
    assert!(both.secrets.contains_key(&tenant.key("users")));
    annotated(&tenant, "other");
    let renamed = until(&mut receiver, "another", |new| new.secrets.contains_key(&tenant.key("other"))).await;
    assert_eq!(renamed.secrets[&tenant.key("other")].passwords, b"c:d");
    until(&mut receiver, "not named", |new| !new.secrets.contains_key(&tenant.key("users"))).await;
    // None of another namespace.
    annotated(&tenant, "kube-system/other");
    until(&mut receiver, "none of another", |new| !new.secrets.contains_key(&tenant.key("other"))).await;
    assert!(receiver.borrow().as_ref().unwrap().secrets.keys().all(|key| key.namespace == tenant.namespace));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_that_an_annotation_names_needs_the_right_to_that_one_where_none_is_watched() {
    let tenant = Tenant::new();
    let options = SourceOptions { tls_secrets: TlsSecrets::Named, ..tenant.options() };
    annotated(&tenant, "users");
    tenant.apply(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "users" }, "stringData": { "auth": "a:b" } }));
    let mut receiver = KubeSource::watch(tenant.account("named", &options).await, options);
    let users = ObjectRef::new(Kind::Secret, tenant.key("users"));
    let rule = r#"verbs ["get"], resourceNames ["users"]"#;
    until(&mut receiver, "why", |new| new.unreadable.get(&users).is_some_and(|why| why.contains(rule))).await;
}
