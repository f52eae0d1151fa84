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
