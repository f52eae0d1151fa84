//! Canaries: which requests of another Ingress they get, and which they do not.

use std::net::IpAddr;

use entry_model::{Acceptance, Ingress, Kind, Reason};

use crate::support::{Objects, assert_routes, assert_verdict, object, prefix, service, texts, tls, to, with_rule};

/// Where a Service of the main is, and one of the canary.
const MAIN: &str = "10.0.0.1:80 http";
const NEXT: &str = "10.0.0.2:80 http";

fn main_of(path: &str) -> Ingress {
    with_rule("web", Some("a.example"), vec![to(prefix(path), "web")])
}

/// A canary for the same, younger than the main.
fn canary<const N: usize>(name: &str, path: &str, annotations: [(&str, &str); N]) -> Ingress {
    let mut ingress = with_rule(name, Some("a.example"), vec![to(prefix(path), "next")]);
    let own = |(name, value): (&str, &str)| (format!("nginx.ingress.kubernetes.io/{name}"), value.to_owned());
    ingress.meta.annotations = [("canary", "true")].into_iter().chain(annotations).map(own).collect();
    ingress.meta.created = 10;
    ingress
}

fn objects() -> Objects {
    let mut next = service("next");
    next.cluster_ips = vec![IpAddr::from([10, 0, 0, 2])];
    Objects::new().service(service("web")).service(next)
}

