//! Follows an API server and keeps what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use entry_model::{Holdings, Key, Kind, ObjectRef, Snapshot};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1 as networking;
use kube::Client;
use kube::api::{Api, ListParams, Resource};
use kube::runtime::watcher::{self, Event};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::convert::Convert;
use crate::record;
use crate::source::{
    Options, PAGE, Read, TlsSecrets, Watching, explain, fetch_secrets, named_secrets, namespaced, reduce, reference,
};

/// The least time between two snapshots: changes that come in a burst are told together.
const FOLD: Duration = Duration::from_millis(20);
/// How long a watch lasts until it is renewed, in seconds. It bounds for how long a dead connection goes unnoticed.
const WATCH_SECONDS: u32 = 60;
/// The first and the longest pause after something failed.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long after trouble it must be quiet until it is asked whether it is over.
const QUIET: Duration = Duration::from_secs(2);
/// How long a kind must be refused until it is taken to have no objects. Rights that are given at the same time as the
/// program starts reach the API server's authoriser a moment later.
const REFUSED: Duration = Duration::from_secs(5);
/// How often Secrets are fetched that are not watched.
const RENEW: Duration = Duration::from_secs(60);
/// How often those that were not there, or could not be had.
const RETRY: Duration = Duration::from_secs(5);
/// How often it is asked whether the API server is there, and how long it may take to answer that.
const ASK: Duration = Duration::from_secs(5);
const SILENT: Duration = Duration::from_secs(10);
/// How often it is looked whether Ingresses name new ones.
const LOOK: Duration = Duration::from_millis(100);

/// Starts to follow an API server.
pub(crate) fn start(client: Client, options: Options) -> Watching {
    let (sender, snapshots) = watch::channel(None);
    let (trouble_sender, troubles) = watch::channel(BTreeMap::new());
    let store = Arc::new(Store {
        kept: Mutex::new(Kept {
            missing: options.kinds(),
            without_record: options.record.is_some(),
            ..Kept::default()
        }),
        changed: Notify::new(),
        troubles: trouble_sender,
    });
    tokio::spawn(async move {
        let follow_all = async {
            let wants = |kind: Kind| options.kinds().contains(&kind);
            let secrets = async {
                match options.tls_secrets {
                    _ if !wants(Kind::Secret) => {}
                    TlsSecrets::Watched => {
                        follow::<core::Secret>(namespaced(&client, &options), Kind::Secret, &options, &store).await;
                    }
                    TlsSecrets::Named => fetch(&client, options.default_certificate.as_ref(), &store).await,
                }
            };
            let ingresses = async {
                if wants(Kind::Ingress) {
                    let api = namespaced::<networking::Ingress>(&client, &options);
                    let classes = Api::<networking::IngressClass>::all(client.clone());
                    tokio::join!(
                        follow(api, Kind::Ingress, &options, &store),
                        follow(classes, Kind::IngressClass, &options, &store),
                    );
                }
            };
            let namespaces = async {
                if wants(Kind::Namespace) {
                    follow(Api::<core::Namespace>::all(client.clone()), Kind::Namespace, &options, &store).await;
                }
            };
            let record = async {
                if let Some(namespace) = &options.record {
                    record::follow(&client, namespace, |held| store.hold(held)).await;
                }
            };
            tokio::join!(
                follow::<core::Service>(namespaced(&client, &options), Kind::Service, &options, &store),
                follow::<core::Node>(Api::all(client.clone()), Kind::Node, &options, &store),
                ingresses,
                secrets,
                namespaces,
                record,
                listen(&client, &options, &store),
                publish(&store, &sender),
            )
        };
        tokio::select! {
            () = sender.closed() => {}
            _ = follow_all => {}
        }
    });
    Watching { snapshots, troubles }
}

/// Asks the API server now and then whether it is there: a watch says nothing as long as nothing changes, so that a server
/// that hangs would be noticed only when the watch should have ended.
async fn listen(client: &Client, options: &Options, store: &Store) {
    loop {
        sleep(ASK).await;
        // Whoever may do anything may ask for the version; a refusal is an answer too.
        let asked = timeout(SILENT, client.apiserver_version()).await;
        let silent = matches!(asked, Err(_) | Ok(Err(kube::Error::Service(_) | kube::Error::HyperError(_))));
        store.silent(&options.kinds(), silent);
    }
}

/// What is known, shared by those that follow a kind each.
struct Store {
    kept: Mutex<Kept>,
    changed: Notify,
    troubles: watch::Sender<BTreeMap<Kind, String>>,
}

