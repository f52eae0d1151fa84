//! From a snapshot to routes, in passes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use entry_model::{ConfigMap, Host, Key, Kind, ObjectRef, Routes, Secret, Service, Snapshot, SortedMap};

use crate::attach::{AttachedObject, RouteObject};
use crate::attached_claims::AttachedClaims;
use crate::caches::{CachedClaims, Caches};
use crate::claim::Claims;
use crate::host_bonds::HostBonds;
use crate::left_out::LeftOutPaths;
use crate::merge::{HostMerger, MergeContext};
use crate::owners::HostLists;
use crate::retarget::{LastTranslation, MadeOfAll};
use crate::translation::Translation;
use crate::{
    HostOwnership, PolicyDefaults, TranslateSettings, acme_http01, attach, bounds, claim, default_rule, owners,
    stream_services, tls,
};

/// Makes routes of a snapshot, and a verdict on each object of this controller.
///
/// Never fails: what cannot be served is left out or answered 503, its object's verdict says so, and nothing else changes.
///
/// - Services with the label: one prefix, `sparrow/path`, on `sparrow/host` (all hosts without it), to `sparrow/port`. Without
///   that: to the only TCP port; of several to the one that is called `http`, else to the first, and the owner is told.
/// - Ingresses of our classes. A path whose backend is not there, or not supported, stands and is answered 503: else a
///   shorter path, perhaps somebody else's, would get its requests.
/// - A default backend gets what no rule, of any object, names on the hosts of its Ingress; without rules, what no rule at
///   all matches. A host that only `spec.tls` names counts as one of them then.
/// - Paths are decoded once; so `/a%20b` and `/a b` are the same claim, as are `/a` and `/a/` as prefixes.
/// - A host belongs to one namespace, with all its paths, what no path matches, and the names below its wildcard: to those that
///   an annotation of theirs names, else to the one that holds it since earlier, else to that of the oldest object that claims
///   it. So does a first segment on hosts that no rule names. Claims of others are left out.
/// - What is over a bound is left out, the newest claims first; over that of its namespace, it keeps nothing from others.
/// - Of those who claim the same host and path the oldest has it; of one second, the first by kind (Services before
///   Ingresses), namespace and name.
/// - A certificate goes to hosts on which its object has a rule, and from a wildcard to the hosts below it of the same
///   namespace. Of several, a host gets one that is for it before another, then the oldest object's.
/// - All rules of a host with a certificate that is for it redirect to HTTPS unless their object says
///   `sparrow/ssl-redirect: "false"`, whichever object the certificate came with. No certificate is for every host, so rules
///   without a host redirect only if their object says `"true"`.
/// - Requests go to the cluster IP of a Service, or to its endpoints: the annotation `sparrow/backends` of an Ingress says so for all
///   Services that it names, else that of the Service, else the settings.
pub fn translate(snapshot: &Snapshot, settings: &TranslateSettings) -> Translation {
    let caches = Caches { merger: HostMerger::for_one_snapshot(), ..Caches::default() };
    Translator { caches, ..Translator::default() }.translate(snapshot, settings)
}

/// Makes routes of one snapshot after the other. What comes of a snapshot is the same as [`translate`] makes of it; what did not
/// change since the last one is not made again: what an object asks for that is as it was, with the Services that it names,
/// and a host for which the same is asked.
#[derive(Debug, Default)]
pub struct Translator {
    caches: Caches,
    /// The Services that the claims are of.
    services: SortedMap<Arc<Key>, Arc<Service>>,
    /// The Secrets that they may depend on.
    secrets: SortedMap<Arc<Key>, Arc<Secret>>,
    /// What is wrong with Secrets as objects.
    secret_faults: SecretFaults,
    /// The `ConfigMaps` that they may depend on.
    config_maps: SortedMap<Arc<Key>, Arc<ConfigMap>>,
    /// The settings that they are of.
    settings: (PolicyDefaults, bool),
    /// What was translated last, if the next one may begin with that.
    last: Option<LastTranslation>,
    last_way: Way,
}

