//! Objects that come, go, or ask for something else are followed without a look at all that there is.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use entry_model::{EndpointSlice, EndpointState, Ingress, Kind, Meta, Namespace, ObjectRef, Secret, SliceEndpoint};
use entry_translate::{Bound, Bounds, HostOwnership, Translator, Way, translate};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::by_host::{Cluster, cases};
use crate::support::{backend, exposed, ingress, key, prefix, rule, secret, service, slice, tls, with_rule};

/// How an Ingress of a few hosts and paths changes.
#[derive(Debug, Clone)]
struct SmallChange {
    object: &'static str,
    namespace: &'static str,
    /// What it asks for from now on; nothing if it is taken out.
    asked: Option<SmallIngress>,
    /// Whether what earlier translations made comes back with the next snapshot, as the API server has it.
    is_recorded: bool,
    /// How many endpoints the Service of its namespace has from now on, if that changes too.
    endpoints: Option<usize>,
    /// What a Secret of its namespace has from now on, if that changes instead of the object.
    secret: Option<(&'static str, SecretContent)>,
}

#[derive(Debug, Clone, Copy)]
enum SecretContent {
    /// What the Secret of this number has.
    Of(usize),
    /// No certificate can be read of it.
    Broken,
    /// There is none.
    Gone,
}

#[derive(Debug, Clone)]
struct SmallIngress {
    created: i64,
    rules: Vec<(&'static str, &'static str)>,
    tls: Option<(&'static str, &'static str)>,
    annotation: Option<(&'static str, &'static str)>,
    has_default: bool,
}

const SMALL_HOSTS: &[&str] =
    &["a.example.com", "b.example.com", "c.example.com", "d.example.org", "e.example.org", "f.example.net"];
const SMALL_ANNOTATIONS: &[(&str, &str)] = &[
    ("sparrow/read-timeout", "5s"),
    ("sparrow/canary", "true"),
    ("sparrow/aliases", "e.example.org"),
    ("sparrow/path-regex", "true"),
    ("sparrow/ssl-redirect", "false"),
    ("sparrow/app-root", "/app"),
    ("sparrow/tls-passthrough", "true"),
    ("nginx.ingress.kubernetes.io/limit-rps", "2"),
    ("nginx.ingress.kubernetes.io/server-snippet", "return 403;"),
    ("nginx.ingress.kubernetes.io/server-snippet", "location /p { deny all; }"),
    ("sparrow/client-certificate-secret", "a"),
    ("sparrow/backends", "endpoints"),
];

fn small_ingress() -> impl Strategy<Value = SmallIngress> {
    let host = prop_oneof![30 => select(SMALL_HOSTS), 1 => select(&["*.example.com", "", "*.example.org"][..])];
    let challenge = Just("/.well-known/acme-challenge/x");
    let path = prop_oneof![20 => select(&["/", "/p", "/q", "/p/q"][..]), 1 => challenge];
    let of_host = select(SMALL_HOSTS);
    let tls = prop_oneof![20 => of_host, 1 => Just("*.example.com")];
    let tls = proptest::option::weighted(0.3, (tls, select(&["a", "b", "c"][..])));
    let annotation = proptest::option::weighted(0.3, select(SMALL_ANNOTATIONS));
    (0..3_i64, vec((host, path), 1..3), tls, annotation, prop::bool::weighted(0.04)).prop_map(
        |(created, rules, tls, annotation, has_default)| SmallIngress { created, rules, tls, annotation, has_default },
    )
}

fn small_change() -> impl Strategy<Value = SmallChange> {
    let object = select(&["one", "two", "three", "four"][..]);
    let namespace = select(&["shop", "shop", "other", "third"][..]);
    let asked = proptest::option::weighted(0.75, small_ingress());
    let content = prop_oneof![6 => (0..4_usize).prop_map(SecretContent::Of), 1 => Just(SecretContent::Broken), 1 => Just(SecretContent::Gone)];
    let secret = proptest::option::weighted(0.25, (select(&["a", "b", "c", "stays"][..]), content));
    let recorded = prop::bool::weighted(0.3);
    (object, namespace, asked, recorded, proptest::option::weighted(0.2, 0..3_usize), secret).prop_map(
        |(object, namespace, asked, is_recorded, endpoints, secret)| SmallChange {
            object,
            namespace,
            asked,
            is_recorded,
            endpoints,
            secret,
        },
    )
}

impl SmallChange {
    /// What of it is worth telling apart.
    fn kind(&self, cluster: &Cluster) -> &'static str {
        if self.secret.is_some() {
            return "Secret";
        }
        let before = cluster.snapshot.ingresses.get(&key(self.namespace, self.object));
        match (before, &self.asked) {
            (None, None) => "nothing",
            (Some(_), None) => "removed",
            (None, Some(asked)) if asked.tls.is_some() => "added with TLS",
            (None, Some(asked)) if asked.annotation.is_some() => "added with an annotation",
            (None, Some(_)) => "added",
            (Some(_), Some(_)) => "asks for something else",
        }
    }

