//! What holds for all objects, whatever is in them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use entry_model::{
    Acceptance, Action, Backend, BackendAddress, EndpointSlice, EndpointState, HostName, Ingress, IngressBackend,
    IngressPath, IngressRule, IngressTls, IpFamily, Kind, Listener, Meta, ObjectRef, PathMatch, PathType, PortRef,
    Request, RoutingDecision, Rule, Secret, Service, ServiceKind, ServicePort, SliceEndpoint, SlicePort, Snapshot,
};
use entry_translate::{TranslateSettings, Translation, translate};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::support::{Objects, class, exposed, ingress, left_out, meta, prefix, secret, service, settings, with_rule};

/// Anything, and often one of a few, so that objects meet.
fn text(few: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![20 => proptest::sample::select(few).prop_map(str::to_owned), 1 => any::<String>(), 1 => "[ -~]{0,12}"]
}

const NAMES: &[&str] = &["a", "a", "b", "b", "c", "d", "e", "a%2Fb"];
const HOSTS: &[&str] = &[
    "a.example.com",
    "a.example.com",
    "A.example.com.",
    "*.example.com",
    "b.example.com",
    "",
    "例子.中国",
    "*",
    "::1",
];
const PATHS: &[&str] = &["/", "/a", "/a/", "/a/b", "/%61", "/a b", "/a//b", "/..", "a", "/{$;", ""];
const PROTOCOLS: &[&str] = &["http", "https", "kubernetes.io/h2c", "grpc", "x"];
const KEYS: &[&str] = &[
    "sparrow/path",
    "sparrow/host",
    "sparrow/port",
    "sparrow/strip-prefix",
    "sparrow/keep-alive",
    "sparrow/read-timeout",
    "sparrow/max-body-size",
    "sparrow/backend-protocol",
    "sparrow/ssl-redirect",
    "sparrow/backends",
    "sparrow/backends",
    "sparrow/canary",
    "sparrow/canary-weight",
    "sparrow/canary-by-header",
    "sparrow/x",
];
const VALUES: &[&str] = &[
    "/a",
    "a.example.com",
    "80",
    "http",
    "true",
    "false",
    "5s",
    "1g",
    "*.example.com",
    "/",
    "endpoints",
    "endpoints",
    "cluster-ip",
];

fn annotations() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
    btree_map(text(KEYS), text(VALUES), 0..4)
}

pub fn any_service() -> impl Strategy<Value = Service> {
    let kind = prop_oneof![
        8 => Just(ServiceKind::ClusterIp),
        1 => Just(ServiceKind::Headless),
        1 => text(HOSTS).prop_map(ServiceKind::ExternalName)
    ];
    let port = (
        text(&["", "http", "web"]),
        proptest::sample::select(&[0, 80, 80, 80, 81][..]),
        text(&["TCP", "TCP", "TCP", "UDP"]),
        of(text(PROTOCOLS)),
    );
    let port = port.prop_map(|(name, port, protocol, app_protocol)| ServicePort { name, port, protocol, app_protocol });
    let parts = (text(NAMES), 0..3_i64, annotations(), any::<bool>());
    (parts, kind, prop_oneof![9 => vec(any::<IpAddr>(), 1..3), 1 => Just(Vec::new())], vec(port, 0..4)).prop_map(
        |(parts, kind, cluster_ips, ports)| {
            let (name, created, annotations, labelled) = parts;
            let mut meta = if labelled { exposed(&name, []).meta } else { meta(&name) };
            meta.created = created;
            meta.annotations = annotations;
            let family = cluster_ips.first().map_or(IpFamily::V4, |first| IpFamily::of(*first));
            Service { meta, kind, cluster_ips, family, ports, addresses: Vec::new() }
        },
    )
}