#[derive(Default)]
struct Kept {
    snapshot: Snapshot,
    /// Kinds that were not listed yet.
    missing: BTreeSet<Kind>,
    /// Whether the record of hosts was not read yet.
    without_record: bool,
    /// Whether the snapshot was not published yet.
    dirty: bool,
    /// Counts the changes.
    changes: u64,
}

impl Kept {
    fn remove(&mut self, object: &ObjectRef) -> bool {
        let unreadable = self.snapshot.unreadable.remove(object).is_some();
        self.snapshot.remove(object) || unreadable
    }

    /// Whether anything changed by it.
    fn put(&mut self, read: Read) -> bool {
        let (reference, object) = read;
        match object {
            Ok(object) => {
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
    fn keys(&self, kind: Kind) -> BTreeSet<Arc<Key>> {
        let unreadable = self.snapshot.unreadable.keys().filter(|object| object.kind == kind).map(|object| &object.key);
        self.snapshot.keys(kind).chain(unreadable).cloned().collect()
    }
}

impl Store {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is kept; `change` tells whether it did.
    fn change(&self, change: impl FnOnce(&mut Kept) -> bool) {
        let mut kept = self.kept();
        if change(&mut kept) {
            kept.dirty = true;
            kept.changes += 1;
            drop(kept);
            self.changed.notify_one();
        }
    }

    /// This is what namespaces hold, as it is written down.
    fn hold(&self, held: Arc<Holdings>) {
        self.change(|kept| {
            let first = std::mem::take(&mut kept.without_record);
            let changed = kept.snapshot.held != held;
            kept.snapshot.held = held;
            first || changed
        });
    }

    /// These are all objects of a kind.
    fn replace(&self, kind: Kind, objects: Vec<Read>) {
        self.change(|kept| {
            let mut gone = kept.keys(kind);
            let mut changed = kept.missing.remove(&kind);
            for read in objects {
                gone.remove(&read.0.key);
                changed |= kept.put(read);
            }
            for key in gone {
                changed |= kept.remove(&ObjectRef { kind, key });
            }
            changed
        });
    }

    /// It does not answer: a trouble for all kinds that have no other. Or it does again.
    fn silent(&self, kinds: &BTreeSet<Kind>, silent: bool) {
        let message = format!("the API server did not answer within {SILENT:?}");
        for kind in kinds {
            let before = self.troubles.borrow().get(kind).cloned();
            match before {
                None if silent => self.trouble(*kind, Some(message.clone())),
                Some(before) if !silent && before == message => self.trouble(*kind, None),
                _ => {}
            }
        }
    }

    fn trouble(&self, kind: Kind, message: Option<String>) {
        self.troubles.send_if_modified(|troubles| {
            let before = troubles.get(&kind).cloned();
            if before == message {
                return false;
            }
            match message {
                Some(message) => {
                    tracing::error!("cannot follow {kind} objects: {message}; what was read last stays in force");
                    troubles.insert(kind, message);
                }
                None => {
                    tracing::info!("{kind} objects are followed again");
                    troubles.remove(&kind);
                }
            }
            true
        });
    }
}

/// Sends snapshots: the first change at once, those that follow it closely together.
async fn publish(store: &Store, sender: &watch::Sender<Option<Arc<Snapshot>>>) {
    loop {
        store.changed.notified().await;
        let due = Instant::now() + FOLD;
        let snapshot = {
            let mut kept = store.kept();
            let ready = kept.missing.is_empty() && !kept.without_record && std::mem::take(&mut kept.dirty);
            ready.then(|| Arc::new(kept.snapshot.clone()))
        };
        if let Some(snapshot) = snapshot {
            sender.send_replace(Some(snapshot));
            sleep_until(due).await;
        }
    }
}

/// Pauses that become longer, with some chance so that replicas do not knock together.
struct Pauses(Duration);

impl Pauses {
    async fn pause(&mut self) {
        let part = rand::random_range(0.5..1.0);
        sleep(self.0.mul_f64(part)).await;
        self.0 = (self.0 * 2).min(PAUSE.1);
    }
}

/// Follows a kind for ever.
async fn follow<K>(api: Api<K>, kind: Kind, options: &Options, store: &Store)
where
    K: Convert + Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let (labels, fields) = options.selectors(kind);
    let config = watcher::Config {
        label_selector: labels.map(str::to_owned),
        field_selector: fields,
        timeout: Some(WATCH_SECONDS),
        page_size: Some(PAGE),
        ..watcher::Config::default()
    };
    let one = ListParams { limit: Some(1), ..ListParams::default() };
    let one = ListParams { label_selector: config.label_selector.clone(), ..one };
    let one = ListParams { field_selector: config.field_selector.clone(), ..one };
    let mut events = std::pin::pin!(watcher::watcher(api.clone(), config));
    let mut pauses = Pauses(PAUSE.0);
    let mut listing = Vec::new();
    let mut refused: Option<Instant> = None;
    let mut troubled = false;
    loop {
        // A watch that works again says nothing until something changes.
        let event = if troubled { timeout(QUIET, events.next()).await } else { Ok(events.next().await) };
        let Ok(event) = event else {
            if matches!(timeout(QUIET, api.list(&one)).await, Ok(Ok(_))) {
                troubled = false;
                store.trouble(kind, None);
            }
            continue;
        };
        let Some(event) = event else { return };
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let (message, forbidden) = describe(kind, &error);
                // The end of the API server's history is no trouble: all is listed anew.
                if !matches!(&error, watcher::Error::WatchError(status) if status.code == 410) {
                    troubled = true;
                    store.trouble(kind, Some(message));
                }
                refused = if forbidden { Some(refused.unwrap_or_else(Instant::now)) } else { None };
                if options.go_without && refused.is_some_and(|since| since.elapsed() >= REFUSED) {
                    // Only before it was listed: what is known stays.
                    store.change(|kept| kept.missing.remove(&kind));
                }
                pauses.pause().await;
                continue;
            }
        };
        match event {
            Event::Init => {
                listing = Vec::new();
                // Nothing was asked yet.
                continue;
            }
            Event::InitApply(object) => listing.extend(reduce(kind, object)),
            Event::InitDone => store.replace(kind, std::mem::take(&mut listing)),
            Event::Apply(object) => {
                let reference = reference(kind, &object);
                match reduce(kind, object) {
                    Some(read) => store.change(|kept| kept.put(read)),
                    None => store.change(|kept| kept.remove(&reference)),
                }
            }
            Event::Delete(object) => store.change(|kept| kept.remove(&reference(kind, &object))),
        }
        refused = None;
        troubled = false;
        pauses = Pauses(PAUSE.0);
        store.trouble(kind, None);
    }
}

