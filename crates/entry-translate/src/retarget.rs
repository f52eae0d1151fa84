//! The short way from a snapshot to routes, where only what objects lead to has changed.
//!
//! Who gets what is decided among all objects. As long as each asks for the same hosts and matches as before, that stays as it was,
//! and only the hosts of those that lead elsewhere, or are treated otherwise, are made again: it costs what changed. Whatever
//! else changes goes the whole way.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use entry_model::{EndpointsId, Host, HostName, HostOwners, Key, Kind, Object, ObjectRef, PolicyId, Snapshot, Verdict};

use crate::attach::{self, AttachedClasses, RouteObject};
use crate::caches::{CachedClaims, Caches};
use crate::claim::{self, Claims};
use crate::endpoints::{EndpointFinder, endpoints_at, endpoints_of};
use crate::host_bonds::{HostBonds, secret_of};
use crate::merge::HostMerger;
use crate::object_users::ObjectUsers;
use crate::translation::Translation;
use crate::{HostOwnership, TranslateSettings, stream_services};

/// Of more objects at once the whole way is not much longer.
const MOST_OBJECTS: usize = 256;

/// What was translated last.
#[derive(Debug)]
pub struct LastTranslation {
    pub snapshot: Snapshot,
    pub settings: TranslateSettings,
    pub translation: Translation,
    /// When the same snapshot gives something else, in seconds since 1970: what is said of certificates depends on the time.
    pub changes_at: Option<i64>,
    /// Which Services and Secrets the objects name.
    pub users: ObjectUsers,
    /// How many rules have each policy, by its number.
    policy_uses: Vec<u32>,
    /// How often something leads to the endpoints of a port.
    endpoint_uses: HashMap<EndpointsId, usize>,
    /// What binds hosts together; none if that cannot be followed.
    pub bonds: Option<HostBonds>,
    /// The Services that the operator names: those to which ports of this entry lead, and the default backend.
    named_by_operator: BTreeSet<Key>,
}

/// What is known of a translation of all objects, beside its result.
#[derive(Debug)]
pub struct MadeOfAll {
    /// When, in seconds since 1970, the same snapshot gives something else.
    pub changes_at: Option<i64>,
    pub bonds: Option<HostBonds>,
}

/// An object that leads elsewhere than before.
#[derive(Debug)]
pub struct Retarget {
    reference: ObjectRef,
    /// Its place in memory before.
    before: usize,
    object: Object,
    now: usize,
    old: Arc<Claims>,
    new: Arc<Claims>,
    tls: bool,
    verdict: Verdict,
}

impl LastTranslation {
    /// What was translated; none if the short way must not be taken from it.
    pub fn new(
        snapshot: &Snapshot,
        settings: &TranslateSettings,
        translation: &Translation,
        MadeOfAll { changes_at, bonds }: MadeOfAll,
        Caches { claims, merger, .. }: &Caches,
    ) -> Option<Self> {
        // Hosts whose rules were added to from other hosts change with these.
        let has_inherited = merger.published().keys().any(|name| {
            let host = translation.routes.hosts.get(name);
            host.is_none_or(|host| !merger.made(name).is_some_and(|made| Arc::ptr_eq(host, made)))
        });
        if has_inherited {
            return None;
        }
        // What is not attached has no claims. When it is, the whole way is gone.
        let users = route_objects(snapshot).filter_map(|(reference, object)| {
            let claims = &claims.get(&object.memory_address())?.claims;
            let named = named_objects(object, claims, snapshot, settings).into_iter();
            Some(named.map(move |named| (named, reference.clone())))
        });
        let users = users.flatten().collect();
        let (snapshot, mut settings, translation) = (snapshot.clone(), settings.clone(), translation.clone());
        // The next one begins with what this one decided, of which the same comes: what Secrets hold that is good is good, and who holds
        // what goes on holding it. Where there is no room for all, that is not looked into.
        settings.last_good = Arc::clone(&translation.last_good);
        if let [own] = &mut settings.host_owners[..]
            && bonds.as_ref().is_some_and(|bonds| bonds.over.is_empty())
        {
            *own = Arc::clone(&translation.host_owners);
        }
        let mut named_by_operator = stream_services::named_services(&snapshot, &settings.stream_services);
        named_by_operator.extend(settings.defaults.default_backend.iter().map(|default| default.service.clone()));
        let mut policy_uses = vec![0; translation.routes.policies.id_count()];
        translation.routes.rules().for_each(|rule| policy_uses[rule.policy.0 as usize] += 1);
        let mut endpoint_uses = HashMap::new();
        let streams = translation.routes.streams.values().filter_map(|route| endpoints_at(&route.backend));
        for id in translation.routes.rules().flat_map(|rule| endpoints_of(&rule.action)).chain(streams) {
            *endpoint_uses.entry(id.clone()).or_default() += 1;
        }
        Some(Self {
            snapshot,
            settings,
            translation,
            changes_at,
            users,
            policy_uses,
            endpoint_uses,
            bonds,
            named_by_operator,
        })
    }

