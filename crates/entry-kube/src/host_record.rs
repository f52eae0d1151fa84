//! The record of which namespace holds which hosts: a `ConfigMap` beside the lease, which its holder writes and all replicas
//! follow. By it a restart changes nothing, and all replicas agree.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use entry_model::HostOwners;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::api_error::with_causes;
use crate::lease::Lease;
use crate::writes::{JudgedSnapshot, LIMIT, RETRY};

/// The name of the record.
pub const HOST_RECORD_NAME: &str = "sparrow-entry-hosts";

/// How long it may be, in bytes. An object has at most 1 MiB.
const MAX_RECORD_BYTES: usize = 900 << 10;
/// The least time between two writes.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// What the record says. What cannot be read of it is passed over.
fn read_owners(record: Option<&ConfigMap>) -> (Arc<HostOwners>, usize) {
    let Some(texts) = record.and_then(|record| record.data.as_ref()) else { return <_>::default() };
    let (owners, garbled) = HostOwners::from_texts(texts);
    (Arc::new(owners), garbled)
}

/// Logs that something of the record is not used.
fn log_unreadable_lines(namespace: &str, garbled: usize) {
    if garbled > 0 {
        tracing::warn!(
            "the record of hosts, ConfigMap {namespace}/{HOST_RECORD_NAME}: {garbled} lines cannot be read and are passed over; of what \
             they named, the oldest object's namespace has it"
        );
    }
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

fn log_forbidden(namespace: &str) {
    tracing::error!(
        "the record of hosts, ConfigMap {namespace}/{HOST_RECORD_NAME}, may not be read: a role in that namespace needs the rule apiGroups \
         [\"\"], resources [\"configmaps\"], verbs [\"get\", \"list\", \"watch\", \"update\"], resourceNames [{HOST_RECORD_NAME:?}]; without \
         it, a restart gives hosts to the oldest objects' namespaces"
    );
}

/// Reads it once. Without the right to, nothing is owned.
///
/// # Errors
/// The API server does not answer.
pub(crate) async fn read(client: &Client, namespace: &str) -> Result<Arc<HostOwners>, kube::Error> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    match api.get_opt(HOST_RECORD_NAME).await {
        Ok(record) => {
            let (owners, garbled) = read_owners(record.as_ref());
            log_unreadable_lines(namespace, garbled);
            Ok(owners)
        }
        Err(error) if is_forbidden(&error) => {
            log_forbidden(namespace);
            Ok(Arc::default())
        }
        Err(error) => Err(error),
    }
}

/// Follows it for ever.
pub(crate) async fn follow(client: &Client, namespace: &str, known: impl Fn(Arc<HostOwners>)) {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={HOST_RECORD_NAME}"));
    let mut events = std::pin::pin!(watcher::watcher(api, config));
    let (mut listed, mut garbled, mut forbidden) = (None, 0, false);
    while let Some(event) = events.next().await {
        let record = match event {
            Ok(Event::Init) => {
                listed = None;
                continue;
            }
            Ok(Event::InitApply(record)) => {
                listed = Some(record);
                continue;
            }
            Ok(Event::InitDone) => listed.take(),
            Ok(Event::Apply(record)) => Some(record),
            Ok(Event::Delete(_)) => None,
            Err(error) => {
                let rejected = match &error {
                    watcher::Error::InitialListFailed(error)
                    | watcher::Error::WatchStartFailed(error)
                    | watcher::Error::WatchFailed(error) => is_forbidden(error),
                    watcher::Error::WatchError(status) => status.code == 403,
                    watcher::Error::NoResourceVersion => false,
                };
                if rejected && !forbidden {
                    log_forbidden(namespace);
                    // Rather that than not to serve: what this process has seen is in force.
                    known(Arc::default());
                }
                forbidden |= rejected;
                tokio::time::sleep(RETRY.mul_f64(rand::random_range(0.1..0.5))).await;
                continue;
            }
        };
        forbidden = false;
        let (owners, lines) = read_owners(record.as_ref());
        if garbled != lines {
            garbled = lines;
            log_unreadable_lines(namespace, garbled);
        }
        known(owners);
    }
}

/// Writes it, while the lease is held, until the sender of `judged` is dropped.
pub(crate) async fn write(
    client: &Client,
    namespace: &str,
    lease: &Lease,
    mut judged: watch::Receiver<Option<JudgedSnapshot>>,
) {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let mut state = lease.state();
    let mut last_error = None;
    // What was written last, and when, until it comes back.
    let mut written: Option<(Arc<HostOwners>, Instant)> = None;
    loop {
        let now = judged.borrow_and_update().clone();
        let held = state.borrow_and_update().held;
        let due = now.filter(|now| held && now.host_owners != now.snapshot.host_owners).map(|now| now.host_owners);
        let waits = |owners: &Arc<HostOwners>| match &written {
            Some((last, at)) if last == owners => at.elapsed() < RETRY,
            _ => false,
        };
        let Some(owners) = due.filter(|owners| !waits(owners)) else {
            tokio::select! {
                changed = judged.changed() => if changed.is_err() { return },
                changed = state.changed() => if changed.is_err() { return },
                () = sleep_until(Instant::now() + RETRY) => {}
            }
            continue;
        };
        let outcome = match timeout(LIMIT, put(&api, owners.to_texts(MAX_RECORD_BYTES))).await {
            Ok(outcome) => outcome.map_err(|error| with_causes(&error)),
            Err(_) => Err(format!("no answer within {LIMIT:?}")),
        };
        let begun = Instant::now();
        written = outcome.is_ok().then_some((owners, begun));
        let failed = outcome.err();
        if let Some(message) = failed.as_ref().filter(|message| last_error.as_ref() != Some(*message)) {
            tracing::warn!(
                "the record of hosts, ConfigMap {namespace}/{HOST_RECORD_NAME}, cannot be written: {message}; it is tried again, and until \
                 then only running replicas know who holds what"
            );
        }
        last_error = failed;
        sleep_until(begun + if last_error.is_some() { RETRY } else { WRITE_INTERVAL }).await;
    }
}

/// Puts texts into the record. Another's change in between is not overwritten.
async fn put(api: &Api<ConfigMap>, texts: BTreeMap<String, String>) -> Result<(), kube::Error> {
    let data = Some(texts).filter(|texts| !texts.is_empty());
    match api.get_opt(HOST_RECORD_NAME).await? {
        Some(record) if record.data.clone().unwrap_or_default() == data.clone().unwrap_or_default() => Ok(()),
        Some(mut record) => {
            record.data = data;
            record.binary_data = None;
            api.replace(&record.name_any(), &PostParams::default(), &record).await.map(drop)
        }
        None if data.is_none() => Ok(()),
        None => {
            let metadata = ObjectMeta { name: Some(HOST_RECORD_NAME.to_owned()), ..ObjectMeta::default() };
            let record = ConfigMap { metadata, data, ..ConfigMap::default() };
            api.create(&PostParams::default(), &record).await.map(drop)
        }
    }
}
