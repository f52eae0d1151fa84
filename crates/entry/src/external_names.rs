//! Looks up the names in DNS to which Services of the type `ExternalName` lead, so that nginx connects to no address but those to which requests may be
//! sent, whatever the next answer says.
//!
//! ```text
//! snapshots ─► names ─► looked up, each again after a time ─► addresses that may be reached ─► EndpointSlices ─► snapshots
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use entry_model::{AddressRange, EndpointSlice, EndpointState, Key, Meta, SliceEndpoint, SlicePort, Snapshot};
use entry_translate::external_names::{looked_up_name, may_be_reached, slice_name};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// How soon a name is looked up again. How long an answer is good is not known here.
const AGAIN: Duration = Duration::from_secs(30);
/// The same of one that was not found.
const RETRY: Duration = Duration::from_secs(10);
/// How long addresses are kept while the name is not found.
const KEPT: Duration = Duration::from_mins(5);
/// How long the first snapshot waits for its names.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many names are looked up at a time. Each takes a thread until it is found or not.
const AT_ONCE: usize = 8;
/// Most names of the Services of a namespace.
const MOST_OF_NAMESPACE: usize = 32;
/// Most names.
const MOST: usize = 512;
/// Most addresses of a name.
const MOST_ADDRESSES: usize = 64;

/// The same snapshots, with an `EndpointSlice` for each Service that leads to a name in DNS which has addresses that may be reached. Private ones are
/// those of the ranges alone.
pub fn follow(
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    ranges: Vec<AddressRange>,
) -> watch::Receiver<Option<Arc<Snapshot>>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(run(snapshots, ranges, sender));
    receiver
}

async fn run(
    mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    ranges: Vec<AddressRange>,
    sender: watch::Sender<Option<Arc<Snapshot>>>,
) {
    let (found, mut answers) = mpsc::unbounded_channel::<(String, io::Result<Vec<IpAddr>>)>();
    let threads = Arc::new(Semaphore::new(AT_ONCE));
    let mut names = ExternalNames { ranges, ..ExternalNames::default() };
    snapshots.mark_changed();
    // Until when the first snapshot waits.
    let mut patience: Option<Instant> = None;
    loop {
        let due = names.next_due();
        let waits = patience.filter(|until| Instant::now() < *until);
        tokio::select! {
            () = sender.closed() => return,
            changed = snapshots.changed() => {
                if changed.is_err() {
                    break;
                }
                let snapshot = snapshots.borrow_and_update().clone();
                if let Some(snapshot) = snapshot {
                    names.take_snapshot(&snapshot);
                }
            }
            Some((name, answer)) = answers.recv() => names.take_answer(&name, answer, Instant::now()),
            () = sleep_until(due) => {}
            () = sleep_until(waits.unwrap_or(due)), if waits.is_some() => {}
        }
        for name in names.take_due(Instant::now()) {
            let (found, threads) = (found.clone(), Arc::clone(&threads));
            tokio::spawn(async move {
                let Ok(thread) = threads.acquire_owned().await else { return };
                let looked_up = name.clone();
                let answer = tokio::task::spawn_blocking(move || {
                    let answer = look_up(&looked_up);
                    drop(thread);
                    answer
                });
                let answer = answer.await.unwrap_or_else(|error| Err(io::Error::other(error)));
                let _ = found.send((name, answer));
            });
        }
        if names.snapshot.is_none() {
            continue;
        }
        // What was served before a start is not taken away while names are looked up for the first time.
        let until = *patience.get_or_insert_with(|| Instant::now() + PATIENCE);
        if (names.are_all_asked() || Instant::now() >= until)
            && let Some(snapshot) = names.changed_snapshot()
        {
            sender.send_replace(Some(snapshot));
        }
    }
    // The last snapshot stays in force.
    sender.closed().await;
}

/// Asks the system for the addresses of a name, as it stands: no suffix is tried.
fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let addresses: BTreeSet<IpAddr> = (format!("{name}."), 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    Ok(addresses.into_iter().take(MOST_ADDRESSES).collect())
}

/// The names, and what is known of them.
#[derive(Default)]
struct ExternalNames {
    ranges: Vec<AddressRange>,
    snapshot: Option<Arc<Snapshot>>,
    /// The Services that lead to names.
    services: BTreeMap<Arc<Key>, String>,
    names: HashMap<String, KnownName>,
    /// What was made of them last.
    slices: BTreeMap<Key, (Arc<Key>, Arc<EndpointSlice>)>,
    /// Whether something has changed since a snapshot was made.
    is_changed: bool,
}