/// Which way a translation goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Way {
    /// Over all objects.
    #[default]
    Whole,
    /// Over the hosts that changed objects name, with all that has a say there.
    Hosts,
    /// Over the changed objects alone.
    Objects,
}

impl Translator {
    /// As [`translate`]. It costs what changed, as long as that is only what some objects ask for, and it binds few hosts together.
    pub fn translate(&mut self, snapshot: &Snapshot, settings: &TranslateSettings) -> Translation {
        let last = self.last.take();
        if let Some(mut last) = last
            && let Some(way) = last.follow_change(snapshot, settings, &mut self.caches)
        {
            last.translation.routes.endpoints.clone_from(self.caches.endpoints.found());
            self.services = snapshot.services.clone();
            self.secrets = snapshot.secrets.clone();
            self.last_way = way;
            return self.last.insert(last).translation.clone();
        }
        let (translation, made) = self.translate_all(snapshot, settings);
        if !self.caches.merger.is_for_one_snapshot() {
            self.last = LastTranslation::new(snapshot, settings, &translation, made, &self.caches);
        }
        self.last_way = Way::Whole;
        translation
    }

    /// Which way the last translation went.
    pub fn last_way(&self) -> Way {
        self.last_way
    }

    /// How many objects only lead elsewhere, if nothing else changed.
    #[cfg(test)]
    pub(crate) fn retargeted(&self, snapshot: &Snapshot, settings: &TranslateSettings) -> Option<usize> {
        let plan = self.last.as_ref()?.plan(snapshot, settings, &self.caches)?;
        Some(plan.len())
    }

