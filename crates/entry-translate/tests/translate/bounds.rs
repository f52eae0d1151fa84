//! How much is served.

use std::sync::Arc;

use entry_model::{Acceptance, HostName, Ingress, Kind, Meta, ObjectRef, Reason, Service};
use entry_translate::{Bound, Bounds, TranslateSettings, Translation, Translator};

use crate::support::{Objects, exposed, ingress, key, left_out, prefix, rule, service, settings, with_rule};

fn of(namespace: &str, name: &str, created: i64, hosts: impl IntoIterator<Item = String>) -> Ingress {
    let rules = hosts.into_iter().map(|host| rule(Some(&host), vec![prefix("/")])).collect();
    let mut ingress = Ingress { rules, ..ingress(name) };
    namespace.clone_into(&mut ingress.meta.namespace);
    ingress.meta.created = created;
    ingress
}

fn hosts(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("{prefix}{number}.example"))
}

fn with(bounds: Bounds, before: &Translation, ingresses: &[Ingress]) -> Translation {
    let objects = Objects::new()
        .service(Service { meta: Meta { namespace: "a".to_owned(), ..service("web").meta }, ..service("web") });
    let objects = ingresses.iter().fold(objects, |objects, ingress| objects.ingress(ingress.clone()));
    objects.translate_with(&TranslateSettings {
        bounds,
        host_owners: vec![Arc::clone(&before.host_owners)],
        ..settings()
    })
}

fn served(built: &Translation) -> Vec<String> {
    built.routes.hosts.keys().map(ToString::to_string).collect()
}

fn at(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Ingress, key(namespace, name))
}

/// What is said of bounds: the fields, and one message for all.
fn told(built: &Translation, object: &ObjectRef, part: &str) -> Vec<String> {
    let findings =
        built.verdicts[object].findings().into_iter().filter(|finding| finding.reason == Reason::BoundExceeded);
    findings
        .map(|finding| {
            assert!(finding.message.contains(part), "{finding:?}");
            finding.field.clone()
        })
        .collect()
}

const NONE: Bound = Bound::NONE;

#[test]
fn newest_hosts_over_the_namespace_bound_are_left_out() {
    let bounds = Bounds { hosts: Bound { namespace: 3, ..NONE }, ..Bounds::NONE };
    let ingresses =
        [of("a", "old", 1, hosts("a", 2)), of("a", "new", 2, hosts("x", 2)), of("b", "old", 3, hosts("b", 3))];
    let built = with(bounds, &Translation::default(), &ingresses);
    assert_eq!(served(&built), ["a0.example", "a1.example", "b0.example", "b1.example", "b2.example", "x0.example"]);
    let part = "Of the hosts of one namespace at most 3 are served (--max-hosts-per-namespace)";
    assert_eq!(told(&built, &at("a", "new"), part), ["spec.rules[1].host"]);
    assert_eq!(built.verdicts[&at("a", "new")].acceptance(), Acceptance::Partial);
    assert!(told(&built, &at("b", "old"), "").is_empty());
}

#[test]
fn newest_hosts_over_the_total_bound_are_left_out() {
    let bounds = Bounds { hosts: Bound { all: 3, ..NONE }, ..Bounds::NONE };
    let before =
        with(bounds, &Translation::default(), &[of("b", "web", 5, hosts("b", 2)), of("a", "web", 1, hosts("a", 1))]);
    // An old object that is edited is not what was there before.
    let built = with(bounds, &before, &[of("b", "web", 5, hosts("b", 2)), of("a", "web", 1, hosts("a", 9))]);
    assert_eq!(served(&built), ["a0.example", "b0.example", "b1.example"]);
    assert_eq!(
        told(&built, &at("a", "web"), "Of the hosts of all namespaces at most 3 are served (--max-hosts)").len(),
        8
    );
    assert!(told(&built, &at("b", "web"), "").is_empty());
    // What is left out holds nothing, and gets what becomes free.
    let built = with(bounds, &built, &[of("a", "web", 1, hosts("a", 9))]);
    assert_eq!(served(&built), ["a0.example", "a1.example", "a2.example"]);
}