    fn apply(&self, cluster: &mut Cluster) {
        if let Some(count) = self.endpoints {
            cluster.snapshot.put(slice_of(self.namespace, count));
        }
        if let Some((name, content)) = self.secret {
            put_secret(cluster, self.namespace, name, content);
            return;
        }
        let Some(asked) = &self.asked else {
            let key = key(self.namespace, self.object);
            cluster.snapshot.remove(&ObjectRef::new(Kind::Ingress, key));
            return;
        };
        let rules = asked.rules.iter().map(|(host, path)| {
            let host = Some(*host).filter(|host| !host.is_empty());
            rule(host, vec![prefix(path)])
        });
        let tls = asked.tls.iter().map(|(host, secret)| tls(&[host], secret)).collect();
        let default_backend = asked.has_default.then(|| backend("web"));
        let mut changed = Ingress { rules: rules.collect(), tls, default_backend, ..ingress(self.object) };
        self.namespace.clone_into(&mut changed.meta.namespace);
        changed.meta.created = asked.created;
        changed.meta.annotations.extend(asked.annotation.map(|(name, value)| (name.to_owned(), value.to_owned())));
        cluster.snapshot.put(changed);
    }
}

/// Gives a Secret of a namespace another content.
fn put_secret(cluster: &mut Cluster, namespace: &str, name: &str, content: SecretContent) {
    let mut secret = match content {
        SecretContent::Of(number) => SMALL_SECRETS[number].clone(),
        SecretContent::Broken => {
            let mut broken = SMALL_SECRETS[0].clone();
            broken.certificate = b"no certificate".to_vec();
            broken
        }
        SecretContent::Gone => {
            cluster.snapshot.remove(&ObjectRef::new(Kind::Secret, key(namespace, name)));
            return;
        }
    };
    namespace.clone_into(&mut secret.meta.namespace);
    name.clone_into(&mut secret.meta.name);
    cluster.snapshot.put(secret);
}

/// A slice of the Service of a namespace, with so many endpoints.
fn slice_of(namespace: &str, count: usize) -> EndpointSlice {
    let mut slice = slice("web-1", "web", []);
    namespace.clone_into(&mut slice.meta.namespace);
    let endpoint = |number| SliceEndpoint { address: [10, 1, 0, number].into(), state: EndpointState::Ready };
    slice.endpoints = (1_u8..).map(endpoint).take(count).collect();
    slice
}

/// Namespaces with a Service, Secrets, and an Ingress that declares TLS each, on a host of its own. Two have the same certificate.
fn small_cluster(ownership: HostOwnership, listed: Option<&str>, bounds: Bounds) -> Cluster {
    let mut cluster = Cluster::new(ownership);
    cluster.settings.bounds = bounds;
    for namespace in ["shop", "other", "third"] {
        let mut web = service("web");
        namespace.clone_into(&mut web.meta.namespace);
        cluster.snapshot.put(web);
        for secret in &SMALL_SECRETS[..2] {
            let mut secret = secret.clone();
            namespace.clone_into(&mut secret.meta.namespace);
            cluster.snapshot.put(secret);
        }
        let mut own = SMALL_SECRETS[if namespace == "other" { 3 } else { 2 }].clone();
        "stays".clone_into(&mut own.meta.name);
        namespace.clone_into(&mut own.meta.namespace);
        cluster.snapshot.put(own);
        let mut stays = with_rule("stays", Some(&format!("{namespace}.example")), vec![prefix("/")]);
        namespace.clone_into(&mut stays.meta.namespace);
        stays.tls = vec![tls(&[&format!("{namespace}.example")], "stays")];
        cluster.snapshot.put(stays);
    }
    if let Some(hosts) = listed {
        let meta = Meta { name: "other".to_owned(), ..Meta::default() };
        cluster.snapshot.put(Namespace { meta, hosts: Some(hosts.to_owned()) });
    }
    cluster
}

