//! Secrets that are fetched one by one, because objects name them.
//!
//! With [`TlsSecrets::Watched`] these are the Secrets that annotations name, as far as they are not watched: those are of the type
//! `kubernetes.io/tls`. They are listed by their names, for which the right to list Secrets is enough.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use entry_model::{Key, Kind, Object, ObjectRef, Snapshot, annotated_secrets};
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1 as core;
use kube::Client;
use kube::api::{Api, ListParams};
use tokio::time::{Instant, sleep, timeout};

use crate::api_error::describe_error;
use crate::convert::Convert as _;
use crate::options::{SourceOptions, TlsSecrets};
use crate::store::{Store, StoreState};

/// How often Secrets are fetched that are not watched.
const RENEW_INTERVAL: Duration = Duration::from_secs(60);
/// How often those that were not there, or could not be had.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is looked whether Ingresses name new ones.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// How many Secrets are asked for at the same time.
const PARALLEL: usize = 8;

/// The Secrets that are to be fetched: those that annotations name, and, unless all certificates are watched, those that Ingresses name for
/// TLS, with the default one if there are entries that name none.
pub(crate) fn named_secrets(snapshot: &Snapshot, options: &SourceOptions) -> BTreeSet<Key> {
    let is_here = |key: &Key| options.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace);
    let ingresses = snapshot.ingresses.values().map(|ingress| &ingress.meta);
    let services = snapshot.services.values().map(|service| &service.meta);
    let annotated: BTreeSet<Key> = ingresses.chain(services).flat_map(annotated_secrets).filter(is_here).collect();
    match options.secrets() {
        TlsSecrets::Watched => annotated,
        TlsSecrets::Named => {
            annotated.into_iter().chain(tls_secrets(snapshot, options.default_certificate.as_ref())).collect()
        }
    }
}

fn tls_secrets(snapshot: &Snapshot, default: Option<&Key>) -> BTreeSet<Key> {
    let of = |ingress: &entry_model::Ingress| {
        let own = |name: &String| Key { namespace: ingress.meta.namespace.clone(), name: name.clone() };
        let keys = ingress.tls.iter().filter_map(|tls| tls.secret.as_ref().map(own).or_else(|| default.cloned()));
        keys.collect::<Vec<_>>()
    };
    snapshot.ingresses.values().flat_map(|ingress| of(ingress)).collect()
}

/// Fetches Secrets one by one: `None` for one that is not there or has nothing of use, an error for one that may be there.
pub(crate) async fn fetch_secrets(
    client: &Client,
    tls_secrets: TlsSecrets,
    keys: BTreeSet<Key>,
) -> Vec<(Key, Result<Option<Object>, String>)> {
    let fetch = async |key: Key| {
        let api = Api::<core::Secret>::namespaced(client.clone(), &key.namespace);
        let asked = match tls_secrets {
            TlsSecrets::Named => api.get_opt(&key.name).await,
            TlsSecrets::Watched => {
                let only = ListParams::default().fields(&format!("metadata.name={}", key.name));
                api.list(&only).await.map(|list| list.items.into_iter().next())
            }
        };
        let verb = if tls_secrets == TlsSecrets::Named { "get" } else { "list" };
        let found = match asked {
            Ok(secret) => Ok(secret.and_then(|secret| secret.convert().ok().flatten())),
            Err(kube::Error::Api(status)) if status.code == 403 => Err(format!(
                "the API server rejects it (403): a role in the namespace {} needs the rule apiGroups [\"\"], \
                 resources [\"secrets\"], verbs [{verb:?}], resourceNames [{:?}]",
                key.namespace, key.name
            )),
            Err(error) => Err(describe_error(&error)),
        };
        (key, found)
    };
    stream::iter(keys).map(fetch).buffer_unordered(PARALLEL).collect().await
}

/// Fetches the Secrets that objects name, for ever.
pub(crate) async fn follow_named_secrets(client: &Client, options: &SourceOptions, store: &Store) {
    let mut wanted: BTreeSet<Key> = BTreeSet::new();
    let mut due: BTreeMap<Key, Instant> = BTreeMap::new();
    let mut seen = None;
    let mut failed = false;
    loop {
        let news = {
            let state = store.state();
            let is_news = seen != Some(state.changes) && is_listed(&state, options);
            is_news.then(|| (state.changes, secrets_to_fetch(&state, options)))
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
            match timeout(RENEW_INTERVAL, fetch_secrets(client, options.secrets(), keys)).await {
                Ok(all) => {
                    for (key, found) in all {
                        let there = matches!(found, Ok(Some(_)));
                        if let Err(message) = &found {
                            error = Some(format!("{}/{}: {message}", key.namespace, key.name));
                        }
                        store.change(|state| put_fetched(state, &key, found, options.secrets()));
                        due.insert(key, now + if there { RENEW_INTERVAL } else { RETRY_INTERVAL });
                    }
                }
                Err(_) => error = Some(format!("the API server did not answer within {RENEW_INTERVAL:?}")),
            }
            // What is said of the watch stays.
            if options.secrets() == TlsSecrets::Named || failed || error.is_some() {
                failed = error.is_some();
                store.set_error(Kind::Secret, error);
            }
        }
        store.change(|state| {
            let mut changed = std::mem::take(&mut state.unread.named_secrets);
            changed |= options.secrets() == TlsSecrets::Named && state.missing.remove(&Kind::Secret);
            let (kept, gone): (BTreeSet<Key>, _) =
                std::mem::take(&mut state.fetched_secrets).into_iter().partition(|key| wanted.contains(key));
            state.fetched_secrets = kept;
            for key in gone {
                changed |= state.remove(&ObjectRef::new(Kind::Secret, key));
            }
            changed
        });
        sleep(CHECK_INTERVAL).await;
    }
}

/// Whether all is listed from which follows what is to be fetched.
fn is_listed(state: &StoreState, options: &SourceOptions) -> bool {
    let is_listed = |kind: Kind| !state.missing.contains(&kind);
    let is_watched = options.secrets() == TlsSecrets::Watched;
    is_listed(Kind::Ingress) && is_listed(Kind::Service) && (!is_watched || is_listed(Kind::Secret))
}

/// The Secrets that are named and not watched.
fn secrets_to_fetch(state: &StoreState, options: &SourceOptions) -> BTreeSet<Key> {
    let mut wanted = named_secrets(&state.snapshot, options);
    if options.secrets() == TlsSecrets::Watched {
        wanted.retain(|key| state.fetched_secrets.contains(key) || !state.snapshot.secrets.contains_key(key));
    }
    wanted
}

/// Puts in what was fetched; whether that changed anything.
fn put_fetched(
    state: &mut StoreState,
    key: &Key,
    found: Result<Option<Object>, String>,
    tls_secrets: TlsSecrets,
) -> bool {
    let is_known = state.snapshot.secrets.contains_key(key);
    // The watch was faster.
    if tls_secrets == TlsSecrets::Watched && is_known && !state.fetched_secrets.contains(key) {
        return false;
    }
    let is_tls = matches!(&found, Ok(Some(Object::Secret(secret))) if secret.is_tls);
    if tls_secrets == TlsSecrets::Watched && is_tls {
        state.fetched_secrets.remove(key);
    } else {
        state.fetched_secrets.insert(key.clone());
    }
    let reference = ObjectRef::new(Kind::Secret, key.clone());
    match found {
        Ok(Some(object)) => state.put((reference, Ok(object))),
        Ok(None) => state.remove(&reference),
        // One that is known stays as it is; of one that is not, its owner is told why.
        Err(message) => !is_known && state.put((reference, Err(message))),
    }
}