    /// The objects that lead elsewhere; none if more than that changed.
    pub fn plan(&self, snapshot: &Snapshot, settings: &TranslateSettings, caches: &Caches) -> Option<Vec<Retarget>> {
        // What a Secret changes beside what objects ask for, hosts are looked at for.
        if !snapshot.secrets.changed_keys(&self.snapshot.secrets, Arc::ptr_eq).is_empty() {
            return None;
        }
        if !self.is_same_beside_routes(snapshot, settings) || !self.changed_records(snapshot, settings)?.is_empty() {
            return None;
        }
        let classes = AttachedClasses::of(snapshot, settings);
        let mut plan = Vec::new();
        for reference in self.changed_objects(snapshot, settings, &[])? {
            let before = route_object(&self.snapshot, &reference)?;
            let now = route_object(snapshot, &reference)?;
            match [before, now].map(|object| attach::is_attached(object, &classes, settings)) {
                [false, false] => {}
                [true, true] => {
                    plan.push(self.retarget(reference, (before, now), snapshot, settings, caches)?);
                }
                _ => return None,
            }
        }
        Some(plan)
    }

    /// The objects that changed, or that name a Service or a Secret which did, or a Service of which something else is told; none if they
    /// are many, the operator names such a Service, or something is said of such a Secret itself.
    pub fn changed_objects(
        &self,
        snapshot: &Snapshot,
        settings: &TranslateSettings,
        told: &[ObjectRef],
    ) -> Option<BTreeSet<ObjectRef>> {
        let services = snapshot.services.changed_keys(&self.snapshot.services, Arc::ptr_eq);
        let secrets = snapshot.secrets.changed_keys(&self.snapshot.secrets, Arc::ptr_eq);
        let ingresses = snapshot.ingresses.changed_keys(&self.snapshot.ingresses, Arc::ptr_eq);
        let reference = |kind| move |key: &&Arc<Key>| ObjectRef { kind, key: Arc::clone(key) };
        let named = services.iter().map(reference(Kind::Service)).chain(secrets.iter().map(reference(Kind::Secret)));
        let mut objects: BTreeSet<ObjectRef> = services.iter().map(reference(Kind::Service)).collect();
        objects.extend(ingresses.iter().map(reference(Kind::Ingress)));
        // A Service may ask for routes to itself.
        objects.extend(told.iter().cloned());
        for named in named.chain(told.iter().cloned()) {
            // Something is said of such a Secret itself.
            if settings.quarantine.contains_key(&named) || snapshot.unreadable.contains_key(&named) {
                return None;
            }
            objects.extend(self.users.of(&named).take(MOST_OBJECTS + 1).cloned());
            if objects.len() > MOST_OBJECTS {
                return None;
            }
        }
        if objects.len() > MOST_OBJECTS {
            return None;
        }
        let mut services = services.iter().map(|key| &***key).chain(told.iter().map(|told| &*told.key));
        if services.any(|key| self.named_by_operator.contains(key)) {
            return None;
        }
        Some(objects)
    }

