//! The short way from a snapshot to routes, where some objects ask for something else: the hosts that they name are translated by
//! themselves, with all that has a say there.
//!
//! ```text
//! changed objects ─► hosts that they name, before and now ─► objects that name these: their verdicts may change
//!                                                             └► the hosts of those ─► objects that name these: they have a say
//! ```
//!
//! On these hosts the passes are the same as over all. What binds hosts together beyond that goes the whole way: bounds that may be
//! reached, wildcards that come and go, certificates for a wildcard, defaults.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use entry_model::{
    CertificateId, EndpointsId, Host, HostName, HostOwners, Key, Meta, Object, ObjectRef, Snapshot, Verdicts,
};

use crate::amounts::AskedAmounts;
use crate::attach::{self, AttachedClasses, AttachedObject, RouteObject};
use crate::attached_claims::{AttachedClaim, AttachedClaims};
use crate::bounds::claim_weight;
use crate::caches::{CachedClaims, Caches};
use crate::certificate_selection::SelectedCertificate;
use crate::claim::{self, Claims};
use crate::endpoints::endpoints_of;
use crate::host_bonds::{HostBonds, named_hosts, secret_of};
use crate::host_or_segment::HostOrSegment;
use crate::left_out::LeftOutPaths;
use crate::merge::{HostMerger, MergeContext};
use crate::owners::{self, HostLists};
use crate::retarget::{LastTranslation, named_objects, route_object};
use crate::tls::{self, LastGoodSecret, ReadCertificates};
use crate::translate::Way;
use crate::verdict_draft::VerdictDraft;
use crate::{DefaultBackend, HostOwnership, TranslateSettings, default_rule};

/// Most claims that are looked at: of more the whole way is not much longer.
const MOST_CLAIMS: usize = 2048;

/// What objects ask for that changed.
pub struct AskedChange {
    /// Sorted by the objects.
    pub changes: Vec<ObjectChange>,
    /// How much all ask for then.
    pub amounts: AskedAmounts,
}

/// An object that asks for something else than before, or did not ask before, or asks no more.
pub struct ObjectChange {
    pub reference: ObjectRef,
    pub before: Option<AskingObject>,
    pub now: Option<AskingObject>,
}

/// An object, and what it asks for.
pub struct AskingObject {
    object: Object,
    memory_address: usize,
    pub claims: Arc<Claims>,
    tls: bool,
    pub brings_certificate: bool,
}

impl AskingObject {
    /// What is said of it in the cluster.
    pub fn meta(&self) -> Option<&Meta> {
        RouteObject::of(&self.object).map(RouteObject::meta)
    }

    /// Whether it asks for certificates, or declares TLS.
    pub fn names_certificates(&self) -> bool {
        self.brings_certificate || !self.claims.tls.is_empty()
    }
}

/// What is looked at for a change.
struct Surroundings {
    /// The hosts of which something else may come.
    hosts: BTreeSet<HostName>,
    /// The hosts that are translated: those too that decide the verdicts.
    translated: BTreeSet<HostName>,
    /// The objects whose verdicts may change.
    judged: BTreeSet<ObjectRef>,
    /// The objects that have a say on hosts that are translated.
    asking: BTreeSet<ObjectRef>,
}

impl LastTranslation {
    /// Follows a change on the shortest way; none if all that is there has to be looked at.
    pub fn follow_change(
        &mut self,
        snapshot: &Snapshot,
        settings: &TranslateSettings,
        caches: &mut Caches,
    ) -> Option<Way> {
        let told = caches.endpoints.follow_slices(snapshot);
        if told.is_empty()
            && let Some(plan) = self.plan(snapshot, settings, caches)
        {
            self.follow(plan, snapshot, settings, caches);
            self.settings.host_owners.clone_from(&settings.host_owners);
            return Some(Way::Objects);
        }
        if !self.is_same_beside_routes(snapshot, settings) {
            return None;
        }
        if let Some(asked) = self.asked_change(snapshot, settings, &told, caches) {
            if told.is_empty() && self.change_paths(&asked, snapshot, settings, caches).is_some() {
                return Some(Way::Objects);
            }
            if self.change_hosts(&asked, snapshot, settings, caches).is_some() {
                return Some(Way::Hosts);
            }
        }
        // Perhaps one after the other: what the records say now, and where objects lead.
        let recorded = Snapshot { host_owners: Arc::clone(&snapshot.host_owners), ..self.snapshot.clone() };
        let asked = self.asked_change(&recorded, settings, &told, caches)?;
        self.change_hosts(&asked, &recorded, settings, caches)?;
        let plan = self.plan(snapshot, settings, caches)?;
        self.follow(plan, snapshot, settings, caches);
        Some(Way::Hosts)
    }