    /// Goes the whole way. Also what is known of that beside the result.
    fn translate_all(&mut self, snapshot: &Snapshot, settings: &TranslateSettings) -> (Translation, MadeOfAll) {
        let asked = (settings.defaults.clone(), settings.follows_ingress_nginx);
        if self.settings != asked {
            self.caches.claims.clear();
        }
        self.settings = asked;
        // A translator that knows nothing yet has nothing that a change could concern.
        let knows = !self.caches.claims.is_empty();
        let services = std::mem::replace(&mut self.services, snapshot.services.clone());
        let secrets = std::mem::replace(&mut self.secrets, snapshot.secrets.clone());
        let config_maps = std::mem::replace(&mut self.config_maps, snapshot.config_maps.clone());
        let faults = std::mem::replace(&mut self.secret_faults, secret_faults(snapshot, settings));
        let mut changed =
            if knows { Changed::between(snapshot, &services, &secrets, &config_maps) } else { Changed::default() };
        changed.faults = changed_faults(&faults, &self.secret_faults);
        let mut known = std::mem::take(&mut self.caches.claims);

        let owned = settings.ownership == HostOwnership::Namespace;
        let mut attached = attach::attached_objects(snapshot, settings);
        let mut quarantined = attach::left_out_objects(snapshot, settings);
        let claims = self.claims(&attached, snapshot, settings, &changed, &mut known);
        let read_quarantined = self.claims(&quarantined, snapshot, settings, &changed, &mut known);
        let mut attached_claims = AttachedClaims::new(&mut attached, &claims);
        let mut quarantined_claims = AttachedClaims::new(&mut quarantined, &read_quarantined);

        let (listed, told) = if owned { HostLists::read(snapshot) } else { <_>::default() };
        let mut host_owners = Arc::default();
        let records = std::iter::once(&snapshot.host_owners).chain(&settings.host_owners).filter(|_| owned);
        let records: Vec<_> = records.cloned().collect();
        if owned {
            // What is over the bounds of a namespace claims nothing: else it would be kept from others and served to nobody.
            let bounds = settings.bounds.of_namespaces();
            bounds::enforce_bounds(&bounds, &records, &mut attached_claims, &mut attached);
            bounds::enforce_bounds(&bounds, &records, &mut quarantined_claims, &mut quarantined);
            owners::enforce_owners(
                &listed,
                &records,
                &mut attached_claims,
                &mut attached,
                (&quarantined_claims, &quarantined),
            );
        }
        bounds::enforce_bounds(&settings.bounds, &records, &mut attached_claims, &mut attached);
        if owned {
            let next =
                owners::next_host_owners(&records, &attached_claims, &attached, (&quarantined_claims, &quarantined));
            // So that it is cheap to see that they are the same.
            host_owners = records.into_iter().find(|record| **record == next).unwrap_or_else(|| Arc::new(next));
        }
        let tls::ReadCertificates { selection: certificates, last_good, changes_at } =
            tls::read_certificates(snapshot, settings, &mut attached_claims.tls, &mut attached);
        let left_out = LeftOutPaths::new(&quarantined_claims, &quarantined);
        let (listed_hosts, most) = (owned.then_some(&listed), &settings.bounds.certificates);
        let default = attached_claims.default_namespace(&attached).map(str::to_owned);
        let context = MergeContext { listed: listed_hosts, most, left_out: &left_out, default };
        let is_last = self.caches.merger.is_for_one_snapshot();
        let mut routes = self.caches.merger.merge(&attached_claims, certificates, &context, &mut attached);
        acme_http01::inherit_rules(&mut routes, &settings.bounds.rules, &mut attached, |rule, host| {
            !owned || host.rules.iter().all(|own| own.origin.key.namespace == rule.origin.key.namespace)
        });
        add_reserved_hosts(&listed, &mut routes);
        default_rule::add_default_rule(&mut routes, snapshot, settings);
        routes.listeners.clone_from(&settings.listeners);
        self.caches.merger.forget_unused_policies(&mut routes);
        let services = stream_services::read_services(snapshot, settings);
        routes.streams.clone_from(&services.routes);
        self.caches.endpoints.find_endpoints(snapshot, &mut routes, &mut attached);
        let bonds = (!is_last)
            .then(|| {
                HostBonds::new(
                    snapshot,
                    settings,
                    (&attached, &claims),
                    &attached_claims,
                    (&routes, &self.caches.merger),
                )
            })
            .flatten();
        let mut verdicts = attach::verdicts(attached, snapshot, settings);
        verdicts.extend(told);
        verdicts.extend(services.into_verdicts(&routes));
        default_rule::report_default_backend(&mut verdicts, snapshot, settings);
        let last_good =
            if *settings.last_good == last_good { Arc::clone(&settings.last_good) } else { Arc::new(last_good) };
        (Translation { routes, verdicts, last_good, host_owners }, MadeOfAll { changes_at, bonds })
    }

    /// What each of these objects asks for. It is known of those that did not change, nor a Service that they name.
    fn claims(
        &mut self,
        attached: &[AttachedObject<'_>],
        snapshot: &Snapshot,
        settings: &TranslateSettings,
        changed: &Changed<'_>,
        known: &mut HashMap<usize, CachedClaims>,
    ) -> Vec<Arc<Claims>> {
        // A certificate comes from an Ingress of the same namespace, unless namespaces share hosts.
        let with_tls = attached.iter().filter(|attached| attached.source.brings_certificate());
        let with_tls: HashSet<&str> = with_tls.map(|attached| attached.source.meta().namespace.as_str()).collect();
        let shared = settings.ownership == HostOwnership::None && !with_tls.is_empty();
        if !self.caches.merger.is_for_one_snapshot() {
            self.caches.claims.reserve(attached.len());
        }
        let claims = |AttachedObject { object, source, .. }: &AttachedObject<'_>| {
            let tls = settings.has_https() && (shared || with_tls.contains(source.meta().namespace.as_str()));
            let is_same = |known: &CachedClaims| known.tls == tls && !changed.concerns(*source, &known.claims);
            let known = known.remove(&source.memory_address()).filter(is_same).unwrap_or_else(|| {
                let mut claims = claim::read_claims(*source, snapshot, settings, tls);
                claims.compact(&mut self.caches.last_policy);
                claims.object = Some(object.clone());
                CachedClaims { _object: source.object(), claims: Arc::new(claims), tls }
            });
            // Of one that takes part in nothing, it matters what it asked for.
            let is_aside = settings.quarantine.get(object).is_some_and(|aside| aside.keeps_paths);
            let claims = if is_aside { Arc::new(known.claims.unavailable()) } else { Arc::clone(&known.claims) };
            if !self.caches.merger.is_for_one_snapshot() {
                self.caches.claims.insert(source.memory_address(), known);
            }
            claims
        };
        attached.iter().map(claims).collect()
    }
}

