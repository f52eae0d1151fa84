//! `ConfigMaps`: only those that something names are read.

use std::collections::BTreeSet;
use std::time::Duration;

use entry_kube::{KubeSource, SourceOptions, TlsSecrets};
use entry_model::{Key, Kind, ObjectRef, Snapshot};
use serde_json::json;

use crate::support::{Tenant, ingress, until};

impl Tenant {
    fn config_map(&self, name: &str, data: &[(&str, &str)]) {
        let data: serde_json::Map<_, _> = data.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        self.apply(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data }));
    }

    fn options_naming(&self, name: &str) -> SourceOptions {
        SourceOptions { config_maps: BTreeSet::from([self.key(name)]), ..self.options() }
    }
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.config_maps.keys().map(|key| key.name.as_str()).collect()
}

fn value<'a>(snapshot: &'a Snapshot, key: &Key, name: &str) -> Option<&'a str> {
    snapshot.config_maps.get(key)?.data.get(name).map(String::as_str)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_map_that_a_flag_names_is_followed_and_no_other_is_read() {
    let tenant = Tenant::new();
    tenant.config_map("other", &[("a", "b")]);
    let (key, options) = (tenant.key("settings"), tenant.options_naming("settings"));
    let client = tenant.account("entry", &options).await;
    // One that is not there is waited for by nobody.
    let mut snapshots = KubeSource::watch(client.clone(), options.clone());
    until(&mut snapshots, "without it", |snapshot| names(snapshot).is_empty()).await;
    tenant.config_map("settings", &[("keep-alive", "10")]);
    until(&mut snapshots, "made", |snapshot| value(snapshot, &key, "keep-alive") == Some("10")).await;
    tenant.config_map("settings", &[("keep-alive", "20")]);
    let changed = until(&mut snapshots, "changed", |snapshot| value(snapshot, &key, "keep-alive") == Some("20")).await;
    assert_eq!(names(&changed), ["settings"]);
    let read = KubeSource::read(client, &options).await.unwrap();
    assert_eq!((names(&read), value(&read, &key, "keep-alive")), (vec!["settings"], Some("20")));
    tenant.delete("/api/v1/namespaces/NS/configmaps/settings");
    until(&mut snapshots, "removed", |snapshot| names(snapshot).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_map_of_headers_is_read_as_long_as_settings_name_it() {
    let tenant = Tenant::new();
    let options = tenant.options_naming("settings");
    let client = tenant.admin().await;
    let headers = format!("{}/headers", tenant.namespace);
    tenant.config_map("headers", &[("X-Test", "1")]);
    tenant.config_map("settings", &[("add-headers", &headers)]);
    assert_eq!(names(&KubeSource::read(client.clone(), &options).await.unwrap()), ["headers", "settings"]);
    let mut snapshots = KubeSource::watch(client, options);
    // Never without the headers: what is served first has them.
    assert!(snapshots.wait_for(Option::is_some).await.is_ok());
    until(&mut snapshots, "both", |snapshot| names(snapshot) == ["headers", "settings"]).await;
    tenant.config_map("headers", &[("X-Test", "2")]);
    let key = tenant.key("headers");
    until(&mut snapshots, "changed", |snapshot| value(snapshot, &key, "X-Test") == Some("2")).await;
    tenant.config_map("settings", &[("keep-alive", "10")]);
    until(&mut snapshots, "not named", |snapshot| names(snapshot) == ["settings"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_map_without_right_keeps_nothing_else_from_being_read_unless_a_flag_names_it() {
    let tenant = Tenant::new();
    let headers = format!("{}/headers", tenant.namespace);
    tenant.config_map("settings", &[("add-headers", &headers)]);
    let tls_secrets = TlsSecrets::Named;
    let options = SourceOptions { go_without: false, tls_secrets, ..tenant.options_naming("settings") };
    let client = tenant.account("entry", &options).await;
    let unreadable = ObjectRef::new(Kind::ConfigMap, tenant.key("headers"));
    let is_told = |snapshot: &Snapshot| {
        snapshot
            .unreadable
            .get(&unreadable)
            .is_some_and(|message| message.contains("403") && message.contains("configmaps"))
    };
    let read = KubeSource::read(client.clone(), &options).await.unwrap();
    assert!(is_told(&read) && names(&read) == ["settings"], "{:?}", read.unreadable);
    let mut snapshots = KubeSource::watch(client, options.clone());
    until(&mut snapshots, "without the headers", |snapshot| is_told(snapshot) && names(snapshot) == ["settings"]).await;

    let without = tenant.account("without", &SourceOptions { config_maps: BTreeSet::new(), ..options.clone() }).await;
    let error = KubeSource::read(without.clone(), &options).await.unwrap_err().to_string();
    assert!(error.contains("configmaps"), "{error}");
    let mut watch = KubeSource::start(without, options);
    let told = watch.errors.wait_for(|errors| errors.contains_key(&Kind::ConfigMap));
    assert!(tokio::time::timeout(Duration::from_secs(20), told).await.is_ok());
    assert!(watch.snapshots.borrow_and_update().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_map_that_an_annotation_names_is_read_with_the_usual_rights() {
    let tenant = Tenant::new();
    let options = SourceOptions { go_without: false, ..tenant.options() };
    let client = tenant.account("entry", &options).await;
    let annotated = |value: &str| {
        let mut object = ingress("web");
        object["metadata"]["annotations"] = json!({ "nginx.ingress.kubernetes.io/custom-headers": value });
        tenant.apply(object);
    };
    tenant.config_map("other", &[("a", "b")]);
    tenant.config_map("headers", &[("X-Test", "1")]);
    annotated(&format!("{}/headers", tenant.namespace));
    assert_eq!(names(&KubeSource::read(client.clone(), &options).await.unwrap()), ["headers"]);
    let mut snapshots = KubeSource::watch(client, options);
    // Never without the headers: what is served first has them.
    let first = snapshots.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert_eq!(names(&first), ["headers"]);
    tenant.config_map("headers", &[("X-Test", "2")]);
    let key = tenant.key("headers");
    until(&mut snapshots, "changed", |snapshot| value(snapshot, &key, "X-Test") == Some("2")).await;
    annotated("other");
    until(&mut snapshots, "another", |snapshot| names(snapshot) == ["other"]).await;
    annotated("kube-system/extension-apiserver-authentication");
    until(&mut snapshots, "of another namespace", |snapshot| names(snapshot).is_empty()).await;
}