    /// Translates the hosts of the objects that changed, and of those that name a Service of which something else is told. None if that is
    /// not enough: then nothing has changed but what is known of hosts, which is known by what they were made of.
    fn change_hosts(
        &mut self,
        AskedChange { changes, amounts }: &AskedChange,
        snapshot: &Snapshot,
        settings: &TranslateSettings,
        caches: &mut Caches,
    ) -> Option<()> {
        let Caches { claims, merger, endpoints, .. } = caches;
        let bonds = self.bonds.as_ref()?;
        let owned = settings.ownership == HostOwnership::Namespace;
        let changed = self.changed_records(snapshot, settings)?;
        let new: BTreeMap<&ObjectRef, &AskingObject> =
            changes.iter().filter_map(|change| Some((&change.reference, change.now.as_ref()?))).collect();
        let claims_of = |reference: &ObjectRef| {
            if let Some(new) = new.get(reference) {
                return Some(Arc::clone(&new.claims));
            }
            let object = route_object(snapshot, reference)?;
            Some(Arc::clone(&claims.get(&object.memory_address())?.claims))
        };
        let around = surroundings(bonds, changed, changes, claims_of, merger)?;
        let Surroundings { hosts, translated, judged, asking } = &around;

        let mut attached = Vec::with_capacity(asking.len());
        let mut all = Vec::with_capacity(asking.len());
        for reference in asking {
            let source = route_object(snapshot, reference)?;
            attached.push(AttachedObject { object: reference.clone(), source, draft: VerdictDraft::default() });
            all.push(claims_of(reference)?);
        }
        let is_far = |host: &&HostName| !matches!(host, HostName::Exact(_)) && translated.contains(host);
        let of_tls =
            |claims: &Arc<Claims>| !claims.tls.is_empty() && claims.hosts_beside_rules().any(|host| is_far(&host));
        if all.iter().any(of_tls) {
            return None;
        }
        let mut asked = AttachedClaims::new(&mut attached, &all);
        asked.keep_hosts(translated);
        asked.defaults.clear();

        let (listed, _) = if owned { HostLists::read(snapshot) } else { <_>::default() };
        let records = std::iter::once(&snapshot.host_owners).chain(&settings.host_owners).filter(|_| owned);
        let records: Vec<_> = records.cloned().collect();
        let nobody = AttachedClaims::default();
        if owned {
            owners::enforce_owners(&listed, &records, &mut asked, &mut attached, (&nobody, &[]));
        }
        if is_bound_to_others(hosts, &asked, merger) {
            return None;
        }
        let host_owners = if owned {
            let next = owners::next_host_owners(&records, &asked, &attached, (&nobody, &[]));
            self.next_owners(hosts, (&asked, &attached), &next, merger)?
        } else {
            Arc::clone(&self.translation.host_owners)
        };
        let ReadCertificates { selection, last_good, changes_at } =
            tls::read_certificates(snapshot, settings, &mut asked.tls, &mut attached);
        let left_out = LeftOutPaths::default();
        let context = MergeContext {
            listed: owned.then_some(&listed),
            most: &settings.bounds.certificates,
            left_out: &left_out,
            default: bonds.default.clone(),
        };

        // From here on the change is followed.
        let selected = |merger: &HostMerger| {
            let of = |name: &HostName| merger.certificate(name).cloned();
            translated.iter().map(of).collect::<Vec<_>>()
        };
        let before = selected(merger);
        merger.merge_again(translated, &asked, selection, &context, &mut attached);
        let certificates: Vec<_> = before.into_iter().zip(selected(merger)).collect();
        let rules = translated.iter().filter_map(|name| merger.made(name)).flat_map(|host| &host.rules);
        endpoints.find_more(snapshot, rules, &mut attached);
        let served = &self.translation.routes.hosts;
        let led_to = translated.iter().filter_map(|name| served.get(name)).flat_map(|host| &host.rules);
        let led_to: HashSet<EndpointsId> = led_to.flat_map(|rule| endpoints_of(&rule.action)).cloned().collect();
        let beside = beside(hosts, &asked, &attached, &all);
        let judge = |AttachedObject { object, source, draft }: AttachedObject<'_>| {
            judged.contains(&object).then(|| (object, draft.into_verdict(source.meta().generation)))
        };
        let verdicts: Verdicts = attached.into_iter().filter_map(judge).collect();
        let is_closed = |name: &HostName| {
            bonds.default.as_ref().is_some_and(|default| listed.withholds_default(name, None, default))
        };
        let reserved: Vec<(HostName, bool)> =
            translated.iter().filter(|name| listed.has(name)).map(|name| (name.clone(), is_closed(name))).collect();
        drop(new);
        self.put_verdicts(verdicts, snapshot, settings);
        self.translation.host_owners = host_owners;
        self.changes_at = self.changes_at.into_iter().chain(changes_at).min();
        self.put_hosts(translated, &reserved, merger);
        self.note_certificates(&certificates);
        self.drop_unused_endpoints(led_to, endpoints);
        self.note_bonds(beside, amounts.clone());
        self.note_secrets(changes, &last_good, snapshot, settings);
        self.remember(changes, snapshot, settings, claims);
        Some(())
    }

    /// What changed objects asked for, and ask for now; and how much all ask for then. None if that may be more than is served, or is for all.
    fn asked_change(
        &self,
        snapshot: &Snapshot,
        settings: &TranslateSettings,
        told: &[ObjectRef],
        Caches { claims, last_policy, .. }: &mut Caches,
    ) -> Option<AskedChange> {
        let bonds = self.bonds.as_ref()?;
        let classes = AttachedClasses::of(snapshot, settings);
        let is_attached = |object: &_| attach::is_attached(*object, &classes, settings);
        let mut changes = Vec::new();
        let mut amounts = bonds.amounts.clone();
        let references = self.changed_objects(snapshot, settings, told)?;
        for reference in &references {
            let before = match route_object(&self.snapshot, reference).filter(is_attached) {
                Some(object) => {
                    let CachedClaims { claims, tls, .. } = claims.get(&object.memory_address())?;
                    Some(AskingObject {
                        object: object.object(),
                        memory_address: object.memory_address(),
                        claims: Arc::clone(claims),
                        tls: *tls,
                        brings_certificate: object.brings_certificate(),
                    })
                }
                None => None,
            };
            let shared = settings.ownership == HostOwnership::None && amounts.has_any_tls();
            let tls = settings.has_https() && (shared || amounts.has_tls(&reference.key.namespace));
            let now = route_object(snapshot, reference).filter(is_attached).map(|object| {
                let mut claims = claim::read_claims(object, snapshot, settings, tls);
                claims.compact(last_policy);
                claims.object = Some(reference.clone());
                AskingObject {
                    object: object.object(),
                    memory_address: object.memory_address(),
                    claims: Arc::new(claims),
                    tls,
                    brings_certificate: object.brings_certificate(),
                }
            });
            let both = || before.iter().chain(&now);
            // A default is for all hosts.
            if both().any(|object| object.claims.default.is_some()) {
                return None;
            }
            if before.is_some() || now.is_some() {
                changes.push(ObjectChange { reference: reference.clone(), before, now });
            }
        }
        for ObjectChange { reference, before, now } in &changes {
            let namespace = &reference.key.namespace;
            if let Some(object) = now {
                amounts.add(namespace, &object.claims, object.brings_certificate);
            }
            if let Some(object) = before {
                amounts.take(namespace, &object.claims, object.brings_certificate);
            }
        }
        let namespaces: Vec<&str> = changes.iter().map(|change| change.reference.key.namespace.as_str()).collect();
        // Where the first object declares TLS, annotations of the others say something else.
        let same_tls = |namespace: &&str| amounts.has_tls(namespace) == bonds.amounts.has_tls(namespace);
        let fits = amounts.fit_but_for(&bonds.over, &settings.bounds, &namespaces) && namespaces.iter().all(same_tls);
        fits.then_some(AskedChange { changes, amounts })
    }

    /// Who owns what from now on. None if a namespace has no rule any more, or something else changes for one without: what else it has is
    /// not known.
    fn next_owners(
        &self,
        hosts: &BTreeSet<HostName>,
        (asked, attached): (&AttachedClaims<'_>, &[AttachedObject<'_>]),
        next: &HostOwners,
        merger: &HostMerger,
    ) -> Option<Arc<HostOwners>> {
        let before = &self.translation.host_owners;
        let mut owners = HostOwners::clone(before);
        // How much more or less of a namespace is served.
        let mut more: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let (mut seen, mut concerned) = (HashSet::new(), BTreeSet::new());
        for name in hosts {
            let mut units = BTreeSet::new();
            if *name != HostName::Any {
                units.insert(HostOrSegment::Host(name).key());
            }
            for (claims, claim) in merger.rules_of(name) {
                let namespace = &*claims.object.as_ref()?.key.namespace;
                units.insert(HostOrSegment::of(name, &claim.matches.path).key());
                if seen.insert((false, namespace, name, &claim.matches)) {
                    more.entry(namespace).or_default().0 += claim_weight(claim);
                }
            }
            for AttachedClaim { claim, owner, .. } in asked.rules.iter().filter(|rule| rule.claim.host == *name) {
                let namespace = &*attached[owner.1].object.key.namespace;
                units.insert(HostOrSegment::of(name, &claim.matches.path).key());
                if seen.insert((true, namespace, name, &claim.matches)) {
                    more.entry(namespace).or_default().1 += claim_weight(claim);
                }
            }
            for unit in units.iter().filter(|unit| before.owner_of(unit) != next.owner_of(unit)) {
                concerned.extend(before.owner_of(unit).into_iter().chain(next.owner_of(unit)));
                owners.set_owner(unit, next.owner_of(unit));
            }
        }
        for (namespace, (less, more)) in more {
            owners.set_rule_count(namespace, (owners.rule_count(namespace) + more).checked_sub(less)?);
            concerned.insert(namespace);
        }
        if concerned.into_iter().any(|namespace| owners.rule_count(namespace) == 0) {
            return None;
        }
        Some(if owners == **before { Arc::clone(before) } else { Arc::new(owners) })
    }
}