/// What of that has changed on which claims depend beside their object.
#[derive(Debug, Default)]
struct Changed<'a> {
    /// Services, by namespace and name.
    services: HashSet<(&'a str, &'a str)>,
    secrets: HashSet<&'a Key>,
    /// Secrets with which something else is wrong.
    faults: HashSet<ObjectRef>,
    config_maps: HashSet<&'a Key>,
}

impl<'a> Changed<'a> {
    fn between(
        snapshot: &'a Snapshot,
        services: &'a SortedMap<Arc<Key>, Arc<Service>>,
        secrets: &'a SortedMap<Arc<Key>, Arc<Secret>>,
        config_maps: &'a SortedMap<Arc<Key>, Arc<ConfigMap>>,
    ) -> Self {
        let services = snapshot.services.changed_keys(services, Arc::ptr_eq);
        let secrets = snapshot.secrets.changed_keys(secrets, Arc::ptr_eq);
        let config_maps = snapshot.config_maps.changed_keys(config_maps, Arc::ptr_eq);
        Self {
            services: services.into_iter().map(|key| (&*key.namespace, &*key.name)).collect(),
            secrets: secrets.into_iter().map(|key| &**key).collect(),
            faults: HashSet::new(),
            config_maps: config_maps.into_iter().map(|key| &**key).collect(),
        }
    }

    /// Whether claims of an object may be other ones now.
    fn concerns(&self, source: RouteObject<'_>, claims: &Claims) -> bool {
        let is_changed = |reference: &ObjectRef| match reference.kind {
            Kind::Service => self.services.contains(&(&*reference.key.namespace, &*reference.key.name)),
            Kind::ConfigMap => self.config_maps.contains(&*reference.key),
            _ => self.secrets.contains(&*reference.key) || self.faults.contains(reference),
        };
        (!self.services.is_empty() && source.names_any(&self.services)) || claims.references.iter().any(is_changed)
    }
}

/// What is wrong with Secrets as objects: whether they are put aside, and why.
type SecretFaults = BTreeMap<ObjectRef, (bool, String)>;

/// What is wrong with Secrets as objects: they cannot be read, or are put aside.
fn secret_faults(snapshot: &Snapshot, settings: &TranslateSettings) -> SecretFaults {
    let unreadable = snapshot.unreadable.iter().map(|(object, text)| (object, (false, text)));
    let aside = settings.quarantine.iter().map(|(object, aside)| (object, (true, &aside.message)));
    let all = unreadable.chain(aside).filter(|(object, _)| object.kind == Kind::Secret);
    all.map(|(object, (is_aside, text))| (object.clone(), (is_aside, text.clone()))).collect()
}

/// The Secrets with which something else is wrong than before.
fn changed_faults(before: &SecretFaults, now: &SecretFaults) -> HashSet<ObjectRef> {
    let all = before.keys().chain(now.keys());
    all.filter(|object| before.get(*object) != now.get(*object)).cloned().collect()
}

/// Adds hosts that operators keep for their owners, and for which nothing is asked.
fn add_reserved_hosts(listed: &HostLists<'_>, routes: &mut Routes) {
    let default = routes.default.as_ref().map(|rule| rule.origin.key.namespace.clone());
    for name in listed.hosts() {
        if !routes.hosts.contains_key(name) {
            let closed = default.as_ref().is_some_and(|default| listed.withholds_default(name, None, default));
            routes.hosts.insert(name.clone(), Arc::new(Host { closed, ..Host::default() }));
        }
    }
}
