//! Paths that come and go on a host are followed without a look at its others.

use std::sync::{Arc, LazyLock, Mutex};

use entry_model::{HostOwners, Ingress, IngressPath, Kind, Meta, Namespace, Object, ObjectRef, Secret, Service};
use entry_translate::{Bound, Bounds, HostOwnership, Translator, Way, translate};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::by_host::{Cluster, cases};
use crate::support::{
    backend, exact, exposed, ingress, key, port, prefix, rule, secret, service, slice, tls, with_rule,
};

/// What happens between two snapshots.
#[derive(Debug, Clone)]
enum Change {
    Put(Object),
    Remove(ObjectRef),
    /// What translations made of owners comes back, as the API server has it, but for one of these, which is nobody's or another's.
    Record(Option<(&'static str, Option<&'static str>)>),
    /// The record of the entry itself is lost.
    Forget,
}

const PATHS: &[&str] = &["/", "/a", "/a/x", "/a/y", "/b", "/b/long/one", "/c", "/d", "/e", "/f"];
const ANNOTATIONS: &[(&str, &str)] = &[
    ("sparrow/read-timeout", "5s"),
    ("sparrow/backends", "endpoints"),
    ("sparrow/ssl-redirect", "true"),
    ("sparrow/ssl-redirect", "false"),
    ("sparrow/strip-prefix", "true"),
    ("sparrow/affinity", "cookie"),
    ("nginx.ingress.kubernetes.io/use-regex", "true"),
    ("nginx.ingress.kubernetes.io/limit-rps", "2"),
];
const ANNOTATIONS_FOR_ALL: &[(&str, &str)] = &[
    ("sparrow/canary", "true"),
    ("sparrow/aliases", "many.example.com"),
    ("sparrow/path-regex", "true"),
    ("sparrow/app-root", "/app"),
    ("sparrow/tls-passthrough", "true"),
    ("nginx.ingress.kubernetes.io/server-snippet", "return 403;"),
    ("nginx.ingress.kubernetes.io/server-snippet", "location /a { deny all; }"),
    ("sparrow/client-certificate-secret", "for"),
];

fn any_annotation() -> impl Strategy<Value = Option<(&'static str, &'static str)>> {
    prop_oneof![20 => Just(None), 8 => select(ANNOTATIONS).prop_map(Some), 1 => select(ANNOTATIONS_FOR_ALL).prop_map(Some)]
}

fn any_path() -> impl Strategy<Value = IngressPath> {
    let text = prop_oneof![40 => select(PATHS), 1 => Just("/.well-known/acme-challenge/x")];
    (text, prop::bool::weighted(0.3), prop::bool::weighted(0.1)).prop_map(|(text, is_exact, is_lost)| {
        let path = if is_exact { exact(text) } else { prefix(text) };
        IngressPath { backend: backend(if is_lost { "lost" } else { "web" }), ..path }
    })
}

fn any_host() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![
        12 => Just(Some("many.example.com")),
        8 => Just(None),
        2 => Just(Some("more.example.com")),
        1 => Just(Some("*.example.com")),
    ]
}

fn namespace() -> impl Strategy<Value = &'static str> {
    select(&["shop", "shop", "shop", "other"][..])
}

fn any_ingress() -> impl Strategy<Value = Ingress> {
    let name = select(&["a", "b", "c", "k", "x", "z"][..]);
    let rules = vec((any_host(), vec(any_path(), 1..4)), 0..3);
    let has_default = prop::bool::weighted(0.03);
    let tls_of = proptest::option::weighted(
        0.15,
        (select(&["many.example.com", "x.example.com"][..]), select(&["for", "not"][..])),
    );
    (name, namespace(), 0..3_i64, rules, any_annotation(), has_default, tls_of).prop_map(
        |(name, namespace, created, rules, annotation, has_default, tls_of)| {
            let rules = rules.into_iter().map(|(host, paths)| rule(host, paths)).collect();
            let tls = tls_of.into_iter().map(|(host, secret)| tls(&[host], secret)).collect();
            let mut ingress =
                Ingress { rules, tls, default_backend: has_default.then(|| backend("web")), ..ingress(name) };
            namespace.clone_into(&mut ingress.meta.namespace);
            ingress.meta.created = created;
            ingress.meta.annotations.extend(annotation.map(|(name, value)| (name.to_owned(), value.to_owned())));
            ingress
        },
    )
}