#[test]
fn rules_and_patterns_have_bounds_of_their_own() {
    let bounds =
        Bounds { rules: Bound { namespace: 4, ..NONE }, patterns: Bound { namespace: 1, all: 2 }, ..Bounds::NONE };
    let long = format!("/{}", "x".repeat(600));
    let paths = ["/a", &long, "/b", "/c"].map(prefix).to_vec();
    let mut many = with_rule("many", None, paths);
    many.meta.namespace = "a".to_owned();
    let stars = |prefix: &str| hosts(prefix, 2).map(|host| format!("*.{host}")).collect::<Vec<_>>();
    let ingresses = [
        many,
        of("b", "w", 1, stars("b")),
        of("c", "w", 2, stars("c")),
        of("d", "w", 3, stars("d").into_iter().take(1)),
    ];
    let built = with(bounds, &Translation::default(), &ingresses);
    let path = |n| format!("spec.rules[0].http.paths[{n}].path");
    let part = "(--max-rules-per-namespace)";
    assert_eq!(told(&built, &at("a", "many"), part), [path(2), path(3)], "a long path counts for several");
    assert_eq!(served(&built), ["*.b0.example", "*.c0.example", "*"]);
    for namespace in ["b", "c"] {
        let part = "Of the hosts with `*` of one namespace at most 1 are served (--max-patterns-per-namespace)";
        assert_eq!(told(&built, &at(namespace, "w"), part), ["spec.rules[1].host"]);
    }
    let part = "Of the hosts with `*` of all namespaces at most 2 are served (--max-patterns)";
    assert_eq!(told(&built, &at("d", "w"), part).len(), 1);
}

#[test]
fn rules_added_to_an_old_object_displace_none() {
    let bounds = Bounds { rules: Bound { all: 6, ..NONE }, ..Bounds::NONE };
    let with_paths = |namespace: &str, created, count: usize| {
        let paths = (0..count).map(|n| prefix(&format!("/{n}"))).collect();
        let mut ingress = with_rule("web", Some(&format!("{namespace}.example")), paths);
        (ingress.meta.namespace, ingress.meta.created) = (namespace.to_owned(), created);
        ingress
    };
    let before = with(bounds, &Translation::default(), &[with_paths("a", 1, 1), with_paths("b", 2, 5)]);
    let built = with(bounds, &before, &[with_paths("a", 1, 100), with_paths("b", 2, 5)]);
    assert!(told(&built, &at("b", "web"), "").is_empty());
    assert_eq!(built.routes.hosts.values().map(|host| host.rules.len()).collect::<Vec<_>>(), [1, 5]);
}

#[test]
fn rules_that_grow_displace_none() {
    let bounds = Bounds { rules: Bound { all: 6, ..NONE }, ..Bounds::NONE };
    let with_paths = |namespace: &str, created, paths: &[String]| {
        let paths = paths.iter().map(|path| prefix(path)).collect();
        let mut ingress = with_rule("web", Some(&format!("{namespace}.example")), paths);
        (ingress.meta.namespace, ingress.meta.created) = (namespace.to_owned(), created);
        ingress
    };
    let plain = |count: usize| (0..count).map(|n| format!("/{n}")).collect::<Vec<_>>();
    let long = (0..2).map(|n| format!("/{n}{}", "x".repeat(600))).collect::<Vec<_>>();
    let theirs = with_paths("b", 2, &plain(4));
    // What is asked for twice is one rule, and makes room for no other.
    for before in [plain(2), [plain(2), plain(2), plain(2)].concat()] {
        let before = with(bounds, &Translation::default(), &[with_paths("a", 1, &before), theirs.clone()]);
        for now in [&long, &plain(6)] {
            let built = with(bounds, &before, &[with_paths("a", 1, now), theirs.clone()]);
            assert!(told(&built, &at("b", "web"), "").is_empty(), "{now:?}: {}", built.routes);
        }
    }
}