impl LastTranslation {
    fn put_verdicts(&mut self, mut verdicts: Verdicts, snapshot: &Snapshot, settings: &TranslateSettings) {
        let default = settings.defaults.default_backend.as_ref().map(DefaultBackend::object);
        if default.is_some_and(|default| verdicts.contains_key(&default)) {
            default_rule::report_default_backend(&mut verdicts, snapshot, settings);
        }
        for (object, verdict) in &verdicts {
            if self.translation.verdicts.get(object) != Some(verdict) {
                self.translation.verdicts.insert(object.clone(), verdict.clone());
            }
        }
    }

    /// Takes over what was made of hosts. `reserved`: those that operators keep for their owners, and whether they have no default.
    fn put_hosts(&mut self, translated: &BTreeSet<HostName>, reserved: &[(HostName, bool)], merger: &mut HostMerger) {
        for name in translated {
            let before = self.translation.routes.hosts.get(name).cloned();
            let reserved = || {
                let (_, closed) = reserved.iter().find(|(reserved, _)| reserved == name)?;
                let host = Host { closed: *closed, ..Host::default() };
                Some(before.clone().filter(|before| **before == host).unwrap_or_else(|| Arc::new(host)))
            };
            let now = merger.made(name).cloned().or_else(reserved);
            let passthrough = merger.tls_passthrough(name);
            let passed = &mut self.translation.routes.tls_passthrough;
            if passed.get(name) != passthrough.as_ref() {
                match passthrough {
                    Some(passthrough) => drop(passed.insert(name.clone(), passthrough)),
                    None => drop(passed.remove(name)),
                }
            }
            let is_same = match (&before, &now) {
                (Some(before), Some(now)) => Arc::ptr_eq(before, now),
                (None, None) => true,
                _ => false,
            };
            if is_same {
                continue;
            }
            self.put_host(name.clone(), now.as_ref());
        }
        self.drop_unused_policies(merger);
    }