    /// The hosts of which the records of owners say something else than before; none if not all are known by name.
    pub fn changed_records(&self, snapshot: &Snapshot, settings: &TranslateSettings) -> Option<BTreeSet<HostName>> {
        let mut names = BTreeSet::new();
        if settings.ownership == HostOwnership::None {
            return Some(names);
        }
        if settings.host_owners.len() != self.settings.host_owners.len() {
            return None;
        }
        let now = host_records(snapshot, settings);
        let before = host_records(&self.snapshot, &self.settings);
        for (now, before) in now.zip(before).filter(|(now, before)| !Arc::ptr_eq(now, before)) {
            let mut changed = now.changed_keys(before);
            // Near a bound it matters too how many rules they count.
            let over = &self.bonds.as_ref()?.over;
            let is_over = |owner: Option<&str>| owner.is_some_and(|owner| over.contains(owner));
            let concerns_over = over.iter().any(|namespace| now.rule_count(namespace) != before.rule_count(namespace))
                || changed.iter().any(|key| is_over(now.owner_of(key)) || is_over(before.owner_of(key)));
            changed.retain(|key| !self.is_known_owner(key, snapshot, settings));
            if concerns_over || changed.len() > MOST_OBJECTS {
                return None;
            }
            for key in changed {
                names.insert(host_of_key(key)?);
            }
        }
        Some(names)
    }

    /// Whether the records say no more of a host or a first segment than what was made of the last ones: what was decided is recorded.
    fn is_known_owner(&self, key: &str, snapshot: &Snapshot, settings: &TranslateSettings) -> bool {
        let owner = self.translation.host_owners.owner_of(key);
        let mut holders = host_records(snapshot, settings).filter_map(|record| record.owner_of(key)).peekable();
        holders.peek().copied() == owner && holders.all(|holder| Some(holder) == owner)
    }

    /// Whether nothing but Services, Secrets and Ingresses has changed, endpoints, and the records of owners.
    pub fn is_same_beside_routes(&self, snapshot: &Snapshot, settings: &TranslateSettings) -> bool {
        let same_secrets = Arc::ptr_eq(&settings.last_good, &self.settings.last_good);
        let same_time =
            settings.now >= self.settings.now && self.changes_at.is_none_or(|changes_at| settings.now < changes_at);
        let others = Snapshot {
            services: self.snapshot.services.clone(),
            secrets: self.snapshot.secrets.clone(),
            ingresses: self.snapshot.ingresses.clone(),
            endpoint_slices: self.snapshot.endpoint_slices.clone(),
            host_owners: Arc::clone(&self.snapshot.host_owners),
            ..snapshot.clone()
        };
        same_secrets && same_time && settings.is_same_but_for_the_past(&self.settings) && others == self.snapshot
    }

    /// An object that leads elsewhere; none if it asks for something else too.
    fn retarget(
        &self,
        reference: ObjectRef,
        (before, now): (RouteObject<'_>, RouteObject<'_>),
        snapshot: &Snapshot,
        settings: &TranslateSettings,
        Caches { claims, merger, .. }: &Caches,
    ) -> Option<Retarget> {
        let is_quarantined =
            settings.quarantine.contains_key(&reference) || snapshot.unreadable.contains_key(&reference);
        let is_same_age = before.meta().created == now.meta().created;
        if is_quarantined || !is_same_age || before.brings_certificate() != now.brings_certificate() {
            return None;
        }
        let known = claims.get(&before.memory_address())?;
        let old = Arc::clone(&known.claims);
        let mut new = claim::read_claims(now, snapshot, settings, known.tls);
        new.object = Some(reference.clone());
        let new = Arc::new(new);
        // Which endpoints there are is found with the hosts.
        if !old.ask_for_the_same(&new) || old.name_endpoints() || new.name_endpoints() {
            return None;
        }
        let default = self.translation.routes.default.as_ref().filter(|_| old.default.is_some());
        let mut is_served = default.is_some_and(|default| default.origin == reference);
        for name in old.hosts().collect::<BTreeSet<_>>() {
            is_served |= merger.serves(name, &old)?;
        }
        // What was found among others, beside what the object itself says, is found on the whole way only.
        let verdict = |claims: &Claims, generation| {
            let mut draft = claims.draft.clone();
            if is_served {
                draft.mark_served();
            }
            draft.into_verdict(generation)
        };
        let told = self.translation.verdicts.get(&reference)?;
        if verdict(&old, before.meta().generation) != *told {
            return None;
        }
        Some(Retarget {
            verdict: verdict(&new, now.meta().generation),
            reference,
            before: before.memory_address(),
            object: now.object(),
            now: now.memory_address(),
            old,
            new,
            tls: known.tls,
        })
    }