/// What becomes of the main's rule.
#[track_caller]
fn assert_shared<const N: usize>(annotations: [(&str, &str); N], expected: &[&str]) {
    let built = objects().ingress(main_of("/")).ingress(canary("next", "/", annotations)).translate();
    let expected: Vec<String> = expected
        .iter()
        .map(|rule| format!("a.example prefix / {}", rule.replace("MAIN", MAIN).replace("NEXT", NEXT)))
        .collect();
    assert_routes(&built, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    for name in ["web", "next"] {
        assert_verdict(&built, &object(Kind::Ingress, name), Acceptance::Accepted, &[]);
    }
}

#[test]
fn header_comes_before_cookie_and_that_before_weight() {
    assert_shared(
        [("canary-by-header", "X_Canary"), ("canary-by-cookie", "c"), ("canary-weight", "10")],
        &[
            "header:x-canary=always -> NEXT (Ingress shop/next)",
            "header:x-canary=never -> MAIN (Ingress shop/web)",
            "cookie:c=always -> NEXT (Ingress shop/next)",
            "cookie:c=never -> MAIN (Ingress shop/web)",
            "-> MAIN weight=90 NEXT weight=10 (Ingress shop/web)",
        ],
    );
}

#[test]
fn requests_of_a_canary_are_counted_with_those_of_its_main() {
    let mut main = main_of("/");
    main.meta.annotations = texts([("nginx.ingress.kubernetes.io/limit-rps", "5")]);
    let built = objects().ingress(main).ingress(canary("next", "/", [("canary-by-header", "x")])).translate();
    let web = object(Kind::Ingress, "web");
    let counted: Vec<_> = built.routes.rules().map(|rule| (&rule.origin, &built.routes.policy(rule).limits)).collect();
    assert_eq!(counted.len(), 3);
    for (origin, limits) in counted {
        assert!(limits.requests_per_second.is_some());
        assert_eq!(limits.counted_for.as_ref().unwrap_or(origin), &web);
    }
}

#[test]
fn value_of_a_header_comes_before_its_pattern() {
    let name = ("canary-by-header", "x");
    let pattern = ("canary-by-header-pattern", "^v[0-9]$");
    let rest = "-> MAIN (Ingress shop/web)";
    let value = ("canary-by-header-value", "beta");
    assert_shared([name, value, pattern], &["header:x=beta -> NEXT (Ingress shop/next)", rest]);
    assert_shared([name, pattern], &["header:x~^v[0-9]$ -> NEXT (Ingress shop/next)", rest]);
    // Without a header they say nothing.
    assert_shared([value, pattern], &[rest]);
}

#[test]
fn weight_is_a_share_of_at_least_a_hundred() {
    let weight = |weight: &'static str| ("canary-weight", weight);
    let total = |total: &'static str| ("canary-weight-total", total);
    assert_shared([weight("0")], &["-> MAIN (Ingress shop/web)"]);
    assert_shared([weight("30"), total("1000")], &["-> MAIN weight=970 NEXT weight=30 (Ingress shop/web)"]);
    assert_shared([weight("30"), total("50")], &["-> MAIN weight=70 NEXT weight=30 (Ingress shop/web)"]);
    assert_shared([weight("100")], &["-> NEXT (Ingress shop/web)"]);
    assert_shared([weight("200")], &["-> NEXT (Ingress shop/web)"]);
}

#[test]
fn main_says_what_is_spoken_and_how_requests_are_treated() {
    let mut web = main_of("/a");
    web.meta.annotations =
        texts([("sparrow/strip-prefix", "true"), ("sparrow/read-timeout", "5s"), ("sparrow/backend-protocol", "h2c")]);
    let next = canary("next", "/a", [("canary-weight", "10"), ("proxy-read-timeout", "9"), ("no-such", "x")]);
    let built = objects().ingress(web).ingress(next).translate();
    let shares = "10.0.0.1:80 h2c strip weight=90 10.0.0.2:80 h2c strip weight=10";
    assert_routes(&built, &[&format!("a.example prefix /a -> {shares} read=5s (Ingress shop/web)")]);
    assert_verdict(&built, &object(Kind::Ingress, "next"), Acceptance::Accepted, &[]);
}

#[test]
fn canary_serves_nothing_of_its_own() {
    let mut alone = canary("next", "/other", [("canary-weight", "10")]);
    alone.meta.created = 0;
    alone.tls = vec![tls(&["a.example"], "missing")];
    let built = objects().ingress(main_of("/")).ingress(alone).translate();
    assert_routes(&built, &[&format!("a.example prefix / -> {MAIN} (Ingress shop/web)")]);
    let path = "spec.rules[0].http.paths[0].path";
    let findings = [(path, Reason::RefNotFound, "is served by no other Ingress")];
    assert_verdict(&built, &object(Kind::Ingress, "next"), Acceptance::Rejected, &findings);

    let built = objects().ingress(canary("next", "/", [("canary-weight", "10")])).translate();
    assert_routes(&built, &[]);
    assert_verdict(&built, &object(Kind::Ingress, "next"), Acceptance::Rejected, &findings);
}

#[test]
fn oldest_of_several_canaries_gets_requests() {
    let weight = [("canary-weight", "10")];
    let mut younger = canary("younger", "/", weight);
    younger.meta.created = 11;
    let built = objects().ingress(main_of("/")).ingress(younger).ingress(canary("next", "/", weight)).translate();
    assert_routes(&built, &[&format!("a.example prefix / -> {MAIN} weight=90 {NEXT} weight=10 (Ingress shop/web)")]);
    assert_verdict(&built, &object(Kind::Ingress, "next"), Acceptance::Accepted, &[]);
    let path = "spec.rules[0].http.paths[0].path";
    let findings = [(path, Reason::Conflicted, "has Ingress shop/next as canary, which was first")];
    assert_verdict(&built, &object(Kind::Ingress, "younger"), Acceptance::Rejected, &findings);
}

#[test]
fn canary_without_service_leaves_all_requests_to_its_main() {
    let mut next = canary("next", "/", [("canary-weight", "10"), ("canary-by-header", "x")]);
    next.rules[0].paths = vec![to(prefix("/"), "missing")];
    let built = objects().ingress(main_of("/")).ingress(next).translate();
    assert_routes(&built, &[&format!("a.example prefix / -> {MAIN} (Ingress shop/web)")]);
    let field = "spec.rules[0].http.paths[0].backend.service.name";
    let findings = [(field, Reason::RefNotFound, "the Ingress of which this is a canary gets all requests")];
    assert_verdict(&built, &object(Kind::Ingress, "next"), Acceptance::Rejected, &findings);
}

#[test]
fn canary_of_another_namespace_gets_nothing() {
    let mut stranger = canary("next", "/", [("canary-weight", "10")]);
    stranger.meta.namespace = "other".to_owned();
    let mut service = service("next");
    service.meta.namespace = "other".to_owned();
    let built = objects().service(service).ingress(main_of("/")).ingress(stranger).translate();
    assert_routes(&built, &[&format!("a.example prefix / -> {MAIN} (Ingress shop/web)")]);
    let (_, verdict) = built.verdicts.iter().find(|(object, _)| object.key.namespace == "other").expect("a verdict");
    assert!(verdict.findings()[0].message.contains("of another namespace"), "{verdict:?}");
}

#[test]
fn pattern_that_cannot_be_used_leaves_cookie_and_weight() {
    let asked = [("canary-by-header", "x"), ("canary-by-header-pattern", "(?=a)"), ("canary-weight", "10")];
    let built = objects().ingress(main_of("/")).ingress(canary("next", "/", asked)).translate();
    assert_routes(&built, &[&format!("a.example prefix / -> {MAIN} weight=90 {NEXT} weight=10 (Ingress shop/web)")]);
    let field = "metadata.annotations[nginx.ingress.kubernetes.io/canary-by-header-pattern]";
    let findings = [(field, Reason::Unsupported, "The pattern cannot be used")];
    assert_verdict(&built, &object(Kind::Ingress, "next"), Acceptance::Partial, &findings);
}