    /// Remembers which certificates hosts had, and have now.
    fn note_certificates(&mut self, certificates: &[(Option<SelectedCertificate>, Option<SelectedCertificate>)]) {
        let Some(HostBonds { certificate_uses: uses, .. }) = &mut self.bonds else { return };
        let changed = || certificates.iter().filter(|(before, now)| before != now);
        changed().filter_map(|(before, _)| before.as_ref()).for_each(|before| uses.take(before));
        changed().filter_map(|(_, now)| now.as_ref()).for_each(|now| uses.add(now));
        let served = &mut self.translation.routes.certificates;
        let ids: BTreeSet<&CertificateId> =
            changed().flat_map(|(before, now)| [before, now]).flatten().map(|selected| &selected.id).collect();
        for id in ids {
            match uses.first(id) {
                Some(first) if served.get(id).is_some_and(|known| known == first) => {}
                Some(first) => drop(served.insert(id.clone(), Arc::clone(first))),
                None => drop(served.remove(id)),
            }
        }
    }

    fn note_bonds(&mut self, beside: Vec<(HostName, Vec<ObjectRef>)>, amounts: AskedAmounts) {
        let Some(bonds) = &mut self.bonds else { return };
        bonds.amounts = amounts;
        for (name, objects) in beside {
            if objects.is_empty() {
                bonds.beside.remove(&name);
            } else {
                bonds.beside.insert(name, objects);
            }
        }
    }

