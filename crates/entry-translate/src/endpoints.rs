//! The endpoints of Services' ports to which routes lead.
//!
//! ```text
//! EndpointSlices ─► by Service ─► of a port: those that are ready, else those that end and still answer ─► Routes::endpoints
//! ```
//!
//! Rules name them only, so a pod that comes or goes changes no rule and no host.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use entry_model::{
    Action, BackendAddress, Destination, EndpointSlice, EndpointState, Endpoints, EndpointsId, FieldPath, IpFamily,
    Key, Kind, ObjectRef, Reason, Routes, Rule, Service, Snapshot, SortedMap,
};

use crate::attach::AttachedObject;
use crate::external_names::{looked_up_name, slice_name};
use crate::verdict_draft::{object_name, quoted};

/// Most endpoints of a port of a Service to which requests are sent: the first by their addresses. kube-proxy and the older
/// `Endpoints` have the same bound.
const MAX_ENDPOINTS: usize = 1000;

/// Slices by their names.
type Slices = BTreeMap<Arc<Key>, Arc<EndpointSlice>>;

/// Finds the endpoints that routes name, and remembers them: those of a Service are found anew only when it or a slice of it
/// has changed.
#[derive(Debug, Default)]
pub struct EndpointFinder {
    /// The slices of the last snapshot.
    slices: SortedMap<Arc<Key>, Arc<EndpointSlice>>,
    /// The same by their Services.
    by_service: HashMap<Key, Slices>,
    /// What is known of those that the last routes name.
    known: HashMap<EndpointsId, KnownEndpoints>,
    found: SortedMap<EndpointsId, Endpoints>,
}

/// What is known of endpoints beside their addresses.
#[derive(Debug)]
struct KnownEndpoints {
    /// The Service that they are of.
    service: Arc<Service>,
    /// How many there are over the bound.
    left_out: usize,
}

