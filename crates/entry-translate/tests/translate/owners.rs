//! Hosts belong to namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use entry_model::{
    Acceptance, Action, HostName, HostOwners, Ingress, Kind, Meta, Namespace, ObjectRef, Reason, Request,
    RoutingDecision, Scheme, Service,
};
use entry_translate::{HostOwnership, TranslateSettings, Translation};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample;

use crate::support::{
    Objects, assert_routes, assert_verdict, backend, exposed, ingress, key, left_out, prefix, rule, service, settings,
    tls, with_rule,
};

/// An Ingress of a namespace, made at a time.
fn of(namespace: &str, created: i64, mut ingress: Ingress) -> Ingress {
    namespace.clone_into(&mut ingress.meta.namespace);
    ingress.meta.created = created;
    ingress
}

/// An Ingress with one path of one host.
fn claim(namespace: &str, created: i64, host: Option<&str>, path: &str) -> Ingress {
    of(namespace, created, with_rule("web", host, vec![prefix(path)]))
}

fn in_namespace(namespace: &str, mut service: Service) -> Service {
    namespace.clone_into(&mut service.meta.namespace);
    service
}

fn at(namespace: &str) -> ObjectRef {
    ObjectRef::new(Kind::Ingress, key(namespace, "web"))
}

/// A Namespace that lists hosts.
fn listing(objects: &mut Objects, name: &str, hosts: &str) {
    let meta = Meta { name: name.to_owned(), ..Meta::default() };
    let namespace = Namespace { meta, hosts: Some(hosts.to_owned()) };
    objects.0.put(namespace);
}

/// With a Service `web` in each of these namespaces.
fn objects(ingresses: &[Ingress]) -> Objects {
    ingresses.iter().fold(Objects::new(), |objects, ingress| {
        objects.service(in_namespace(&ingress.meta.namespace, service("web"))).ingress(ingress.clone())
    })
}

/// Translation again and again, each time with what was held by the time before.
fn after(before: &Translation, ingresses: &[Ingress]) -> Translation {
    objects(ingresses)
        .translate_with(&TranslateSettings { host_owners: vec![Arc::clone(&before.host_owners)], ..settings() })
}

