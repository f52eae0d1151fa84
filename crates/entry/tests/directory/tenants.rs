//! Two namespaces, one of which is hostile: what is the other's stays the other's.

use std::fs;

use serde_json::{Value, json};

use crate::common::tls::{Certificate, curl, secret};
use crate::common::{Bench, CLASS, backend, debian, eventually, programs};

/// A path to the Service `web` of the namespace.
fn path(path: &str, port: u16) -> Value {
    json!({ "path": path, "pathType": "Prefix", "backend": { "service": { "name": "web", "port": { "number": port } } } })
}

fn rule(host: &str, paths: &[&str], port: u16) -> Value {
    let paths: Vec<_> = paths.iter().map(|text| path(text, port)).collect();
    json!({ "host": host, "http": { "paths": paths } })
}

/// An Ingress of a namespace, made in a year.
fn ingress(namespace: &str, name: &str, year: u16, spec: Value) -> Value {
    let mut spec = spec;
    spec["ingressClassName"] = "sparrow".into();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": spec,
        "metadata": { "namespace": namespace, "name": name, "creationTimestamp": format!("{year}-01-01T00:00:00Z") },
    })
}

/// A Service `web` of a namespace.
fn web(namespace: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": namespace, "name": "web" },
        "spec": { "clusterIP": "127.0.0.1", "ports": [{ "port": port }] },
    })
}

fn exposed(namespace: &str, name: &str, year: u16, port: u16, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "spec": { "clusterIP": "127.0.0.1", "ports": [{ "port": port }] },
        "metadata": {
            "namespace": namespace, "name": name, "creationTimestamp": format!("{year}-01-01T00:00:00Z"),
            "labels": { "sparrow/expose": "true" }, "annotations": annotations,
        },
    })
}

/// Writes objects as one manifest.
fn write(bench: &Bench, name: &str, objects: &[Value]) {
    let texts: Vec<_> = objects.iter().map(ToString::to_string).collect();
    bench.write(name, &texts.join("\n---\n"));
}

/// The Secret of a namespace.
fn secret_of(namespace: &str, certificate: &Certificate) -> String {
    secret("tls", certificate).replace("{ name: tls }", &format!("{{ name: tls, namespace: {namespace} }}"))
}

const ASKED: [(&str, &str); 11] = [
    ("plain.example", "/"),
    ("plain.example", "/admin"),
    ("PLAIN.example.", "/admin/x"),
    ("xn--bcher-kva.example", "/admin"),
    ("login.wild.example", "/"),
    ("x.wild.example", "/x"),
    ("older.wild.example", "/"),
    ("any.example", "/volume"),
    ("any.example", "/volume/api"),
    ("any.example", "/volume/api/deep"),
    ("path.example", "/only"),
];

/// Whatever a hostile namespace asks for: of objects that are older than those of the other.
fn attack(port: u16) -> Vec<Value> {
    let everywhere = ["/", "/admin", "/x", "/only"];
    let hosts = [
        "plain.example",
        "PLAIN.example",
        "plain.example.",
        "xn--bcher-kva.example",
        "b\u{fc}cher.example",
        "login.wild.example",
        "older.wild.example",
        "*.wild.example",
        "path.example",
        "shop.example",
    ];
    let mut rules: Vec<_> = hosts.iter().map(|host| rule(host, &everywhere, port)).collect();
    rules.push(rule("own.example", &["/"], port));
    rules.push(json!({ "http": { "paths": [path("/volume/api", port), path("/volume", port), path("/free", port)] } }));
    let backend = json!({ "service": { "name": "web", "port": { "number": port } } });
    let mut off = ingress("evil", "redirect", 2001, json!({ "rules": [rule("shop.example", &["/"], port)] }));
    off["metadata"]["annotations"] = json!({ "sparrow/ssl-redirect": "false" });
    vec![
        ingress("evil", "web", 2001, json!({ "rules": rules, "defaultBackend": backend })),
        ingress("evil", "rest", 2001, json!({ "defaultBackend": backend })),
        off,
        exposed("evil", "plain", 2001, port, &json!({ "sparrow/host": "plain.example", "sparrow/path": "/service" })),
        exposed("evil", "volume", 2001, port, &json!({ "sparrow/path": "/volume/service" })),
        exposed("evil", "below", 2001, port, &json!({ "sparrow/host": "y.wild.example" })),
    ]
}

