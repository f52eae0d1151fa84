//! Writes into the cluster what became of its objects: addresses into the status of Ingresses, and Events.
//!
//! Only the holder of the lease writes. What others have written into a status stays: which entries are ours is written
//! down in the lease, so that the next holder knows it too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use entry_model::{Acceptance, Key, Kind, LoadBalancerAddress, ObjectRef, Snapshot};
use futures_util::{StreamExt, stream};
use k8s_openapi::api::networking::v1 as networking;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::api_error::with_causes;
use crate::convert::load_balancer_address;
use crate::events;
use crate::host_record;
use crate::lease::{Lease, LeaseState};
pub use crate::writes::{JudgedSnapshot, WriteCounters};
use crate::writes::{LIMIT, PARALLEL, PAUSE, RETRY, WriteFailures};

/// How many writes are planned at once; then it is looked whether something newer is known.
const BATCH: usize = 64;
/// The writer of status and Events.
pub struct ClusterWriter {
    client: Client,
    lease: Lease,
    publish_service: Option<Key>,
    /// The namespace of the record of hosts, if it is written.
    record: Option<String>,
    counters: Arc<WriteCounters>,
}

/// The addresses at which the cluster is entered: those of the Service that is published, else those of the nodes, as
/// [`entry_model::node_addresses`] has them; the source reads no other nodes than the entry's.
pub fn addresses(snapshot: &Snapshot, publish_service: Option<&Key>) -> Vec<LoadBalancerAddress> {
    let nodes = || entry_model::node_addresses(snapshot.nodes.values().map(Arc::as_ref)).into_iter();
    match publish_service {
        Some(service) => entry_model::load_balancer_addresses(snapshot, service),
        None => nodes().map(LoadBalancerAddress::Ip).collect(),
    }
}

impl ClusterWriter {
    /// A writer that writes while it holds this lease; with a Service, its load balancer's addresses instead of the nodes'.
    pub fn new(client: Client, lease: Lease, publish_service: Option<Key>) -> Self {
        Self { client, lease, publish_service, record: None, counters: Arc::default() }
    }

    /// Writes the record of hosts too, into this namespace.
    #[must_use]
    pub fn with_host_record(self, namespace: Option<String>) -> Self {
        Self { record: namespace, ..self }
    }

    /// What it has written.
    pub fn counters(&self) -> Arc<WriteCounters> {
        Arc::clone(&self.counters)
    }

    /// Writes until the sender of `judged` is dropped, then gives the lease back.
    pub async fn run(self, judged: watch::Receiver<Option<JudgedSnapshot>>) {
        tokio::join!(
            self.statuses(judged.clone()),
            events::run(&self.client, &self.lease, &self.counters, judged.clone()),
            self.record(judged.clone()),
        );
        self.lease.release().await;
    }

    async fn record(&self, judged: watch::Receiver<Option<JudgedSnapshot>>) {
        if let Some(namespace) = &self.record {
            host_record::write(&self.client, namespace, &self.lease, judged).await;
        }
    }