pub fn any_slice() -> impl Strategy<Value = EndpointSlice> {
    let state = proptest::sample::select(&[EndpointState::Ready, EndpointState::Draining][..]);
    let address = (any::<bool>(), 1..4_u8).prop_map(|(v4, number)| {
        if v4 { IpAddr::from([10, 1, 0, number]) } else { IpAddr::from([0xfd01, 0, 0, 0, 0, 0, 0, number.into()]) }
    });
    let endpoint = (address, state).prop_map(|(address, state)| SliceEndpoint { address, state });
    let port = (text(&["", "http", "web"]), 8080..8083_u16).prop_map(|(name, port)| SlicePort { name, port });
    (text(NAMES), text(NAMES), vec(endpoint, 0..4), vec(port, 1..3)).prop_map(|(name, service, endpoints, ports)| {
        let meta = Meta { generation: 0, ..meta(&name) };
        EndpointSlice { meta, service, endpoints: endpoints.into(), ports: ports.into() }
    })
}

fn any_backend() -> impl Strategy<Value = IngressBackend> {
    let port = prop_oneof![Just(PortRef::Number(80)), text(&["http", "web", ""]).prop_map(PortRef::Name)];
    prop_oneof![
        6 => (text(NAMES), port).prop_map(|(name, port)| IngressBackend::Service { name, port }),
        1 => (text(NAMES), text(NAMES)).prop_map(|(kind, name)| IngressBackend::Resource { kind, name })
    ]
}

pub fn any_ingress() -> impl Strategy<Value = Ingress> {
    let path_type = prop_oneof![
        3 => Just(PathType::Prefix),
        2 => Just(PathType::Exact),
        1 => Just(PathType::ImplementationSpecific),
        1 => text(&["Regex"]).prop_map(PathType::Unknown)
    ];
    let path = (of(text(PATHS)), path_type, any_backend());
    let path = path.prop_map(|(path, path_type, backend)| IngressPath { path, path_type, backend });
    let rule = (of(text(HOSTS)), vec(path, 0..4)).prop_map(|(host, paths)| IngressRule { host, paths });
    let tls = (vec(text(HOSTS), 0..3), proptest::option::weighted(0.9, text(NAMES)))
        .prop_map(|(hosts, secret)| IngressTls { hosts, secret });
    let parts = (text(NAMES), 0..3_i64, annotations(), proptest::option::weighted(0.9, text(&["sparrow"])));
    (parts, of(any_backend()), vec(rule, 0..4), vec(tls, 0..3)).prop_map(|(parts, default_backend, rules, tls)| {
        let (name, created, annotations, class) = parts;
        let mut ingress = Ingress { class, default_backend, rules, tls, ..ingress(&name) };
        ingress.meta.created = created;
        ingress.meta.annotations = annotations;
        ingress
    })
}

/// Making keys takes time.
static SECRETS: LazyLock<[Secret; 2]> =
    LazyLock::new(|| [secret("a", &["a.example.com"]), secret("b", &["*.example.com"])]);

pub fn any_secret() -> impl Strategy<Value = Secret> {
    let part = |part: fn(&Secret) -> &Vec<u8>| {
        prop_oneof![
            8 => (0..2_usize).prop_map(move |n| part(&SECRETS[n]).clone()),
            1 => vec(any::<u8>(), 0..200),
            // One byte is another.
            1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(move |(at, byte)| {
                let mut bytes = part(&SECRETS[0]).clone();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                bytes
            })
        ]
    };
    (text(NAMES), part(|secret| &secret.certificate), part(|secret| &secret.key)).prop_map(
        |(name, certificate, key)| Secret { meta: meta(&name), is_tls: true, certificate, key, ..Secret::default() },
    )
}

fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let objects = (vec(any_service(), 0..10), vec(any_ingress(), 0..6), vec(any_secret(), 0..5), any::<bool>());
    (objects, vec(any_slice(), 0..6)).prop_map(|((services, ingresses, secrets, default), slices)| {
        let mut class = class("sparrow");
        class.default = default;
        let objects = Objects::new().class(class);
        let objects = services.into_iter().fold(objects, Objects::service);
        let objects = slices.into_iter().fold(objects, Objects::slice);
        let objects = ingresses.into_iter().fold(objects, Objects::ingress);
        secrets.into_iter().fold(objects, Objects::secret).0
    })
}

