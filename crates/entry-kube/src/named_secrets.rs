//! Secrets that are fetched one by one, because Ingresses name them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use entry_model::{Key, Kind, Object, ObjectRef, Snapshot};
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1 as core;
use kube::Client;
use kube::api::Api;
use tokio::time::{Instant, sleep, timeout};

use crate::api_error::describe_error;
use crate::convert::Convert as _;
use crate::store::Store;

/// How often Secrets are fetched that are not watched.
const RENEW_INTERVAL: Duration = Duration::from_secs(60);
/// How often those that were not there, or could not be had.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is looked whether Ingresses name new ones.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// How many Secrets are asked for at the same time.
const PARALLEL: usize = 8;

/// The Secrets that Ingresses name, and the default one if there are entries that name none.
pub(crate) fn named_secrets(snapshot: &Snapshot, default: Option<&Key>) -> BTreeSet<Key> {
    let of = |ingress: &entry_model::Ingress| {
        let own = |name: &String| Key { namespace: ingress.meta.namespace.clone(), name: name.clone() };
        let keys = ingress.tls.iter().filter_map(|tls| tls.secret.as_ref().map(own).or_else(|| default.cloned()));
        keys.collect::<Vec<_>>()
    };
    snapshot.ingresses.values().flat_map(|ingress| of(ingress)).collect()
}

/// Fetches Secrets one by one: `None` for one that is not there or has no certificate, an error for one that may be there.
pub(crate) async fn fetch_secrets(client: &Client, keys: BTreeSet<Key>) -> Vec<(Key, Result<Option<Object>, String>)> {
    let fetch = async |key: Key| {
        let api = Api::<core::Secret>::namespaced(client.clone(), &key.namespace);
        let found = match api.get_opt(&key.name).await {
            Ok(secret) => Ok(secret.and_then(|secret| secret.convert().ok().flatten())),
            Err(kube::Error::Api(status)) if status.code == 403 => Err(format!(
                "the API server rejects it (403): a role in the namespace {} needs the rule apiGroups [\"\"], \
                 resources [\"secrets\"], verbs [\"get\"], resourceNames [{:?}]",
                key.namespace, key.name
            )),
            Err(error) => Err(describe_error(&error)),
        };
        (key, found)
    };
    stream::iter(keys).map(fetch).buffer_unordered(PARALLEL).collect().await
}

/// Fetches the Secrets that Ingresses name, for ever.
pub(crate) async fn follow_named_secrets(client: &Client, default: Option<&Key>, store: &Store) {
    let mut wanted: BTreeSet<Key> = BTreeSet::new();
    let mut due: BTreeMap<Key, Instant> = BTreeMap::new();
    let mut seen = None;
    loop {
        let news = {
            let state = store.state();
            let listed = !state.missing.contains(&Kind::Ingress);
            (listed && seen != Some(state.changes)).then(|| (state.changes, named_secrets(&state.snapshot, default)))
        };
        if let Some((changes, named)) = news {
            seen = Some(changes);
            wanted = named;
            due.retain(|key, _| wanted.contains(key));
        }
        if seen.is_none() {
            sleep(CHECK_INTERVAL).await;
            continue;
        }
        let now = Instant::now();
        let keys: BTreeSet<Key> =
            wanted.iter().filter(|key| due.get(key).is_none_or(|due| *due <= now)).cloned().collect();
        if !keys.is_empty() {
            let mut error = None;
            match timeout(RENEW_INTERVAL, fetch_secrets(client, keys)).await {
                Ok(all) => {
                    for (key, found) in all {
                        let reference = ObjectRef::new(Kind::Secret, key.clone());
                        let there = matches!(found, Ok(Some(_)));
                        match found {
                            Ok(Some(object)) => store.change(|state| state.put((reference, Ok(object)))),
                            Ok(None) => store.change(|state| state.remove(&reference)),
                            Err(message) => {
                                error = Some(format!("{}/{}: {message}", key.namespace, key.name));
                                // One that is known stays as it is; of one that is not, its owner is told why.
                                store.change(|state| {
                                    !state.snapshot.secrets.contains_key(&key) && state.put((reference, Err(message)))
                                });
                            }
                        }
                        due.insert(key, now + if there { RENEW_INTERVAL } else { RETRY_INTERVAL });
                    }
                }
                Err(_) => error = Some(format!("the API server did not answer within {RENEW_INTERVAL:?}")),
            }
            store.set_error(Kind::Secret, error);
        }
        store.change(|state| {
            let mut changed = state.missing.remove(&Kind::Secret);
            for key in state.keys(Kind::Secret).into_iter().filter(|key| !wanted.contains(&**key)) {
                changed |= state.remove(&ObjectRef { kind: Kind::Secret, key });
            }
            changed
        });
        sleep(CHECK_INTERVAL).await;
    }
}