fn any_service() -> impl Strategy<Value = Service> {
    let name = select(&["web", "own", "zoo"][..]);
    (name, namespace(), any::<bool>(), 80..83_u16, any_annotation(), proptest::option::weighted(0.5, select(PATHS)))
        .prop_map(|(name, namespace, is_exposed, number, annotation, path)| {
            let mut own = if is_exposed { exposed(name, []) } else { service(name) };
            own.ports.push(port("more", number));
            namespace.clone_into(&mut own.meta.namespace);
            let path = path.map(|path| ("sparrow/path", path));
            let annotations = annotation.into_iter().chain(path);
            own.meta.annotations.extend(annotations.map(|(name, value)| (name.to_owned(), value.to_owned())));
            own
        })
}

fn any_change() -> impl Strategy<Value = Change> {
    let removed = |kind, name: &str, namespace: &str| Change::Remove(ObjectRef::new(kind, key(namespace, name)));
    let owners = (select(&["many.example.com", "*/a", "*/b", "*/"][..]), proptest::option::of(namespace()));
    prop_oneof![
        24 => any_ingress().prop_map(|one| Change::Put(one.into())),
        5 => any_service().prop_map(|one| Change::Put(one.into())),
        8 => (select(&["a", "b", "c", "k", "x", "z"][..]), namespace())
            .prop_map(move |(name, namespace)| removed(Kind::Ingress, name, namespace)),
        1 => (select(&["web", "own", "zoo"][..]), namespace())
            .prop_map(move |(name, namespace)| removed(Kind::Service, name, namespace)),
        4 => proptest::option::weighted(0.3, owners).prop_map(Change::Record),
        1 => Just(Change::Forget),
        1 => Just(Change::Put(slice("web-1", "web", [("10.1.0.1", entry_model::EndpointState::Ready)]).into())),
    ]
}

impl Change {
    fn apply(self, cluster: &mut Cluster) {
        match self {
            Self::Put(object) => drop(cluster.snapshot.put(object)),
            Self::Remove(object) => drop(cluster.snapshot.remove(&object)),
            Self::Record(but) => {
                let mut owners =
                    cluster.settings.host_owners.first().map(|own| HostOwners::clone(own)).unwrap_or_default();
                if let Some((key, owner)) = but {
                    owners.set_owner(key, owner);
                }
                cluster.snapshot.host_owners = Arc::new(owners);
            }
            Self::Forget => cluster.settings.host_owners = vec![Arc::default()],
        }
    }
}

/// Making keys takes time.
static SECRETS: LazyLock<[Secret; 2]> = LazyLock::new(|| {
    let mut of = secret("for", &["many.example.com"]);
    of.authorities.clone_from(&of.certificate);
    [of, secret("not", &["x.example.com"])]
});

/// Two hosts with some paths, of which the named one may have a certificate.
fn cluster(ownership: HostOwnership, certificate: Option<&str>) -> Cluster {
    let mut cluster = Cluster::new(ownership);
    for namespace in ["shop", "other"] {
        let mut web = service("web");
        namespace.clone_into(&mut web.meta.namespace);
        cluster.snapshot.put(web);
        for secret in &*SECRETS {
            let mut secret = secret.clone();
            namespace.clone_into(&mut secret.meta.namespace);
            cluster.snapshot.put(secret);
        }
    }
    let mut stays = with_rule("stays", Some("many.example.com"), vec![prefix("/stays"), exact("/stays")]);
    stays.rules.push(rule(None, vec![prefix("/stays")]));
    stays.meta.created = -1;
    stays.tls.extend(certificate.map(|secret| tls(&["many.example.com"], secret)));
    cluster.snapshot.put(stays);
    let mut others = with_rule("stays", None, vec![prefix("/others")]);
    "other".clone_into(&mut others.meta.namespace);
    cluster.snapshot.put(others);
    cluster
}

