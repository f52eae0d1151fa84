//! HTTPS: certificates by name, redirects, Secrets that come late or are broken.

use crate::common::tls::{Certificate, curl, secret};
use crate::common::{Bench, CLASS, backend, debian, eventually, ingress, programs, service};

#[test]
fn each_host_has_its_certificate() {
    let (one, two) = (backend("one"), backend("two"));
    let [a, b] = ["a.example", "b.example"].map(Certificate::new);
    for program in programs() {
        let bench = Bench::new(&program).with_https();
        bench.write("class.yaml", &format!("{CLASS}---\n{}---\n{}", service("one", one), service("two", two)));
        bench.write("secret-a.yaml", &secret("a", &a));
        bench.write("secret-b.yaml", &secret("b", &b));
        bench.write("a.yaml", &ingress("a", "a.example", "one", one, Some("a")));
        bench.write("b.yaml", &ingress("b", "b.example", "two", two, Some("b")));
        let entry = bench.start(&["run"]);
        assert_eq!(curl(&bench, "a.example", &a).unwrap(), "one");
        assert_eq!(curl(&bench, "b.example", &b).unwrap(), "two");
        assert!(curl(&bench, "b.example", &a).is_err(), "that is not its certificate");
        let unknown = curl(&bench, "c.example", &a).unwrap_err();
        assert!(unknown.contains("unrecognized name") || unknown.contains("alert"), "{unknown}");
        // In the clear they are sent there, by the port that clients know.
        let answer = bench.get("a.example", "/x%2Fy?z").unwrap();
        assert!([301, 308].contains(&answer.status), "{}", answer.status);
        let port = bench.https.port();
        assert_eq!(answer.header("Location"), format!("https://a.example:{port}/x%2Fy?z"));
        // But for one that does not want it.
        let plain = ingress("a", "a.example", "one", one, Some("a"))
            .replace("{ name: a }", "{ name: a, annotations: { sparrow/ssl-redirect: \"false\" } }");
        bench.write("a.yaml", &plain);
        eventually("no redirect", || bench.asks("a.example", "/") == (200, "one".to_owned()));
        assert_eq!(curl(&bench, "a.example", &a).unwrap(), "one");
        assert_eq!(entry.metric("certificates").to_string(), "2");
        // A renewed one is taken at once.
        let renewed = Certificate::new("a.example");
        bench.write("secret-a.yaml", &secret("a", &renewed));
        eventually("renewed", || curl(&bench, "a.example", &renewed).is_ok());
        assert_eq!(curl(&bench, "b.example", &b).unwrap(), "two");
        entry.terminate();
    }
}

#[test]
fn host_is_served_over_http_until_its_secret_is_usable() {
    let port = backend("one");
    let own = Certificate::new("a.example");
    let foreign = Certificate { pem: own.pem.clone(), ..Certificate::new("a.example") };
    for program in programs() {
        let bench = Bench::new(&program).with_https();
        let rest = ingress("rest", "rest.example", "one", port, None);
        let web = ingress("a", "a.example", "one", port, Some("tls"));
        bench.write("all.yaml", &format!("{CLASS}---\n{}---\n{web}---\n{rest}", service("one", port)));
        let entry = bench.start(&["run"]);
        let plain = |why: &str, reason: &str| {
            entry.says(why);
            eventually(why, || entry.metric(&format!("findings{{reason=\"{reason}\"}}")) > 0.0);
            let (out, _) = bench.ends(1, &["check"]);
            assert!(out.contains("Ingress default/a: Partial: spec.tls[0].secretName: ") && out.contains(why), "{out}");
            for host in ["a.example", "rest.example"] {
                assert_eq!(bench.asks(host, "/"), (200, "one".to_owned()), "{why}");
            }
            assert!(curl(&bench, "a.example", &own).is_err());
        };
        plain("There is no Secret default/tls", "RefNotFound");
        bench.write("tls.yaml", &secret("tls", &Certificate { pem: "none".to_owned(), key: "none".to_owned() }));
        plain("tls.crt holds no certificate in PEM", "InvalidRef");
        bench.write("tls.yaml", &secret("tls", &foreign));
        plain("tls.key is not the key of the first certificate", "InvalidRef");
        // And then it is right.
        bench.write("tls.yaml", &secret("tls", &own));
        eventually("served", || curl(&bench, "a.example", &own) == Ok("one".to_owned()));
        // Workers from before answer too, for a moment.
        eventually("redirected", || [301, 308].contains(&bench.asks("a.example", "/").0));
        assert_eq!(bench.asks("rest.example", "/").0, 200);
        bench.ends(0, &["check"]);
        // A renewal that goes wrong takes nothing away, and is told.
        let generations = entry.count("generations");
        let none = Certificate { pem: "none".to_owned(), key: "none".to_owned() };
        for (broken, why) in [(&foreign, "is not the key of"), (&none, "holds no certificate")] {
            bench.write("tls.yaml", &secret("tls", broken));
            let tells =
                |line: &str| line.contains(why) && line.contains("the certificate that it held before is served");
            eventually(why, || entry.log().lines().any(tells));
            assert_eq!(curl(&bench, "a.example", &own), Ok("one".to_owned()));
            assert!([301, 308].contains(&bench.asks("a.example", "/").0));
        }
        assert_eq!(entry.count("generations"), generations, "nothing changed");
        // Who takes the Secret away takes the certificate away.
        bench.remove("tls.yaml");
        eventually("in the clear again", || bench.asks("a.example", "/").0 == 200);
        // Workers from before answer too, for a moment.
        eventually("no certificate", || curl(&bench, "a.example", &own).is_err());
        entry.terminate();
    }
}