#[test]
fn hostile_namespace_gets_no_host_of_another() {
    let (good, bad) = (backend("good"), backend("bad"));
    let certificate = Certificate::new("shop.example");
    for program in programs() {
        let mut bench = Bench::new(&program).with_https();
        bench.flag("--host-record", bench.path("hosts").display().to_string());
        bench.write("class.yaml", CLASS);
        write(&bench, "services.yaml", &[web("victim", good), web("evil", bad)]);
        bench.write("secret.yaml", &secret_of("victim", &certificate));
        let mut tls = json!({ "rules": [rule("shop.example", &["/"], good)] });
        tls["tls"] = json!([{ "hosts": ["shop.example"], "secretName": "tls" }]);
        let hosts = ["plain.example", "b\u{fc}cher.example", "*.wild.example", "older.wild.example"];
        let mut rules: Vec<_> = hosts.iter().map(|host| rule(host, &["/"], good)).collect();
        rules.push(rule("path.example", &["/only"], good));
        write(
            &bench,
            "victim.yaml",
            &[
                ingress("victim", "web", 2020, json!({ "rules": rules })),
                ingress("victim", "shop", 2020, tls),
                exposed("victim", "volume", 2020, good, &json!({})),
            ],
        );
        // Older, and harmless until it is edited.
        write(
            &bench,
            "evil.yaml",
            &[ingress("evil", "web", 2001, json!({ "rules": [rule("own.example", &["/"], bad)] }))],
        );
        let mut entry = bench.start(&["run"]);
        assert_eq!(bench.asks("own.example", "/"), (200, "bad".to_owned()));

        let stays = || {
            for (host, path) in ASKED {
                assert_eq!(bench.asks(host, path), (200, "good".to_owned()), "{host}{path}");
            }
            // What no path of a host matches is not found there, whoever serves the rest.
            assert_eq!(bench.asks("path.example", "/admin").0, 404);
            assert_eq!(bench.asks("shop.example", "/").0, 308);
            assert_eq!(curl(&bench, "shop.example", &certificate), Ok("good".to_owned()));
        };
        write(&bench, "evil.yaml", &attack(bad));
        eventually("its own", || bench.asks("unknown.example", "/") == (200, "bad".to_owned()));
        eventually("free", || bench.asks("unknown.example", "/free").1 == "bad");
        stays();
        entry.says("belongs to the namespace victim");
        let (out, _) = bench.ends(1, &["check"]);
        for object in
            ["Ingress evil/redirect: Rejected", "Service evil/plain: Rejected", "Service evil/below: Rejected"]
        {
            assert!(out.lines().any(|line| line.starts_with(object) && line.contains("Conflicted")), "{object}: {out}");
        }
        assert!(!out.contains("victim/"), "nothing is wrong with the other's: {out}");

        // A restart changes nothing.
        entry.terminate();
        entry = bench.start(&["run"]);
        stays();
        // Who gives a host up and takes it again was not first.
        let kept = fs::read_to_string(bench.path("objects/victim.yaml")).unwrap();
        bench.write("victim.yaml", &kept.replace("plain.example", "other.example"));
        eventually("given up", || bench.asks("plain.example", "/") == (200, "bad".to_owned()));
        bench.write("victim.yaml", &kept);
        entry.says("belongs to the namespace evil");
        assert_eq!(bench.asks("plain.example", "/"), (200, "bad".to_owned()));
        entry.terminate();
    }
}

#[test]
fn lost_or_garbled_host_record_gives_hosts_to_the_oldest() {
    let port = backend("one");
    let mut bench = Bench::new(&debian());
    bench.flag("--host-record", bench.path("hosts").display().to_string());
    bench.write("class.yaml", CLASS);
    write(&bench, "services.yaml", &[web("a", port), web("b", port)]);
    let of = |namespace, year| ingress(namespace, "web", year, json!({ "rules": [rule("x.example", &["/"], port)] }));
    write(&bench, "a.yaml", &[of("a", 2020)]);
    bench.ends(0, &["generate"]);
    let record = bench.path("hosts");
    assert_eq!(fs::read_to_string(&record).unwrap(), "{\n  \"a\": \"rules 1\\nx.example\\n\"\n}");
    write(&bench, "b.yaml", &[of("b", 2001)]);
    let owner = |bench: &Bench| {
        let (routes, err) = bench.ends(0, &["render", "--routes"]);
        (routes.rsplit_once("Ingress ").unwrap().1.split('/').next().unwrap().to_owned(), err)
    };
    assert_eq!(owner(&bench).0, "a");
    for text in ["", "{", "[]", "{\"a\": \"rules x\\n\\u0000\"}", "{\"c\": \"x.example\\n\"}"] {
        fs::write(&record, text).unwrap();
        let (owner, err) = owner(&bench);
        assert_eq!(owner, "b", "{text}");
        assert!(text.contains("\"c\"") || err.contains("--host-record"), "{text}: {err}");
    }
    // It is not looked for where nginx can write.
    bench.flag("--host-record", bench.path("volume/hosts").display().to_string());
    let (_, err) = bench.ends(2, &["check"]);
    assert!(err.contains("--host-record") && err.contains("must not be on the volume"), "{err}");
}