/// What is known of a name.
struct KnownName {
    addresses: Vec<IpAddr>,
    /// When they were found.
    found: Option<Instant>,
    /// When it is looked up again; none while it is.
    due: Option<Instant>,
    /// Whether there was an answer, be it that there is no such name.
    is_asked: bool,
}

impl ExternalNames {
    fn take_snapshot(&mut self, snapshot: &Arc<Snapshot>) {
        let before = self.snapshot.replace(Arc::clone(snapshot)).unwrap_or_default();
        for key in snapshot.services.changed_keys(&before.services, Arc::ptr_eq) {
            let service = snapshot.services.get(key).map(|service| &**service);
            match service.and_then(looked_up_name) {
                Some(name) => drop(self.services.insert(Arc::clone(key), name.to_ascii_lowercase())),
                None => drop(self.services.remove(key)),
            }
        }
        let wanted = self.wanted_names();
        self.names.retain(|name, _| wanted.contains(name));
        for name in wanted {
            self.names.entry(name).or_insert_with(|| KnownName {
                addresses: Vec::new(),
                found: None,
                due: Some(Instant::now()),
                is_asked: false,
            });
        }
        self.is_changed = true;
    }

    /// The names that are looked up: so many of a namespace, and in all.
    fn wanted_names(&self) -> BTreeSet<String> {
        let mut of_namespaces: HashMap<&str, BTreeSet<&str>> = HashMap::new();
        let mut wanted = BTreeSet::new();
        for (key, name) in &self.services {
            let of_namespace = of_namespaces.entry(&key.namespace).or_default();
            let has_room = of_namespace.len() < MOST_OF_NAMESPACE || of_namespace.contains(&**name);
            if has_room && (wanted.len() < MOST || wanted.contains(name)) {
                of_namespace.insert(name);
                wanted.insert(name.clone());
            }
        }
        wanted
    }

    fn take_answer(&mut self, name: &str, answer: io::Result<Vec<IpAddr>>, now: Instant) {
        // Nothing leads to it any more.
        let Some(known) = self.names.get_mut(name) else { return };
        let before = std::mem::take(&mut known.addresses);
        match answer {
            Ok(addresses) => {
                (known.addresses, known.found, known.due) = (addresses, Some(now), Some(now + AGAIN));
            }
            Err(error) => {
                let is_kept = known.found.is_some_and(|found| now < found + KEPT);
                if is_kept {
                    known.addresses.clone_from(&before);
                }
                known.due = Some(now + RETRY);
                tracing::debug!(name, %error, "a name of a Service is not found");
            }
        }
        known.is_asked = true;
        self.is_changed |= before != known.addresses;
    }

    /// When the next name is looked up.
    fn next_due(&self) -> Instant {
        let due = self.names.values().filter_map(|known| known.due).min();
        due.unwrap_or_else(|| Instant::now() + AGAIN)
    }

    /// The names that are looked up now.
    fn take_due(&mut self, now: Instant) -> Vec<String> {
        let due = self.names.iter_mut().filter(|(_, known)| known.due.is_some_and(|due| due <= now));
        due.map(|(name, known)| {
            known.due = None;
            name.clone()
        })
        .collect()
    }

    fn are_all_asked(&self) -> bool {
        self.names.values().all(|known| known.is_asked)
    }

    /// The snapshot with what is known of its names, if that is another one than before.
    fn changed_snapshot(&mut self) -> Option<Arc<Snapshot>> {
        let snapshot = self.snapshot.clone().filter(|_| std::mem::take(&mut self.is_changed))?;
        self.make_slices(&snapshot);
        if self.slices.is_empty() {
            return Some(snapshot);
        }
        let mut with_slices = Snapshot::clone(&snapshot);
        for (key, slice) in self.slices.values() {
            with_slices.endpoint_slices.insert(Arc::clone(key), Arc::clone(slice));
        }
        Some(Arc::new(with_slices))
    }

