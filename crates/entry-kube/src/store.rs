//! What is known of a cluster, shared by those that follow a kind each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use entry_model::{BackendMode, HostOwners, Key, Kind, ObjectRef, Snapshot};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::list::ReadObject;

/// The least time between two snapshots: changes that come in a burst are published together.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(20);
/// For how long the API server may be silent until that is an error.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);

/// The store.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<StoreState>,
    changed: Notify,
    /// Whether `EndpointSlices` are asked for, as the state has it.
    wants_endpoints: watch::Sender<bool>,
    errors: watch::Sender<BTreeMap<Kind, String>>,
}

/// What is read beside whole kinds, as far as it was not read yet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Unread {
    /// The record of hosts.
    pub(crate) record: bool,
    /// The Secrets that annotations name.
    pub(crate) named_secrets: bool,
}

#[derive(Debug, Default)]
pub(crate) struct StoreState {
    pub(crate) snapshot: Snapshot,
    /// Kinds that were not listed yet.
    pub(crate) missing: BTreeSet<Kind>,
    /// What else was not read yet.
    pub(crate) unread: Unread,
    /// The Secrets that are fetched one by one, and not watched.
    pub(crate) fetched_secrets: BTreeSet<Key>,
    /// Whether `EndpointSlices` are asked for.
    pub(crate) wants_endpoints: bool,
    /// The `ConfigMaps` of which it is known whether they are there.
    pub(crate) known_config_maps: BTreeSet<Key>,
    /// Whether the snapshot was not published yet.
    dirty: bool,
    /// Counts the changes.
    pub(crate) changes: u64,
}

impl StoreState {
    pub(crate) fn remove(&mut self, object: &ObjectRef) -> bool {
        let unreadable = self.snapshot.unreadable.remove(object).is_some();
        self.snapshot.remove(object) || unreadable
    }

    /// Whether anything changed by it.
    pub(crate) fn put(&mut self, read: ReadObject) -> bool {
        let (reference, object) = read;
        match object {
            Ok(object) => {
                if !self.wants_endpoints && BackendMode::of_object(&object) == Some(BackendMode::Endpoints) {
                    // Until all of them are known, what is in force stays so: else requests would be answered 503 meanwhile.
                    self.wants_endpoints = true;
                    self.missing.insert(Kind::EndpointSlice);
                }
                let unreadable = self.snapshot.unreadable.remove(&reference).is_some();
                self.snapshot.put(object) || unreadable
            }
            Err(message) if self.snapshot.unreadable.get(&reference) == Some(&message) => false,
            Err(message) => {
                self.remove(&reference);
                self.snapshot.unreadable.insert(reference, message);
                true
            }
        }
    }

    /// The objects of a kind that are known.
    pub(crate) fn keys(&self, kind: Kind) -> BTreeSet<Arc<Key>> {
        let unreadable = self.snapshot.unreadable.keys().filter(|object| object.kind == kind).map(|object| &object.key);
        self.snapshot.keys(kind).chain(unreadable).cloned().collect()
    }
}

impl Store {
    /// A store that waits for these kinds, for `EndpointSlices` also when an object asks for them, and for the record of hosts if
    /// there is one; and its errors by kind.
    pub(crate) fn new(kinds: BTreeSet<Kind>, has_record: bool) -> (Store, watch::Receiver<BTreeMap<Kind, String>>) {
        let (errors, receiver) = watch::channel(BTreeMap::new());
        let wants_endpoints = kinds.contains(&Kind::EndpointSlice);
        let state = StoreState {
            unread: Unread { record: has_record, named_secrets: kinds.contains(&Kind::Secret) },
            missing: kinds,
            wants_endpoints,
            ..StoreState::default()
        };
        let (state, wants_endpoints) = (Mutex::new(state), watch::Sender::new(wants_endpoints));
        (Store { state, changed: Notify::new(), wants_endpoints, errors }, receiver)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is state; `change` tells whether it did.
    pub(crate) fn change(&self, change: impl FnOnce(&mut StoreState) -> bool) {
        let mut state = self.state();
        if change(&mut state) {
            state.dirty = true;
            state.changes += 1;
            let wants_endpoints = state.wants_endpoints;
            drop(state);
            if wants_endpoints {
                self.wants_endpoints.send_if_modified(|wanted| !std::mem::replace(wanted, true));
            }
            self.changed.notify_one();
        }
    }

    /// Takes this as what namespaces hold, as it is written down.
    pub(crate) fn set_host_owners(&self, host_owners: Arc<HostOwners>) {
        self.change(|state| {
            let first = std::mem::take(&mut state.unread.record);
            let changed = state.snapshot.host_owners != host_owners;
            state.snapshot.host_owners = host_owners;
            first || changed
        });
    }

    /// Waits until `EndpointSlices` are asked for.
    pub(crate) async fn endpoints_wanted(&self) {
        // The sender is the store's own, and so is there.
        let _ = self.wants_endpoints.subscribe().wait_for(|wanted| *wanted).await;
    }

    /// Takes these as all objects of a kind.
    pub(crate) fn replace(&self, kind: Kind, objects: Vec<ReadObject>) {
        self.change(|state| {
            let mut gone = state.keys(kind);
            gone.retain(|key| kind != Kind::Secret || !state.fetched_secrets.contains(&**key));
            let mut changed = state.missing.remove(&kind);
            for read in objects {
                gone.remove(&read.0.key);
                changed |= state.put(read);
            }
            for key in gone {
                changed |= state.remove(&ObjectRef { kind, key });
            }
            changed
        });
    }

    /// Takes this as what there is of an object that is followed by itself.
    pub(crate) fn replace_one(&self, reference: &ObjectRef, object: Option<ReadObject>) {
        self.change(|state| {
            let is_first = state.known_config_maps.insert((*reference.key).clone());
            match object {
                Some(read) => state.put(read) || is_first,
                None => state.remove(reference) || is_first,
            }
        });
    }

    /// Notes whether the API server is silent: an error for all kinds that have no other.
    pub(crate) fn set_silent(&self, kinds: &BTreeSet<Kind>, silent: bool) {
        let message = format!("the API server did not answer within {SILENCE:?}");
        for kind in kinds {
            let before = self.errors.borrow().get(kind).cloned();
            match before {
                None if silent => self.set_error(*kind, Some(message.clone())),
                Some(before) if !silent && before == message => self.set_error(*kind, None),
                _ => {}
            }
        }
    }

    pub(crate) fn set_error(&self, kind: Kind, message: Option<String>) {
        self.errors.send_if_modified(|errors| {
            let before = errors.get(&kind).cloned();
            if before == message {
                return false;
            }
            match message {
                Some(message) => {
                    tracing::error!("cannot follow {kind} objects: {message}; what was read last stays in force");
                    errors.insert(kind, message);
                }
                None => {
                    tracing::info!("{kind} objects are followed again");
                    errors.remove(&kind);
                }
            }
            true
        });
    }

    /// Sends snapshots: the first change at once, those that follow it closely together.
    pub(crate) async fn publish(&self, sender: &watch::Sender<Option<Arc<Snapshot>>>) {
        loop {
            self.changed.notified().await;
            let due = Instant::now() + PUBLISH_INTERVAL;
            let snapshot = {
                let mut state = self.state();
                let is_whole = state.missing.is_empty() && !state.unread.record && !state.unread.named_secrets;
                let ready = is_whole && std::mem::take(&mut state.dirty);
                ready.then(|| Arc::new(state.snapshot.clone()))
            };
            if let Some(snapshot) = snapshot {
                sender.send_replace(Some(snapshot));
                sleep_until(due).await;
            }
        }
    }
}