#[test]
fn annotation_of_a_namespace_decides_whose_hosts_are() {
    let (good, bad) = (backend("good"), backend("bad"));
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("class.yaml", CLASS);
        write(&bench, "services.yaml", &[web("team-a", good), web("evil", bad)]);
        let backend = json!({ "service": { "name": "web", "port": { "number": bad } } });
        let hosts = ["shop.example", "x.team-a.example", "*.team-a.example", "kept.example", "free.example"];
        let rules: Vec<_> = hosts.iter().map(|host| rule(host, &["/"], bad)).collect();
        write(
            &bench,
            "evil.yaml",
            &[ingress("evil", "web", 2001, json!({ "rules": rules, "defaultBackend": backend }))],
        );
        let entry = bench.start(&["run"]);
        assert_eq!(bench.asks("shop.example", "/").1, "bad");
        let namespace = |hosts: &str| {
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": "team-a", "annotations": { "sparrow/hosts": hosts } },
            })
        };
        write(&bench, "namespace.yaml", &[namespace("*.team-a.example, shop.example, kept.example")]);
        let rules = ["shop.example", "x.team-a.example"].map(|host| rule(host, &["/"], good));
        write(&bench, "team-a.yaml", &[ingress("team-a", "web", 2020, json!({ "rules": rules }))]);
        // For a moment workers of both configurations answer.
        for host in ["shop.example", "x.team-a.example"] {
            eventually("theirs", || bench.asks(host, "/").1 == "good");
        }
        for host in ["y.team-a.example", "kept.example"] {
            eventually("kept for them", || bench.asks(host, "/").0 == 404);
        }
        assert_eq!(bench.asks("free.example", "/").1, "bad");
        entry.says("is kept for the namespace team-a by the annotation sparrow/hosts");
        entry.terminate();
    }
}

#[test]
fn bounds_keep_one_namespace_from_displacing_others() {
    let (good, bad) = (backend("good"), backend("bad"));
    let bench = Bench::new(&debian());
    bench.write("class.yaml", CLASS);
    write(&bench, "services.yaml", &[web("victim", good), web("evil", bad)]);
    let rules = [rule("shop.example", &["/"], good)];
    write(&bench, "victim.yaml", &[ingress("victim", "web", 2020, json!({ "rules": rules }))]);
    for number in 0..4 {
        let hosts = (0..6000).map(|host| rule(&format!("h{number}-{host}.example"), &["/"], bad)).collect::<Vec<_>>();
        let object = ingress("evil", &format!("many-{number}"), 2001, json!({ "rules": hosts }));
        bench.write(&format!("evil-{number}.json"), &object.to_string());
    }
    let entry = bench.start(&["run"]);
    assert_eq!(bench.asks("shop.example", "/"), (200, "good".to_owned()));
    assert_eq!(entry.metric("hosts").to_string(), "1001");
    entry.says("Of the hosts of one namespace at most 1000 are served (--max-hosts-per-namespace)");
    let (out, _) = bench.ends(1, &["check"]);
    assert!(out.contains("Ingress evil/many-3: Rejected: spec.rules[0].host: BoundExceeded"), "{out}");
    entry.terminate();
}

#[test]
fn acme_challenge_is_served_without_redirect() {
    let (app, solver) = (backend("app"), backend("solver"));
    let certificate = Certificate::new("*.w.example");
    for program in programs() {
        let bench = Bench::new(&program).with_https();
        bench.write("class.yaml", CLASS);
        bench.write("secret.yaml", &secret_of("a", &certificate));
        let spec = json!({
            "tls": [{ "hosts": ["*.w.example"], "secretName": "tls" }], "rules": [rule("*.w.example", &["/"], app)],
        });
        write(&bench, "web.yaml", &[web("a", app), ingress("a", "web", 2001, spec)]);
        let entry = bench.start(&["run"]);
        assert_eq!(bench.asks("x.w.example", "/").0, 308);
        assert_eq!(bench.asks("x.w.example", "/.well-known/acme-challenge/token"), (200, "app".to_owned()));
        // What cert-manager puts there while it asks for a certificate.
        let mut object = ingress(
            "a",
            "solver",
            2020,
            json!({ "rules": [{ "host": "x.w.example", "http": { "paths": [{
            "path": "/.well-known/acme-challenge/token", "pathType": "ImplementationSpecific",
            "backend": { "service": { "name": "solver", "port": { "number": solver } } },
        }] } }] }),
        );
        object["metadata"]["annotations"] =
            json!({ "nginx.ingress.kubernetes.io/whitelist-source-range": "0.0.0.0/0,::/0" });
        let mut service = web("a", solver);
        service["metadata"]["name"] = "solver".into();
        write(&bench, "solver.yaml", &[service, object]);
        eventually("the solver", || bench.asks("x.w.example", "/.well-known/acme-challenge/token").1 == "solver");
        eventually("the others'", || bench.asks("x.w.example", "/.well-known/acme-challenge/other").1 == "app");
        assert_eq!(bench.asks("x.w.example", "/").0, 308);
        assert_eq!(curl(&bench, "x.w.example", &certificate), Ok("app".to_owned()));
        let (out, _) = bench.ends(0, &["check", "--strict"]);
        assert!(out.ends_with("2 objects, 0 not served as asked for\n"), "{out}");
        entry.terminate();
    }
}