/// Making keys takes time.
static SMALL_SECRETS: LazyLock<[Secret; 4]> = LazyLock::new(|| {
    let names = |hosts: &[&str]| secret("a", hosts);
    let mut second = names(&["c.example.com", "*.example.com"]);
    "b".clone_into(&mut second.meta.name);
    let mut first = names(&["a.example.com", "d.example.org"]);
    first.authorities.clone_from(&first.certificate);
    [first, second, names(&["shop.example"]), names(&["other.example"])]
});

/// How many of the steps of [`short_way_equals_a_full_one`] went the short way, by what was changed.
static WAYS: Mutex<BTreeMap<&str, (usize, usize)>> = Mutex::new(BTreeMap::new());

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(200), failure_persistence: None, ..ProptestConfig::default() })]

    /// Few kinds of changes, so that the short way is taken, on few hosts, so that objects meet.
    fn short_way_equals_a_full_one(
        changes in vec(vec(small_change(), 1..3), 1..20),
        owned in prop::bool::weighted(0.8),
        listed in proptest::option::weighted(0.2, select(&["a.example.com", "*.example.com b.example.com", "d.example.org *"][..])),
        bounds in prop_oneof![2 => Just(Bounds::NONE), 1 => (2..9_usize, 4..40_usize).prop_map(|(namespace, all)| {
            let bound = Bound { namespace, all };
            Bounds { hosts: bound, rules: bound, patterns: bound, certificates: bound, rates: bound }
        })],
    ) {
        let ownership = if owned { HostOwnership::Namespace } else { HostOwnership::None };
        let mut cluster = small_cluster(ownership, listed, bounds);
        let mut translator = Translator::default();
        for changes in [vec![], vec![]].into_iter().chain(changes) {
            let mut what = None;
            for change in &changes {
                what = (changes.len() == 1).then(|| change.kind(&cluster));
                change.apply(&mut cluster);
                if change.is_recorded {
                    cluster.snapshot.host_owners = cluster.settings.host_owners.first().cloned().unwrap_or_default();
                }
            }
            let expected = translate(&cluster.snapshot, &cluster.settings);
            let built = translator.translate(&cluster.snapshot, &cluster.settings);
            prop_assert!(
                built == expected,
                "{:?}\n{}\n{:#?}\n{}\n{:#?}\n{:?}\n{:?}",
                translator.last_way(), built.routes, built.verdicts, expected.routes, expected.verdicts,
                built.host_owners, expected.host_owners,
            );
            let mut used: Vec<_> = built.routes.rules().map(|rule| rule.policy).collect();
            used.sort();
            used.dedup();
            prop_assert!(used.iter().all(|id| built.routes.policies.get(*id).is_some()));
            prop_assert!(built.routes.policies.len() <= used.len() + expected.routes.policies.len());
            if let Some(what) = what {
                let mut ways = WAYS.lock().expect("no other thread panics");
                let (short, all) = ways.entry(what).or_default();
                *short += usize::from(translator.last_way() != Way::Whole);
                *all += 1;
            }
            cluster.remember(&built);
        }
    }
}

#[test]
fn objects_that_come_and_go_take_the_short_way() {
    short_way_equals_a_full_one();
    let ways = WAYS.lock().expect("no other thread panics");
    for (what, (short, all)) in &*ways {
        // Usually it is a third and more.
        assert!(short * 10 > *all, "{what}: {short} of {all}");
    }
    println!("{ways:?}");
}

/// Which way a change of a small cluster goes; the result is what the snapshot gives by itself.
fn way(change: impl FnOnce(&mut Cluster)) -> Way {
    way_among(None, change)
}

/// The same where an Ingress is beside the others.
fn way_among(other: Option<Ingress>, change: impl FnOnce(&mut Cluster)) -> Way {
    let bound = Bound { namespace: 12, all: 40 };
    let bounds = Bounds { hosts: bound, rules: bound, patterns: bound, certificates: bound, rates: bound };
    let mut cluster = small_cluster(HostOwnership::Namespace, None, bounds);
    for (name, host) in
        [("first", "first.example.com"), ("wild", "*.wild.example.com"), ("below", "a.wild.example.com")]
    {
        cluster.snapshot.put(with_rule(name, Some(host), vec![prefix("/")]));
    }
    let mut denied = with_rule("denied", Some("first.example.com"), vec![prefix("/denied")]);
    "other".clone_into(&mut denied.meta.namespace);
    denied.meta.created = 5;
    cluster.snapshot.put(denied);
    cluster.snapshot.ingresses.extend(other.map(|other| (other.meta.key().into(), other.into())));
    let mut translator = Translator::default();
    // Where there is no room for all, it matters what the first makes of owners.
    for _ in 0..2 {
        let built = translator.translate(&cluster.snapshot, &cluster.settings);
        cluster.remember(&built);
    }
    change(&mut cluster);
    let built = translator.translate(&cluster.snapshot, &cluster.settings);
    assert_eq!(built, translate(&cluster.snapshot, &cluster.settings));
    translator.last_way()
}

