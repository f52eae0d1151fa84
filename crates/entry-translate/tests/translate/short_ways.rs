//! Changes of one object that concern others, on whichever way they are followed.

use entry_model::{Ingress, Kind, Object, ObjectRef, PortRef, Reason, Service};
use entry_translate::{Bound, Bounds, DefaultBackend, HostOwnership, Quarantine, Translator, Way, translate};

use crate::by_host::Cluster;
use crate::support::{
    backend, exact, exposed, ingress, key, left_out, object, prefix, rule, secret, service, tls, to, with_rule,
};

const SNIPPET: &str = "nginx.ingress.kubernetes.io/server-snippet";
const HOST: &str = "a.example.com";

fn with(mut ingress: Ingress, annotations: &[(&str, &str)]) -> Ingress {
    ingress.meta.annotations.extend(annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    ingress
}

fn of_age(mut ingress: Ingress, created: i64) -> Ingress {
    ingress.meta.created = created;
    ingress
}

fn of(namespace: &str, mut ingress: Ingress) -> Ingress {
    namespace.clone_into(&mut ingress.meta.namespace);
    ingress
}

/// A Service that leads elsewhere.
fn moved(name: &str) -> Service {
    Service { cluster_ips: vec![[10, 0, 7, 9].into()], ..service(name) }
}

fn cluster(ingresses: impl IntoIterator<Item = Ingress>) -> Cluster {
    let mut cluster = Cluster::new(HostOwnership::Namespace);
    cluster.snapshot.put(service("web"));
    cluster.snapshot.put(service("solver"));
    for ingress in ingresses {
        cluster.snapshot.put(ingress);
    }
    cluster
}

/// Which way a change goes after others; what comes of it is what the snapshot gives by itself.
#[track_caller]
fn follow(mut cluster: Cluster, change: impl FnOnce(&mut Cluster)) -> Way {
    let mut translator = Translator::default();
    let mut next = |cluster: &mut Cluster| {
        let built = translator.translate(&cluster.snapshot, &cluster.settings);
        let expected = translate(&cluster.snapshot, &cluster.settings);
        assert!(
            built == expected,
            "{:?}\n{}\n{}\n{:#?}\n{:#?}",
            translator.last_way(),
            built.routes,
            expected.routes,
            built.verdicts,
            expected.verdicts
        );
        cluster.remember(&built);
        translator.last_way()
    };
    next(&mut cluster);
    next(&mut cluster);
    change(&mut cluster);
    next(&mut cluster)
}

fn put(object: impl Into<Object>) -> impl FnOnce(&mut Cluster) {
    move |cluster| {
        cluster.snapshot.put(object);
    }
}

#[test]
fn rule_is_replaced_at_its_own_place_beside_what_is_denied_before_patterns() {
    let app = || with(with_rule("app", Some(HOST), vec![prefix("/app/.*")]), &[("sparrow/path-regex", "true")]);
    let guard = |text: &str| with(with_rule("guard", Some(HOST), vec![prefix("/g")]), &[(SNIPPET, text)]);
    let solver = with_rule("solver", Some(HOST), vec![to(exact("/.well-known/acme-challenge/x"), "solver")]);
    let secret = guard("location ~ /secret { deny all; }");
    let beside = || cluster([app(), secret.clone(), solver.clone()]);
    assert_eq!(follow(beside(), put(moved("solver"))), Way::Objects);
    assert_eq!(follow(beside(), put(with(secret.clone(), &[("sparrow/read-timeout", "5s")]))), Way::Objects);
    let two = guard("location ~ x { deny all; } location /app/admin { return 404; }");
    let treated = with(two.clone(), &[("sparrow/read-timeout", "5s")]);
    assert_eq!(follow(cluster([app(), two]), put(treated)), Way::Objects);
}

#[test]
fn path_that_opens_is_closed_beside_one_that_is_left_out() {
    let closed = [("sparrow/allow-source-ranges", "10.0.0.0/8")];
    let web = |annotations| with(with_rule("web", Some(HOST), vec![prefix("/")]), annotations);
    let admin = || with(with_rule("admin", Some(HOST), vec![prefix("/admin")]), &closed);
    for is_unreadable in [false, true] {
        let mut cluster = cluster([web(&closed), admin()]);
        if is_unreadable {
            cluster.snapshot.unreadable.insert(object(Kind::Ingress, "admin"), "no".to_owned());
        } else {
            let aside = Quarantine { keeps_paths: false, ..left_out(Reason::RejectedByNginx, "no") };
            cluster.settings.quarantine.insert(object(Kind::Ingress, "admin"), aside);
        }
        follow(cluster, put(web(&[])));
    }
    // Over a bound.
    let mut cluster = cluster([
        web(&closed),
        of_age(with(with_rule("b", Some(HOST), vec![prefix("/b")]), &closed), 1),
        of_age(admin(), 2),
    ]);
    cluster.settings.bounds = Bounds { rules: Bound { namespace: 2, all: 100 }, ..Bounds::NONE };
    follow(cluster, put(web(&[])));
}

#[test]
fn who_keeps_clients_out_comes_first_as_soon_as_that_is_so() {
    let older = |ingress| of_age(ingress, 0);
    let guard = |text: &str| of_age(with(with_rule("guard", Some(HOST), vec![prefix("/g")]), &[(SNIPPET, text)]), 5);
    let (denies, answers) = ("location = /x { return 403; }", "location = /x { return 200 z; }");
    let plain = older(with_rule("older", Some(HOST), vec![exact("/x")]));
    let text = older(with(
        with_rule("older", Some(HOST), vec![prefix("/o")]),
        &[(SNIPPET, "location = /x { return 200 older; }")],
    ));
    for first in [plain, text] {
        follow(cluster([first.clone(), guard(denies)]), put(guard(answers)));
        follow(cluster([first, guard(answers)]), put(guard(denies)));
    }
}

#[test]
fn others_are_told_where_the_target_of_tls_passthrough_moves() {
    let passed = with(with_rule("passed", Some(HOST), vec![prefix("/")]), &[("sparrow/tls-passthrough", "true")]);
    let mut cluster = cluster([passed, of_age(with_rule("z", Some(HOST), vec![to(prefix("/z"), "web2")]), 3)]);
    cluster.snapshot.put(service("web2"));
    assert_eq!(follow(cluster, put(moved("web"))), Way::Hosts);
}

#[test]
fn host_below_a_wildcard_that_is_only_named_stays_with_whom_it_was_given_to() {
    // Its only path cannot be used, so that it only holds the host.
    let holds = of_age(of("other", with_rule("one", Some(HOST), vec![prefix("/p//q")])), 0);
    let mut wild = of_age(with_rule("one", Some(HOST), vec![prefix("/")]), 1);
    wild.rules.push(rule(Some("*.example.com"), vec![prefix("/")]));
    let mut cluster = cluster([holds, wild]);
    let mut translator = Translator::default();
    let mut texts = Vec::new();
    for _ in 0..3 {
        let built = translator.translate(&cluster.snapshot, &cluster.settings);
        assert_eq!(built, translate(&cluster.snapshot, &cluster.settings));
        cluster.remember(&built);
        texts.push(built.routes.to_string());
    }
    assert!(
        texts[0].contains("\na.example.com prefix / ") || texts[0].starts_with("a.example.com prefix / "),
        "{texts:?}"
    );
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
}

#[test]
fn default_backend_of_the_operator_is_told_of_its_port_whoever_else_changes() {
    let mut cluster = cluster([with_rule("more", Some(HOST), vec![prefix("/")])]);
    let port = Some(PortRef::Number(9999));
    cluster.settings.defaults.default_backend = Some(DefaultBackend { service: key("shop", "shown"), port });
    cluster.snapshot.put(exposed("shown", [("sparrow/host", HOST), ("sparrow/path", "/shown")]));
    let mut more = with(with_rule("more", Some(HOST), vec![prefix("/"), prefix("/more")]), &[]);
    more.rules.push(rule(Some("new.example.com"), vec![prefix("/")]));
    assert_eq!(follow(cluster, put(more)), Way::Hosts);
}

/// Which ways go a Service that moves and a path more, beside what a stranger asks for.
fn ways_beside(strangers: &[Ingress]) -> [Way; 2] {
    let beside = || {
        let mut cluster = cluster([of_age(with_rule("own", Some(HOST), vec![prefix("/")]), 0)]);
        let bound = |namespace, all| Bound { namespace, all };
        let rates = bound(16, 48);
        cluster.settings.bounds = Bounds { rules: bound(2000, 10_000), rates, ..Bounds::NONE };
        let mut web = service("web");
        "stranger".clone_into(&mut web.meta.namespace);
        cluster.snapshot.put(web);
        for stranger in strangers {
            cluster.snapshot.put(of_age(of("stranger", stranger.clone()), 9));
        }
        cluster
    };
    let more = of_age(with_rule("own", Some(HOST), vec![prefix("/"), prefix("/more")]), 0);
    [follow(beside(), put(moved("web"))), follow(beside(), put(more))]
}

#[test]
fn stranger_makes_no_change_of_others_long() {
    let alone = [Way::Objects; 2];
    assert_eq!(ways_beside(&[]), alone);
    // Served nowhere, and somewhere else; with a certificate for a wildcard, and more rules than are looked at.
    let denied = with_rule("x", Some(HOST), vec![prefix("/")]);
    assert_eq!(ways_beside(std::slice::from_ref(&denied)), alone);
    let mut own = denied;
    own.rules.push(rule(Some("x.example.net"), vec![prefix("/")]));
    own.tls = vec![tls(&["*.x.example"], "a")];
    assert_eq!(ways_beside(std::slice::from_ref(&own)), alone);
    let paths = (0..2001).map(|number| prefix(&format!("/{number}")));
    own.rules.push(rule(Some("y.example.net"), paths.collect()));
    assert_eq!(ways_beside(&[own]), alone);
    // More rates than are served of one namespace, and of all.
    let of_rate = |number: usize| {
        let (name, rate) = (format!("r{number}"), number.to_string());
        let ingress = with_rule(&name, Some(&format!("{name}.x.example")), vec![prefix("/")]);
        with(ingress, &[("nginx.ingress.kubernetes.io/limit-rps", &rate)])
    };
    for many in [16, 17, 60] {
        assert_eq!(ways_beside(&(1..=many).map(of_rate).collect::<Vec<_>>()), alone, "{many}");
    }
}

#[test]
fn pattern_that_is_written_otherwise_stands_elsewhere() {
    let regex = |path| with(with_rule("p", Some(HOST), vec![prefix(path)]), &[("sparrow/path-regex", "true")]);
    let others = ["/app/abc", "/app/ab"].map(|path| with_rule(&path[5..], Some(HOST), vec![prefix(path)]));
    let cluster = cluster([regex("/app/.*")].into_iter().chain(others));
    assert_eq!(follow(cluster, put(regex("^/app/.*"))), Way::Hosts);
}

#[test]
fn policy_that_was_replaced_by_that_of_a_canary_is_given_to_nobody() {
    let session = [("sparrow/affinity", "cookie"), ("sparrow/session-cookie-path", "/")];
    let on = |name: &str, host, path| with_rule(name, Some(host), vec![prefix(path)]);
    let legacy =
        [("sparrow/canary", "true"), ("sparrow/canary-weight", "10"), ("sparrow/affinity-canary-behavior", "legacy")];
    let canary = of_age(with(on("canary", "z.example.com", "/x"), &legacy), 9);
    let main = with(on("main", "z.example.com", "/x"), &session);
    let cluster = cluster([main, canary, on("y", "y.example.com", "/")]);
    assert_eq!(follow(cluster, put(with(on("y2", "y.example.com", "/y"), &session))), Way::Objects);
}

#[test]
fn certificate_for_all_hosts_depends_on_whether_its_namespace_is_alone_there() {
    for (name, is_there) in [("gone", false), ("for", true)] {
        let (rules, tls) = (vec![rule(None, vec![])], vec![tls(&[], name)]);
        let weak = Ingress { rules, default_backend: Some(backend("web")), tls, ..ingress("weak") };
        let others = of("other", with_rule("o", Some("o.example"), vec![prefix("/")]));
        let mut cluster = cluster([with(weak, &[("sparrow/ssl-redirect", "true")]), others]);
        cluster.snapshot.put(secret("for", &[HOST]));
        let mut volume = exposed("volume", []);
        "other".clone_into(&mut volume.meta.namespace);
        if is_there {
            cluster.snapshot.put(volume);
            follow(cluster, |cluster| {
                cluster.snapshot.remove(&ObjectRef::new(Kind::Service, key("other", "volume")));
            });
        } else {
            follow(cluster, put(volume));
        }
    }
}

#[test]
fn records_that_say_what_was_decided_make_no_change_long() {
    let long = with_rule("l", Some(&format!("{}.example.com", "x".repeat(40))), vec![prefix("/")]);
    let many = with_rule("l", None, (0..300).map(|number| prefix(&format!("/m{number}"))).collect());
    for stranger in [long, many] {
        let has = of("stranger", with_rule("s", None, vec![prefix("/s")]));
        let mut cluster = cluster([with_rule("own", Some(HOST), vec![prefix("/")]), has]);
        let mut translator = Translator::default();
        for change in [None, Some(Object::from(of("stranger", stranger))), Some(moved("web").into())] {
            if let Some(object) = change {
                cluster.snapshot.put(object);
            }
            let built = translator.translate(&cluster.snapshot, &cluster.settings);
            assert_eq!(built, translate(&cluster.snapshot, &cluster.settings));
            cluster.remember(&built);
        }
        assert_eq!(translator.last_way(), Way::Objects);
    }
}

#[test]
fn stranger_makes_no_path_of_all_hosts_long() {
    let denied = of("stranger", of_age(with_rule("x", None, vec![prefix("/s1"), prefix("/mine")]), 9));
    let default = of("stranger", Ingress { default_backend: Some(backend("web")), ..ingress("d") });
    for stranger in [denied, default] {
        let beside = || {
            let mut cluster = cluster([stranger.clone()]);
            for name in ["s0", "s1", "s2"] {
                cluster.snapshot.put(exposed(name, []));
            }
            cluster
        };
        let led = Service { cluster_ips: vec![[10, 0, 7, 9].into()], ..exposed("s2", []) };
        assert_eq!(follow(beside(), put(exposed("new", []))), Way::Objects);
        assert_eq!(follow(beside(), put(led)), Way::Objects);
        let gone = |name: &'static str| {
            follow(beside(), move |cluster| {
                cluster.snapshot.remove(&ObjectRef::new(Kind::Service, key("shop", name)));
            })
        };
        assert_eq!(gone("s2"), Way::Objects);
        gone("s1");
    }
}
