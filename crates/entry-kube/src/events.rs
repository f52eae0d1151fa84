//! Events on objects whose verdict has changed.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use entry_model::{Acceptance, ObjectRef, Snapshot, Verdict};
use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::api_error::with_causes;
use crate::kinds::KindInfo;
use crate::lease::Lease;
use crate::writes::{JudgedSnapshot, LIMIT, PARALLEL, RETRY, WriteCounters, WriteFailures};

/// The name under which events are reported.
const CONTROLLER: &str = "sparrow/entry";
/// At most so many events are written in each [`BATCH_INTERVAL`]. What changes again meanwhile is told once.
const BATCH: usize = 20;
const BATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Longest note, in bytes. Source: validation of `events.k8s.io/v1`.
const MAX_NOTE_BYTES: usize = 1024;
/// Longest name of the instance that reports, in bytes, by the same.
const MAX_INSTANCE_BYTES: usize = 128;
/// Longest name of an object whose event is named after it, so that the whole fits into 253 bytes.
const MAX_NAME_BYTES: usize = 200;

/// What was reported last of an object; `None` as long as telling fails, with when to try again.
struct LastReport {
    verdict: Option<Verdict>,
    again: Instant,
}

/// Writes events until the sender of `judged` is dropped.
pub(crate) async fn run(
    client: &Client,
    lease: &Lease,
    counters: &WriteCounters,
    mut judged: watch::Receiver<Option<JudgedSnapshot>>,
) {
    let mut state = lease.state();
    let mut reported: BTreeMap<ObjectRef, LastReport> = BTreeMap::new();
    // Whether what was there before was looked at since the lease is held.
    let mut begun = false;
    loop {
        let now = judged.borrow_and_update().clone();
        let held = state.borrow_and_update().held;
        let mut due = Vec::new();
        let started = Instant::now();
        if !held {
            reported.clear();
            begun = false;
        } else if let Some(now) = &now {
            reported.retain(|object, _| now.verdicts.contains_key(object));
            for (object, verdict) in now.verdicts.iter() {
                match reported.get(object) {
                    Some(known) if known.verdict.as_ref().is_some_and(|known| has_same_findings(known, verdict)) => {}
                    Some(known) if known.again > started => {}
                    // What is served since before this process is no news.
                    None if !begun && verdict.acceptance() == Acceptance::Accepted => {
                        reported.insert(object.clone(), LastReport { verdict: Some(verdict.clone()), again: started });
                    }
                    _ if due.len() < BATCH => due.extend(
                        build_event(&now.snapshot, object, verdict, lease.identity())
                            .map(|event| (object.clone(), verdict.clone(), event)),
                    ),
                    // In the next round.
                    _ => {}
                }
            }
            begun = true;
        }
        if due.is_empty() {
            let again =
                reported.values().filter(|reported| reported.verdict.is_none()).map(|reported| reported.again).min();
            tokio::select! {
                changed = judged.changed() => if changed.is_err() { return },
                changed = state.changed() => if changed.is_err() { return },
                () = sleep_until(again.unwrap_or(started + RETRY).max(started + BATCH_INTERVAL)) => {}
            }
            continue;
        }
        let write = async |(object, verdict, event): (ObjectRef, Verdict, Event)| {
            let namespace = event.metadata.namespace.clone().unwrap_or_default();
            let api = Api::<Event>::namespaced(client.clone(), &namespace);
            let outcome = match timeout(LIMIT, api.create(&PostParams::default(), &event)).await {
                Ok(outcome) => outcome.map(drop).map_err(|error| with_causes(&error)),
                Err(_) => Err(format!("no answer within {LIMIT:?}")),
            };
            (object, verdict, outcome)
        };
        let mut outcomes = stream::iter(due).map(write).buffer_unordered(PARALLEL);
        let mut failures = WriteFailures::default();
        while let Some((object, verdict, outcome)) = outcomes.next().await {
            let verdict = match outcome {
                Ok(()) => {
                    counters.events.fetch_add(1, Ordering::Relaxed);
                    Some(verdict)
                }
                Err(message) => {
                    counters.failed.fetch_add(1, Ordering::Relaxed);
                    failures.note(format!("an event on {object}: {message}"));
                    None
                }
            };
            reported.insert(object, LastReport { verdict, again: Instant::now() + RETRY });
        }
        failures.log().await;
        sleep_until(started + BATCH_INTERVAL).await;
    }
}

/// A new generation alone is no news.
fn has_same_findings(a: &Verdict, b: &Verdict) -> bool {
    a.parents == b.parents
}

/// The event on an object; `None` for one that is no object of the cluster, or not any more.
fn build_event(snapshot: &Snapshot, object: &ObjectRef, verdict: &Verdict, instance: &str) -> Option<Event> {
    let info = KindInfo::of(object.kind).filter(|info| info.has_events)?;
    let found = snapshot.get(object)?;
    let meta = found.meta();
    let now = Timestamp::now();
    let (type_, reason) = match verdict.acceptance() {
        Acceptance::Accepted => ("Normal", "Accepted"),
        Acceptance::Partial => ("Warning", "Partial"),
        Acceptance::Rejected => ("Warning", "Rejected"),
    };
    let findings: Vec<String> = verdict
        .findings()
        .iter()
        .map(|finding| format!("{}: {} ({})", finding.field, finding.message, finding.reason))
        .collect();
    let note = if findings.is_empty() { "All of it is served.".to_owned() } else { findings.join("; ") };
    let namespace = if object.key.namespace.is_empty() { "default" } else { &object.key.namespace };
    let name = shorten(&object.key.name, MAX_NAME_BYTES).trim_end_matches(['.', '-']);
    Some(Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", rand::random::<u64>())),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some(type_.to_owned()),
        reason: Some(reason.to_owned()),
        action: Some("Route".to_owned()),
        note: Some(shorten(&note, MAX_NOTE_BYTES).to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some(info.api_version()),
            kind: Some(info.name()),
            name: Some(object.key.name.clone()),
            namespace: info.namespaced.then(|| object.key.namespace.clone()),
            uid: Some(meta.uid.clone()).filter(|uid| !uid.is_empty()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(shorten(instance, MAX_INSTANCE_BYTES).to_owned()),
        ..Event::default()
    })
}

fn shorten(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