fn put(changed: Ingress) -> Way {
    way(|cluster| {
        cluster.snapshot.put(changed);
    })
}

fn remove(name: &str) -> Way {
    way(|cluster| {
        cluster.snapshot.remove(&ObjectRef::new(Kind::Ingress, key("shop", name)));
    })
}

#[test]
fn short_way_is_for_what_is_decided_on_few_hosts() {
    assert_eq!(put(with_rule("new", Some("new.example.com"), vec![prefix("/")])), Way::Hosts);
    // On a host of another object, of the same namespace and of another.
    assert_eq!(put(with_rule("new", Some("first.example.com"), vec![prefix("/more")])), Way::Objects);
    assert_eq!(put(with_rule("new", Some("other.example"), vec![prefix("/more")])), Way::Hosts);
    // On one of which something was denied, below a wildcard, and on another host than before.
    assert_eq!(put(with_rule("first", Some("first.example.com"), vec![prefix("/other")])), Way::Objects);
    assert_eq!(put(with_rule("new", Some("b.wild.example.com"), vec![prefix("/")])), Way::Hosts);
    assert_eq!(put(with_rule("first", Some("moved.example.com"), vec![prefix("/")])), Way::Hosts);
    assert_eq!(remove("first"), Way::Hosts);
    let mut with_tls = with_rule("new", Some("a.example.com"), vec![prefix("/")]);
    with_tls.tls = vec![tls(&["a.example.com"], "a")];
    assert_eq!(put(with_tls), Way::Hosts);
    let mut canary = with_rule("canary", Some("first.example.com"), vec![prefix("/")]);
    canary.meta.annotations.insert("sparrow/canary".to_owned(), "true".to_owned());
    assert_eq!(put(canary), Way::Hosts);
    let with_service = way(|cluster| {
        cluster.snapshot.put(service("new"));
    });
    assert_eq!(with_service, Way::Objects);
}

#[test]
fn first_change_takes_the_short_way() {
    let mut cluster = small_cluster(HostOwnership::Namespace, None, Bounds::NONE);
    // Others ask for a host, and for one below a wildcard.
    for (name, namespace, host) in
        [("wild", "shop", "*.shop.example"), ("own", "shop", "b.shop.example"), ("denied", "other", "b.shop.example")]
    {
        let mut ingress = with_rule(name, Some(host), vec![prefix("/")]);
        namespace.clone_into(&mut ingress.meta.namespace);
        cluster.snapshot.put(ingress);
    }
    let mut translator = Translator::default();
    // What it makes of owners, and of Secrets, is what the next one begins with.
    let built = translator.translate(&cluster.snapshot, &cluster.settings);
    assert_eq!(translator.last_way(), Way::Whole);
    assert!(built.host_owners != cluster.settings.host_owners[0] && built.last_good != cluster.settings.last_good);
    cluster.remember(&built);
    cluster.snapshot.put(with_rule("new", Some("new.example.com"), vec![prefix("/")]));
    let built = translator.translate(&cluster.snapshot, &cluster.settings);
    assert_eq!(built, translate(&cluster.snapshot, &cluster.settings));
    assert_eq!(translator.last_way(), Way::Hosts);
}

#[test]
fn certificates_that_are_renewed_take_the_short_way() {
    let put = |name: &'static str, content| way(move |cluster| put_secret(cluster, "other", name, content));
    assert_eq!(put("stays", SecretContent::Of(1)), Way::Hosts);
    assert_eq!(put("stays", SecretContent::Broken), Way::Hosts);
    assert_eq!(put("stays", SecretContent::Gone), Way::Hosts);
    assert_eq!(put("nobody-names-it", SecretContent::Of(0)), Way::Hosts);
    // Another Secret has the same.
    assert_eq!(put("stays", SecretContent::Of(2)), Way::Hosts);
    // For all hosts below a wildcard.
    let mut wild = with_rule("wild", Some("*.wild.example.com"), vec![prefix("/")]);
    wild.tls = vec![tls(&["*.wild.example.com"], "a")];
    assert_eq!(way_among(Some(wild), |cluster| put_secret(cluster, "shop", "a", SecretContent::Of(1))), Way::Whole);
}