fn rules(built: &Translation) -> impl Iterator<Item = &Rule> {
    built.routes.hosts.values().flat_map(|host| &host.rules).chain(&built.routes.default)
}

/// The documented order: exact paths first, then longer prefixes before shorter ones.
fn place(rule: &Rule) -> (bool, std::cmp::Reverse<usize>, &str) {
    match &rule.matches.path {
        PathMatch::Exact(path) => (false, std::cmp::Reverse(0), path),
        PathMatch::Prefix(path) => (true, std::cmp::Reverse(path.len()), path),
        PathMatch::Regex(pattern) => panic!("no object asks for the pattern {pattern:?}"),
    }
}

fn assert_sound(snapshot: &Snapshot, built: &Translation, settings: &TranslateSettings) {
    let metas = snapshot.ingresses.values().map(|ingress| &ingress.meta);
    let metas = metas.chain(snapshot.services.values().map(|service| &service.meta));
    let asked: Vec<_> = metas.filter_map(|meta| meta.annotations.get("sparrow/ssl-redirect")).collect();
    // Who asks for a redirect by name is redirected to where no connection is made, rather than served in the clear; so is whose word for it
    // cannot be used.
    let is_unusable = |text: &&String| !["true", "false"].contains(&text.as_str());
    let asks = asked.iter().any(|text| *text == "true") && settings.has_https() || asked.iter().any(is_unusable);
    for (name, host) in &built.routes.hosts {
        let (HostName::Exact(text) | HostName::OneLabel(text)) = name else { continue };
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        assert!(text.bytes().all(legal) && !text.is_empty() && text.len() <= 253, "{name}");
        assert!(text.parse::<IpAddr>().is_err(), "{name}");
        assert!(!host.rules.is_empty(), "{name} is served and has no rule");
        assert!(settings.has_https() || host.certificate.is_none());
    }
    for host in built.routes.hosts.values() {
        assert!(
            host.rules.iter().is_sorted_by(|one, other| place(one) < place(other)),
            "not in order: {:#?}",
            host.rules
        );
        assert!(host.certificate.iter().all(|id| built.routes.certificates.contains_key(id)));
        let redirects = host.rules.iter().any(|rule| built.routes.policy(rule).redirect_to_https);
        assert!(host.certificate.is_some() || !redirects || asks);
    }
    let used: BTreeSet<_> = built.routes.hosts.values().filter_map(|host| host.certificate.as_ref()).collect();
    assert_eq!(used, built.routes.certificates.keys().collect(), "certificates that no host uses");
    for rule in rules(built) {
        let path = rule.matches.path.text();
        assert!(path.starts_with('/') && path.len() <= 2048, "{path:?}");
        assert!(!path.contains(char::is_control) && !path.contains("//") && !path.contains(['?', '#']), "{path:?}");
        assert!(!path.split('/').any(|segment| segment == "." || segment == ".."), "{path:?}");
        let slash = matches!(rule.matches.path, PathMatch::Prefix(_)) && path.len() > 1 && path.ends_with('/');
        assert!(!slash, "{path:?}");
        if let Action::Forward(forward) = &rule.action {
            let is_sound = |backend: &Backend| match &backend.address {
                BackendAddress::ClusterIp(address) => address.port() != 0,
                BackendAddress::Endpoints(id) => id.port != 0 && built.routes.endpoints.contains_key(id),
            };
            assert!(forward.only_backend().is_some_and(is_sound), "{forward:?}");
        }
    }
    let origins: BTreeSet<_> = rules(built).map(|rule| &rule.origin).collect();
    for (object, verdict) in &built.verdicts {
        assert_eq!(origins.contains(object), verdict.acceptance() != Acceptance::Rejected, "{object}: {verdict:#?}");
        assert!(
            verdict.acceptance() == Acceptance::Accepted || !verdict.findings().is_empty(),
            "{object} is not told why"
        );
        for finding in verdict.findings() {
            assert!(finding.message.len() < 2_000 && !finding.message.contains(char::is_control), "{finding:?}");
            assert!(finding.field.len() < 1_000 && !finding.field.contains(char::is_control), "{finding:?}");
        }
    }
    assert!(origins.iter().all(|object| built.verdicts.contains_key(object)), "a rule without a verdict on its object");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn translation_is_sound(snapshot in any_snapshot(), https: bool, now: i64) {
        let mut settings = TranslateSettings { now, ..TranslateSettings::default() };
        if !https {
            settings.listeners = Listener::built_in(&[([127, 0, 0, 1], 80).into()], &[]);
        }
        let built = translate(&snapshot, &settings);
        assert_sound(&snapshot, &built, &settings);
        assert_eq!(built, translate(&snapshot, &settings));
        // Renders whatever is in it.
        prop_assert!(built.routes.to_string().lines().count() >= rules(&built).count());
    }

    /// Quarantine of an object with its paths is as good as removal, for all others, but that some are closed with it.
    #[test]
    fn quarantined_object_without_its_paths_changes_nothing_else(snapshot in any_snapshot(), which: prop::sample::Index) {
        let Some(key) = (!snapshot.ingresses.is_empty())
            .then(|| snapshot.ingresses.keys().nth(which.index(snapshot.ingresses.len())).unwrap().clone())
        else {
            return Ok(());
        };
        let object = ObjectRef { kind: Kind::Ingress, key: Arc::clone(&key) };
        let mut settings = settings();
        let mut without = snapshot.clone();
        without.remove(&object);
        let mut expected = translate(&without, &settings);
        settings.quarantine.insert(object.clone(), left_out(entry_model::Reason::RejectedByNginx, "no"));
        let mut built = translate(&snapshot, &settings);
        prop_assert_eq!(built.verdicts[&object].acceptance(), Acceptance::Rejected);
        built.verdicts.remove(&object);
        expected.verdicts.remove(&object);
        let mut is_closed = false;
        for (name, host) in &built.routes.hosts {
            let Some(expected) = expected.routes.hosts.get(name) else { continue };
            for (rule, expected) in host.rules.iter().zip(&expected.rules) {
                is_closed |= rule.action != expected.action;
                prop_assert!(rule.action == expected.action || rule.action == Action::UNAVAILABLE, "{}", built.routes);
            }
        }
        prop_assert!(is_closed || built == expected, "{}\n{}", built.routes, expected.routes);
    }

    /// What is younger than all others changes nothing of theirs but what a default backend had, whatever is in it.
    #[test]
    fn younger_object_takes_nothing_from_older(snapshot in any_snapshot(), mut young in any_ingress()) {
        young.meta.created = 100;
        young.meta.name = "young".to_owned();
        young.default_backend = None;
        young.tls.clear();
        let mut snapshot = snapshot;
        for ingress in snapshot.ingresses.values_mut() {
            let ingress = Arc::make_mut(ingress);
            ingress.default_backend = None;
            // What may be a canary takes nothing from its main.
            ingress.meta.annotations.remove("sparrow/canary");
        }
        let before = translate(&snapshot, &settings());
        let object = ObjectRef::new(Kind::Ingress, young.meta.key());
        snapshot.put(young);
        let mut after = translate(&snapshot, &settings());
        for host in after.routes.hosts.values_mut() {
            let host = Arc::make_mut(host);
            host.rules = host.rules.iter().filter(|rule| rule.origin != object).cloned().collect();
        }
        after.routes.hosts.retain(|_, host| !host.rules.is_empty());
        after.routes.certificates = before.routes.certificates.clone();
        after.routes.endpoints.retain(|id, _| before.routes.endpoints.contains_key(id));
        prop_assert!(after.routes == before.routes, "{}\n{}", before.routes, after.routes);
    }
}

