//! One watch: the objects of a kind, or one object, whose changes go into the store.

use std::time::Duration;

use entry_model::{Kind, ObjectRef};
use futures_util::StreamExt as _;
use kube::api::{Api, ListParams};
use kube::runtime::watcher::{self, Event};
use tokio::time::{Instant, sleep, timeout};

use crate::api_error::{explain_read_error, name_object_of_rule};
use crate::kinds::{ReadKind, Selectors};
use crate::list::{PAGE, ReadObject, reduce, reference};
use crate::store::Store;

/// How long a watch lasts until it is renewed, in seconds. It bounds for how long a dead connection goes unnoticed.
const WATCH_SECONDS: u32 = 60;
/// The first and the longest pause after something failed.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long after an error it must be quiet until it is asked whether it is over.
const ERROR_GRACE: Duration = Duration::from_secs(2);
/// How long a kind must be rejected until it is taken to have no objects. Rights that are given at the same time as the
/// program starts reach the API server's authoriser a moment later.
const FORBIDDEN_GRACE: Duration = Duration::from_secs(5);

/// Pauses that become longer, with some chance so that replicas do not knock together.
struct Backoff(Duration);

impl Backoff {
    async fn pause(&mut self) {
        let part = rand::random_range(0.5..1.0);
        sleep(self.0.mul_f64(part)).await;
        self.0 = (self.0 * 2).min(BACKOFF.1);
    }
}

/// What one watch is for: all objects of a kind, or one.
pub(crate) struct WatchScope<K> {
    pub(crate) api: Api<K>,
    pub(crate) selectors: Selectors,
    /// Whether what the API server rejects to list counts as not there after a while, if it was never listed.
    pub(crate) go_without: bool,
    /// The only object that is asked for.
    pub(crate) only: Option<ObjectRef>,
}

impl<K: ReadKind> WatchScope<K> {
    /// Takes these as all that there is.
    fn replace(&self, objects: Vec<ReadObject>, store: &Store) {
        match &self.only {
            None => store.replace(K::KIND, objects),
            Some(object) => store.replace_one(object, objects.into_iter().next()),
        }
    }

    /// The API server has rejected for a while to list it, for this reason.
    fn go_without(&self, message: &str, store: &Store) {
        match &self.only {
            // Only before it was listed: what is known stays.
            None => store.change(|state| state.missing.remove(&K::KIND)),
            Some(object) => {
                let is_known = store.state().known_config_maps.contains(&object.key);
                if !is_known {
                    let message = name_object_of_rule(message, &object.key);
                    store.replace_one(object, Some((object.clone(), Err(message))));
                }
            }
        }
    }
}

/// Follows objects for ever.
pub(crate) async fn follow<K: ReadKind>(scope: WatchScope<K>, store: &Store) {
    let kind = K::KIND;
    let (api, selectors) = (scope.api.clone(), scope.selectors.clone());
    let config = watcher::Config {
        label_selector: selectors.labels,
        field_selector: selectors.fields,
        timeout: Some(WATCH_SECONDS),
        page_size: Some(PAGE),
        ..watcher::Config::default()
    };
    let one = ListParams { limit: Some(1), ..ListParams::default() };
    let one = ListParams { label_selector: config.label_selector.clone(), ..one };
    let one = ListParams { field_selector: config.field_selector.clone(), ..one };
    let mut events = std::pin::pin!(watcher::watcher(api.clone(), config));
    let mut pauses = Backoff(BACKOFF.0);
    let mut listing = Vec::new();
    let mut rejected: Option<Instant> = None;
    let mut failing = false;
    loop {
        // A watch that works again says nothing until something changes.
        let event = if failing { timeout(ERROR_GRACE, events.next()).await } else { Ok(events.next().await) };
        let Ok(event) = event else {
            if matches!(timeout(ERROR_GRACE, api.list(&one)).await, Ok(Ok(_))) {
                failing = false;
                store.set_error(kind, None);
            }
            continue;
        };
        let Some(event) = event else { return };
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let (message, forbidden) = describe_watch_error(kind, &error);
                // The end of the API server's history is no error: all is listed anew.
                rejected = if forbidden { Some(rejected.unwrap_or_else(Instant::now)) } else { None };
                if scope.go_without && rejected.is_some_and(|since| since.elapsed() >= FORBIDDEN_GRACE) {
                    scope.go_without(&message, store);
                }
                if !matches!(&error, watcher::Error::WatchError(status) if status.code == 410) {
                    failing = true;
                    store.set_error(kind, Some(message));
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
            Event::InitApply(object) => listing.extend(reduce(object)),
            Event::InitDone => scope.replace(std::mem::take(&mut listing), store),
            Event::Apply(object) => {
                let reference = reference(&object);
                match reduce(object) {
                    Some(read) => store.change(|state| state.put(read)),
                    None => store.change(|state| state.remove(&reference)),
                }
            }
            Event::Delete(object) => store.change(|state| state.remove(&reference(&object))),
        }
        rejected = None;
        failing = false;
        pauses = Backoff(BACKOFF.0);
        store.set_error(kind, None);
    }
}

/// What an error means, and whether it is a missing right.
fn describe_watch_error(kind: Kind, error: &watcher::Error) -> (String, bool) {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            let forbidden = matches!(error, kube::Error::Api(status) if status.code == 403);
            (explain_read_error(kind, r#""list", "watch""#, error), forbidden)
        }
        watcher::Error::WatchError(status) => (status.message.clone(), status.code == 403),
        watcher::Error::NoResourceVersion => (error.to_string(), false),
    }
}