fn origin(built: &Translation, host: &str, path: &str) -> String {
    match built.routes.find(&Request { scheme: Scheme::Http, host, path, ..Request::default() }) {
        RoutingDecision::Rule(rule) => rule.origin.key.namespace.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn host_belongs_to_the_namespace_that_was_first() {
    let mut young = claim("b", 2, Some("A.example."), "/other");
    young.default_backend = Some(backend("web"));
    let built = objects(&[claim("a", 1, Some("a.example"), "/"), young]).translate();
    assert_routes(&built, &["a.example prefix / -> 10.0.0.1:80 http (Ingress a/web)"]);
    let part = "The host \"a.example\" belongs to the namespace a, which had it first and keeps it";
    assert_verdict(
        &built,
        &at("b"),
        Acceptance::Rejected,
        &[("spec.defaultBackend", Reason::Conflicted, part), ("spec.rules[0].host", Reason::Conflicted, part)],
    );
    assert_verdict(&built, &at("a"), Acceptance::Accepted, &[]);
    // A Service too.
    let service = in_namespace("b", exposed("s", [("sparrow/host", "a.example"), ("sparrow/path", "/s")]));
    let service = Service { meta: Meta { created: 3, ..service.meta }, ..service };
    let built = objects(&[claim("a", 1, Some("a.example"), "/")]).service(service).translate();
    let rejected = ObjectRef::new(Kind::Service, key("b", "s"));
    let field = "metadata.annotations[sparrow/host]";
    assert_verdict(&built, &rejected, Acceptance::Rejected, &[(field, Reason::Conflicted, part)]);
}

#[test]
fn foreign_host_is_reported_once_per_object() {
    let paths = ["/a", "/b", "/c"].map(prefix).to_vec();
    let built =
        objects(&[claim("a", 1, Some("a.example"), "/"), of("b", 2, with_rule("web", Some("a.example"), paths))])
            .translate();
    assert_eq!(built.verdicts[&at("b")].findings().len(), 1);
}

#[test]
fn old_object_that_is_edited_takes_no_held_host() {
    let victim = claim("victim", 100, Some("a.example"), "/");
    let before = claim("evil", 1, Some("own.example"), "/");
    let edited = claim("evil", 1, Some("a.example"), "/");
    let first = objects(&[victim.clone(), before]).translate();
    let mut built = first.clone();
    for _ in 0..2 {
        built = after(&built, &[victim.clone(), edited.clone()]);
        assert_eq!(origin(&built, "a.example", "/x"), "victim");
    }
    assert_verdict(
        &built,
        &at("evil"),
        Acceptance::Rejected,
        &[("spec.rules[0].host", Reason::Conflicted, "the namespace victim")],
    );
    // Through a file or an object of the cluster it is the same.
    let (read, garbled) = HostOwners::from_texts(&first.host_owners.to_texts(usize::MAX));
    assert_eq!(garbled, 0);
    let mut snapshot = objects(&[victim.clone(), edited.clone()]);
    snapshot.0.host_owners = Arc::new(read);
    assert_eq!(origin(&snapshot.translate(), "a.example", "/x"), "victim");
    // Without any record the age of the objects is all there is.
    assert_eq!(origin(&objects(&[victim, edited.clone()]).translate(), "a.example", "/x"), "evil");
    // Who gives a host up, gives it up.
    let built = after(&built, &[claim("victim", 100, Some("b.example"), "/"), edited]);
    assert_eq!(origin(&built, "a.example", "/x"), "evil");
}

#[test]
fn host_record_counts_more_than_the_last_translation() {
    let (a, b) = (claim("a", 1, Some("a.example"), "/"), claim("b", 2, Some("a.example"), "/"));
    let held = |namespace: &str| {
        let texts = BTreeMap::from([(namespace.to_owned(), "rules 1\na.example\n".to_owned())]);
        Arc::new(HostOwners::from_texts(&texts).0)
    };
    let mut both = objects(&[a, b]);
    let with = |objects: &Objects, seen: &str| {
        let settings = TranslateSettings { host_owners: vec![held(seen)], ..settings() };
        origin(&objects.translate_with(&settings), "a.example", "/")
    };
    assert_eq!(with(&both, "b"), "b");
    both.0.host_owners = held("a");
    assert_eq!(with(&both, "b"), "a");
    // One that names nobody who asks names nobody.
    both.0.host_owners = held("c");
    assert_eq!(with(&both, "b"), "b");
    assert_eq!(with(&both, "d"), "a");
}

#[test]
fn hosts_below_a_wildcard_belong_to_its_owner() {
    let wild = claim("a", 1, Some("*.wild.example"), "/");
    let below = claim("b", 2, Some("login.wild.example"), "/");
    let built = objects(&[wild.clone(), below.clone()]).translate();
    assert_eq!(origin(&built, "login.wild.example", "/"), "a");
    let part = "\"login.wild.example\" is below a wildcard that belongs to the namespace a";
    assert_verdict(&built, &at("b"), Acceptance::Rejected, &[("spec.rules[0].host", Reason::Conflicted, part)]);
    // Two labels below are not.
    let deep = claim("b", 2, Some("x.login.wild.example"), "/");
    assert_eq!(origin(&objects(&[wild.clone(), deep]).translate(), "x.login.wild.example", "/"), "b");
    // Nor is one that was there before, by age or since earlier.
    let younger = claim("a", 3, Some("*.wild.example"), "/");
    let built = objects(&[younger.clone(), below.clone()]).translate();
    assert_eq!(["login.wild.example", "x.wild.example"].map(|host| origin(&built, host, "/")), ["b", "a"]);
    let first = objects(std::slice::from_ref(&below)).translate();
    let built = after(&first, &[wild, below.clone()]);
    assert_eq!(["login.wild.example", "x.wild.example"].map(|host| origin(&built, host, "/")), ["b", "a"]);
    // And an old object that is edited does not get below one that is held.
    let first = objects(std::slice::from_ref(&younger)).translate();
    assert_eq!(origin(&after(&first, &[younger, below]), "login.wild.example", "/"), "a");
}

#[test]
fn first_path_segment_has_an_owner_on_unnamed_hosts() {
    let first = [claim("a", 5, None, "/volume"), of("r", 5, with_rule("web", None, vec![prefix("/")]))];
    let before = objects(&first).translate();
    assert_eq!([origin(&before, "x", "/volume/api"), origin(&before, "x", "/other")], ["a", "r"]);
    let paths = ["/volume/api", "/volume", "/", "/other"].map(prefix).to_vec();
    let mut evil = of("evil", 1, with_rule("web", None, paths));
    evil.default_backend = Some(backend("web"));
    let [a, r] = first;
    let built = after(&before, &[a, r, evil]);
    let origins =
        ["/volume", "/volume/api", "/volume/api/x", "/", "/x", "/other"].map(|path| origin(&built, "x", path));
    assert_eq!(origins, ["a", "a", "a", "r", "r", "evil"]);
    let volume = "The path \"/volume\" on hosts that no rule names belongs to the namespace a";
    let rest = "What no rule matches on hosts that no rule names belongs to the namespace r";
    let path = |n| format!("spec.rules[0].http.paths[{n}].path");
    assert_verdict(
        &built,
        &at("evil"),
        Acceptance::Partial,
        &[
            ("spec.defaultBackend", Reason::Conflicted, rest),
            (&path(0), Reason::Conflicted, volume),
            (&path(1), Reason::Conflicted, volume),
            (&path(2), Reason::Conflicted, rest),
        ],
    );
}

#[test]
fn default_backend_serves_no_host_of_others() {
    let default = of("evil", 0, Ingress { default_backend: Some(backend("web")), ..ingress("web") });
    let mut own = claim("evil", 0, Some("evil.example"), "/evil");
    own.meta.name = "own".to_owned();
    let victims = [claim("victim", 1, Some("a.example"), "/a"), claim("victim", 1, Some("*.wild.example"), "/a")];
    let [a, mut b] = victims;
    b.meta.name = "wild".to_owned();
    let built = objects(&[default.clone(), own.clone(), a.clone(), b.clone()]).translate();
    let of = |built: &Translation, host: &str| origin(built, host, "/rest");
    assert_eq!(["a.example", "x.wild.example"].map(|host| of(&built, host)), ["NotFound", "NotFound"]);
    assert_eq!(["evil.example", "unknown.example"].map(|host| of(&built, host)), ["evil", "evil"]);
    assert!(built.routes.to_string().contains("a.example without default\n"), "{}", built.routes);
    // As before for those who share hosts.
    let shared = TranslateSettings { ownership: HostOwnership::None, ..settings() };
    let built = objects(&[default, own, a, b]).translate_with(&shared);
    assert_eq!(["a.example", "x.wild.example"].map(|host| of(&built, host)), ["evil", "evil"]);
}

#[test]
fn hosts_annotation_decides_who_owns_a_host() {
    let mut all = objects(&[
        // Older, and yet not theirs.
        of("evil", 1, {
            let hosts = ["shop.example", "x.team-a.example", "*.team-a.example", "free.example"];
            Ingress { rules: hosts.map(|host| rule(Some(host), vec![prefix("/evil")])).to_vec(), ..ingress("web") }
        }),
        of("a", 2, {
            let hosts = ["shop.example", "x.team-a.example", "foreign.example", "free.example"];
            Ingress { rules: hosts.map(|host| rule(Some(host), vec![prefix("/a")])).to_vec(), ..ingress("web") }
        }),
        claim("b", 3, Some("shop.example"), "/b"),
    ]);
    listing(&mut all, "a", " *.team-a.example, SHOP.example.\n empty.example");
    listing(&mut all, "b", "shop.example");
    let built = all.translate();
    assert_eq!(origin(&built, "shop.example", "/a"), "a");
    assert_eq!(origin(&built, "shop.example", "/b"), "b", "those who list it share it");
    assert_eq!(origin(&built, "x.team-a.example", "/a"), "a");
    assert_eq!(origin(&built, "free.example", "/evil"), "evil");
    let kept = "is kept for the namespace a by the annotation sparrow/hosts";
    assert_verdict(
        &built,
        &at("evil"),
        Acceptance::Partial,
        &[
            ("spec.rules[0].host", Reason::Conflicted, "is kept for the namespace a and 1 more by the annotation"),
            ("spec.rules[1].host", Reason::Conflicted, kept),
            ("spec.rules[2].host", Reason::Conflicted, kept),
        ],
    );
    let others = "is not in the annotation sparrow/hosts of the namespace a";
    let findings = [2, 3].map(|n| format!("spec.rules[{n}].host"));
    let findings = findings.each_ref().map(|field| (field.as_str(), Reason::Conflicted, others));
    assert_verdict(&built, &at("a"), Acceptance::Partial, &findings);
}

#[test]
fn listed_host_is_reserved_while_not_served() {
    let default = of("evil", 0, Ingress { default_backend: Some(backend("web")), ..ingress("web") });
    let mut wild = claim("evil", 0, Some("*.wild.example"), "/");
    wild.meta.name = "wild".to_owned();
    let mut all = objects(&[default, wild]);
    listing(&mut all, "a", "a.wild.example, *.team.example, team.example");
    let built = all.translate();
    let found = ["a.wild.example", "b.wild.example", "x.team.example", "team.example", "x.example"];
    let found = found.map(|host| origin(&built, host, "/"));
    assert_eq!(found, ["NotFound", "evil", "NotFound", "NotFound", "evil"], "{}", built.routes);
}

#[test]
fn namespace_that_lists_hosts_claims_no_others() {
    let web = claim("a", 1, None, "/a");
    let mut all = objects(std::slice::from_ref(&web));
    listing(&mut all, "a", "a.example");
    let built = all.translate();
    assert_eq!(origin(&built, "x", "/a"), "NotFound");
    let finding = ("spec.rules[0].http.paths[0].path", Reason::Conflicted, "is not in the annotation sparrow/hosts");
    assert_verdict(&built, &at("a"), Acceptance::Rejected, &[finding]);
    listing(&mut all, "a", "a.example *");
    assert_eq!(origin(&all.translate(), "x", "/a"), "a");
    listing(&mut all, "a", "");
    assert_eq!(origin(&all.translate(), "x", "/a"), "NotFound", "an empty list names nothing");
}

#[test]
fn invalid_hosts_annotation_is_reported_and_opens_nothing() {
    let mut all = objects(&[claim("a", 1, Some("b.example"), "/"), claim("b", 2, Some("a.example"), "/")]);
    listing(&mut all, "a", "a.example, 10.0.0.1, a..example");
    let built = all.translate();
    let namespace = ObjectRef::new(Kind::Namespace, key("", "a"));
    let field = "metadata.annotations[sparrow/hosts]";
    let findings = [(field, Reason::Invalid, "it is an address"), (field, Reason::Invalid, "labels of 1 to 63")];
    assert_verdict(&built, &namespace, Acceptance::Partial, &findings);
    assert_eq!(["a.example", "b.example"].map(|host| origin(&built, host, "/")), ["NotFound", "NotFound"]);
}

#[test]
fn quarantined_object_without_its_paths_keeps_its_host() {
    let (victim, evil) = (claim("victim", 2, Some("a.example"), "/"), claim("evil", 1, Some("a.example"), "/"));
    let first = objects(std::slice::from_ref(&victim)).translate();
    let mut settings = TranslateSettings { host_owners: vec![Arc::clone(&first.host_owners)], ..settings() };
    settings.quarantine.insert(at("victim"), left_out(Reason::RejectedByNginx, "no"));
    let built = objects(&[victim.clone(), evil.clone()]).translate_with(&settings);
    assert_eq!(origin(&built, "a.example", "/"), "NotFound");
    // Until it is corrected.
    assert_eq!(origin(&after(&built, &[victim, evil]), "a.example", "/"), "victim");
}

#[test]
fn ownership_can_be_turned_off() {
    let mut all = objects(&[claim("a", 1, Some("a.example"), "/"), claim("b", 2, Some("a.example"), "/b")]);
    listing(&mut all, "a", "x.example");
    let built = all.translate_with(&TranslateSettings { ownership: HostOwnership::None, ..settings() });
    assert_eq!(["/", "/b"].map(|path| origin(&built, "a.example", path)), ["a", "b"]);
    assert!(built.host_owners.is_empty());
}

#[test]
fn acme_challenge_host_takes_nothing_else_away() {
    const CHALLENGE: &str = "/.well-known/acme-challenge/token";
    let solver = |namespace: &str, host: &str| {
        let mut solver = of(namespace, 9, with_rule("solver", Some(host), vec![prefix(CHALLENGE)]));
        solver
            .meta
            .annotations
            .insert("nginx.ingress.kubernetes.io/whitelist-source-range".to_owned(), "0.0.0.0/0,::/0".to_owned());
        solver
    };
    let wild = claim("a", 1, Some("*.w.example"), "/");
    let all = claim("c", 1, None, "/all");
    let built = objects(&[wild, all, solver("a", "a.w.example"), solver("c", "c.example"), solver("d", "d.example")])
        .translate();
    for (host, namespace) in [("a.w.example", "a"), ("c.example", "c"), ("d.example", "d")] {
        assert_eq!(origin(&built, host, CHALLENGE), namespace, "{host}");
        assert_verdict(&built, &ObjectRef::new(Kind::Ingress, key(namespace, "solver")), Acceptance::Accepted, &[]);
    }
    assert_eq!([origin(&built, "a.w.example", "/x"), origin(&built, "c.example", "/all")], ["a", "c"]);
    assert_eq!(origin(&built, "d.example", "/all"), "NotFound", "of others nothing comes to it");
    // One of another namespace gets nothing below the wildcard.
    let wild = claim("a", 1, Some("*.w.example"), "/");
    let built = objects(&[wild, solver("evil", "a.w.example")]).translate();
    assert_eq!(origin(&built, "a.w.example", CHALLENGE), "a");
}

/// What three namespaces may claim: the namespace, the age of the object, the host and the path.
fn claims() -> impl Strategy<Value = Vec<Ingress>> {
    const HOSTS: &[Option<&str>] =
        &[None, Some("a.w.example"), Some("b.w.example"), Some("*.w.example"), Some("w.example")];
    const PATHS: &[&str] = &["/", "/a", "/a/b", "/b"];
    let one = (0..3_usize, 0..4_i64, sample::select(HOSTS), sample::select(PATHS), any::<bool>());
    vec(one, 1..10).prop_map(|all| {
        let of_one = |(n, (namespace, created, host, path, rest)): (usize, (usize, i64, Option<&str>, &str, bool))| {
            let mut ingress = claim(["a", "b", "c"][namespace], created, host, path);
            ingress.meta.name = format!("web-{n}");
            ingress.default_backend = rest.then(|| backend("web"));
            ingress
        };
        all.into_iter().enumerate().map(of_one).collect()
    })
}

fn every_answer(built: &Translation) -> Vec<String> {
    let hosts = ["a.w.example", "b.w.example", "c.w.example", "w.example", "x.example"];
    let paths = ["/", "/a", "/a/b/c", "/b", "/c"];
    hosts.iter().flat_map(|host| paths.iter().map(|path| origin(built, host, path))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn host_keeps_its_one_owner_whatever_object_ages(ingresses in claims(), ages in vec(0..9_i64, 10)) {
        let built = objects(&ingresses).translate();
        for (name, host) in built.routes.hosts.iter().filter(|(name, _)| **name != HostName::Any) {
            let owners: BTreeSet<_> = host.rules.iter().map(|rule| &rule.origin.key.namespace).collect();
            prop_assert_eq!(owners.len(), 1, "{}: {}", name, built.routes);
            let default = built.routes.default.as_ref().map(|rule| &rule.origin.key.namespace);
            prop_assert!(host.closed || default.is_none_or(|default| owners.contains(default)), "{}", built.routes);
        }
        // However old the objects seem from now on.
        let mut others = ingresses.clone();
        for (ingress, age) in others.iter_mut().zip(&ages) {
            ingress.meta.created = *age;
        }
        let later = after(&built, &others);
        let owners = |built: &Translation| -> Vec<String> {
            built.routes.hosts.iter().filter(|(name, _)| **name != HostName::Any).map(|(name, host)| {
                format!("{name} {}", host.rules[0].origin.key.namespace)
            }).collect()
        };
        prop_assert_eq!(owners(&later), owners(&built));
        prop_assert_eq!(every_answer(&later), every_answer(&built), "{}\n{}", built.routes, later.routes);
        // And another replica that knows the record finds the same.
        let (read, _) = HostOwners::from_texts(&built.host_owners.to_texts(usize::MAX));
        let mut snapshot = objects(&others);
        snapshot.0.host_owners = Arc::new(read);
        prop_assert_eq!(every_answer(&snapshot.translate()), every_answer(&built));
    }
}

/// An Ingress with annotations of ingress-nginx.
fn annotated(mut ingress: Ingress, annotations: &[(&str, &str)]) -> Ingress {
    let prefixed = |(name, value): &(&str, &str)| (format!("nginx.ingress.kubernetes.io/{name}"), (*value).to_owned());
    ingress.meta.annotations.extend(annotations.iter().map(prefixed));
    ingress
}

#[test]
fn pattern_takes_no_paths_of_others_on_hosts_that_no_rule_names() {
    for path in [
        "/(bank)(/|$)(.*)",
        "/[b]ank.*",
        "/BANK/v[0-9]",
        "/(?i)bank/v[0-9]",
        "/(.*)",
        "/*",
        "/zzz|/bank/.*",
        "/bank(/|$)?x",
        "/.*/account",
        "/ban?k/.*",
    ] {
        let evil = annotated(claim("b", 2, None, path), &[("use-regex", "true")]);
        let built = objects(&[claim("a", 1, None, "/bank"), evil]).translate();
        for request in ["/bank/account", "/bank/v1", "/bank"] {
            assert_eq!(origin(&built, "any.example", request), "a", "{path} {request}");
        }
        // As a Service.
        let pattern = [("sparrow/path", path), ("sparrow/path-regex", "true")];
        let service = in_namespace("b", exposed("s", pattern));
        let built = objects(&[claim("a", 1, None, "/bank")]).service(service).translate();
        assert_eq!(origin(&built, "any.example", "/bank/account"), "a", "{path}");
    }
}

#[test]
fn pattern_holds_its_first_segment_on_hosts_that_no_rule_names() {
    let pattern = |namespace: &str, created: i64, path: &str| {
        annotated(claim(namespace, created, None, path), &[("use-regex", "true")])
    };
    let first = pattern("a", 1, "/bank/v[0-9]+/.*");
    let built = objects(&[first.clone(), claim("b", 2, None, "/bank")]).translate();
    assert_eq!(["/bank/v1/x", "/bank/V1/X"].map(|path| origin(&built, "any.example", path)), ["a", "a"]);
    assert_eq!(origin(&built, "any.example", "/bank/other"), "NotFound");
    let message = "The path \"/bank\" on hosts that no rule names belongs to the namespace a";
    let field = "spec.rules[0].http.paths[0].path";
    assert_verdict(&built, &at("b"), Acceptance::Rejected, &[(field, Reason::Conflicted, message)]);
    assert_verdict(&built, &at("a"), Acceptance::Accepted, &[]);
    // Who does not say whose paths it means gets none.
    let built = objects(&[pattern("a", 1, "/ba.k/.*")]).translate();
    let message = "The path \"/ba.k/.*\" does not begin with a whole segment of plain text";
    assert_verdict(&built, &at("a"), Acceptance::Rejected, &[(field, Reason::Invalid, message)]);
    // Where namespaces share all, it may be any.
    let shared = TranslateSettings { ownership: HostOwnership::None, ..settings() };
    let built = objects(&[pattern("a", 1, "/ba.k/.*")]).translate_with(&shared);
    assert_eq!(origin(&built, "any.example", "/bank/x"), "a");
}

#[test]
fn pattern_that_says_no_segment_opens_nothing_of_its_object() {
    let restricted = [("use-regex", "true"), ("whitelist-source-range", "192.0.2.0/24")];
    let paths = vec![prefix("/a[d].*"), prefix("/blog/v[0-9]")];
    let web = annotated(of("a", 1, with_rule("web", None, paths)), &restricted);
    let open = of("b", 2, with_rule("web", None, vec![prefix("/other")]));
    let built = objects(&[web, open]).translate();
    let action = |path: &str| match built.routes.find(&Request { host: "any.example", path, ..Request::default() }) {
        RoutingDecision::Rule(rule) => Some(rule.action == Action::UNAVAILABLE),
        _ => None,
    };
    assert_eq!(["/ad/x", "/blog/v1", "/other"].map(action), [None, Some(true), Some(false)]);
}

#[test]
fn host_of_a_path_that_cannot_be_used_stays_with_its_namespace() {
    let victim = claim("victim", 2, Some("own.example"), "/");
    let below = claim("evil", 1, Some("*.example"), "/");
    let evil = Ingress { rules: claim("evil", 1, Some("own.example"), "/").rules, ..below.clone() };
    let first = objects(std::slice::from_ref(&victim)).translate();
    for mistake in ["/(?!x).*", "no slash"] {
        let edited = annotated(claim("victim", 2, Some("own.example"), mistake), &[("use-regex", "true")]);
        let built = after(&first, &[edited, evil.clone()]);
        assert_eq!(origin(&built, "own.example", "/"), "NotFound");
        // And when it is mended.
        assert_eq!(origin(&after(&built, &[victim.clone(), evil.clone()]), "own.example", "/"), "victim");
    }
}

#[test]
fn denied_default_backend_is_told_once_whatever_others_ask_for() {
    let mut default = of("a", 1, Ingress { default_backend: Some(backend("web")), ..ingress("web") });
    default.tls = vec![tls(&[], "missing")];
    let mut other = claim("a", 2, Some("not-listed.example"), "/");
    "younger".clone_into(&mut other.meta.name);
    let mut objects = objects(&[default, other]);
    listing(&mut objects, "a", "listed.example");
    let built = objects.translate();
    let denied =
        "What no rule matches on hosts that no rule names is not in the annotation sparrow/hosts of the namespace a";
    let told = built.verdicts[&at("a")].parents.iter().flat_map(|parent| &parent.findings);
    assert_eq!(told.filter(|finding| finding.message.starts_with(denied)).count(), 1, "{:#?}", built.verdicts);
}