    /// Remembers which Secrets gave certificates. `last_good`: those of them that were looked at.
    fn note_secrets(
        &mut self,
        changes: &[ObjectChange],
        last_good: &BTreeMap<Key, LastGoodSecret>,
        snapshot: &Snapshot,
        settings: &TranslateSettings,
    ) {
        let Some(bonds) = &mut self.bonds else { return };
        let named = |object: &Option<AskingObject>| {
            let tls = object.iter().flat_map(|object| &object.claims.tls);
            tls.filter_map(|tls| secret_of(tls, settings).cloned()).collect::<Vec<_>>()
        };
        for key in changes.iter().flat_map(|change| named(&change.now)) {
            *bonds.secret_uses.entry(key).or_default() += 1;
        }
        let mut gone = Vec::new();
        for key in changes.iter().flat_map(|change| named(&change.before)) {
            let Some(uses) = bonds.secret_uses.get_mut(&key) else { continue };
            *uses -= 1;
            if *uses == 0 {
                bonds.secret_uses.remove(&key);
                gone.push(key);
            }
        }
        // All who name one that changed were looked at.
        let changed = snapshot.secrets.changed_keys(&self.snapshot.secrets, Arc::ptr_eq);
        gone.extend(changed.into_iter().filter(|key| !last_good.contains_key(&***key)).map(|key| Key::clone(key)));
        let known = &self.translation.last_good;
        let is_new = |(key, good): &(&Key, &LastGoodSecret)| known.get(*key) != Some(*good);
        if gone.iter().any(|key| known.contains_key(key)) || last_good.iter().any(|good| is_new(&good)) {
            let mut next = BTreeMap::clone(known);
            next.extend(last_good.iter().map(|(key, good)| (key.clone(), good.clone())));
            next.retain(|key, _| !gone.contains(key));
            self.translation.last_good = Arc::new(next);
            // What a Secret holds that is as it was is the same, wherever it is read.
            self.settings.last_good = Arc::clone(&self.translation.last_good);
        }
    }

    /// Remembers what these objects ask for now, and what a change was followed to.
    pub fn remember(
        &mut self,
        changes: &[ObjectChange],
        snapshot: &Snapshot,
        settings: &TranslateSettings,
        claims: &mut HashMap<usize, CachedClaims>,
    ) {
        for change in changes {
            self.note_object(change, snapshot, settings, claims);
        }
        self.snapshot = snapshot.clone();
        self.settings.host_owners.clone_from(&settings.host_owners);
        self.settings.now = settings.now;
    }

    /// Remembers what an object asks for now, and which objects it names.
    fn note_object(
        &mut self,
        ObjectChange { reference, before, now }: &ObjectChange,
        snapshot: &Snapshot,
        settings: &TranslateSettings,
        claims: &mut HashMap<usize, CachedClaims>,
    ) {
        if now.is_none() {
            self.translation.verdicts.remove(reference);
        }
        if let Some(AskingObject { object, memory_address, claims: asked, .. }) = before {
            let named = RouteObject::of(object).map(|object| named_objects(object, asked, &self.snapshot, settings));
            named.into_iter().flatten().for_each(|named| self.users.remove(named, reference.clone()));
            claims.remove(memory_address);
        }
        if let Some(AskingObject { object, memory_address, claims: asked, tls, .. }) = now {
            let named = RouteObject::of(object).map(|object| named_objects(object, asked, snapshot, settings));
            named.into_iter().flatten().for_each(|named| self.users.insert(named, reference.clone()));
            let known = CachedClaims { _object: object.clone(), claims: Arc::clone(asked), tls: *tls };
            claims.insert(*memory_address, known);
        }
    }
}