#[test]
fn expired_certificate_is_served_and_reported() {
    let port = backend("one");
    let expired = Certificate::until("a.example", 2020);
    let bench = Bench::new(&debian()).with_https();
    bench.write("tls.yaml", &secret("tls", &expired));
    let web = ingress("a", "a.example", "one", port, Some("tls"));
    bench.write("all.yaml", &format!("{CLASS}---\n{}---\n{web}", service("one", port)));
    let entry = bench.start(&["run"]);
    entry.says("has expired; renew it");
    let refused = curl(&bench, "a.example", &expired).unwrap_err();
    assert!(refused.contains("expired"), "{refused}");
    assert!([301, 308].contains(&bench.asks("a.example", "/").0));
    let (out, _) = bench.ends(1, &["check", "--strict"]);
    assert!(out.contains("has expired; renew it"), "{out}");
}

/// A manifest's objects in another namespace.
fn moved(namespace: &str, text: &str) -> String {
    text.replace("metadata: { name: ", &format!("metadata: {{ namespace: {namespace}, name: "))
        .replace("metadata:\n  name: ", &format!("metadata:\n  namespace: {namespace}\n  name: "))
}

#[test]
fn certificate_of_another_namespace_is_not_served() {
    let (one, two) = (backend("one"), backend("two"));
    let [mine, theirs, wild] = ["e.example", "a.example", "*.wild.example"].map(Certificate::new);
    for program in programs() {
        let bench = Bench::new(&program).with_https();
        let rule = ingress("web", "a.example", "one", one, None);
        let exposed = service("one", one);
        let every =
            ingress("wild", "*.wild.example", "one", one, Some("wild")).replace("*.wild.example", "\"*.wild.example\"");
        let theirs_all = format!("{exposed}---\n{rule}---\n{every}---\n{}", secret("wild", &wild));
        bench.write("a.yaml", &format!("{CLASS}---\n{}", moved("victim", &theirs_all)));
        for certificate in [&mine, &theirs] {
            let foreign = ingress("web", "a.example", "two", two, Some("e"));
            let foreign = foreign.replace("- host: a.example", "- host: e.example");
            let all = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: { name: all }\nspec:\n  ingressClassName: sparrow\n";
            let all = format!(
                "{all}  defaultBackend: {{ service: {{ name: two, port: {{ number: {two} }} }} }}\n  tls: [{{ secretName: e }}]\n"
            );
            let login = ingress("login", "login.wild.example", "two", two, None);
            let evil = [service("two", two), foreign, all, login, secret("e", certificate)].join("---\n");
            bench.write("evil.yaml", &moved("evil", &evil));
            let entry = bench.start(&["run"]);
            // Whoever was there first is served as before, in the clear.
            for (host, path, backend) in
                [("a.example", "/", "one"), ("login.wild.example", "/", "two"), ("any.example", "/one", "one")]
            {
                assert_eq!(bench.asks(host, path), (200, backend.to_owned()), "{host}");
                for trusted in [certificate, &wild] {
                    let refused = curl(&bench, host, trusted).unwrap_err();
                    assert!(refused.contains("unrecognized name") || refused.contains("alert"), "{host}: {refused}");
                }
            }
            assert_eq!(curl(&bench, "any.wild.example", &wild), Ok("one".to_owned()));
            let (out, _) = bench.ends(1, &["check"]);
            assert!(out.contains("Ingress evil/web: Partial: spec.tls[0].hosts[0]: Conflicted: "), "{out}");
            entry.terminate();
        }
    }
}
