//! What comes of one snapshot after the other is what each of them gives by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use entry_model::{BackendMode, Kind, Meta, Namespace, Object, ObjectRef, Reason, Routes, Snapshot};
use entry_translate::{Bound, Bounds, HostOwnership, TranslateSettings, Translation, Translator, translate};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::linked_objects::{config_map, linked_ingress, linked_secret, linked_service, links};
use crate::properties::any_slice;
use crate::support::{class, exposed, ingress, left_out, prefix, rule, service, settings, to, with_rule};

/// How many cases there are: those of the environment, if it says so.
pub fn cases(usually: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usually)
}

/// What happens between two snapshots.
#[derive(Debug, Clone)]
enum Change {
    Put(Object),
    /// Takes out one of those that there are.
    Remove(Index),
    /// Takes nothing out and puts the same in again, as another object.
    Touch(Index),
    /// A Service leads to another port, or an object is treated otherwise.
    Lead(Index, u16),
    /// One that nginx rejects from now on, or no more.
    Quarantine(Index),
    /// One that cannot be read from now on, or can again.
    Unreadable(Index),
    /// Time goes on, past the validity of some certificates.
    Later,
    Bounds(Bounds),
    /// Requests go to cluster IPs, or to endpoints, where no annotation says otherwise.
    Backends(BackendMode),
}

fn in_namespace(namespace: &'static str, mut meta: Meta) -> Meta {
    namespace.clone_into(&mut meta.namespace);
    meta
}

fn any_object() -> impl Strategy<Value = Object> {
    let namespace = || select(&["shop", "shop", "other"][..]);
    let listed = (namespace(), select(&["a.example.com", "*.example.com *", "b.example.com", ""][..]));
    let listed = listed.prop_map(|(name, hosts)| {
        let meta = Meta { name: name.to_owned(), ..Meta::default() };
        Namespace { meta, hosts: Some(hosts.to_owned()) }.into()
    });
    let class = (any::<bool>(), prop::bool::weighted(0.2)).prop_map(|(default, is_of_another)| {
        let mut class = class("sparrow");
        class.default = default;
        if is_of_another {
            "another/controller".clone_into(&mut class.controller);
        }
        class.into()
    });
    prop_oneof![
        6 => (namespace(), linked_service()).prop_map(|(name, mut one)| {
            one.meta = in_namespace(name, one.meta);
            one.into()
        }),
        8 => (namespace(), linked_ingress()).prop_map(|(name, mut one)| {
            one.meta = in_namespace(name, one.meta);
            one.into()
        }),
        5 => (namespace(), any_slice()).prop_map(|(name, mut one)| {
            one.meta = in_namespace(name, one.meta);
            one.into()
        }),
        3 => (namespace(), linked_secret()).prop_map(|(name, mut one)| {
            one.meta = in_namespace(name, one.meta);
            one.into()
        }),
        2 => (namespace(), config_map()).prop_map(|(name, mut one)| {
            one.meta = in_namespace(name, one.meta);
            one.into()
        }),
        1 => listed,
        1 => class,
    ]
}

fn any_bounds() -> impl Strategy<Value = Bounds> {
    let bound = || (0..6_usize, 0..8_usize).prop_map(|(namespace, all)| Bound { namespace, all });
    let bounds = (bound(), bound(), bound(), bound());
    let bounds = bounds.prop_map(|(hosts, rules, patterns, certificates)| Bounds {
        hosts,
        rules,
        patterns,
        certificates,
        ..Bounds::NONE
    });
    prop_oneof![2 => Just(Bounds::NONE), 1 => bounds]
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        12 => any_object().prop_map(Change::Put),
        3 => any::<Index>().prop_map(Change::Remove),
        2 => any::<Index>().prop_map(Change::Touch),
        8 => (any::<Index>(), 1..5_u16).prop_map(|(index, port)| Change::Lead(index, port)),
        1 => any::<Index>().prop_map(Change::Quarantine),
        1 => any::<Index>().prop_map(Change::Unreadable),
        1 => Just(Change::Later),
        1 => any_bounds().prop_map(Change::Bounds),
        1 => any::<bool>().prop_map(|endpoints| {
            Change::Backends(if endpoints { BackendMode::Endpoints } else { BackendMode::ClusterIp })
        }),
    ]
}

/// A cluster that changes, and what of earlier snapshots matters for later ones.
pub struct Cluster {
    pub snapshot: Snapshot,
    pub settings: TranslateSettings,
}

impl Cluster {
    pub fn new(ownership: HostOwnership) -> Self {
        let mut snapshot = Snapshot::default();
        snapshot.put(class("sparrow"));
        // Of the time before this entry nothing is recorded.
        let host_owners = vec![Arc::default()];
        Self { snapshot, settings: TranslateSettings { ownership, host_owners, ..settings() } }
    }

