//! The lease by which one of several replicas is chosen to write.
//!
//! Clocks of other machines are not trusted: a lease has run out when it was seen not to be renewed for as long as it
//! lasts, by the own clock.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::api_error::with_causes;

/// The name of the lease.
pub const LEASE_NAME: &str = "sparrow-entry";

/// The annotation with the addresses that its holders have written into statuses.
const ADDRESSES: &str = "sparrow/addresses";

/// How the lease is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseTerms {
    /// The namespace of the lease: that of the deployment.
    pub namespace: String,
    /// Who asks: another one for each process, e.g. the pod's name and something random.
    pub identity: String,
    /// How long it lasts without being renewed; whole seconds. A holder that cannot renew it stops to write after two
    /// thirds of that.
    pub duration: Duration,
    /// How often it is renewed or asked for.
    pub renew: Duration,
}

impl LeaseTerms {
    /// The usual times: 15 seconds, renewed every 2. The identity becomes unique for this process.
    pub fn new(namespace: &str, name: &str) -> Self {
        let identity = format!("{name}_{:016x}", rand::random::<u64>());
        Self {
            namespace: namespace.to_owned(),
            identity,
            duration: Duration::from_secs(15),
            renew: Duration::from_secs(2),
        }
    }
}

/// Takes part in the choice. Dropping it gives the lease back if there is time; [`Lease::release`] waits for that.
#[derive(Debug)]
pub struct Lease {
    state: watch::Receiver<LeaseState>,
    orders: mpsc::Sender<LeaseCommand>,
    identity: String,
}

/// Whether the lease is held, and what its holders wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeaseState {
    pub(crate) held: bool,
    pub(crate) addresses: BTreeSet<String>,
}

enum LeaseCommand {
    Record(BTreeSet<String>, oneshot::Sender<bool>),
    Release(oneshot::Sender<()>),
}

impl Lease {
    /// Starts to ask for the lease.
    pub fn start(client: Client, terms: LeaseTerms) -> Self {
        let (sender, state) = watch::channel(LeaseState::default());
        let (orders, receiver) = mpsc::channel(1);
        let identity = terms.identity.clone();
        let api = Api::namespaced(client, &terms.namespace);
        tokio::spawn(Elector { api, terms, sender, renewed: None, rival: None, last_error: None }.run(receiver));
        Self { state, orders, identity }
    }

    /// Whether it is held now.
    pub fn held(&self) -> bool {
        self.state.borrow().held
    }

    /// Waits until it is held or is not.
    pub async fn until(&self, held: bool) {
        // It fails when the choice has ended: nothing is held then.
        if self.state.clone().wait_for(|state| state.held == held).await.is_err() && held {
            std::future::pending::<()>().await;
        }
    }

    /// Gives it back, so that another has it at once. Ends after a second at most.
    pub async fn release(self) {
        let (sender, done) = oneshot::channel();
        if self.orders.send(LeaseCommand::Release(sender)).await.is_ok() {
            let _ = timeout(Duration::from_secs(1), done).await;
        }
    }

    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    pub(crate) fn state(&self) -> watch::Receiver<LeaseState> {
        self.state.clone()
    }

    /// Writes down which addresses are ours; whether that succeeded.
    pub(crate) async fn record(&self, addresses: BTreeSet<String>) -> bool {
        let (sender, done) = oneshot::channel();
        self.orders.send(LeaseCommand::Record(addresses, sender)).await.is_ok() && done.await.unwrap_or(false)
    }
}

struct Elector {
    api: Api<coordination::Lease>,
    terms: LeaseTerms,
    sender: watch::Sender<LeaseState>,
    /// When it was renewed last, while it is held.
    renewed: Option<Instant>,
    /// The version of another's lease, and when it was seen first.
    rival: Option<(Option<String>, Instant)>,
    /// What was logged last, as long as it does not work.
    last_error: Option<String>,
}