#[test]
fn host_over_a_bound_stays_free_for_others() {
    let bounds = Bounds { hosts: Bound { namespace: 2, ..NONE }, ..Bounds::NONE };
    let theirs = of("b", "web", 9, ["h0.example".to_owned(), "h5.example".to_owned()]);
    let evil = of("a", "web", 1, hosts("h", 9));
    let built = with(bounds, &Translation::default(), &[evil.clone(), theirs.clone()]);
    assert_eq!(served(&built), ["h0.example", "h1.example", "h5.example"]);
    let conflicts =
        built.verdicts[&at("b", "web")].findings().into_iter().filter(|told| told.reason == Reason::Conflicted);
    assert_eq!(conflicts.count(), 1, "h0.example is the other's");
    // No more of it when it is put aside.
    let objects = Objects::new().ingress(evil).ingress(theirs);
    let quarantine = [(at("a", "web"), left_out(Reason::RejectedByNginx, "no"))].into();
    let built = objects.translate_with(&TranslateSettings { bounds, quarantine, ..settings() });
    assert_eq!(served(&built), ["h5.example"]);
}

#[test]
fn rule_claimed_twice_counts_once() {
    let bounds =
        Bounds { rules: Bound { namespace: 1, all: 1 }, hosts: Bound { namespace: 1, all: 1 }, ..Bounds::NONE };
    let ingresses = [of("a", "one", 1, hosts("a", 1)), of("a", "two", 2, hosts("a", 1))];
    let built = with(bounds, &Translation::default(), &ingresses);
    assert_eq!(told(&built, &at("a", "two"), ""), Vec::<String>::new());
    assert_eq!(built.verdicts[&at("a", "two")].findings()[0].reason, Reason::Conflicted);
}

#[test]
fn services_have_the_same_bounds() {
    let bounds = Bounds { rules: Bound { namespace: 1, ..NONE }, ..Bounds::NONE };
    let built = Objects::new()
        .service(exposed("a", []))
        .service(exposed("b", []))
        .service(service("c"))
        .translate_with(&TranslateSettings { bounds, ..settings() });
    let object = ObjectRef::new(Kind::Service, key("shop", "b"));
    assert_eq!(told(&built, &object, "(--max-rules-per-namespace)"), ["metadata.name"]);
}

#[test]
fn rules_inherited_by_acme_hosts_count() {
    let bounds = Bounds { rules: Bound { namespace: 30, ..NONE }, ..Bounds::NONE };
    let paths = (0..10).map(|number| prefix(&format!("/{number}"))).collect();
    let solver =
        |number: usize| rule(Some(&format!("s{number}.w.example")), vec![prefix("/.well-known/acme-challenge/t")]);
    let mut web = with_rule("web", Some("*.w.example"), paths);
    web.rules.extend((0..9).map(solver));
    let built = Objects::new().ingress(web).translate_with(&TranslateSettings { bounds, ..settings() });
    let count = |name: &str| built.routes.hosts[&HostName::Exact(name.to_owned())].rules.len();
    assert_eq!([count("s0.w.example"), count("s1.w.example"), count("s8.w.example")], [11, 1, 1]);
    let told = told(&built, &at("shop", "web"), "serves ACME challenges only. Of the rules of one namespace, with");
    assert_eq!(told.len(), 8);
}

#[test]
fn rule_over_a_bound_leaves_its_requests_to_no_open_one() {
    let bounds = Bounds { rules: Bound { namespace: 3, ..NONE }, ..Bounds::NONE };
    let host = "a.example".to_owned();
    let mut closed = of("a", "closed", 3, [host.clone()]);
    closed.rules[0].paths[0] = prefix("/admin");
    closed.meta.annotations.insert("sparrow/allow-source-ranges".to_owned(), "192.0.2.0/24".to_owned());
    let ingresses = [of("a", "open", 1, [host]), of("a", "others", 2, hosts("x", 2)), closed];
    let built = with(bounds, &Translation::default(), &ingresses);
    assert_eq!(served(&built), ["x0.example", "x1.example"]);
    assert_eq!(told(&built, &at("a", "open"), "it would get its requests"), ["spec.rules[0].http.paths[0].path"]);
    // One that is open to all leaves nothing behind.
    let mut ingresses = ingresses;
    ingresses[2].meta.annotations.clear();
    let built = with(bounds, &Translation::default(), &ingresses);
    assert_eq!(served(&built), ["a.example", "x0.example", "x1.example"]);
}

