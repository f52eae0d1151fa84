//! `ConfigMaps` that are read because something names them: each is watched by itself, so that no right to any other is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use entry_model::{Key, Kind, ObjectRef, Snapshot};
use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::FuturesUnordered;
use k8s_openapi::api::core::v1 as core;
use kube::Client;
use kube::api::Api;
use tokio::time::sleep;

use crate::api_error::{explain_read_error, name_object_of_rule};
use crate::error::{Error, Result};
use crate::follow::{WatchScope, follow};
use crate::kinds::Selectors;
use crate::list::{ReadObject, reduce};
use crate::options::SourceOptions;
use crate::store::Store;

/// How often it is looked whether others are named.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The annotation of Ingresses that names a `ConfigMap` of headers, as `NAMESPACE/NAME`.
const HEADERS_ANNOTATION: &str = "nginx.ingress.kubernetes.io/custom-headers";

/// The `ConfigMaps` that the options name, those that these name, and those of their own namespace that Ingresses name.
fn named_config_maps(snapshot: &Snapshot, options: &SourceOptions) -> BTreeSet<Key> {
    let known = options.config_maps.iter().filter_map(|key| snapshot.config_maps.get(key));
    let named: Vec<Key> = known.flat_map(|config_map| config_map.named_config_maps()).collect();
    let of_ingresses = snapshot.ingresses.values().filter_map(|ingress| {
        let key = Key::parse(ingress.meta.annotations.get(HEADERS_ANNOTATION)?.trim())?;
        (key.namespace == ingress.meta.namespace).then_some(key)
    });
    named.into_iter().chain(of_ingresses).chain(options.config_maps.iter().cloned()).collect()
}

/// Reads them once.
///
/// # Errors
/// [`Error::List`]: one that the options name cannot be had. What the account has no right to of those that others name is unreadable.
pub(crate) async fn read_named_config_maps(
    client: &Client,
    options: &SourceOptions,
    mut put: impl FnMut(ReadObject),
) -> Result<()> {
    let (mut snapshot, mut read) = (Snapshot::default(), BTreeSet::new());
    loop {
        let Some(key) = named_config_maps(&snapshot, options).into_iter().find(|key| !read.contains(key)) else {
            return Ok(());
        };
        let api = Api::<core::ConfigMap>::namespaced(client.clone(), &key.namespace);
        let found = match api.get_opt(&key.name).await {
            Ok(config_map) => config_map.and_then(reduce),
            Err(error) => {
                let message = explain_read_error(Kind::ConfigMap, r#""get", "list", "watch""#, &error);
                let forbidden = matches!(&error, kube::Error::Api(status) if status.code == 403);
                if !forbidden || options.config_maps.contains(&key) {
                    return Err(Error::List { kind: Kind::ConfigMap, message, forbidden });
                }
                Some((ObjectRef::new(Kind::ConfigMap, key.clone()), Err(name_object_of_rule(&message, &key))))
            }
        };
        if let Some(found) = found {
            if let (_, Ok(object)) = &found {
                snapshot.put(object.clone());
            }
            put(found);
        }
        read.insert(key);
    }
}

/// Follows them for ever.
pub(crate) async fn follow_named_config_maps(client: &Client, options: &SourceOptions, store: &Store) {
    let mut watches = FuturesUnordered::new();
    let mut handles: BTreeMap<Key, AbortHandle> = BTreeMap::new();
    loop {
        let named = named_config_maps(&store.state().snapshot, options);
        for key in named.iter().filter(|key| !handles.contains_key(key)).cloned().collect::<Vec<_>>() {
            let (watch, handle) = abortable(follow(watch_scope(client, &key, options), store));
            watches.push(watch);
            handles.insert(key, handle);
        }
        handles.retain(|key, handle| {
            let is_named = named.contains(key);
            if !is_named {
                handle.abort();
                forget(key, store);
            }
            is_named
        });
        store.change(|state| named.is_subset(&state.known_config_maps) && state.missing.remove(&Kind::ConfigMap));
        tokio::select! {
            () = sleep(CHECK_INTERVAL) => {}
            // One that was given up, or whose API server has ended it, is gone from here.
            Some(_) = watches.next() => {}
        }
    }
}

fn watch_scope(client: &Client, key: &Key, options: &SourceOptions) -> WatchScope<core::ConfigMap> {
    WatchScope {
        api: Api::namespaced(client.clone(), &key.namespace),
        selectors: Selectors::name(&key.name),
        // Who names one to which this account has no right must not keep all others waiting.
        go_without: options.go_without || !options.config_maps.contains(key),
        only: Some(ObjectRef::new(Kind::ConfigMap, key.clone())),
    }
}

/// Nothing names it any more.
fn forget(key: &Key, store: &Store) {
    store.change(|state| {
        state.known_config_maps.remove(key);
        state.remove(&ObjectRef::new(Kind::ConfigMap, key.clone()))
    });
}
