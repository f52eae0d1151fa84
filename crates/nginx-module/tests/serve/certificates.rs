//! Certificates by the host that a client names when it opens a connection.

use std::process::Command;
use std::sync::Arc;

use entry_model::{Certificate, CertificateId, ClientTls, Host, HostName, Key, Kind, ObjectRef, Policy, Routes};
use rustls::AlertDescription;
use testbed::http;

use super::support::{Nginx, Publisher, backend, forward, prefix, routes};
use super::tls_client::{TlsClient, is_session_taken_up};

/// A certificate, and what of it a client sees.
pub struct Made {
    pub certificate: Certificate,
    pub der: Vec<u8>,
}

/// A certificate that is signed by itself, for a name.
pub fn make(name: &str) -> Made {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let origin = ObjectRef::new(Kind::Secret, Key { namespace: "shop".to_owned(), name: name.to_owned() });
    let (chain, key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
    Made { certificate: Certificate { origin, chain, key }, der: made.cert.der().to_vec() }
}

/// Gives a host of the routes a certificate, under an id.
pub fn certify(routes: &mut Routes, host: &HostName, id: &str, certificate: &Certificate) {
    let id = CertificateId(id.into());
    let with = Host { certificate: Some(id.clone()), ..Host::clone(&routes.hosts[host]) };
    routes.hosts.insert(host.clone(), with.into());
    routes.certificates.insert(id, certificate.clone().into());
}

pub fn exact(name: &str) -> HostName {
    HostName::Exact(name.to_owned())
}

/// Routes of hosts to one backend.
pub fn served(hosts: &[&str]) -> Routes {
    let one = backend("one");
    routes(hosts.iter().map(|host| ((*host).to_owned(), vec![forward(prefix("/"), one)])))
}

/// What curl prints for a URL over HTTP/2: its head and body, or an error.
fn curl_http2(nginx: &Nginx, host: &str) -> String {
    let port = nginx.tls.port();
    let mut curl = Command::new("curl");
    curl.args(["-q", "-sS", "-k", "-i", "--http2", "--noproxy", "*", "--max-time", "20", "--resolve"]);
    let output = curl.arg(format!("{host}:{port}:127.0.0.1")).arg(format!("https://{host}:{port}/a")).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn each_host_has_its_certificate_and_unknown_hosts_have_none() {
    let (one, wild) = (make("one"), make("wild"));
    let mut routes = served(&["one.example", "*.example", "none.example"]);
    certify(&mut routes, &exact("one.example"), "1a", &one.certificate);
    certify(&mut routes, &HostName::OneLabel("example".to_owned()), "2b", &wild.certificate);
    let mut publisher = Publisher::new();
    publisher.publish(&routes);
    let (nginx, client) = (Nginx::start(&publisher, 1), TlsClient::new());
    for (host, expected) in [("one.example", &one), ("a.example", &wild), ("b.example", &wild)] {
        let mut connection = client.connect(nginx.tls, host).unwrap();
        assert!(connection.certificate == expected.der, "{host}");
        assert_eq!(connection.get(host, "/a").expect(200).header("Backend"), "one");
        assert!(curl_http2(&nginx, host).starts_with("HTTP/2 200"), "{}", curl_http2(&nginx, host));
    }
    // One that names none, and none for all.
    for host in ["none.example", "unknown", "a.b.example", "127.0.0.1"] {
        let error = client.connect(nginx.tls, host).map(drop).unwrap_err();
        assert_eq!(error, rustls::Error::AlertReceived(AlertDescription::UnrecognisedName), "{host}");
    }
    assert!(!nginx.error_log().contains("sparrow: "), "{}", nginx.error_log());

    let all = make("all");
    routes.hosts.insert(HostName::Any, routes.hosts[&exact("one.example")].clone());
    certify(&mut routes, &HostName::Any, "3c", &all.certificate);
    publisher.publish(&routes);
    for host in ["unknown", "a.b.example", "127.0.0.1"] {
        let mut connection = client.connect(nginx.tls, host).unwrap();
        assert!(connection.certificate == all.der, "{host}");
        assert_eq!(connection.get(host, "/a").status, 200);
    }
}

#[test]
fn certificate_is_renewed_without_a_reload_and_kept_connections_live() {
    let (old, new) = (make("old"), make("new"));
    let mut routes = served(&["one.example"]);
    certify(&mut routes, &exact("one.example"), "1a", &old.certificate);
    let mut publisher = Publisher::new();
    publisher.publish(&routes);
    let nginx = Nginx::start(&publisher, 2);
    let workers = nginx.workers();
    let mut kept = TlsClient::new().connect(nginx.tls, "one.example").unwrap();
    assert!(kept.certificate == old.der);
    certify(&mut routes, &exact("one.example"), "2b", &new.certificate);
    publisher.publish(&routes);
    for _ in 0..20 {
        assert!(TlsClient::new().connect(nginx.tls, "one.example").unwrap().certificate == new.der);
        assert_eq!(kept.get("one.example", "/a").status, 200);
    }
    assert_eq!(nginx.workers(), workers, "nothing was reloaded, no worker ended");
}

#[test]
fn certificate_that_cannot_be_used_fails_the_handshakes_of_its_host_only() {
    let (good, other) = (make("good"), make("other"));
    let with_key = |key: &[u8]| Certificate { key: key.to_vec(), ..good.certificate.clone() };
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let half = &good.certificate.chain[..good.certificate.chain.len() / 2];
    let bad = [
        Certificate { chain: b"nothing".to_vec(), ..good.certificate.clone() },
        Certificate { chain: half.to_vec(), ..good.certificate.clone() },
        Certificate { chain: [&good.certificate.chain, half].concat(), ..good.certificate.clone() },
        with_key(b""),
        with_key(encrypted),
        with_key(&other.certificate.key),
    ];
    let mut routes = served(&["good.example", "bad.example"]);
    certify(&mut routes, &exact("good.example"), "good", &good.certificate);
    let mut publisher = Publisher::new();
    publisher.publish(&routes);
    let nginx = Nginx::start(&publisher, 1);
    let pid = nginx.status().unwrap().pid;
    for (number, bad) in bad.iter().enumerate() {
        let id = format!("bad-{number}");
        certify(&mut routes, &exact("bad.example"), &id, bad);
        publisher.publish(&routes);
        for _ in 0..2 {
            let error = TlsClient::new().connect(nginx.tls, "bad.example").map(drop).unwrap_err();
            assert!(matches!(error, rustls::Error::AlertReceived(_)), "{id}: {error:?}");
            assert!(TlsClient::new().connect(nginx.tls, "good.example").is_ok(), "{id}");
        }
        let log = nginx.error_log();
        assert!(log.contains(&format!("other hosts are served: the certificate \"{id}\" cannot be ")), "{log}");
    }
    // Named, and not there.
    let lost =
        Host { certificate: Some(CertificateId("lost".into())), ..Host::clone(&routes.hosts[&exact("bad.example")]) };
    routes.hosts.insert(exact("bad.example"), lost.into());
    publisher.publish(&routes);
    assert!(TlsClient::new().connect(nginx.tls, "bad.example").is_err());
    assert!(nginx.error_log().contains("names a certificate that is not in it"), "{}", nginx.error_log());
    // Mended, it is served.
    certify(&mut routes, &exact("bad.example"), "mended", &other.certificate);
    publisher.publish(&routes);
    assert!(TlsClient::new().connect(nginx.tls, "bad.example").unwrap().certificate == other.der);
    assert_eq!(nginx.status().unwrap().pid, pid, "the worker lives");
}

#[test]
fn session_of_one_host_is_not_taken_up_at_another() {
    let (one, two, dir) = (make("one"), make("two"), tempfile::tempdir().unwrap());
    let mut routes = served(&["one.example", "two.example", "same.example"]);
    certify(&mut routes, &exact("one.example"), "1a", &one.certificate);
    certify(&mut routes, &exact("same.example"), "1a", &one.certificate);
    certify(&mut routes, &exact("two.example"), "2b", &two.certificate);
    let mut publisher = Publisher::new();
    publisher.publish(&routes);
    let nginx = Nginx::start(&publisher, 1);
    // By tickets, and by the cache that workers share.
    for arguments in [&["-tls1_2"][..], &["-tls1_3"], &["-tls1_2", "-no_ticket"]] {
        let session = dir.path().join(arguments.join(""));
        let is_taken_up = |host: &str| is_session_taken_up(nginx.tls, host, &session, arguments);
        assert!(!is_taken_up("one.example"), "{arguments:?}: there was none");
        assert!(is_taken_up("one.example"), "{arguments:?}: its own");
        assert!(!is_taken_up("two.example") && !is_taken_up("same.example"), "{arguments:?}: another host's");
    }
    // Nor with the certificate before.
    let session = dir.path().join("renewed");
    let is_taken_up = || is_session_taken_up(nginx.tls, "one.example", &session, &["-tls1_3"]);
    assert!(!is_taken_up() && is_taken_up());
    certify(&mut routes, &exact("one.example"), "2b", &two.certificate);
    publisher.publish(&routes);
    assert!(!is_taken_up());
}

#[test]
fn request_for_a_host_with_another_certificate_than_its_connection_is_misdirected() {
    let (one, two) = (make("one"), make("two"));
    let mut routes = served(&["one.example", "two.example", "same.example", "none.example", "*"]);
    certify(&mut routes, &exact("one.example"), "1a", &one.certificate);
    certify(&mut routes, &exact("same.example"), "1a", &one.certificate);
    certify(&mut routes, &exact("two.example"), "2b", &two.certificate);
    certify(&mut routes, &HostName::Any, "2b", &two.certificate);
    let mut publisher = Publisher::new();
    publisher.publish(&routes);
    let (nginx, client) = (Nginx::start(&publisher, 1), TlsClient::new());
    let mut connection = client.connect(nginx.tls, "one.example").unwrap();
    for (host, status) in [("one.example", 200), ("same.example", 200), ("two.example", 421), ("none.example", 421)] {
        assert_eq!(connection.get(host, "/a").status, status, "{host}");
    }
    // Whoever names no host has not named another one.
    let mut connection = client.connect(nginx.tls, "127.0.0.1").unwrap();
    assert_eq!(connection.get("one.example", "/a").status, 200);
    // In the clear there is no certificate.
    assert_eq!(http::get(nginx.address, "none.example", "/a", "").unwrap().status, 200);
}

#[test]
fn host_whose_clients_no_server_asks_what_it_asks_is_served_in_the_clear_alone() {
    let one = make("one");
    let mut routes = served(&["one.example", "asks.example"]);
    for host in ["one.example", "asks.example"] {
        certify(&mut routes, &exact(host), "1a", &one.certificate);
    }
    let client_tls = ClientTls { prefers_own_order: Some(true), ..ClientTls::default() };
    let policy = routes.policies.intern(&Policy { client_tls, ..Policy::default() });
    let host = routes.hosts.get_mut(&exact("asks.example")).unwrap();
    Arc::make_mut(host).rules[0].policy = policy;
    let mut publisher = Publisher::new();
    publisher.publish(&routes);
    let (nginx, client) = (Nginx::start(&publisher, 1), TlsClient::new());
    assert!(matches!(client.connect(nginx.tls, "asks.example").map(drop), Err(rustls::Error::AlertReceived(_))));
    assert!(nginx.error_log().contains("\"asks.example\" are asked something else than its server asks"));
    assert_eq!(http::get(nginx.address, "asks.example", "/a", "").unwrap().status, 200);
    // Nor is it reached by another host's connection, nor by one that was opened for none, though the certificate is the same.
    routes.hosts.insert(HostName::Any, routes.hosts[&exact("one.example")].clone());
    publisher.publish(&routes);
    for opened in ["one.example", "127.0.0.1"] {
        let mut connection = client.connect(nginx.tls, opened).unwrap();
        for (host, status) in [("one.example", 200), ("asks.example", 421)] {
            assert_eq!(connection.get(host, "/a").status, status, "{opened} {host}");
        }
    }
}

#[test]
fn certificate_stays_read_while_others_are_used() {
    // The CRC-32 of these ends with the same 11 bits.
    let ids = ["certificate-1", "certificate-660"];
    let hosts = ids.map(|id| format!("{id}.example"));
    let mut routes = served(&hosts.each_ref().map(String::as_str));
    let made = hosts.each_ref().map(|host| make(host));
    for ((host, id), made) in hosts.iter().zip(ids).zip(&made) {
        certify(&mut routes, &exact(host), id, &made.certificate);
    }
    let mut publisher = Publisher::new();
    publisher.publish(&routes);
    let (nginx, client) = (Nginx::start(&publisher, 1), TlsClient::new());
    let all_are_served = || {
        hosts.iter().zip(&made).all(|(host, made)| {
            client.connect(nginx.tls, host).is_ok_and(|connection| connection.certificate == made.der)
        })
    };
    assert!(all_are_served());
    // What is read anew from now on cannot be used.
    for (host, id) in hosts.iter().zip(ids) {
        let broken = Certificate { chain: b"nothing".to_vec(), ..made[0].certificate.clone() };
        certify(&mut routes, &exact(host), id, &broken);
    }
    publisher.publish(&routes);
    assert!(all_are_served(), "{}", nginx.error_log());
}

#[test]
fn two_thousand_hosts_have_a_certificate_each() {
    const HOSTS: usize = 2000;
    let names: Vec<_> = (0..HOSTS).map(|number| format!("host-{number}.example")).collect();
    let made: Vec<_> = names.iter().map(|name| make(name)).collect();
    let mut routes = served(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for (name, made) in names.iter().zip(&made) {
        certify(&mut routes, &exact(name), name, &made.certificate);
    }
    let mut publisher = Publisher::new();
    publisher.publish(&routes);
    let (nginx, client) = (Nginx::start(&publisher, 2), TlsClient::new());
    for (name, made) in names.iter().zip(&made) {
        let connection = client.connect(nginx.tls, name).unwrap();
        assert!(connection.certificate == made.der, "{name}");
    }
}