impl Elector {
    async fn run(mut self, mut orders: mpsc::Receiver<LeaseCommand>) {
        let mut ticks = interval(self.terms.renew);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => drop(self.attempt(None).await),
                order = orders.recv() => match order {
                    Some(LeaseCommand::Record(addresses, done)) => {
                        let _ = done.send(self.renewed.is_some() && self.attempt(Some(addresses)).await);
                    }
                    Some(LeaseCommand::Release(done)) => {
                        self.release().await;
                        let _ = done.send(());
                        return;
                    }
                    None => return self.release().await,
                },
            }
        }
    }

    /// Renews it, or takes it if it is free. With addresses to write down, if there are some. Whether it is held after.
    async fn attempt(&mut self, addresses: Option<BTreeSet<String>>) -> bool {
        let begun = Instant::now();
        // A request that hangs must not outlast the right to write.
        let limit = self.terms.duration / 3;
        let outcome = match timeout(limit, self.negotiate(addresses)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {limit:?}")),
        };
        if outcome.is_ok() {
            self.last_error = None;
        }
        match outcome {
            Ok(Some(addresses)) => {
                if self.renewed.replace(begun).is_none() {
                    tracing::info!("{} holds the lease and writes status and events", self.terms.identity);
                }
                self.publish(LeaseState { held: true, addresses });
                true
            }
            Ok(None) => {
                self.note_lost("another replica has it");
                false
            }
            Err(message) => {
                if self.last_error.as_ref() != Some(&message) {
                    tracing::warn!("the lease {}/{LEASE_NAME}: {message}", self.terms.namespace);
                    self.last_error = Some(message);
                }
                if self.renewed.is_some_and(|renewed| renewed.elapsed() >= self.terms.duration / 3) {
                    self.note_lost("it could not be renewed in time");
                }
                false
            }
        }
    }

    fn note_lost(&mut self, why: &str) {
        if self.renewed.take().is_some() {
            tracing::warn!("{} has lost the lease: {why}", self.terms.identity);
        }
        self.publish(LeaseState::default());
    }

    fn publish(&self, state: LeaseState) {
        self.sender.send_if_modified(|current| {
            let changed = *current != state;
            *current = state;
            changed
        });
    }

    /// What is written down if it is held after, else `None`.
    async fn negotiate(&mut self, addresses: Option<BTreeSet<String>>) -> Result<Option<BTreeSet<String>>, String> {
        let now = MicroTime(Timestamp::now());
        let found = self.api.get_opt(LEASE_NAME).await.map_err(|error| with_causes(&error))?;
        let fresh = found.is_none();
        let mut lease = found.unwrap_or_else(|| coordination::Lease {
            metadata: ObjectMeta { name: Some(LEASE_NAME.to_owned()), ..ObjectMeta::default() },
            spec: None,
        });
        let spec = lease.spec.get_or_insert_default();
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
        let mine = holder.as_deref() == Some(&self.terms.identity);
        if !mine && holder.is_some() {
            let lasts = Duration::from_secs(u64::try_from(spec.lease_duration_seconds.unwrap_or(15)).unwrap_or(15));
            let version = lease.metadata.resource_version.clone();
            match &self.rival {
                Some((seen, since)) if *seen == version => {
                    if since.elapsed() < lasts {
                        return Ok(None);
                    }
                }
                _ => {
                    self.rival = Some((version, Instant::now()));
                    return Ok(None);
                }
            }
        }
        self.rival = None;
        if !mine {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        spec.holder_identity = Some(self.terms.identity.clone());
        spec.lease_duration_seconds = Some(i32::try_from(self.terms.duration.as_secs()).unwrap_or(i32::MAX).max(1));
        spec.renew_time = Some(now);
        if let Some(addresses) = addresses {
            let text = addresses.into_iter().collect::<Vec<_>>().join(",");
            lease.annotations_mut().insert(ADDRESSES.to_owned(), text);
        }
        let written = if fresh {
            self.api.create(&PostParams::default(), &lease).await
        } else {
            self.api.replace(LEASE_NAME, &PostParams::default(), &lease).await
        };
        match written {
            Ok(lease) => Ok(Some(recorded_addresses(&lease))),
            // Another was faster.
            Err(kube::Error::Api(status)) if status.code == 409 && !mine => Ok(None),
            Err(error) => Err(with_causes(&error)),
        }
    }

    async fn release(&mut self) {
        if self.renewed.take().is_none() {
            return;
        }
        self.publish(LeaseState::default());
        let give_back = async {
            let mut lease = self.api.get(LEASE_NAME).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.terms.identity) {
                spec.holder_identity = None;
                self.api.replace(LEASE_NAME, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        if let Err(error) = give_back.await {
            tracing::warn!("the lease is not given back and runs out: {}", with_causes(&error));
        }
    }
}

fn recorded_addresses(lease: &coordination::Lease) -> BTreeSet<String> {
    let text = lease.annotations().get(ADDRESSES).map(String::as_str).unwrap_or_default();
    text.split(',').filter(|address| !address.is_empty()).map(str::to_owned).collect()
}