    /// Makes the hosts of these objects again.
    pub fn follow(
        &mut self,
        plan: Vec<Retarget>,
        snapshot: &Snapshot,
        settings: &TranslateSettings,
        Caches { claims, merger, .. }: &mut Caches,
    ) {
        for retarget in plan {
            let Retarget { reference, before, object, now, old, new, tls, verdict } = retarget;
            let names: BTreeSet<HostName> = old.hosts().cloned().collect();
            for name in names {
                if let Some(host) = merger.retarget(&name, &old, &new, &reference) {
                    let tls_passthrough = &mut self.translation.routes.tls_passthrough;
                    if let Some(passthrough) = merger.tls_passthrough(&name) {
                        tls_passthrough.insert(name.clone(), passthrough);
                    }
                    self.put_host(name, Some(&host));
                }
            }
            claims.remove(&before);
            if let Some(before) = route_object(&self.snapshot, &reference) {
                for named in named_objects(before, &old, &self.snapshot, settings) {
                    self.users.remove(named, reference.clone());
                }
            }
            if let Some(now) = RouteObject::of(&object) {
                for named in named_objects(now, &new, snapshot, settings) {
                    self.users.insert(named, reference.clone());
                }
            }
            claims.insert(now, CachedClaims { _object: object, claims: new, tls });
            self.translation.verdicts.insert(reference, verdict);
        }
        self.drop_unused_policies(merger);
        self.snapshot = snapshot.clone();
    }

    /// Puts a host in, or takes it out.
    pub fn put_host(&mut self, name: HostName, host: Option<&Arc<Host>>) {
        let hosts = &mut self.translation.routes.hosts;
        let before = match host {
            Some(host) => hosts.insert(name, Arc::clone(host)),
            None => hosts.remove(&name),
        };
        let none = Arc::default();
        let [now, before] = [host, before.as_ref()].map(|host| host.unwrap_or(&none));
        let [came, went] = now.rules.unshared(&before.rules);
        for rule in came {
            let number = rule.policy.0 as usize;
            if number >= self.policy_uses.len() {
                self.policy_uses.resize(number + 1, 0);
            }
            self.policy_uses[number] += 1;
            for id in endpoints_of(&rule.action) {
                *self.endpoint_uses.entry(id.clone()).or_default() += 1;
            }
        }
        for rule in went {
            self.policy_uses[rule.policy.0 as usize] -= 1;
            for id in endpoints_of(&rule.action) {
                if let Some(uses) = self.endpoint_uses.get_mut(id) {
                    *uses -= 1;
                }
            }
        }
    }

    /// Takes out the endpoints to which hosts led, if nothing does any more.
    pub fn drop_unused_endpoints(&mut self, led_to: HashSet<EndpointsId>, endpoints: &mut EndpointFinder) {
        for id in led_to {
            if self.endpoint_uses.get(&id).is_none_or(|uses| *uses == 0) {
                self.endpoint_uses.remove(&id);
                endpoints.forget(&id);
            }
        }
    }

    /// Takes out the policies that no rule has any more.
    pub fn drop_unused_policies(&mut self, merger: &mut HostMerger) {
        // Those too that were made of a rule before another was made of it.
        let is_unused = |id: &PolicyId| self.policy_uses.get(id.0 as usize).is_none_or(|uses| *uses == 0);
        let unused: Vec<PolicyId> = merger.policies().iter().map(|(id, _)| id).filter(is_unused).collect();
        for id in unused {
            merger.remove_policy(id);
        }
        self.translation.routes.policies.clone_from(merger.policies());
    }
}