/// What an error means, and whether it is a missing right.
fn describe(kind: Kind, error: &watcher::Error) -> (String, bool) {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            let forbidden = matches!(error, kube::Error::Api(status) if status.code == 403);
            (explain(kind, r#""list", "watch""#, error), forbidden)
        }
        watcher::Error::WatchError(status) => (status.message.clone(), status.code == 403),
        watcher::Error::NoResourceVersion => (error.to_string(), false),
    }
}

/// Fetches the Secrets that Ingresses name, for ever.
async fn fetch(client: &Client, default: Option<&Key>, store: &Store) {
    let mut wanted: BTreeSet<Key> = BTreeSet::new();
    let mut due: BTreeMap<Key, Instant> = BTreeMap::new();
    let mut seen = None;
    loop {
        let news = {
            let kept = store.kept();
            let listed = !kept.missing.contains(&Kind::Ingress);
            (listed && seen != Some(kept.changes)).then(|| (kept.changes, named_secrets(&kept.snapshot, default)))
        };
        if let Some((changes, named)) = news {
            seen = Some(changes);
            wanted = named;
            due.retain(|key, _| wanted.contains(key));
        }
        if seen.is_none() {
            sleep(FOLD).await;
            continue;
        }
        let now = Instant::now();
        let keys: BTreeSet<Key> =
            wanted.iter().filter(|key| due.get(key).is_none_or(|due| *due <= now)).cloned().collect();
        if !keys.is_empty() {
            let mut trouble = None;
            match timeout(RENEW, fetch_secrets(client, keys)).await {
                Ok(all) => {
                    for (key, found) in all {
                        let reference = ObjectRef::new(Kind::Secret, key.clone());
                        let there = matches!(found, Ok(Some(_)));
                        match found {
                            Ok(Some(object)) => store.change(|kept| kept.put((reference, Ok(object)))),
                            Ok(None) => store.change(|kept| kept.remove(&reference)),
                            Err(message) => {
                                trouble = Some(format!("{}/{}: {message}", key.namespace, key.name));
                                // One that is known stays as it is; of one that is not, its owner is told why.
                                store.change(|kept| {
                                    !kept.snapshot.secrets.contains_key(&key) && kept.put((reference, Err(message)))
                                });
                            }
                        }
                        due.insert(key, now + if there { RENEW } else { RETRY });
                    }
                }
                Err(_) => trouble = Some(format!("the API server did not answer within {RENEW:?}")),
            }
            store.trouble(Kind::Secret, trouble);
        }
        store.change(|kept| {
            let mut changed = kept.missing.remove(&Kind::Secret);
            for key in kept.keys(Kind::Secret).into_iter().filter(|key| !wanted.contains(&**key)) {
                changed |= kept.remove(&ObjectRef { kind: Kind::Secret, key });
            }
            changed
        });
        sleep(LOOK).await;
    }
}