    /// One of the objects that there are.
    fn object(&self, index: Index) -> Option<Object> {
        let keys = Kind::ALL
            .iter()
            .flat_map(|kind| self.snapshot.keys(*kind).map(|key| ObjectRef { kind: *kind, key: Arc::clone(key) }));
        let all: Vec<_> = keys.collect();
        (!all.is_empty()).then(|| self.snapshot.get(index.get(&all)))?
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Put(object) => drop(self.snapshot.put(object)),
            Change::Remove(index) => {
                if let Some(object) = self.object(index) {
                    self.snapshot.remove(&object.reference());
                }
            }
            Change::Touch(index) => {
                if let Some(object) = self.object(index) {
                    self.snapshot.remove(&object.reference());
                    self.snapshot.put(match object {
                        Object::EndpointSlice(object) => Object::EndpointSlice(Arc::new((*object).clone())),
                        Object::Ingress(object) => Object::Ingress(Arc::new((*object).clone())),
                        object => object,
                    });
                }
            }
            Change::Lead(index, port) => match self.object(index) {
                Some(Object::Service(mut service)) => {
                    let changed = Arc::make_mut(&mut service);
                    changed.ports.iter_mut().for_each(|one| one.port = port);
                    self.snapshot.put(Object::Service(service));
                }
                Some(Object::Ingress(mut ingress)) => {
                    let timeout = ("sparrow/read-timeout".to_owned(), format!("{port}s"));
                    Arc::make_mut(&mut ingress).meta.annotations.extend([timeout]);
                    self.snapshot.put(Object::Ingress(ingress));
                }
                _ => {}
            },
            Change::Quarantine(index) => {
                let Some(object) = self.object(index) else { return };
                let quarantine: &mut BTreeMap<_, _> = &mut self.settings.quarantine;
                // First with its paths, then without them, then no more.
                let keeps_paths = match quarantine.remove(&object.reference()) {
                    None => true,
                    Some(aside) if aside.keeps_paths => false,
                    Some(_) => return,
                };
                let aside = entry_translate::Quarantine { keeps_paths, ..left_out(Reason::RejectedByNginx, "no") };
                quarantine.insert(object.reference(), aside);
            }
            Change::Unreadable(index) => {
                let Some(object) = self.object(index) else { return };
                let unreadable = &mut self.snapshot.unreadable;
                if unreadable.remove(&object.reference()).is_none() {
                    unreadable.insert(object.reference(), "no".to_owned());
                }
            }
            Change::Later => self.settings.now += 10 * 365 * 24 * 3600,
            Change::Bounds(bounds) => self.settings.bounds = bounds,
            Change::Backends(mode) => self.settings.defaults.backends = mode,
        }
    }

    /// What of this comes again with the next snapshot.
    pub fn remember(&mut self, built: &Translation) {
        self.settings.host_owners = vec![Arc::clone(&built.host_owners)];
        self.settings.last_good.clone_from(&built.last_good);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(200), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn incremental_translation_equals_a_full_one(
        changes in vec(vec(any_change(), 0..4), 1..20),
        owned in prop::bool::weighted(0.8),
    ) {
        let mut cluster = Cluster::new(if owned { HostOwnership::Namespace } else { HostOwnership::None });
        let mut translator = Translator::default();
        for changes in changes {
            for change in changes {
                cluster.apply(change);
            }
            let expected = translate(&cluster.snapshot, &cluster.settings);
            let built = translator.translate(&cluster.snapshot, &cluster.settings);
            prop_assert!(built == expected, "{}\n{:#?}\n{}\n{:#?}", built.routes, built.verdicts, expected.routes, expected.verdicts);
            // No policy stays that nobody has.
            let mut used: Vec<_> = built.routes.rules().map(|rule| rule.policy).collect();
            used.sort();
            used.dedup();
            prop_assert!(built.routes.policies.len() <= used.len() + expected.routes.policies.len());
            cluster.remember(&built);
        }
    }
}