/// The objects of a snapshot that can ask for routes.
fn route_objects(snapshot: &Snapshot) -> impl Iterator<Item = (ObjectRef, RouteObject<'_>)> {
    let named = |kind, key: &Arc<Key>| ObjectRef { kind, key: Arc::clone(key) };
    let services = snapshot.services.iter();
    let services = services.map(move |(key, service)| (named(Kind::Service, key), RouteObject::Service(service)));
    let ingresses = snapshot.ingresses.iter();
    services.chain(ingresses.map(move |(key, ingress)| (named(Kind::Ingress, key), RouteObject::Ingress(ingress))))
}

/// The records of owners, that of the snapshot first.
pub fn host_records<'a>(
    snapshot: &'a Snapshot,
    settings: &'a TranslateSettings,
) -> impl Iterator<Item = &'a Arc<HostOwners>> {
    std::iter::once(&snapshot.host_owners).chain(&settings.host_owners)
}

/// The host that a key of a record stands for, or is part of; none if it cannot be told.
fn host_of_key(key: &str) -> Option<HostName> {
    match key.strip_prefix("*/") {
        Some(_) => Some(HostName::Any),
        // A digest, or a wildcard, whose record is for the hosts below it too.
        None if key.starts_with(HostOwners::DIGEST_MARK) || key.starts_with('*') => None,
        None => Some(HostName::Exact(key.to_owned())),
    }
}

/// The object of this name, if it can ask for routes.
pub fn route_object<'a>(snapshot: &'a Snapshot, reference: &ObjectRef) -> Option<RouteObject<'a>> {
    match reference.kind {
        Kind::Service => snapshot.services.get(&*reference.key).map(RouteObject::Service),
        Kind::Ingress => snapshot.ingresses.get(&*reference.key).map(RouteObject::Ingress),
        _ => None,
    }
}

/// The Services and Secrets that an object and its annotations name; those of the snapshot share its keys.
pub fn named_objects(
    object: RouteObject<'_>,
    claims: &Claims,
    snapshot: &Snapshot,
    settings: &TranslateSettings,
) -> BTreeSet<ObjectRef> {
    let service = |key: Key| {
        let key = snapshot.services.key(&key).map_or_else(|| Arc::new(key), Arc::clone);
        ObjectRef { kind: Kind::Service, key }
    };
    let secret = |key: &Key| {
        let key = snapshot.secrets.key(key).map_or_else(|| Arc::new(key.clone()), Arc::clone);
        ObjectRef { kind: Kind::Secret, key }
    };
    let named = claims.references.iter().filter(|named| matches!(named.kind, Kind::Service | Kind::Secret)).cloned();
    let certificates = claims.tls.iter().filter_map(|tls| secret_of(tls, settings)).map(secret);
    object.services().into_iter().map(service).chain(certificates).chain(named).collect()
}

#[cfg(test)]
mod tests {
    use entry_model::{
        Ingress, IngressBackend, IngressClass, IngressPath, IngressRule, IpFamily, Meta, PathType, PortRef, Service,
        ServiceKind, ServicePort,
    };

    use super::*;
    use crate::Translator;

    fn meta(name: &str) -> Meta {
        Meta { namespace: "shop".to_owned(), name: name.to_owned(), ..Meta::default() }
    }

    fn service(name: &str, port: u16) -> Service {
        let port = ServicePort { name: "http".to_owned(), port, protocol: "TCP".to_owned(), app_protocol: None };
        let cluster_ips = vec![[10, 0, 0, 1].into()];
        Service {
            meta: meta(name),
            kind: ServiceKind::ClusterIp,
            cluster_ips,
            family: IpFamily::V4,
            ports: vec![port],
            addresses: Vec::new(),
        }
    }