    async fn statuses(&self, mut judged: watch::Receiver<Option<JudgedSnapshot>>) {
        let mut state = self.lease.state();
        let mut plan = StatusPlan::default();
        let mut missing = false;
        loop {
            let now = judged.borrow_and_update().clone();
            let lease = state.borrow_and_update().clone();
            let jobs = match &now {
                Some(now) if lease.held => {
                    let wanted = addresses(&now.snapshot, self.publish_service.as_ref());
                    self.log_missing_addresses(&wanted, &mut missing);
                    plan.next_writes(now, &lease, &wanted)
                }
                Some(now) => {
                    plan.follow(now, &lease);
                    Vec::new()
                }
                None => Vec::new(),
            };
            if jobs.is_empty() {
                if let Some(now) = now.filter(|_| lease.held) {
                    let wanted = addresses(&now.snapshot, self.publish_service.as_ref());
                    plan.settle(&wanted, &lease, &self.lease).await;
                }
                tokio::select! {
                    changed = judged.changed() => if changed.is_err() { return },
                    changed = state.changed() => if changed.is_err() { return },
                    () = sleep_until(plan.due.unwrap_or_else(|| Instant::now() + RETRY)) => {}
                }
                continue;
            }
            // First it is written down what will be ours.
            let ours: BTreeSet<String> = jobs.iter().flat_map(|job| job.add.iter().map(text)).collect();
            if !ours.is_subset(&lease.addresses) {
                let all = lease.addresses.union(&ours).cloned().collect();
                if !self.lease.record(all).await {
                    sleep(PAUSE).await;
                }
                continue;
            }
            let write = async |job: StatusWrite| {
                let outcome = match timeout(LIMIT, self.write(&job)).await {
                    Ok(outcome) => outcome.map_err(|error| with_causes(&error)),
                    Err(_) => Err(format!("no answer within {LIMIT:?}")),
                };
                (job, outcome)
            };
            let mut outcomes = stream::iter(jobs).map(write).buffer_unordered(PARALLEL);
            let mut failures = WriteFailures::default();
            while let Some((job, outcome)) = outcomes.next().await {
                match outcome {
                    Ok(true) => self.counters.written.fetch_add(1, Ordering::Relaxed),
                    Ok(false) => self.counters.unchanged.fetch_add(1, Ordering::Relaxed),
                    Err(message) => {
                        let place = format!("status of Ingress {}/{}", job.key.namespace, job.key.name);
                        failures.note(format!("{place}: {message}"));
                        self.counters.failed.fetch_add(1, Ordering::Relaxed)
                    }
                };
                plan.done(job);
            }
            failures.log().await;
        }
    }

    /// Says once that the Service has no address.
    fn log_missing_addresses(&self, wanted: &[LoadBalancerAddress], missing: &mut bool) {
        let Some(Key { namespace, name }) = self.publish_service.as_ref().filter(|_| wanted.is_empty()) else {
            *missing = false;
            return;
        };
        if !std::mem::replace(missing, true) {
            tracing::warn!(
                "Service {namespace}/{name} is not there, or its load balancer has no address: the status of Ingresses \
                 stays as it is until it has one"
            );
        }
    }

    /// Whether it had to be written.
    async fn write(&self, job: &StatusWrite) -> Result<bool, kube::Error> {
        if !self.lease.held() {
            return Ok(false);
        }
        let api = Api::<networking::Ingress>::namespaced(self.client.clone(), &job.key.namespace);
        let gone = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 404);
        let found = match api.get_status(&job.key.name).await {
            Err(error) if gone(&error) => return Ok(false),
            found => found?,
        };
        let version = found.metadata.resource_version;
        let before = found.status.and_then(|status| status.load_balancer).and_then(|status| status.ingress);
        let before = before.unwrap_or_default();
        let mut after = before.clone();
        after.retain(|entry| load_balancer_address(entry).is_none_or(|address| !job.remove.contains(&address)));
        for address in &job.add {
            if !after.iter().any(|entry| load_balancer_address(entry).as_ref() == Some(address)) {
                after.push(status_entry(address));
            }
        }
        if after == before {
            return Ok(false);
        }
        let patch = json!({
            // Another's change in between is not overwritten.
            "metadata": { "resourceVersion": version },
            "status": { "loadBalancer": { "ingress": after } },
        });
        match api.patch_status(&job.key.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Err(error) if gone(&error) => Ok(false),
            written => written.map(|_| true),
        }
    }
}

fn text(address: &LoadBalancerAddress) -> String {
    match address {
        LoadBalancerAddress::Ip(ip) => ip.to_string(),
        LoadBalancerAddress::Hostname(name) => name.clone(),
    }
}

fn status_entry(address: &LoadBalancerAddress) -> networking::IngressLoadBalancerIngress {
    let (ip, hostname) = match address {
        LoadBalancerAddress::Ip(ip) => (Some(ip.to_string()), None),
        LoadBalancerAddress::Hostname(name) => (None, Some(name.clone())),
    };
    networking::IngressLoadBalancerIngress { ip, hostname, ports: None }
}

/// A status that has to change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StatusWrite {
    key: Arc<Key>,
    add: Vec<LoadBalancerAddress>,
    remove: Vec<LoadBalancerAddress>,
    /// What was known of the status.
    seen: Vec<LoadBalancerAddress>,
}