impl EndpointFinder {
    /// Gives routes the endpoints that they name, and tells the objects of the rules that lead to them where there are none, or
    /// too many.
    pub fn find_endpoints(&mut self, snapshot: &Snapshot, routes: &mut Routes, attached: &mut [AttachedObject<'_>]) {
        let changed = self.take_slices(snapshot);
        let streams = routes.streams.values().filter_map(|route| endpoints_at(&route.backend));
        let rules = routes.rules().flat_map(|rule| endpoints_of(&rule.action));
        let named: HashSet<&EndpointsId> = rules.chain(streams).collect();
        self.known.retain(|id, _| named.contains(id));
        if self.found.len() > self.known.len() {
            self.found.retain(|id, _| named.contains(id));
        }
        for id in &named {
            self.find_of_port(id, snapshot, changed.contains(&*id.service));
        }
        if self.known.keys().any(|id| self.is_worth_knowing(id)) {
            self.report(routes.rules(), attached);
        }
        routes.endpoints.clone_from(&self.found);
    }

    /// Finds the endpoints that the rules of some hosts name, beside those that are known, and tells the objects of the rules that lead
    /// to them where there are none, or too many. The slices are those of the snapshot already ([`EndpointFinder::follow_slices`]).
    pub fn find_more<'a>(
        &mut self,
        snapshot: &Snapshot,
        rules: impl Iterator<Item = &'a Rule> + Clone,
        attached: &mut [AttachedObject<'_>],
    ) {
        for id in rules.clone().flat_map(|rule| endpoints_of(&rule.action)) {
            self.find_of_port(id, snapshot, false);
        }
        self.report(rules, attached);
    }

    /// Forgets endpoints to which nothing leads any more.
    pub fn forget(&mut self, id: &EndpointsId) {
        self.known.remove(id);
        self.found.remove(id);
    }

    /// Finds the endpoints of a port, if they are not known as the snapshot has them.
    fn find_of_port(&mut self, id: &EndpointsId, snapshot: &Snapshot, is_changed: bool) {
        let Some(service) = snapshot.services.get(&*id.service) else {
            self.forget(id);
            return;
        };
        let is_known = self.known.get(id).is_some_and(|known| Arc::ptr_eq(&known.service, service));
        if !is_known || is_changed {
            self.find(id, service);
        }
    }

    /// Finds the endpoints of those Services anew whose slices changed, where nothing else has that leads to endpoints. Returns the Services
    /// of which objects are told something else than before; what is found is right in any case.
    pub fn follow_slices(&mut self, snapshot: &Snapshot) -> Vec<ObjectRef> {
        let mut told = Vec::new();
        for key in self.take_slices(snapshot) {
            let Some((key, service)) = snapshot.services.key(&key).zip(snapshot.services.get(&key)) else { continue };
            for port in self.ports_of(key, service) {
                let id = EndpointsId { service: Arc::clone(key), port };
                if self.known.contains_key(&id) {
                    let before = self.lack_of(&id);
                    self.find(&id, service);
                    if self.lack_of(&id) != before {
                        told.push(ObjectRef { kind: Kind::Service, key: Arc::clone(key) });
                    }
                }
            }
        }
        told
    }

    /// The ports of a Service that may be known. One that leads to a name in DNS need not name them.
    fn ports_of(&self, key: &Key, service: &Service) -> Vec<u16> {
        if service.ports.is_empty() {
            return self.known.keys().filter(|id| *id.service == *key).map(|id| id.port).collect();
        }
        service.ports.iter().map(|port| port.port).collect()
    }

    /// The endpoints that the routes name which were translated last.
    pub fn found(&self) -> &SortedMap<EndpointsId, Endpoints> {
        &self.found
    }

    /// What is told of endpoints: whether there are none, and how many get no requests.
    fn lack_of(&self, id: &EndpointsId) -> (bool, usize) {
        let is_empty = self.found.get(id).is_none_or(|found| found.is_empty());
        (is_empty, self.known.get(id).map_or(0, |known| known.left_out))
    }

    fn is_worth_knowing(&self, id: &EndpointsId) -> bool {
        self.lack_of(id) != (false, 0)
    }

    /// Takes over the slices of a snapshot. Returns the Services of those that changed.
    fn take_slices(&mut self, snapshot: &Snapshot) -> HashSet<Key> {
        let before = std::mem::replace(&mut self.slices, snapshot.endpoint_slices.clone());
        let mut changed = HashSet::new();
        let service =
            |slice: &EndpointSlice| Key { namespace: slice.meta.namespace.clone(), name: slice.service.clone() };
        for key in self.slices.changed_keys(&before, Arc::ptr_eq) {
            if let Some(old) = before.get(key) {
                let service = service(old);
                if let Some(slices) = self.by_service.get_mut(&service) {
                    slices.remove(key);
                    if slices.is_empty() {
                        self.by_service.remove(&service);
                    }
                }
                changed.insert(service);
            }
            if let Some(new) = self.slices.get(key) {
                let service = service(new);
                self.by_service.entry(service.clone()).or_default().insert(Arc::clone(key), Arc::clone(new));
                changed.insert(service);
            }
        }
        changed
    }

    fn find(&mut self, id: &EndpointsId, service: &Arc<Service>) {
        let slices = self.by_service.get(&*id.service);
        let mut addresses = addresses_of_port(service, id.port, slices.into_iter().flat_map(BTreeMap::values));
        let left_out = addresses.len().saturating_sub(MAX_ENDPOINTS);
        addresses.truncate(MAX_ENDPOINTS);
        if self.found.get(id).is_none_or(|found| **found != *addresses) {
            self.found.insert(id.clone(), addresses.into());
        }
        self.known.insert(id.clone(), KnownEndpoints { service: Arc::clone(service), left_out });
    }

    /// Tells the objects of rules of endpoints that there are none, or more than get requests.
    fn report<'a>(&self, rules: impl Iterator<Item = &'a Rule>, attached: &mut [AttachedObject<'_>]) {
        let named = rules.flat_map(|rule| endpoints_of(&rule.action).map(|id| (&rule.origin, id)));
        let told: BTreeSet<(&ObjectRef, &EndpointsId)> = named.filter(|(_, id)| self.is_worth_knowing(id)).collect();
        if told.is_empty() {
            return;
        }
        let indexes: HashMap<ObjectRef, usize> =
            attached.iter().enumerate().map(|(index, attached)| (attached.object.clone(), index)).collect();
        for (object, id) in told {
            let Some(index) = indexes.get(object) else { continue };
            let draft = &mut attached[*index].draft;
            let service = object_name(&ObjectRef { kind: Kind::Service, key: Arc::clone(&id.service) });
            let port = id.port;
            let name = self.known.get(id).and_then(|known| looked_up_name(&known.service));
            match self.lack_of(id).1 {
                0 if let Some(name) = name => {
                    let message = format!(
                        "{service} leads to the name {}, which has no address to which requests may be sent, or is not looked up yet, so \
                         requests for it are answered 503. Addresses that may be ones of the cluster are reached where \
                         --external-name-ranges names them",
                        quoted(name)
                    );
                    draft.report_note(&FieldPath::root("spec"), Reason::RefNotFound, message);
                }
                0 => {
                    let message = format!(
                        "{service} has no endpoint for its port {port} that is ready, so requests for it are answered 503; they are \
                         served as soon as there is one"
                    );
                    // Pods come and go: what was asked for is served, and the Gateway API calls such a route accepted, too.
                    draft.report_note(&FieldPath::root("spec"), Reason::RefNotFound, message);
                }
                left_out => {
                    let message = format!(
                        "{service} has more endpoints for its port {port} than the {MAX_ENDPOINTS} to which requests are sent; {left_out} \
                         get none. Have requests sent to its cluster IP, with the annotation sparrow/backends"
                    );
                    draft.report_loss(&FieldPath::root("spec"), Reason::BoundExceeded, message);
                }
            }
        }
    }
}

/// The endpoints to which an action leads.
pub fn endpoints_of(action: &Action) -> impl Iterator<Item = &EndpointsId> {
    let backends = match action {
        Action::Forward(forward) => &forward.backends[..],
        Action::Redirect(_) | Action::Respond(_) | Action::Answer(_) => &[],
    };
    backends.iter().filter_map(|share| match &share.destination {
        Destination::Backend(backend) => endpoints_at(&backend.address),
        Destination::Status(_) => None,
    })
}

/// The endpoints that an address stands for.
pub fn endpoints_at(address: &BackendAddress) -> Option<&EndpointsId> {
    match address {
        BackendAddress::Endpoints(id) => Some(id),
        BackendAddress::ClusterIp(_) => None,
    }
}

/// The addresses of the endpoints of a port that get requests, sorted, each once. They are of one family, that of the Service.
/// The number of the port at the endpoints is each slice's own, since pods may differ in what a name of a port stands for.
fn addresses_of_port<'a>(
    service: &Service,
    port: u16,
    slices: impl Iterator<Item = &'a Arc<EndpointSlice>>,
) -> Vec<SocketAddr> {
    let is_port = |known: &&entry_model::ServicePort| known.port == port && known.protocol == "TCP";
    let is_external = looked_up_name(service).is_some();
    let known = service.ports.iter().find(is_port);
    if known.is_none() && !is_external {
        return Vec::new();
    }
    let (mut ready, mut draining) = (BTreeSet::new(), BTreeSet::new());
    // What is not found by the entry was not looked through.
    let of_dns = is_external.then(|| slice_name(&service.meta.name));
    for slice in slices.filter(|slice| of_dns.as_ref().is_none_or(|name| slice.meta.name == *name)) {
        let named = slice.ports.iter().filter(|slice_port| known.is_some_and(|port| slice_port.name == port.name));
        // A name in DNS has the port that is asked for.
        let ports = named.map(|slice_port| slice_port.port).filter(|_| !is_external).chain(is_external.then_some(port));
        for port in ports {
            for endpoint in slice.endpoints.iter().filter(|of| IpFamily::of(of.address) == service.family) {
                let address = SocketAddr::new(endpoint.address, port);
                match endpoint.state {
                    EndpointState::Ready => ready.insert(address),
                    EndpointState::Draining => draining.insert(address),
                };
            }
        }
    }
    let chosen = if ready.is_empty() { draining } else { ready };
    chosen.into_iter().collect()
}