/// An Ingress with these annotations and paths at one host.
fn annotated(namespace: &str, name: &str, created: i64, paths: &[&str], annotations: &[(&str, &str)]) -> Ingress {
    let paths = paths.iter().map(|path| prefix(path)).collect();
    let mut ingress = with_rule(name, Some(&format!("{namespace}.example")), paths);
    (ingress.meta.namespace, ingress.meta.created) = (namespace.to_owned(), created);
    ingress.meta.annotations =
        annotations.iter().map(|(name, value)| (format!("sparrow/{name}"), (*value).to_owned())).collect();
    ingress
}

/// A list of so many ranges.
fn ranges(count: usize) -> String {
    (0..count).map(|number| format!("10.{}.{}.0/24", number / 256, number % 256)).collect::<Vec<_>>().join(",")
}

#[test]
fn rule_counts_for_the_lists_of_its_annotations() {
    let bounds = Bounds { rules: Bound { namespace: 100, ..NONE }, ..Bounds::NONE };
    let list = ranges(1000);
    let paths = ["/a", "/b", "/c", "/d", "/e"];
    let limited = [("limit-rps", "5"), ("limit-exempt-ranges", &*list)];
    let built = with(bounds, &Translation::default(), &[annotated("a", "web", 1, &paths, &limited)]);
    assert_eq!(built.routes.rules().count(), 3, "{}", built.routes);
    assert_eq!(told(&built, &at("a", "web"), "(--max-rules-per-namespace)").len(), 2);
}

#[test]
fn different_rates_are_bounded_and_the_same_one_is_none_more() {
    let bounds = Bounds { rates: Bound { namespace: 2, all: 3 }, ..Bounds::NONE };
    let rate = |namespace: &str, name: &str, created, rate: &str| {
        annotated(namespace, name, created, &[&format!("/{name}")], &[("limit-rps", rate)])
    };
    let built = with(
        bounds,
        &Translation::default(),
        &[
            rate("a", "one", 1, "1"),
            rate("a", "two", 2, "2"),
            rate("a", "three", 3, "3"),
            rate("a", "again", 4, "1"),
            rate("b", "one", 5, "1"),
            rate("b", "four", 6, "4"),
            rate("c", "five", 7, "5"),
        ],
    );
    let over = "Of the different rates of requests of one namespace at most 2 are served (--max-rates-per-namespace)";
    assert_eq!(told(&built, &at("a", "three"), over).len(), 1);
    let over = "Of the different rates of requests of all namespaces at most 3 are served (--max-rates)";
    assert_eq!(told(&built, &at("c", "five"), over).len(), 1);
    for (namespace, name) in [("a", "again"), ("b", "one"), ("b", "four")] {
        assert_eq!(told(&built, &at(namespace, name), ""), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn annotation_that_grows_is_counted_anew() {
    let settings =
        TranslateSettings { bounds: Bounds { rules: Bound { namespace: 40, ..NONE }, ..Bounds::NONE }, ..settings() };
    let limited = |count| {
        let list = ranges(count);
        annotated("a", "web", 1, &["/a", "/b"], &[("limit-rps", "5"), ("limit-exempt-ranges", &*list)])
    };
    let mut snapshot = Objects::new().ingress(limited(1)).0;
    let mut translator = Translator::default();
    assert_eq!(translator.translate(&snapshot, &settings).routes.rules().count(), 2);
    snapshot.put(limited(1000));
    assert_eq!(translator.translate(&snapshot, &settings).routes.rules().count(), 1);
}
