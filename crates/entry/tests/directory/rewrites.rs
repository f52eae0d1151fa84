//! Regular expressions, rewrites and redirects of Ingresses that were written for ingress-nginx, and by our annotations.

use testbed::echo::{Echo as _, backend};

use crate::common::{Bench, CLASS, eventually, programs, service};

const INGRESS_NGINX: &str = "nginx.ingress.kubernetes.io";

/// An Ingress of a host, with annotations as in JSON, and with paths of the type `ImplementationSpecific`.
fn ingress(name: &str, host: &str, annotations: &str, port: u16, paths: &[&str]) -> String {
    let path = |path: &&str| {
        format!(
            "      - {{ path: '{path}', pathType: ImplementationSpecific, backend: {{ service: {{ name: web, port: {{ number: \
             {port} }} }} }} }}\n"
        )
    };
    let paths: String = paths.iter().map(path).collect();
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  annotations: {{ {annotations} }}\n\
         spec:\n  ingressClassName: sparrow\n  rules:\n  - host: {host}\n    http:\n      paths:\n{paths}"
    )
}

#[test]
fn paths_are_rewritten_in_both_dialects_alike() {
    let port = backend("web").port();
    let theirs = format!("{INGRESS_NGINX}/use-regex: \"true\", {INGRESS_NGINX}/rewrite-target: \"/by/$2/$1\"");
    let ours = "sparrow/path-regex: \"true\", sparrow/rewrite: \"/by/$2/$1\"";
    let told = format!(
        "{INGRESS_NGINX}/rewrite-target: /$2, {INGRESS_NGINX}/x-forwarded-prefix: /out, sparrow/keep-alive: \"true\""
    );
    let paths = ["/items/([a-z]+)/x(.*)"];
    let objects = [
        format!("{CLASS}---\n{}", service("web", port)),
        ingress("theirs", "theirs.example", &theirs, port, &paths),
        ingress("ours", "ours.example", ours, port, &paths),
        // A plain path of another object stays what it is.
        ingress("plain", "theirs.example", "", port, &["/items/plain/x/and/longer/than/that"]),
        ingress("strip", "strip.example", &format!("{INGRESS_NGINX}/rewrite-target: /$2"), port, &["/api(/|$)(.*)"]),
        ingress("told", "told.example", &told, port, &["/in(/|$)(.*)"]),
        ingress("wrong", "wrong.example", &format!("{INGRESS_NGINX}/rewrite-target: '/$host'"), port, &["/"]),
    ];
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("all.yaml", &objects.concat());
        let entry = bench.start(&["run"]);
        eventually("served", || bench.asks("strip.example", "/api").0 == 200);
        for (host, sent, seen) in [
            ("theirs.example", "/items/abc/x%2Fy?q=1", "/by/%2Fy/abc?q=1"),
            ("theirs.example", "/ITEMS/abc/x", "/by//abc"),
            ("theirs.example", "/items/plain/x/and/longer/than/that/y", "/items/plain/x/and/longer/than/that/y"),
            ("ours.example", "/items/abc/x%2Fy?q=1", "/by/%2Fy/abc?q=1"),
            ("strip.example", "/api/a%20b?c", "/a%20b?c"),
            ("strip.example", "/api", "/"),
        ] {
            let answer = bench.get(host, sent).unwrap();
            assert_eq!((answer.status, answer.target()), (200, seen), "{host}{sent}");
        }
        for (host, sent, prefix) in [
            ("told.example", "/in/x", Some("/out")),
            ("strip.example", "/api/x", Some("/api")),
            ("ours.example", "/items/a/x", None),
        ] {
            assert_eq!(bench.get(host, sent).unwrap().seen("X-Forwarded-Prefix"), prefix, "{host}{sent}");
        }
        for (host, sent, status) in [
            ("ours.example", "/ITEMS/abc/x", 404),
            ("theirs.example", "/items/9/x", 404),
            ("theirs.example", "/%69tems/abc/x", 400),
            ("theirs.example", "/items/abc/x/../y", 400),
            ("strip.example", "/apis", 404),
            ("wrong.example", "/", 503),
        ] {
            assert_eq!(bench.get(host, sent).unwrap().status, status, "{host}{sent}");
        }
        entry.terminate();
    }
}

#[test]
fn clients_are_sent_elsewhere_in_both_dialects_alike() {
    let port = backend("web").port();
    let annotated = |name: &str, value: &str| format!("{INGRESS_NGINX}/{name}: \"{value}\"");
    let permanent = annotated("permanent-redirect", "https://new.example$request_uri");
    let objects = [
        format!("{CLASS}---\n{}", service("web", port)),
        ingress("permanent", "permanent.example", &permanent, port, &["/"]),
        ingress(
            "temporal",
            "temporal.example",
            &annotated("temporal-redirect", "https://new.example/x?y#z"),
            port,
            &["/"],
        ),
        ingress(
            "ours",
            "ours.example",
            "sparrow/redirect: 'https://new.example$request_uri', sparrow/redirect-status: \"307\"",
            port,
            &["/"],
        ),
        ingress(
            "elsewhere",
            "elsewhere.example",
            &annotated("rewrite-target", "https://new.example/$1"),
            port,
            &["/a/(.*)"],
        ),
        ingress("root", "root.example", &annotated("app-root", "/app/"), port, &["/"]),
        ingress("www", "www.www.example", &annotated("from-to-www-redirect", "true"), port, &["/"]),
        ingress("alias", "alias.example", &annotated("server-alias", "alias.example.org"), port, &["/x"]),
        ingress("force", "force.example", &annotated("force-ssl-redirect", "true"), port, &["/"]),
    ];
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("all.yaml", &objects.concat());
        let entry = bench.start(&["run"]);
        eventually("served", || bench.asks("root.example", "/x").0 == 200);
        for (host, sent, status, location) in [
            ("permanent.example", "/a%2Fb?c", 301, "https://new.example/a%2Fb?c"),
            ("temporal.example", "/a?b", 302, "https://new.example/x?y#z"),
            ("ours.example", "/a?b", 307, "https://new.example/a?b"),
            ("elsewhere.example", "/a/b%20c?d", 302, "https://new.example/b%20c?d"),
            ("elsewhere.example", "/b", 404, ""),
            ("root.example", "/?a", 302, "http://root.example/app/"),
            ("www.example", "/a?b", 308, "http://www.www.example/a?b"),
            ("www.www.example", "/a", 200, ""),
            ("alias.example.org", "/x/y", 200, ""),
            ("alias.example.org", "/", 404, ""),
            ("force.example", "/a?b", 308, "https://force.example/a?b"),
            ("force.example", "/.well-known/acme-challenge/x", 200, ""),
        ] {
            let answer = bench.get(host, sent).unwrap();
            let found = answer.header("Location");
            assert_eq!((answer.status, found), (status, location), "{host}{sent}");
        }
        entry.terminate();
    }
}