#[test]
fn changes_of_what_annotations_of_a_service_name_are_followed() {
    let at = |octet: u8| {
        let mut asked = service("asked");
        asked.cluster_ips = vec![[10, 0, 1, octet].into()];
        asked
    };
    for (name, value) in [("sparrow/auth-url", "http://asked.shop.svc/verify"), ("sparrow/default-backend", "asked")] {
        let mut cluster = Cluster::new(HostOwnership::Namespace);
        let errors = ("sparrow/custom-http-errors", "503");
        cluster.snapshot.put(exposed("web", [(name, value), errors]));
        let mut translator = Translator::default();
        for octet in [1, 1, 2, 3, 3] {
            cluster.snapshot.put(at(octet));
            let built = translator.translate(&cluster.snapshot, &cluster.settings);
            assert_eq!(built, translate(&cluster.snapshot, &cluster.settings), "{name}");
            let text = built.routes.to_string();
            assert!(text.contains(&format!("10.0.1.{octet}:80")), "{text}");
            cluster.remember(&built);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(100), failure_persistence: None, ..ProptestConfig::default() })]

    /// Few objects that stay, so that the short way is taken, and changes of what they name.
    #[test]
    fn incremental_translation_follows_what_is_named(
        users in vec((any::<bool>(), links()), 1..6),
        changes in vec((select(&["a", "b", "c"][..]), 1..5_u16), 1..12),
    ) {
        let mut cluster = Cluster::new(HostOwnership::Namespace);
        for name in ["a", "b", "c", "web"] {
            cluster.snapshot.put(service(name));
        }
        for (number, (is_service, links)) in users.into_iter().enumerate() {
            let name = format!("user-{number}");
            if is_service {
                let mut user = exposed(&name, []);
                user.meta.annotations.extend(links);
                cluster.snapshot.put(user);
            } else {
                let mut user = with_rule(&name, Some(&format!("{name}.example.com")), vec![prefix("/")]);
                user.meta.annotations.extend(links);
                cluster.snapshot.put(user);
            }
        }
        let mut translator = Translator::default();
        // What the first has made of owners is what the second begins with.
        for change in [None, None].into_iter().chain(changes.into_iter().map(Some)) {
            if let Some((name, port)) = change {
                let mut moved = service(name);
                moved.ports[0].port = port;
                cluster.snapshot.put(moved);
            }
            let expected = translate(&cluster.snapshot, &cluster.settings);
            let built = translator.translate(&cluster.snapshot, &cluster.settings);
            prop_assert!(built == expected, "{}\n{}", built.routes, expected.routes);
            cluster.remember(&built);
        }
    }
}

/// The names of the hosts that are not as they were.
fn changed(after: &Routes, before: &Routes) -> Vec<String> {
    let changed = after.hosts.changed_keys(&before.hosts, Arc::ptr_eq);
    changed.into_iter().map(ToString::to_string).collect()
}

#[test]
fn only_hosts_of_a_change_are_rebuilt() {
    let mut snapshot = Snapshot::default();
    snapshot.put(class("sparrow"));
    snapshot.put(service("web"));
    for n in 0..100 {
        let host = format!("host-{n}.example.com");
        snapshot.put(with_rule(&format!("web-{n}"), Some(&host), vec![prefix("/")]));
    }
    snapshot.put(exposed("any", []));
    let (mut translator, settings) = (Translator::default(), settings());
    let mut before = translator.translate(&snapshot, &settings).routes;
    let mut next = |snapshot: &Snapshot| {
        let routes = translator.translate(snapshot, &settings).routes;
        let changed = changed(&routes, &before);
        before = routes;
        changed
    };
    assert_eq!(next(&snapshot.clone()), Vec::<String>::new());

    // Another path, on a host that another object has.
    let more = rule(Some("host-5.example.com"), vec![to(prefix("/more"), "later")]);
    snapshot.put(entry_model::Ingress { rules: vec![more], ..ingress("more") });
    assert_eq!(next(&snapshot), ["host-5.example.com"]);
    // Its Service, which was missing.
    snapshot.put(service("later"));
    assert_eq!(next(&snapshot), ["host-5.example.com"]);
    // A Service of its own, on all hosts.
    snapshot.put(exposed("other", []));
    assert_eq!(next(&snapshot), ["*"]);
    // It leads elsewhere.
    let mut moved = service("later");
    moved.ports[0].port = 81;
    snapshot.put(moved);
    assert_eq!(next(&snapshot), ["host-5.example.com"]);
    snapshot.remove(&ObjectRef::new(Kind::Ingress, crate::support::key("shop", "web-7")));
    assert_eq!(next(&snapshot), ["host-7.example.com"]);
}

#[test]
fn host_shares_with_what_it_was_the_rules_that_are_as_they_were() {
    let mut snapshot = Snapshot::default();
    for n in 0..100 {
        snapshot.put(exposed(&format!("web-{n}"), []));
    }
    let (mut translator, settings) = (Translator::default(), settings());
    let rules = |built: Translation| built.routes.hosts[&entry_model::HostName::Any].rules.clone();
    let before = rules(translator.translate(&snapshot, &settings));
    let mut moved = exposed("web-7", []);
    moved.ports[0].port = 81;
    snapshot.put(moved);
    let after = rules(translator.translate(&snapshot, &settings));
    let names =
        after.unshared(&before).map(|rules| rules.iter().map(|rule| &*rule.origin.key.name).collect::<Vec<_>>());
    assert_eq!(names, [["web-7"], ["web-7"]]);
}
