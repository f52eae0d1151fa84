//! Further names of hosts, redirects of hosts, and redirects to HTTPS without a certificate.

use entry_model::{Acceptance, HostName, Kind, Reason};

use crate::support::{
    Objects, assert_routes, assert_verdict, exact, object, prefix, secret, service, texts, tls, with_rule,
};

const WWW: &str = "nginx.ingress.kubernetes.io/from-to-www-redirect";
const ALIAS: &str = "nginx.ingress.kubernetes.io/server-alias";

fn annotated<const N: usize>(name: &str, host: &str, annotations: [(&str, &str); N]) -> entry_model::Ingress {
    let mut ingress = with_rule(name, Some(host), vec![prefix("/x")]);
    ingress.meta.annotations = texts(annotations);
    ingress
}

fn host_certificate(built: &entry_translate::Translation, name: &str) -> bool {
    built.routes.hosts[&HostName::Exact(name.to_owned())].certificate.is_some()
}

#[test]
fn www_host_is_redirected_over_https_only_if_the_certificate_is_for_both() {
    for (names, both) in [(&["a.example", "www.a.example"][..], true), (&["a.example"], false)] {
        let mut ingress = annotated("web", "a.example", [(WWW, "true")]);
        ingress.tls = vec![tls(&["a.example"], "tls")];
        let objects = Objects::new().service(service("web")).ingress(ingress).secret(secret("tls", names));
        let built = objects.translate();
        assert!(host_certificate(&built, "a.example"));
        assert_eq!(host_certificate(&built, "www.a.example"), both, "{names:?}");
        let text = built.routes.to_string();
        let redirect = "www.a.example prefix / -> redirect 308 host=a.example (Ingress shop/web)";
        assert!(text.lines().any(|line| line == redirect), "{text}");
        assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[]);
    }
}

#[test]
fn further_host_yields_to_whoever_names_it_in_a_rule() {
    let objects = Objects::new()
        .service(service("web"))
        .ingress(annotated("first", "a.example", [(WWW, "true"), (ALIAS, "b.example")]))
        .ingress(with_rule("later", Some("www.a.example"), vec![prefix("/own")]))
        .ingress(with_rule("latest", Some("b.example"), vec![exact("/own")]));
    let built = objects.translate();
    assert_routes(
        &built,
        &[
            "a.example prefix /x -> 10.0.0.1:80 http (Ingress shop/first)",
            "b.example exact /own -> 10.0.0.1:80 http (Ingress shop/latest)",
            "www.a.example prefix /own -> 10.0.0.1:80 http (Ingress shop/later)",
        ],
    );
    let (alias, www) = (format!("metadata.annotations[{ALIAS}]"), format!("metadata.annotations[{WWW}]"));
    assert_verdict(
        &built,
        &object(Kind::Ingress, "first"),
        Acceptance::Partial,
        &[
            (&www, Reason::Conflicted, "is taken by Ingress shop/later"),
            (&alias, Reason::Conflicted, "is taken by Ingress shop/latest"),
        ],
    );
}

#[test]
fn object_that_names_both_hosts_loses_nothing() {
    let mut ingress = annotated("web", "a.example", [(WWW, "true")]);
    ingress.rules.push(entry_model::IngressRule { host: Some("www.a.example".to_owned()), paths: vec![prefix("/y")] });
    let built = Objects::new().service(service("web")).ingress(ingress).translate();
    assert_routes(
        &built,
        &[
            "a.example prefix /x -> 10.0.0.1:80 http (Ingress shop/web)",
            "www.a.example prefix /y -> 10.0.0.1:80 http (Ingress shop/web)",
        ],
    );
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[]);
}

#[test]
fn redirect_to_https_may_be_forced_without_a_certificate() {
    let force = ("nginx.ingress.kubernetes.io/force-ssl-redirect", "true");
    for (annotations, expected) in [
        ([force, ("sparrow/keep-alive", "true")], " redirect"),
        ([force, ("sparrow/ssl-redirect", "false")], ""),
        ([("sparrow/ssl-redirect", "always"), ("sparrow/keep-alive", "true")], " redirect"),
    ] {
        let built =
            Objects::new().service(service("web")).ingress(annotated("web", "a.example", annotations)).translate();
        let line = format!("a.example prefix /x -> 10.0.0.1:80 http{expected} (Ingress shop/web)");
        assert_routes(&built, &[&line]);
    }
}

#[test]
fn root_of_a_host_is_redirected_whichever_ingress_has_it() {
    let root = ("nginx.ingress.kubernetes.io/app-root", "/x/");
    let objects = Objects::new().service(service("web")).ingress(annotated("app", "a.example", [root]));
    let redirect = "a.example exact / -> redirect 302 target=/x/ (Ingress shop/app)";
    let app = "a.example prefix /x -> 10.0.0.1:80 http (Ingress shop/app)";
    assert_routes(&objects.translate(), &[redirect, app]);
    let other = with_rule("other", Some("a.example"), vec![prefix("/")]);
    let built = objects.ingress(other).translate();
    assert_routes(&built, &[redirect, app, "a.example prefix / -> 10.0.0.1:80 http (Ingress shop/other)"]);
    assert_verdict(&built, &object(Kind::Ingress, "app"), Acceptance::Accepted, &[]);
    // Of hosts that no rule names, the root is somebody's.
    let mut any = annotated("any", "a.example", [root]);
    any.rules[0].host = None;
    let built = Objects::new().service(service("web")).ingress(any).translate();
    assert_routes(&built, &["* prefix /x -> 10.0.0.1:80 http (Ingress shop/any)"]);
}

#[test]
fn permanent_redirect_may_lead_to_a_path_of_the_same_host() {
    let lines = |name: &str, value: &str, code: &str| {
        let prefix = "nginx.ingress.kubernetes.io/";
        let (name, code_name) = (format!("{prefix}{name}"), format!("{prefix}{name}-code"));
        let ingress = annotated("web", "a.example", [(&*name, value), (&*code_name, code)]);
        Objects::new().service(service("web")).ingress(ingress).translate().routes.to_string()
    };
    let to = |rest: &str| format!("a.example prefix /x -> {rest} (Ingress shop/web)\n");
    assert_eq!(lines("permanent-redirect", "/new?a=b", "308"), to("redirect 308 target=/new?a=b"));
    assert_eq!(lines("permanent-redirect", "//evil.example", "301"), to("unavailable"));
    // There, a temporal one needs a URL, and has no 308.
    assert_eq!(lines("temporal-redirect", "/new", "302"), to("unavailable"));
    let url = "https://b.example/";
    assert_eq!(lines("temporal-redirect", url, "308"), to("redirect 302 scheme=https host=b.example target=/"));
    assert_eq!(lines("temporal-redirect", url, "307"), to("redirect 307 scheme=https host=b.example target=/"));
}
