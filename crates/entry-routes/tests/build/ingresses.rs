//! Ingresses.

use entry_routes::{Kind, Outcome};

use crate::support::{Objects, assert_routes, assert_verdict, exact, object, prefix, secret, service, tls, with_rule};

#[test]
fn hosts_and_paths_lead_to_services() {
    let mut web = with_rule("web", Some("a.example.com"), vec![prefix("/"), exact("/x/"), prefix("/longer/")]);
    web.tls = vec![tls(&["a.example.com"], "tls")];
    let built = Objects::new().service(service("web")).ingress(web).secret(secret("tls", &["a.example.com"])).build();
    assert_routes(
        &built,
        &[
            "a.example.com exact /x/ -> 10.0.0.1:80 http redirect (Ingress shop/web)",
            "a.example.com prefix /longer -> 10.0.0.1:80 http redirect (Ingress shop/web)",
            "a.example.com prefix / -> 10.0.0.1:80 http redirect (Ingress shop/web)",
            "a.example.com certificate (Secret shop/tls)",
        ],
    );
    assert_verdict(&built, &object(Kind::Ingress, "web"), Outcome::Accepted, &[]);
}
