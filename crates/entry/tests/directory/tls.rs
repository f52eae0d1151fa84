//! HTTPS: certificates by name, redirects, Secrets that come late or are broken.

use std::fs;
use std::process::Command;

use crate::common::{Bench, CLASS, backend, both, eventually, ingress, service};

/// A certificate for a host that signs itself, and its key, in PEM.
fn certificate(host: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A Secret with a certificate.
pub fn secret(name: &str, certificate: &str, key: &str) -> String {
    let block = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{ name: {name} }}\nstringData:\n  \
         tls.crt: |\n{}  tls.key: |\n{}",
        block(certificate),
        block(key)
    )
}

/// What curl says of a host over TLS, trusting one certificate only: which backend answers, or why there is no answer.
pub fn curl(bench: &Bench, host: &str, certificate: &str) -> Result<String, String> {
    let trusted = bench.path("trusted");
    fs::write(&trusted, certificate).unwrap();
    let port = bench.https.port();
    let output = Command::new("curl")
        .args(["-q", "-sS", "--noproxy", "*", "--max-time", "20", "-o", "/dev/null", "-w", "%header{backend}"])
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1"), "--cacert"])
        .arg(trusted)
        .arg(format!("https://{host}:{port}/"))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn each_host_has_its_certificate() {
    let (one, two) = (backend("one"), backend("two"));
    let [a, b] = ["a.example", "b.example"].map(certificate);
    for nginx in both() {
        let bench = Bench::new(&nginx).with_https();
        bench.write("class.yaml", &format!("{CLASS}---\n{}---\n{}", service("one", one), service("two", two)));
        bench.write("secret-a.yaml", &secret("a", &a.0, &a.1));
        bench.write("secret-b.yaml", &secret("b", &b.0, &b.1));
        bench.write("a.yaml", &ingress("a", "a.example", "one", one, Some("a")));
        bench.write("b.yaml", &ingress("b", "b.example", "two", two, Some("b")));
        let entry = bench.start(&["run"]);
        assert_eq!(curl(&bench, "a.example", &a.0).unwrap(), "one");
        assert_eq!(curl(&bench, "b.example", &b.0).unwrap(), "two");
        assert!(curl(&bench, "b.example", &a.0).is_err(), "that is not its certificate");
        let unknown = curl(&bench, "c.example", &a.0).unwrap_err();
        assert!(unknown.contains("unrecognized name") || unknown.contains("alert"), "{unknown}");
        // In the clear they are sent there, by the port that clients know.
        let answer = bench.get("a.example", "/x%2Fy?z").unwrap();
        assert!([301, 308].contains(&answer.status), "{}", answer.status);
        let port = bench.https.port();
        assert_eq!(answer.header("Location"), Some(format!("https://a.example:{port}/x%2Fy?z").as_str()));
        // But for one that does not want it.
        let plain = ingress("a", "a.example", "one", one, Some("a"))
            .replace("{ name: a }", "{ name: a, annotations: { sparrow/ssl-redirect: \"false\" } }");
        bench.write("a.yaml", &plain);
        eventually("no redirect", || bench.asks("a.example", "/") == (200, "one".to_owned()));
        assert_eq!(curl(&bench, "a.example", &a.0).unwrap(), "one");
        assert_eq!(entry.metric("certificates").to_string(), "2");
        // A renewed one is taken at once.
        let renewed = certificate("a.example");
        bench.write("secret-a.yaml", &secret("a", &renewed.0, &renewed.1));
        eventually("renewed", || curl(&bench, "a.example", &renewed.0).is_ok());
        assert_eq!(curl(&bench, "b.example", &b.0).unwrap(), "two");
        entry.terminate();
    }
}

#[test]
fn a_secret_that_is_late_or_broken_is_waited_for_in_the_clear() {
    let port = backend("one");
    let (own, other) = (certificate("a.example"), certificate("a.example"));
    for nginx in both() {
        let bench = Bench::new(&nginx).with_https();
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
            assert!(curl(&bench, "a.example", &own.0).is_err());
        };
        plain("There is no Secret default/tls", "RefNotFound");
        bench.write("tls.yaml", &secret("tls", "none", "none"));
        plain("tls.crt holds no certificate in PEM", "InvalidRef");
        bench.write("tls.yaml", &secret("tls", &own.0, &other.1));
        plain("tls.key is not the key of the first certificate", "InvalidRef");
        // And then it is right.
        bench.write("tls.yaml", &secret("tls", &own.0, &own.1));
        eventually("served", || curl(&bench, "a.example", &own.0) == Ok("one".to_owned()));
        assert!([301, 308].contains(&bench.asks("a.example", "/").0));
        assert_eq!(bench.asks("rest.example", "/").0, 200);
        bench.ends(0, &["check"]);
        // It breaks later: the certificate in force would be another's by now.
        bench.write("tls.yaml", &secret("tls", &own.0, &other.1));
        eventually("in the clear again", || bench.asks("a.example", "/").0 == 200);
        entry.terminate();
    }
}

#[test]
fn an_expired_certificate_is_served_and_told_of() {
    let port = backend("one");
    let key = rcgen::KeyPair::generate().unwrap();
    let mut asked = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
    asked.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let made = asked.self_signed(&key).unwrap().pem();
    let bench = Bench::new(&testbed::nginx::newest()).with_https();
    bench.write("tls.yaml", &secret("tls", &made, &key.serialize_pem()));
    let web = ingress("a", "a.example", "one", port, Some("tls"));
    bench.write("all.yaml", &format!("{CLASS}---\n{}---\n{web}", service("one", port)));
    let entry = bench.start(&["run"]);
    entry.says("has expired; renew it");
    let refused = curl(&bench, "a.example", &made).unwrap_err();
    assert!(refused.contains("expired"), "{refused}");
    assert!([301, 308].contains(&bench.asks("a.example", "/").0));
    let (out, _) = bench.ends(1, &["check", "--strict"]);
    assert!(out.contains("has expired; renew it"), "{out}");
}
