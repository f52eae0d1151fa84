//! A tenant's certificates reach the hosts of its own rules, and no further.

use entry_model::{Acceptance, Ingress, Kind, ObjectRef, Reason, Request, RoutingDecision, Scheme, Secret, Service};
use entry_translate::Translation;

use crate::support::{
    Objects, assert_routes, assert_verdict, backend, exposed, ingress, key, prefix, rule, secret, service, tls,
    with_rule,
};

const HOST: &str = "spec.tls[0].hosts[0]";

/// The later of two tenants, who wants what the other has.
fn evil(mut ingress: Ingress) -> Ingress {
    "evil".clone_into(&mut ingress.meta.namespace);
    ingress.meta.created = 100;
    ingress
}

fn evil_secret(hosts: &[&str]) -> Secret {
    let mut secret = secret("e", hosts);
    "evil".clone_into(&mut secret.meta.namespace);
    secret
}

fn evil_service() -> Service {
    let mut service = service("web");
    "evil".clone_into(&mut service.meta.namespace);
    service
}

fn evil_object() -> ObjectRef {
    ObjectRef::new(Kind::Ingress, key("evil", "web"))
}

fn two(theirs: Ingress, evil: Ingress, hosts: &[&str]) -> Objects {
    let objects = Objects::new().service(service("web")).service(evil_service()).ingress(theirs).ingress(evil);
    objects.secret(evil_secret(hosts))
}

fn is_in_the_clear(built: &Translation, host: &str) {
    let found = |scheme| built.routes.find(&Request { scheme, host, path: "/", ..Request::default() });
    assert!(matches!(found(Scheme::Http), RoutingDecision::Rule(_)), "{host}: {}", built.routes);
    assert_eq!(found(Scheme::Https), RoutingDecision::NoCertificate, "{host}: {}", built.routes);
}

#[test]
fn certificate_needs_a_rule_of_its_object_on_the_host() {
    for names in [&["e.example"][..], &["a.example"], &["a.example", "e.example"]] {
        let theirs = with_rule("web", Some("a.example"), vec![prefix("/")]);
        let tls = vec![tls(&["a.example"], "e")];
        let evil = evil(Ingress { tls, ..with_rule("web", Some("e.example"), vec![prefix("/")]) });
        let built = two(theirs, evil, names).translate();
        is_in_the_clear(&built, "a.example");
        assert!(built.routes.certificates.is_empty());
        let told =
            (HOST, Reason::Conflicted, "The host \"a.example\" is served for Ingress shop/web, and no rule of this");
        assert_verdict(&built, &evil_object(), Acceptance::Partial, &[told]);
    }
}

#[test]
fn rule_that_lost_its_path_brings_no_certificate() {
    let theirs = with_rule("web", Some("a.example"), vec![prefix("/")]);
    for hosts in [&["a.example"][..], &[]] {
        let tls = vec![tls(hosts, "e")];
        let evil = evil(Ingress { tls, ..with_rule("web", Some("a.example"), vec![prefix("/")]) });
        let built = two(theirs.clone(), evil, &["a.example"]).translate();
        is_in_the_clear(&built, "a.example");
        assert_eq!(built.verdicts[&evil_object()].acceptance(), Acceptance::Rejected);
    }
}

#[test]
fn default_backend_brings_no_certificate_to_others_hosts() {
    let theirs = with_rule("web", Some("a.example"), vec![prefix("/app")]);
    let global = |hosts: &[&str]| {
        evil(Ingress { default_backend: Some(backend("web")), tls: vec![tls(hosts, "e")], ..ingress("web") })
    };
    let built = two(theirs.clone(), global(&["a.example"]), &["a.example"]).translate();
    let found = |scheme, path| built.routes.find(&Request { scheme, host: "a.example", path, ..Request::default() });
    assert!(matches!(found(Scheme::Http, "/app"), RoutingDecision::Rule(_)));
    assert_eq!(found(Scheme::Https, "/app"), RoutingDecision::NoCertificate);
    // A Service without a host is on every host.
    let exposed = exposed("s", []);
    let built = two(theirs, global(&[]), &["e.example"]).service(exposed).translate();
    for host in ["a.example", "other.example"] {
        let found = built.routes.find(&Request { scheme: Scheme::Http, host, path: "/s", ..Request::default() });
        assert!(!matches!(found, RoutingDecision::RedirectToHttps(_)), "{host}: {}", built.routes);
        let found = built.routes.find(&Request { scheme: Scheme::Https, host, path: "/s", ..Request::default() });
        assert_eq!(found, RoutingDecision::NoCertificate, "{host}: {}", built.routes);
    }
}