#[test]
fn endpoints_that_come_and_go_take_the_short_way() {
    let mut cluster = small_cluster(HostOwnership::Namespace, None, Bounds::NONE);
    let mut to_endpoints = with_rule("pods", Some("pods.example"), vec![prefix("/")]);
    to_endpoints.meta.annotations.insert("sparrow/backends".to_owned(), "endpoints".to_owned());
    cluster.snapshot.put(to_endpoints);
    let mut translator = Translator::default();
    let mut way_of = |cluster: &mut Cluster| {
        let built = translator.translate(&cluster.snapshot, &cluster.settings);
        assert_eq!(built, translate(&cluster.snapshot, &cluster.settings));
        cluster.remember(&built);
        let counts: Vec<_> = built.routes.endpoints.values().map(|endpoints| endpoints.len()).collect();
        (translator.last_way() != Way::Whole, counts)
    };
    way_of(&mut cluster);
    way_of(&mut cluster);
    // That there are none is told to the Ingress.
    for count in [1, 2, 1, 0, 0] {
        cluster.snapshot.put(slice_of("shop", count));
        assert_eq!(way_of(&mut cluster), (true, vec![count]));
    }
    // Objects that lead to them, of the same Service and of another.
    let pods_of = |name: &str, namespace: &str| {
        let mut pods = with_rule(name, Some(&format!("{name}.example")), vec![prefix("/")]);
        namespace.clone_into(&mut pods.meta.namespace);
        pods.meta.annotations.insert("sparrow/backends".to_owned(), "endpoints".to_owned());
        pods
    };
    cluster.snapshot.put(pods_of("more", "shop"));
    assert_eq!(way_of(&mut cluster), (true, vec![0]));
    cluster.snapshot.put(pods_of("others", "other"));
    assert_eq!(way_of(&mut cluster), (true, vec![0, 0]));
    cluster.snapshot.put(slice_of("other", 2));
    assert_eq!(way_of(&mut cluster), (true, vec![2, 0]));
    let mut itself = exposed("web", [("sparrow/backends", "endpoints"), ("sparrow/path", "/itself")]);
    "other".clone_into(&mut itself.meta.namespace);
    cluster.snapshot.put(itself);
    way_of(&mut cluster);
    cluster.snapshot.put(slice_of("other", 0));
    assert_eq!(way_of(&mut cluster), (true, vec![0, 0]));
    cluster.snapshot.put(slice_of("other", 2));
    assert_eq!(way_of(&mut cluster), (true, vec![2, 0]));
    for name in ["more", "pods"] {
        cluster.snapshot.remove(&ObjectRef::new(Kind::Ingress, key("shop", name)));
        way_of(&mut cluster);
    }
    assert_eq!(way_of(&mut cluster), (true, vec![2]));
    // Nothing leads to them.
    cluster.snapshot.put(slice_of("other", 1));
    assert!(way_of(&mut cluster).0);
}

#[test]
fn default_that_was_denied_is_served_when_its_rival_goes() {
    let mut cluster = small_cluster(HostOwnership::Namespace, None, Bounds::NONE);
    cluster.snapshot.put(exposed("stays", []));
    cluster.snapshot.put(with_rule("rival", None, vec![prefix("/")]));
    let mut translator = Translator::default();
    let mut next = |cluster: &mut Cluster| {
        let built = translator.translate(&cluster.snapshot, &cluster.settings);
        assert_eq!(built, translate(&cluster.snapshot, &cluster.settings));
        cluster.remember(&built);
        built.routes.default.is_some()
    };
    assert!(!next(&mut cluster) && !next(&mut cluster));
    let mut denied = Ingress { default_backend: Some(backend("web")), ..ingress("denied") };
    "other".clone_into(&mut denied.meta.namespace);
    cluster.snapshot.put(denied);
    assert!(!next(&mut cluster) && !next(&mut cluster));
    cluster.snapshot.remove(&ObjectRef::new(Kind::Ingress, key("shop", "rival")));
    assert!(next(&mut cluster));
}