    fn ingress(name: &str, path: &str) -> Ingress {
        let backend = IngressBackend::Service { name: "web".to_owned(), port: PortRef::Name("http".to_owned()) };
        let path = IngressPath { path: Some(path.to_owned()), path_type: PathType::Prefix, backend };
        let rules = vec![IngressRule { host: Some(format!("{name}.example.com")), paths: vec![path] }];
        let class = Some("sparrow".to_owned());
        Ingress { meta: meta(name), class, default_backend: None, rules, tls: Vec::new(), addresses: Vec::new() }
    }

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::default();
        let meta = Meta { name: "sparrow".to_owned(), ..Meta::default() };
        snapshot.put(IngressClass { meta, controller: "sparrow/entry".to_owned(), default: false });
        snapshot.put(service("web", 80));
        snapshot.put(ingress("a", "/"));
        snapshot.put(ingress("b", "/"));
        snapshot
    }

    /// How many objects the short way is for, if it is taken after a change.
    fn retargeted(change: impl FnOnce(&mut Snapshot, &mut TranslateSettings) -> bool) -> Option<usize> {
        retargeted_from(snapshot(), change)
    }

    /// The same after a change of another snapshot.
    fn retargeted_from(
        mut snapshot: Snapshot,
        change: impl FnOnce(&mut Snapshot, &mut TranslateSettings) -> bool,
    ) -> Option<usize> {
        let mut settings = TranslateSettings { host_owners: vec![Arc::default()], ..TranslateSettings::default() };
        let mut translator = Translator::default();
        // What it makes of owners is what the next one begins with.
        let translation = translator.translate(&snapshot, &settings);
        settings.host_owners = vec![translation.host_owners];
        settings.last_good = translation.last_good;
        change(&mut snapshot, &mut settings);
        translator.retargeted(&snapshot, &settings)
    }

    #[test]
    fn short_way_is_for_objects_that_lead_elsewhere() {
        assert_eq!(retargeted(|_, _| false), Some(0));
        assert_eq!(retargeted(|_, settings| std::mem::replace(&mut settings.now, 100) == 0), Some(0));
        let moved = |snapshot: &mut Snapshot, _: &mut TranslateSettings| snapshot.put(service("web", 81));
        assert_eq!(retargeted(moved), Some(2));
        let mut treated = ingress("a", "/");
        treated.meta.annotations.insert("sparrow/read-timeout".to_owned(), "5s".to_owned());
        assert_eq!(retargeted(|snapshot, _| snapshot.put(treated)), Some(1));
    }

    #[test]
    fn whole_way_is_for_a_canary_and_for_its_main() {
        let mut canary = ingress("canary", "/");
        canary.rules[0].host = Some("a.example.com".to_owned());
        canary.meta.annotations.insert("sparrow/canary".to_owned(), "true".to_owned());
        let mut snapshot = snapshot();
        snapshot.put(canary.clone());
        canary.meta.annotations.insert("sparrow/canary-weight".to_owned(), "10".to_owned());
        let mut treated = ingress("a", "/");
        treated.meta.annotations.insert("sparrow/read-timeout".to_owned(), "5s".to_owned());
        let mut other = treated.clone();
        other.meta.name = "b".to_owned();
        other.rules[0].host = Some("b.example.com".to_owned());
        for (change, expected) in [(canary, None), (treated, None), (other, Some(1))] {
            assert_eq!(retargeted_from(snapshot.clone(), |snapshot, _| snapshot.put(change)), expected);
        }
    }

    #[test]
    fn whole_way_is_for_all_that_may_concern_others() {
        assert_eq!(retargeted(|snapshot, _| snapshot.put(ingress("a", "/more"))), None);
        assert_eq!(retargeted(|snapshot, _| snapshot.put(ingress("c", "/"))), None);
        assert_eq!(retargeted(|snapshot, _| snapshot.put(service("other", 80))), None);
        let mut older = ingress("a", "/");
        older.meta.created = -1;
        assert_eq!(retargeted(|snapshot, _| snapshot.put(older)), None);
        assert_eq!(retargeted(|_, settings| std::mem::replace(&mut settings.now, -1) == 0), None);
        assert_eq!(retargeted(|_, settings| std::mem::take(&mut settings.controller).is_empty()), None);
    }
}