#[test]
fn wildcard_certificate_serves_hosts_of_its_namespace_only() {
    let mut wild = with_rule("wild", Some("*.wild.example"), vec![prefix("/")]);
    wild.tls = vec![tls(&["*.wild.example"], "wild")];
    let own = with_rule("own", Some("own.wild.example"), vec![prefix("/")]);
    // It was there before the wildcard, so it is not the wildcard's.
    let mut login = evil(with_rule("web", Some("login.wild.example"), vec![prefix("/")]));
    login.meta.created = -100;
    let built = Objects::new()
        .service(service("web"))
        .service(evil_service())
        .ingress(wild)
        .ingress(own)
        .ingress(login)
        .secret(secret("wild", &["*.wild.example"]))
        .translate();
    is_in_the_clear(&built, "login.wild.example");
    for host in ["own.wild.example", "any.wild.example"] {
        let found = |scheme| built.routes.find(&Request { scheme, host, path: "/", ..Request::default() });
        assert!(matches!(found(Scheme::Http), RoutingDecision::RedirectToHttps(_)), "{host}");
        assert!(matches!(found(Scheme::Https), RoutingDecision::Rule(_)), "{host}");
    }
    assert!(built.verdicts.values().all(|verdict| verdict.findings().is_empty()), "{:#?}", built.verdicts);
}

#[test]
fn mismatched_certificate_redirects_nothing_and_replaces_none() {
    let web = |name: &str, path: &str, secret: &str| {
        let tls = vec![tls(&["a.example"], secret)];
        Ingress { tls, ..with_rule(name, Some("a.example"), vec![prefix(path)]) }
    };
    let objects = Objects::new().service(service("web")).secret(secret("other", &["b.example"]));
    let objects = objects.ingress(web("web", "/", "other"));
    let built = objects.translate();
    let certificate = "a.example certificate (Secret shop/other)";
    assert_routes(&built, &["a.example prefix / -> 10.0.0.1:80 http (Ingress shop/web)", certificate]);
    let told = (HOST, Reason::InvalidRef, "it is not for \"a.example\"; requests over HTTP are not redirected");
    let object = ObjectRef::new(Kind::Ingress, key("shop", "web"));
    assert_verdict(&built, &object, Acceptance::Partial, &[told]);
    // A later one that is right comes first, and redirects all.
    let mut late = web("late", "/late", "right");
    late.meta.created = 100;
    let built = objects.ingress(late).secret(secret("right", &["*.example"])).translate();
    assert_routes(
        &built,
        &[
            "a.example prefix /late -> 10.0.0.1:80 http redirect (Ingress shop/late)",
            "a.example prefix / -> 10.0.0.1:80 http redirect (Ingress shop/web)",
            "a.example certificate (Secret shop/right)",
        ],
    );
    let told = (HOST, Reason::Conflicted, "Ingress shop/late has another certificate for \"a.example\"");
    assert_verdict(&built, &object, Acceptance::Partial, &[told]);
}

#[test]
fn tls_entry_without_hosts_covers_hosts_of_served_rules() {
    let old = with_rule("old", Some("b.example"), vec![prefix("/")]);
    let mut young = with_rule("web", Some("a.example"), vec![prefix("/")]);
    young.rules.push(rule(Some("b.example"), vec![prefix("/")]));
    young.rules.push(rule(None, vec![prefix("/every")]));
    young.tls = vec![tls(&[], "tls")];
    young.meta.created = 100;
    let built = Objects::new()
        .service(service("web"))
        .ingress(old)
        .ingress(young)
        .secret(secret("tls", &["a.example", "b.example"]))
        .translate();
    assert_routes(
        &built,
        &[
            "a.example prefix / -> 10.0.0.1:80 http redirect (Ingress shop/web)",
            "b.example prefix / -> 10.0.0.1:80 http (Ingress shop/old)",
            // No certificate is for every host.
            "* prefix /every -> 10.0.0.1:80 http (Ingress shop/web)",
            "a.example certificate (Secret shop/tls)",
            "* certificate (Secret shop/tls)",
        ],
    );
}

#[test]
fn tls_wildcard_covers_hosts_of_the_same_object() {
    let mut web = with_rule("web", Some("a.example.com"), vec![prefix("/")]);
    web.tls = vec![tls(&["*.example.com"], "tls")];
    let built =
        Objects::new().service(service("web")).ingress(web).secret(secret("tls", &["*.example.com"])).translate();
    assert_routes(
        &built,
        &[
            "a.example.com prefix / -> 10.0.0.1:80 http redirect (Ingress shop/web)",
            "a.example.com certificate (Secret shop/tls)",
        ],
    );
    assert!(built.verdicts.values().all(|verdict| verdict.findings().is_empty()), "{:#?}", built.verdicts);
}