#[test]
fn host_for_challenges_has_the_rules_of_others_once_there_is_room() {
    let bound = Bound { namespace: 4, all: 7 };
    let bounds = Bounds { rules: bound, ..Bounds::NONE };
    let mut cluster = small_cluster(HostOwnership::None, None, bounds);
    cluster.snapshot.put(with_rule("all", None, vec![prefix("/")]));
    let mut solver = with_rule("solver", Some("a.example.com"), vec![prefix("/.well-known/acme-challenge/x")]);
    solver.rules.push(rule(Some("b.example.com"), vec![prefix("/")]));
    cluster.snapshot.put(solver);
    let mut older = with_rule("older", Some("b.example.com"), vec![prefix("/")]);
    "other".clone_into(&mut older.meta.namespace);
    let mut translator = Translator::default();
    // The older one takes the rule for which there is no room besides then.
    for change in [None, None, Some(older), None] {
        cluster.snapshot.ingresses.extend(change.map(|one| (one.meta.key().into(), one.into())));
        let built = translator.translate(&cluster.snapshot, &cluster.settings);
        assert_eq!(built, translate(&cluster.snapshot, &cluster.settings));
        cluster.remember(&built);
    }
}

#[test]
fn host_for_challenges_that_is_an_alias_too_has_the_rules_of_all_hosts() {
    let mut cluster = small_cluster(HostOwnership::None, None, Bounds::NONE);
    cluster.snapshot.put(with_rule("all", None, vec![prefix("/")]));
    let mut solver = with_rule("solver", Some("a.example.com"), vec![prefix("/")]);
    solver.rules.push(rule(Some("b.example.com"), vec![prefix("/.well-known/acme-challenge/x")]));
    solver.meta.annotations.insert("sparrow/aliases".to_owned(), "b.example.com".to_owned());
    let mut translator = Translator::default();
    for change in [None, None, Some(solver), None] {
        cluster.snapshot.ingresses.extend(change.map(|one| (one.meta.key().into(), one.into())));
        let built = translator.translate(&cluster.snapshot, &cluster.settings);
        assert_eq!(built, translate(&cluster.snapshot, &cluster.settings));
        cluster.remember(&built);
    }
}

#[test]
fn namespace_over_its_bounds_makes_only_its_own_changes_long() {
    let among = |change: Ingress| {
        let paths = (0..99).map(|number| prefix(&format!("/{number}"))).collect();
        let mut over = with_rule("over", Some("over.example.com"), paths);
        "greedy".clone_into(&mut over.meta.namespace);
        over.rules.extend((0..99).map(|number| rule(Some(&format!("{number}.over.example.com")), vec![prefix("/")])));
        way_among(Some(over), |cluster| {
            cluster.snapshot.put(change);
        })
    };
    let new = |namespace: &str, host: &str| {
        let mut new = with_rule("new", Some(host), vec![prefix("/")]);
        namespace.clone_into(&mut new.meta.namespace);
        new
    };
    assert_eq!(among(new("shop", "new.example.com")), Way::Hosts);
    assert_eq!(among(new("other", "new.example.com")), Way::Hosts);
    assert_eq!(among(new("greedy", "new.example.com")), Way::Whole);
    assert_eq!(among(new("shop", "over.example.com")), Way::Whole, "which of its rules stand there");
    assert_eq!(among(new("shop", "98.over.example.com")), Way::Whole, "whose rule does not stand there");
}

#[test]
fn whole_way_is_for_what_binds_many_hosts() {
    assert_eq!(put(with_rule("new", Some("*.example.com"), vec![prefix("/")])), Way::Whole);
    assert_eq!(remove("wild"), Way::Whole);
    let mut with_default = with_rule("new", Some("new.example.com"), vec![prefix("/")]);
    with_default.default_backend = Some(backend("web"));
    with_default.rules.clear();
    assert_eq!(put(with_default), Way::Whole);
    let many = (0..12).map(|number| prefix(&format!("/{number}"))).collect();
    assert_eq!(put(with_rule("new", Some("new.example.com"), many)), Way::Whole, "a bound");
    let solver = vec![prefix("/.well-known/acme-challenge/x")];
    assert_eq!(put(with_rule("solver", Some("new.example.com"), solver)), Way::Whole);
    // The first that all hosts get.
    let on_all_hosts = way(|cluster| {
        cluster.snapshot.put(exposed("new", []));
    });
    assert_eq!(on_all_hosts, Way::Whole);
    assert_eq!(way(|cluster| cluster.settings.now += 20 * 365 * 24 * 3600), Way::Whole);
    let mut elsewhere = with_rule("new", Some("new.example.com"), vec![prefix("/")]);
    "elsewhere".clone_into(&mut elsewhere.meta.namespace);
    elsewhere.tls = vec![tls(&[], "a")];
    assert_eq!(put(elsewhere), Way::Whole, "the first that declares TLS");
}