    /// Makes the slices; one that stays the same is the same object.
    fn make_slices(&mut self, snapshot: &Snapshot) {
        let api_server = Key { namespace: "default".to_owned(), name: "kubernetes".to_owned() };
        let api_server = snapshot.services.get(&api_server).map(|service| &**service);
        let mut before = std::mem::take(&mut self.slices);
        for (key, name) in &self.services {
            let Some((known, service)) = self.names.get(name).zip(snapshot.services.get(key)) else { continue };
            let reached = known.addresses.iter().filter(|address| may_be_reached(**address, api_server, &self.ranges));
            let endpoints = reached.map(|address| SliceEndpoint { address: *address, state: EndpointState::Ready });
            let ports = service.ports.iter().map(|port| SlicePort { name: port.name.clone(), port: port.port });
            let slice_key = Key { namespace: key.namespace.clone(), name: slice_name(&key.name) };
            let (namespace, slice_name) = (slice_key.namespace.clone(), slice_key.name.clone());
            let slice = EndpointSlice {
                meta: Meta { namespace, name: slice_name, ..Meta::default() },
                service: key.name.clone(),
                endpoints: endpoints.collect(),
                ports: ports.collect(),
            };
            let same = before.remove(&slice_key).filter(|(_, old)| **old == slice);
            let kept = same.unwrap_or_else(|| (Arc::new(slice_key.clone()), Arc::new(slice)));
            self.slices.insert(slice_key, kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use entry_model::{IpFamily, Service, ServiceKind};

    use super::*;

    fn external(namespace: &str, name: &str, to: &str) -> Service {
        Service {
            meta: Meta { namespace: namespace.to_owned(), name: name.to_owned(), ..Meta::default() },
            kind: ServiceKind::ExternalName(to.to_owned()),
            cluster_ips: Vec::new(),
            family: IpFamily::V4,
            ports: Vec::new(),
            addresses: Vec::new(),
        }
    }

    fn snapshot(services: impl IntoIterator<Item = Service>) -> Arc<Snapshot> {
        let mut snapshot = Snapshot::default();
        for service in services {
            snapshot.put(service);
        }
        Arc::new(snapshot)
    }

    /// The addresses of each slice of a snapshot that is made.
    fn addresses(names: &mut ExternalNames) -> Option<Vec<Vec<String>>> {
        let snapshot = names.changed_snapshot()?;
        let of_slice = |slice: &Arc<EndpointSlice>| slice.endpoints.iter().map(|of| of.address.to_string()).collect();
        Some(snapshot.endpoint_slices.values().map(of_slice).collect())
    }

    fn found(addresses: &[&str]) -> Vec<IpAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn each_answer_is_looked_through_anew() {
        let mut names = ExternalNames::default();
        let now = Instant::now();
        names.take_snapshot(&snapshot([external("a", "web", "Web.example.com."), external("a", "other", "10.0.0.1")]));
        assert_eq!(names.take_due(Instant::now()), ["web.example.com"]);
        assert!(!names.are_all_asked() && names.take_due(Instant::now()).is_empty());
        names.take_answer("web.example.com", Ok(found(&["192.0.2.1", "127.0.0.1", "10.1.2.3"])), now);
        assert_eq!(addresses(&mut names).unwrap(), [["192.0.2.1"]]);
        // Rebinding.
        names.take_answer("web.example.com", Ok(found(&["127.0.0.1", "169.254.169.254"])), now);
        assert_eq!(addresses(&mut names).unwrap(), [Vec::<String>::new()]);
        names.take_answer("web.example.com", Ok(found(&["127.0.0.1", "169.254.169.254"])), now);
        assert_eq!(addresses(&mut names), None);
        names.take_snapshot(&snapshot([]));
        assert_eq!(addresses(&mut names).unwrap(), Vec::<Vec<String>>::new());
    }

    #[test]
    fn addresses_are_kept_for_a_time_while_a_name_is_not_found() {
        let mut names = ExternalNames::default();
        let now = Instant::now();
        names.take_snapshot(&snapshot([external("a", "web", "web.example.com")]));
        let lost = || Err(io::Error::other("lost"));
        names.take_answer("web.example.com", Ok(found(&["192.0.2.1"])), now);
        assert_eq!(addresses(&mut names).unwrap(), [["192.0.2.1"]]);
        names.take_answer("web.example.com", lost(), now + KEPT - Duration::from_secs(1));
        assert_eq!(addresses(&mut names), None);
        names.take_answer("web.example.com", lost(), now + KEPT);
        assert_eq!(addresses(&mut names).unwrap(), [Vec::<String>::new()]);
    }

    #[test]
    fn namespace_has_so_many_names_looked_up() {
        let mut names = ExternalNames::default();
        let many = (0..100).map(|n| external("a", &format!("web-{n:03}"), &format!("n{n}.example.com")));
        names.take_snapshot(&snapshot(many.chain([external("b", "web", "b.example.com")])));
        assert_eq!(names.names.len(), MOST_OF_NAMESPACE + 1);
        assert!(names.names.contains_key("b.example.com"));
    }
}