/// What is looked at for a change of these hosts and objects; none if it is too much, or more than hosts of a name.
fn surroundings(
    bonds: &HostBonds,
    changed: BTreeSet<HostName>,
    changes: &[ObjectChange],
    claims_of: impl Fn(&ObjectRef) -> Option<Arc<Claims>>,
    merger: &HostMerger,
) -> Option<Surroundings> {
    let asked = |object: &Option<AskingObject>| object.as_ref().map(|object| Arc::clone(&object.claims));
    let gone: BTreeSet<&ObjectRef> =
        changes.iter().filter(|change| change.now.is_none()).map(|change| &change.reference).collect();
    let mut hosts = changed;
    for claims in changes.iter().flat_map(|change| [asked(&change.before), asked(&change.now)]).flatten() {
        hosts.extend(named_hosts(&claims).into_iter().cloned());
    }
    // Those below a wildcard depend on it.
    if hosts.iter().any(|host| !matches!(host, HostName::Exact(_) | HostName::Any)) {
        return None;
    }
    let add_objects = |host: &HostName, to: &mut BTreeSet<ObjectRef>| {
        if merger.claim_count(host) > MOST_CLAIMS {
            return None;
        }
        for (claims, _) in merger.rules_of(host) {
            let object = claims.object.as_ref()?;
            if !gone.contains(object) && !to.contains(object) {
                to.insert(object.clone());
            }
        }
        let beside = bonds.beside.get(host).into_iter().flatten();
        to.extend(beside.filter(|object| !gone.contains(object)).cloned());
        (to.len() <= MOST_CLAIMS).then_some(())
    };
    let mut judged: BTreeSet<ObjectRef> = changes.iter().map(|change| change.reference.clone()).collect();
    judged.retain(|object| !gone.contains(object));
    for host in &hosts {
        add_objects(host, &mut judged)?;
    }
    let (mut translated, mut count) = (hosts.clone(), 0);
    for object in &judged {
        let claims = claims_of(object)?;
        count += claims.rules.len();
        if claims.default.is_some() || count > MOST_CLAIMS {
            return None;
        }
        translated.extend(named_hosts(&claims).into_iter().cloned());
    }
    let is_asked_for = |host: &HostName| merger.claim_count(host) > 0 || bonds.beside.contains_key(host);
    let above: Vec<HostName> = translated.iter().filter_map(HostName::wildcard_above).filter(is_asked_for).collect();
    translated.extend(above);
    // What no rule matches there is a path of all hosts.
    if bonds.has_defaults && translated.contains(&HostName::Any) {
        return None;
    }
    let mut asking = judged.clone();
    for host in &translated {
        add_objects(host, &mut asking)?;
    }
    let mut count = 0;
    for object in &asking {
        if bonds.over.contains(&object.key.namespace) {
            return None;
        }
        let claims = claims_of(object)?;
        count += claims.rules.len();
        if count > 2 * MOST_CLAIMS {
            return None;
        }
    }
    Some(Surroundings { hosts, translated, judged, asking })
}

/// Whether hosts depend on others after a change: one that is there for challenges only has the rules of another; and these have those of all
/// hosts.
fn is_bound_to_others(hosts: &BTreeSet<HostName>, asked: &AttachedClaims<'_>, merger: &HostMerger) -> bool {
    hosts.iter().any(|name| {
        let rules = || asked.rules.iter().map(|rule| rule.claim).filter(|claim| claim.host == *name);
        let is_there = rules().next().is_some();
        // Those that yield are served where no others are.
        let is_named = rules().any(|claim| !claim.yields);
        let mut served = rules().filter(|claim| !(is_named && claim.yields));
        match name {
            HostName::Any => merger.made(name).is_some() != is_there,
            _ => is_there && served.all(|claim| claim.matches.path.is_acme_challenge()),
        }
    })
}

/// The objects that name hosts where no rule of theirs stands, or not all do, by host.
fn beside(
    hosts: &BTreeSet<HostName>,
    asked: &AttachedClaims<'_>,
    attached: &[AttachedObject<'_>],
    claims: &[Arc<Claims>],
) -> Vec<(HostName, Vec<ObjectRef>)> {
    let [standing, left_out]: [HashSet<(usize, &HostName)>; 2] = [&asked.rules, &asked.left_out]
        .map(|rules| rules.iter().map(|rule| (rule.owner.1, &rule.claim.host)).collect());
    let mut beside: BTreeMap<&HostName, Vec<ObjectRef>> = hosts.iter().map(|host| (host, Vec::new())).collect();
    for (index, (AttachedObject { object, .. }, claims)) in attached.iter().zip(claims).enumerate() {
        let is_beside = |host: &&HostName| !standing.contains(&(index, *host)) || left_out.contains(&(index, *host));
        for host in named_hosts(claims).into_iter().filter(is_beside) {
            if let Some(objects) = beside.get_mut(host) {
                objects.push(object.clone());
            }
        }
    }
    beside.into_iter().map(|(host, objects)| (host.clone(), objects)).collect()
}
