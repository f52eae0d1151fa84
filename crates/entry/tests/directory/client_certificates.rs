//! Hosts whose clients need certificates, of several namespaces.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::common::tls::{Certificate, secret};
use crate::common::{Bench, CLASS, backend, eventually, ingress, programs, service};

/// An Ingress of a host over TLS, whose clients need a certificate of this name's authority.
fn asking(name: &str, host: &str, port: u16) -> String {
    let annotations = format!(
        "{{ name: {name}, annotations: {{ nginx.ingress.kubernetes.io/auth-tls-secret: default/{name}-ca }} }}"
    );
    ingress(name, host, "one", port, Some(name))
        .replace(&format!("{{ name: {name} }}"), &annotations)
        .replace(host, &format!("\"{host}\""))
}

/// The Secret of an authority: a client's certificate that signs itself.
fn authority(name: &str, client: &Certificate) -> String {
    let lines: String = client.pem.lines().map(|line| format!("    {line}\n")).collect();
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{ name: {name}-ca }}\nstringData:\n  ca.crt: |\n{lines}")
}

/// A certificate that OpenSSL does not read, since its number is written with a zero in front (X.690, 8.3.2); others do.
const UNREADABLE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBXjCCAQOgAwIBAgICAAUwCgYIKoZIzj0EAwIwDTELMAkGA1UEAwwCY2EwHhcN
MjYxMTI4MTgwMTUyWhcNMjYxMjI4MTgwMTUyWjANMQswCQYDVQQDDAJjYTBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABBplrJ2nhNnedGriZxdeahqr0nT4Bdhp+FAH
oCuIOG4TZlFHWFVIkpRFfHG6Q5Ezu7u+rHW0xbLY3BRf/xVgZyGjUzBRMB0GA1Ud
DgQWBBQYTOng8xYPtx4XeL1tpP+KVdKlOjAfBgNVHSMEGDAWgBQYTOng8xYPtx4X
eL1tpP+KVdKlOjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQDp
X+zIBzQWcjnn4XttHfCkgv2iM74QsjmTfWjq3Zmu4wIhAJMfUqBIVeSA67qaSpm+
iYtxpbrjN9MV/lkuwAlwdD+J
-----END CERTIFICATE-----";

/// What openssl shows of a request for a host, on a connection for which another one may be named.
fn s_client(bench: &Bench, named: &str, host: &str, more: &[&str]) -> String {
    s_client_for(bench, "/", named, host, more)
}

/// The same, for a path.
fn s_client_for(bench: &Bench, path: &str, named: &str, host: &str, more: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-ign_eof", "-servername", named, "-connect", &bench.https.to_string()])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    write!(child.stdin.take().unwrap(), "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}

#[test]
fn texts_and_redirects_of_a_host_whose_authority_is_lost_are_closed() {
    let port = backend("one");
    let snippet = "location = /text { return 200 \"text\"; } location = /away { return 302 https://b.example/; }";
    let with_snippet = format!("ca, nginx.ingress.kubernetes.io/server-snippet: '{snippet}' }} }}");
    for program in &programs() {
        let bench = Bench::new(program).with_https();
        let (host, client) = ("a.example", Certificate::new("own"));
        let own = asking("own", host, port).replace("ca } }", &with_snippet);
        let all = [CLASS, &service("one", port), &own, &secret("own", &Certificate::new(host))].join("---\n");
        bench.write("all.yaml", &all);
        bench.write("ca.yaml", &authority("own", &client));
        let entry = bench.start(&["run"]);
        let answers = |status: &str| {
            let are = |path: &str| s_client_for(&bench, path, host, host, &[]).contains(&format!("HTTP/1.1 {status}"));
            ["/", "/text", "/away"].into_iter().all(are)
        };
        eventually("asked", || answers("400"));
        bench.remove("ca.yaml");
        eventually("closed", || answers("503"));
        entry.terminate();
    }
}

#[test]
fn authority_that_nginx_cannot_read_costs_its_hosts_only() {
    let port = backend("one");
    let unreadable = Certificate { pem: UNREADABLE.to_owned(), key: String::new() };
    for program in &programs() {
        let bench = Bench::new(program).with_https();
        let objects = |name: &str, host: &str, client: &Certificate| {
            [asking(name, host, port), secret(name, &Certificate::new(host)), authority(name, client)].join("---\n")
        };
        let (bad, good, client) = ("bad.example", "good.example", Certificate::new("good"));
        let file = bench.path("client.pem");
        fs::write(&file, format!("{}{}", client.pem, client.key)).unwrap();
        let cert = ["-cert", &file.display().to_string()];
        bench.write("class.yaml", &format!("{CLASS}---\n{}", service("one", port)));
        bench.write("bad.yaml", &objects("bad", bad, &unreadable));
        let entry = bench.start(&["run"]);
        bench.write("good.yaml", &objects("good", good, &client));
        eventually("served", || s_client(&bench, good, good, &cert).contains("HTTP/1.1 200"));
        // Which of its functions has failed, each version of nginx says in its own words.
        entry.says("Secret default/bad-ca cannot be used: nginx rejects it: ");
        assert!(s_client(&bench, bad, bad, &cert).contains("HTTP/1.1 503"));
        entry.terminate();
    }
}

#[test]
fn session_of_a_wildcard_leads_into_no_host_that_came_below_it() {
    let port = backend("one");
    let [of_wild, of_own] = ["wild", "own"].map(Certificate::new);
    // Debian's nginx by itself takes a session up at whichever host was named when it was made.
    for program in &programs() {
        let bench = Bench::new(program).with_https();
        let (wild, own) = ("*.wild.example", "x.wild.example");
        bench.write("class.yaml", &format!("{CLASS}---\n{}", service("one", port)));
        let objects = |name: &str, host: &str, client: &Certificate| {
            [asking(name, host, port), secret(name, &Certificate::new(host)), authority(name, client)].join("---\n")
        };
        bench.write("wild.yaml", &objects("wild", wild, &of_wild));
        let entry = bench.start(&["run"]);
        let files = [("wild.pem", &of_wild), ("own.pem", &of_own)].map(|(name, client)| {
            let file = bench.path(name);
            fs::write(&file, format!("{}{}", client.pem, client.key)).unwrap();
            file.display().to_string()
        });
        let is_in = |text: &str| text.contains("HTTP/1.1 200");
        eventually("served", || is_in(&s_client(&bench, own, own, &["-cert", &files[0]])));
        let ways = [&["-tls1_2"][..], &["-tls1_2", "-no_ticket"], &["-tls1_3"]];
        let sessions = ways.map(|way| bench.path(&way.concat()).display().to_string());
        for (way, session) in ways.iter().zip(&sessions) {
            let text = s_client(&bench, own, own, &[way, &["-cert", &files[0], "-sess_out", session][..]].concat());
            assert!(is_in(&text), "{text}");
        }
        bench.write("own.yaml", &objects("own", own, &of_own));
        eventually("asked by its own", || is_in(&s_client(&bench, own, own, &["-cert", &files[1]])));
        eventually("of nobody else", || !is_in(&s_client(&bench, own, own, &["-cert", &files[0]])));
        for (way, session) in ways.iter().zip(&sessions) {
            for named in [own, "y.wild.example"] {
                for _ in 0..8 {
                    let text = s_client(&bench, named, own, &[way, &["-sess_in", session][..]].concat());
                    assert!(!is_in(&text), "{program:?} {way:?} {named}: {text}");
                }
            }
        }
        entry.terminate();
    }
}