/// How many of the steps of [`every_way_equals_the_whole_one`] went which way.
static WAYS: Mutex<[usize; 3]> = Mutex::new([0; 3]);

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(200), failure_persistence: None, ..ProptestConfig::default() })]

    fn every_way_equals_the_whole_one(
        changes in vec(vec(any_change(), 1..3), 1..24),
        owned in prop::bool::weighted(0.8),
        listed in proptest::option::weighted(0.15, select(&["many.example.com", "many.example.com *", "*.example.com *"][..])),
        certificate in proptest::option::weighted(0.4, select(&["for", "not", "gone"][..])),
        bounds in prop_oneof![4 => Just(Bounds::NONE), 1 => (4..20_usize, 8..40_usize).prop_map(|(namespace, all)| {
            let bound = Bound { namespace, all };
            Bounds { hosts: bound, rules: bound, patterns: bound, certificates: bound, rates: bound }
        })],
    ) {
        let mut cluster = cluster(if owned { HostOwnership::Namespace } else { HostOwnership::None }, certificate);
        cluster.settings.bounds = bounds;
        for (name, hosts) in ["shop", "other"].into_iter().zip([Some("many.example.com *").filter(|_| listed == Some("many.example.com")), listed]) {
            let meta = Meta { name: name.to_owned(), ..Meta::default() };
            let hosts = hosts.map(str::to_owned);
            if hosts.is_some() {
                cluster.snapshot.put(Namespace { meta, hosts });
            }
        }
        let mut translator = Translator::default();
        for changes in std::iter::once(Vec::new()).chain(changes) {
            for change in changes {
                change.apply(&mut cluster);
            }
            let expected = translate(&cluster.snapshot, &cluster.settings);
            let built = translator.translate(&cluster.snapshot, &cluster.settings);
            prop_assert!(
                built == expected,
                "{:?}\n{}\n{:#?}\n{}\n{:#?}\n{:?}\n{:?}",
                translator.last_way(), built.routes, built.verdicts, expected.routes, expected.verdicts,
                built.host_owners, expected.host_owners,
            );
            let way = match translator.last_way() { Way::Whole => 0, Way::Hosts => 1, Way::Objects => 2 };
            WAYS.lock().expect("no other thread panics")[way] += 1;
            cluster.remember(&built);
        }
    }
}

#[test]
fn paths_that_come_and_go_are_followed_alone() {
    every_way_equals_the_whole_one();
    let ways = WAYS.lock().expect("no other thread panics");
    println!("{ways:?}");
    // Usually it is a quarter.
    assert!(ways[2] * 10 > ways.iter().sum(), "{ways:?}");
}

/// How the changes of a cluster are followed, one after the other; each result is what the snapshot gives by itself.
struct Followed {
    cluster: Cluster,
    translator: Translator,
}

impl Followed {
    fn new(cluster: Cluster) -> Self {
        let mut followed = Self { cluster, translator: Translator::default() };
        followed.follow();
        followed
    }

    fn follow(&mut self) -> Way {
        let Self { cluster, translator } = self;
        let built = translator.translate(&cluster.snapshot, &cluster.settings);
        assert_eq!(built, translate(&cluster.snapshot, &cluster.settings));
        cluster.remember(&built);
        translator.last_way()
    }

    fn put(&mut self, object: impl Into<Object>) -> Way {
        self.cluster.snapshot.put(object);
        self.follow()
    }

    fn remove(&mut self, kind: Kind, namespace: &str, name: &str) -> Way {
        self.cluster.snapshot.remove(&ObjectRef::new(kind, key(namespace, name)));
        self.follow()
    }
}

fn on_named_host(name: &str, paths: &[&str]) -> Ingress {
    with_rule(name, Some("many.example.com"), paths.iter().map(|path| prefix(path)).collect())
}

#[test]
fn path_of_a_host_comes_changes_and_goes_alone() {
    for certificate in [None, Some("for"), Some("gone")] {
        let mut followed = Followed::new(cluster(HostOwnership::Namespace, certificate));
        // As the first of all, with the last among those of one object, and at the beginning of all.
        assert_eq!(followed.put(on_named_host("a", &["/b"])), Way::Objects);
        assert_eq!(followed.put(on_named_host("z", &["/a", "/c", "/stays/below"])), Way::Objects);
        assert_eq!(followed.put(on_named_host("a", &["/d", "/e"])), Way::Objects);
        assert_eq!(followed.put(on_named_host("a", &["/e"])), Way::Objects);
        assert_eq!(followed.remove(Kind::Ingress, "shop", "z"), Way::Objects);
        assert_eq!(followed.remove(Kind::Ingress, "shop", "a"), Way::Objects);
    }
}