/// Knows what was done lately.
#[derive(Default)]
struct StatusPlan {
    /// Jobs whose effect is not seen yet, with when to try again.
    done: BTreeMap<Arc<Key>, (StatusWrite, Instant)>,
    /// Ingresses that were ours at some time.
    mine: BTreeSet<Arc<Key>>,
    due: Option<Instant>,
}

impl StatusPlan {
    fn done(&mut self, job: StatusWrite) {
        self.done.insert(job.key.clone(), (job, Instant::now() + RETRY));
    }

    /// Notes which Ingresses are ours while another replica writes: what leaves us between its end and our turn still has our
    /// addresses then.
    fn follow(&mut self, judged: &JudgedSnapshot, lease: &LeaseState) {
        let ingresses = &judged.snapshot.ingresses;
        self.mine.retain(|key| ingresses.contains_key(key));
        for (key, ingress) in ingresses {
            let verdict = judged.verdicts.get(&ObjectRef { kind: Kind::Ingress, key: Arc::clone(key) });
            let is_served = verdict.is_some_and(|verdict| verdict.acceptance() != Acceptance::Rejected);
            let has_ours = || ingress.addresses.iter().any(|address| lease.addresses.contains(&text(address)));
            if is_served || (verdict.is_some() && has_ours()) {
                self.mine.insert(key.clone());
            }
        }
    }

    /// The next statuses to write.
    fn next_writes(
        &mut self,
        judged: &JudgedSnapshot,
        lease: &LeaseState,
        wanted: &[LoadBalancerAddress],
    ) -> Vec<StatusWrite> {
        let (snapshot, verdicts) = (&judged.snapshot, &judged.verdicts);
        let now = Instant::now();
        self.due = None;
        self.done.retain(|key, _| snapshot.ingresses.contains_key(key));
        self.mine.retain(|key| snapshot.ingresses.contains_key(key));
        let mut jobs = Vec::new();
        for (key, ingress) in &snapshot.ingresses {
            let verdict = verdicts.get(&ObjectRef { kind: Kind::Ingress, key: Arc::clone(key) });
            let is_ours = |address: &&LoadBalancerAddress| lease.addresses.contains(&text(address));
            let ours: Vec<_> = ingress.addresses.iter().filter(is_ours).cloned().collect();
            let job = match verdict {
                // Without addresses there is nothing to say, and nothing is taken back.
                Some(_) if wanted.is_empty() => continue,
                // What is rejected from the start gets no address; what had one keeps the right one.
                Some(verdict) if verdict.acceptance() == Acceptance::Rejected && ours.is_empty() => continue,
                Some(_) => {
                    self.mine.insert(key.clone());
                    let add = wanted.iter().filter(|address| !ingress.addresses.contains(address)).cloned().collect();
                    let remove = ours.into_iter().filter(|address| !wanted.contains(address)).collect();
                    StatusWrite { key: key.clone(), add, remove, seen: ingress.addresses.clone() }
                }
                // It went to another controller.
                None if self.mine.contains(key) && !ours.is_empty() => {
                    StatusWrite { key: key.clone(), add: Vec::new(), remove: ours, seen: ingress.addresses.clone() }
                }
                None => {
                    self.mine.remove(key);
                    continue;
                }
            };
            if job.add.is_empty() && job.remove.is_empty() {
                self.done.remove(key);
                continue;
            }
            match self.done.get(key) {
                Some((done, again)) if *done == job && *again > now => {
                    self.due = Some(self.due.map_or(*again, |due| due.min(*again)));
                }
                _ if jobs.len() < BATCH => jobs.push(job),
                _ => break,
            }
        }
        jobs
    }

    /// When all statuses are right, addresses that are not ours any more are forgotten.
    async fn settle(&mut self, wanted: &[LoadBalancerAddress], state: &LeaseState, lease: &Lease) {
        let wanted: BTreeSet<String> = wanted.iter().map(text).collect();
        if self.due.is_none() && !wanted.is_empty() && wanted != state.addresses && wanted.is_subset(&state.addresses) {
            lease.record(wanted).await;
        }
    }
}
