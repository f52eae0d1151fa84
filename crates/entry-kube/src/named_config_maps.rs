//! `ConfigMaps` that are read because something names them: each is watched by itself, so that others are not held, and no right to any
//! other is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use entry_model::{Key, Kind, ObjectRef, Snapshot, annotated_config_maps};
use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::FuturesUnordered;
use k8s_openapi::api::core::v1 as core;
use kube::Client;
use kube::api::{Api, ListParams};
use tokio::time::sleep;

use crate::api_error::{explain_read_error, name_object_of_rule};
use crate::error::{Error, Result};
use crate::follow::{WatchScope, follow};
use crate::kinds::Selectors;
use crate::list::{ReadObject, reduce};
use crate::options::SourceOptions;
use crate::store::{Store, StoreState};

/// How often it is looked whether others are named.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Most `ConfigMaps` that annotations of a namespace name and that are read, the first by their names: each is up to a megabyte, and its watch
/// a connection to the API server.
const MOST_OF_NAMESPACE: usize = 20;

/// Most of all namespaces.
const MOST_ANNOTATED: usize = 200;

/// The `ConfigMaps` that the options name, those that these name, and those of their own namespace that annotations name.
fn named_config_maps(snapshot: &Snapshot, options: &SourceOptions) -> BTreeSet<Key> {
    let known = options.config_maps.iter().filter_map(|key| snapshot.config_maps.get(key));
    let named: Vec<Key> = known.flat_map(|config_map| config_map.named_config_maps()).collect();
    let annotated = bounded(annotated_keys(snapshot, options));
    named.into_iter().chain(annotated).chain(options.config_maps.iter().cloned()).collect()
}

/// Those that annotations of objects name which are looked at.
fn annotated_keys(snapshot: &Snapshot, options: &SourceOptions) -> BTreeSet<Key> {
    let is_here = |key: &Key| options.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace);
    let ingresses = snapshot.ingresses.values().map(|ingress| &ingress.meta);
    let services = snapshot.services.values().map(|service| &service.meta);
    ingresses.chain(services).flat_map(annotated_config_maps).filter(is_here).collect()
}

/// As many of them as are read.
fn bounded(keys: BTreeSet<Key>) -> Vec<Key> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let has_room = |key: &Key| {
        let count = counts.entry(key.namespace.clone()).or_default();
        *count += 1;
        *count <= MOST_OF_NAMESPACE
    };
    keys.into_iter().filter(has_room).take(MOST_ANNOTATED).collect()
}

/// Reads them once, and puts them into the snapshot, whose other objects may name some.
///
/// # Errors
/// [`Error::List`]: one that the options name cannot be had. What the account has no right to of those that others name is unreadable.
pub(crate) async fn read_named_config_maps(
    client: &Client,
    options: &SourceOptions,
    snapshot: &mut Snapshot,
    put: fn(&mut Snapshot, ReadObject),
) -> Result<()> {
    let mut read = BTreeSet::new();
    loop {
        let Some(key) = named_config_maps(snapshot, options).into_iter().find(|key| !read.contains(key)) else {
            return Ok(());
        };
        let api = Api::<core::ConfigMap>::namespaced(client.clone(), &key.namespace);
        // As a watch of it begins, so that the same rights are enough.
        let only = ListParams::default().fields(&format!("metadata.name={}", key.name));
        let found = match api.list(&only).await {
            Ok(list) => list.items.into_iter().next().and_then(reduce),
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
            put(snapshot, found);
        }
        read.insert(key);
    }
}

/// Follows them for ever.
pub(crate) async fn follow_named_config_maps(client: &Client, options: &SourceOptions, store: &Store) {
    let mut watches = FuturesUnordered::new();
    let mut handles: BTreeMap<Key, AbortHandle> = BTreeMap::new();
    let (mut named, mut seen) = (BTreeSet::new(), None);
    loop {
        if let Some((changes, now)) = news(store, options, seen) {
            (seen, named) = (Some(changes), now);
        }
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
        store.change(|state| {
            let is_whole = seen == Some(state.changes) && are_namers_listed(state);
            is_whole && named.is_subset(&state.known_config_maps) && state.missing.remove(&Kind::ConfigMap)
        });
        tokio::select! {
            () = sleep(CHECK_INTERVAL) => {}
            // One that was given up, or whose API server has ended it, is gone from here.
            Some(_) = watches.next() => {}
        }
    }
}

/// Those that are named, if something has changed since it was seen last, and what was seen.
fn news(store: &Store, options: &SourceOptions, seen: Option<u64>) -> Option<(u64, BTreeSet<Key>)> {
    let state = store.state();
    (seen != Some(state.changes)).then(|| (state.changes, named_config_maps(&state.snapshot, options)))
}

/// Whether all objects are listed whose annotations name some.
fn are_namers_listed(state: &StoreState) -> bool {
    !state.missing.contains(&Kind::Ingress) && !state.missing.contains(&Kind::Service)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_namespace_takes_no_room_from_others() {
        let key =
            |namespace: usize, name: usize| Key { namespace: format!("n{namespace:02}"), name: format!("c{name:03}") };
        let many: BTreeSet<Key> = (0..500).map(|name| key(0, name)).chain([key(1, 0)]).collect();
        let read = bounded(many);
        assert_eq!((read.len(), read.last()), (MOST_OF_NAMESPACE + 1, Some(&key(1, 0))));
        let all = (0..30).flat_map(|namespace| (0..20).map(move |name| key(namespace, name))).collect();
        assert_eq!(bounded(all).len(), MOST_ANNOTATED);
    }
}