/// A rule of a simple Ingress: its host, whether exact, its path.
type Simple = (&'static str, bool, &'static str);

/// What is expected: the index of the Ingress whose rule a request gets, by going through all of them.
fn naive(ingresses: &[Vec<Simple>], host: &str, path: &str) -> Option<usize> {
    let all = || ingresses.iter().enumerate().flat_map(|(n, rules)| rules.iter().map(move |rule| (n, *rule)));
    let parent = host.split_once('.').map(|(_, parent)| format!("*.{parent}")).unwrap_or_default();
    let best = [host, parent.as_str(), ""].into_iter().find(|name| all().any(|(_, (host, ..))| host == *name))?;
    let ours = || all().filter(|(_, (host, ..))| *host == best);
    if let Some((n, _)) = ours().find(|(_, (_, exact, rule))| *exact && *rule == path) {
        return Some(n);
    }
    let segments = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let wanted = segments(path);
    let below = ours().filter(|(_, (_, exact, rule))| !exact && wanted.starts_with(&segments(rule)));
    // The first of the longest: max_by_key gives the last.
    below.collect::<Vec<_>>().into_iter().rev().max_by_key(|(_, (.., rule))| segments(rule).len()).map(|(n, _)| n)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_get_the_rule_that_a_naive_model_finds(
        ingresses in vec(vec((
            proptest::sample::select(&["", "a.example.com", "*.example.com", "b.example.com", "example.com"][..]),
            any::<bool>(),
            proptest::sample::select(&["/", "/a", "/a/", "/a/b", "/a/b/", "/ab", "/b/c/d", "/你", "/A"][..]),
        ), 0..5), 0..5),
        host in proptest::sample::select(&["a.example.com", "x.example.com", "example.com", "y.x.example.com", "z"][..]),
        path in proptest::sample::select(&["/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/ab", "/b/c", "/b/c/d/", "/你/", "/A"][..]),
    ) {
        let mut objects = Objects::new().service(service("web"));
        for (n, rules) in ingresses.iter().enumerate() {
            let rules = rules.iter().map(|&(host, exact, path)| {
                let path_type = if exact { PathType::Exact } else { PathType::Prefix };
                let path = IngressPath { path_type, ..prefix(path) };
                IngressRule { host: (!host.is_empty()).then(|| host.to_owned()), paths: vec![path] }
            });
            // Names run against age, so that age decides.
            let mut ingress = with_rule(&format!("n{}", 9 - n), None, vec![]);
            ingress.rules = rules.collect();
            ingress.meta.created = i64::try_from(n).unwrap();
            objects = objects.ingress(ingress);
        }
        let built = objects.translate();
        let found = match built.routes.find(&Request { host, path, ..Request::default() }) {
            RoutingDecision::Rule(rule) => Some(rule.origin.key.name.clone()),
            RoutingDecision::NotFound => None,
            other => panic!("{other:?}"),
        };
        let expected = naive(&ingresses, host, path).map(|n| format!("n{}", 9 - n));
        prop_assert_eq!(found, expected, "{}", built.routes);
    }
}

#[test]
fn strategies_generate_every_kind_of_route() {
    // A strategy that only makes rejected objects would prove nothing.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut acceptances, mut redirects, mut forwards) = (BTreeSet::new(), 0, 0);
    for _ in 0..400 {
        let snapshot = any_snapshot().new_tree(&mut runner).unwrap().current();
        let built = translate(&snapshot, &settings());
        acceptances.extend(built.verdicts.values().map(|verdict| verdict.acceptance()));
        redirects += rules(&built).filter(|rule| built.routes.policy(rule).redirect_to_https).count();
        forwards += rules(&built).filter(|rule| matches!(rule.action, Action::Forward(_))).count();
    }
    assert_eq!(acceptances.len(), 3);
    assert!(redirects > 10 && forwards > 100, "{redirects} {forwards}");
    // And so would a model that always says the same.
    assert_eq!(naive(&[vec![("", false, "/a")], vec![("", false, "/a/b")]], "x", "/a/b/c"), Some(1));
}