#[test]
fn path_of_an_object_that_names_the_certificate_of_its_host_comes_and_goes_alone() {
    let mut followed = Followed::new(cluster(HostOwnership::Namespace, Some("for")));
    let with_tls = |paths: &[&str]| {
        let mut ingress = on_named_host("a", paths);
        ingress.tls = vec![tls(&["many.example.com"], "for")];
        ingress
    };
    assert_eq!(followed.put(with_tls(&["/a"])), Way::Hosts);
    assert_eq!(followed.put(with_tls(&["/a", "/b"])), Way::Objects);
    assert_eq!(followed.put(with_tls(&["/c"])), Way::Objects);
    let mut other = with_tls(&["/c"]);
    other.tls[0].secret = Some("not".to_owned());
    assert_eq!(followed.put(other.clone()), Way::Hosts);
    // It is told that another certificate stays in force.
    other.rules[0].paths.push(prefix("/d"));
    assert_eq!(followed.put(other), Way::Hosts);
}

#[test]
fn path_of_all_hosts_comes_and_goes_alone_with_its_first_segment() {
    let mut followed = Followed::new(cluster(HostOwnership::Namespace, None));
    assert_eq!(followed.put(exposed("volume", [])), Way::Objects);
    // What translations made of it is recorded by the API server later.
    followed.cluster.snapshot.host_owners = Arc::clone(&followed.cluster.settings.host_owners[0]);
    assert_eq!(followed.follow(), Way::Objects);
    let mut below = exposed("below", [("sparrow/path", "/volume/below")]);
    assert_eq!(followed.put(below.clone()), Way::Objects);
    assert_eq!(followed.remove(Kind::Service, "shop", "volume"), Way::Objects);
    assert_eq!(followed.remove(Kind::Service, "shop", "below"), Way::Objects);
    assert_eq!(followed.cluster.settings.host_owners[0].owner_of("*/volume"), None);
    // The record of another namespace, which does not ask for it.
    "third".clone_into(&mut below.meta.namespace);
    assert_ne!(followed.put(below), Way::Objects);
}

#[test]
fn segment_goes_to_whoever_else_asks_when_its_last_path_goes() {
    let mut followed = Followed::new(cluster(HostOwnership::Namespace, None));
    followed.put(exposed("volume", []));
    // Beside a path of its own.
    let mut rival = with_rule("rival", None, vec![prefix("/volume"), prefix("/others/more")]);
    "other".clone_into(&mut rival.meta.namespace);
    followed.put(rival);
    followed.put(exposed("unrelated", []));
    assert_eq!(followed.cluster.settings.host_owners[0].owner_of("*/volume"), Some("shop"));
    assert_ne!(followed.remove(Kind::Service, "shop", "volume"), Way::Objects);
    assert_eq!(followed.cluster.settings.host_owners[0].owner_of("*/volume"), Some("other"));
}

#[test]
fn hosts_are_looked_at_where_paths_are_not_for_one_object_alone() {
    let base = || Followed::new(cluster(HostOwnership::Namespace, None));
    let mut followed = base();
    assert_eq!(followed.put(on_named_host("rival", &["/stays"])), Way::Hosts);
    assert_eq!(followed.remove(Kind::Ingress, "shop", "rival"), Way::Hosts);
    let mut denied = on_named_host("denied", &["/a"]);
    "other".clone_into(&mut denied.meta.namespace);
    assert_eq!(followed.put(denied), Way::Hosts);
    assert_eq!(followed.put(on_named_host("twice", &["/a", "/a"])), Way::Hosts);
    let mut for_all = on_named_host("for-all", &["/b"]);
    for_all.meta.annotations.insert("sparrow/canary".to_owned(), "true".to_owned());
    assert_eq!(followed.put(for_all), Way::Hosts);
    // The last one of its namespace there.
    assert_ne!(base().remove(Kind::Ingress, "shop", "stays"), Way::Objects);
    let mut with_certificate = Followed::new(cluster(HostOwnership::Namespace, Some("not")));
    assert_eq!(with_certificate.put(on_named_host("a", &["/a"])), Way::Hosts);
}

#[test]
fn paths_of_a_host_of_very_many_are_followed_alone() {
    let mut cluster = cluster(HostOwnership::Namespace, None);
    for number in 0..3000 {
        cluster.snapshot.put(on_named_host(&format!("many-{number}"), &[&format!("/{number}")]));
    }
    let mut followed = Followed::new(cluster);
    assert_eq!(followed.put(on_named_host("many-2500", &["/2500", "/more"])), Way::Objects);
    assert_eq!(followed.put(on_named_host("added", &["/0/below", "/9999"])), Way::Objects);
    assert_eq!(followed.remove(Kind::Ingress, "shop", "many-7"), Way::Objects);
    assert_eq!(followed.remove(Kind::Ingress, "shop", "added"), Way::Objects);
}
