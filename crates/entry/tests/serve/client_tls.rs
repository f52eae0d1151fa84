//! With which ciphers clients of a host speak TLS.

use std::sync::Arc;

use entry_model::{Certificate, CertificateId, Cipher, ClientTls, Host, HostName, Policy, Routes};

use super::support::{Nginx, backend, binaries, forward, object, policies, prefix};

/// Hosts with certificates of ECDSA, each with how its clients speak TLS.
fn hosts(hosts: impl IntoIterator<Item = (String, ClientTls)>) -> Routes {
    let mut routes = Routes { policies: policies(), ..Routes::default() };
    for (name, client_tls) in hosts {
        let policy = routes.policies.intern(&Policy { client_tls, ..Policy::default() });
        let mut rule = forward(prefix("/"), backend("a"), false);
        rule.policy = policy;
        let made = rcgen::generate_simple_self_signed(vec![name.clone()]).unwrap();
        let id = CertificateId(format!("{:0>64}", routes.certificates.len()).into());
        let (chain, key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
        routes.certificates.insert(id.clone(), Certificate { origin: object("certificate"), chain, key }.into());
        let host = Host { certificate: Some(id), rules: vec![rule].into(), closed: true };
        routes.hosts.insert(HostName::Exact(name), Arc::new(host));
    }
    routes
}

fn cipher(name: &str) -> Cipher {
    Cipher::ALL.into_iter().find(|cipher| cipher.name() == name).unwrap()
}

/// The cipher of TLS 1.2 that a client gets that can speak these, in its order.
fn agreed(nginx: &Nginx, host: &str, offered: &str) -> Option<String> {
    let arguments = ["-v", "--stderr", "-", "--tls-max", "1.2", "--ciphers", offered];
    let (done, text) = nginx.curl(host, "/", &arguments);
    let line = text.lines().find_map(|line| line.split_once("SSL connection using TLSv1.2 / "));
    done.then(|| line.unwrap().1.split_whitespace().next().unwrap().to_owned())
}

const GCM_128: &str = "ECDHE-ECDSA-AES128-GCM-SHA256";
const GCM_256: &str = "ECDHE-ECDSA-AES256-GCM-SHA384";
const CBC: &str = "ECDHE-ECDSA-AES256-SHA384";

#[test]
fn host_has_ciphers_of_its_own_and_others_those_of_all() {
    let own = ClientTls { ciphers: vec![cipher(CBC)], prefers_own_order: None };
    let routes = hosts([("a.example".to_owned(), own), ("b.example".to_owned(), ClientTls::default())]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (host, offered, is_agreed) in [
            ("a.example", CBC, true),
            ("a.example", GCM_128, false),
            ("b.example", CBC, false),
            ("b.example", GCM_128, true),
        ] {
            let expected = is_agreed.then(|| offered.to_owned());
            assert_eq!(agreed(&nginx, host, offered), expected, "{host}, {offered}, {}", binary.version);
        }
        // TLS 1.3 has ciphers of its own.
        for host in ["a.example", "b.example"] {
            assert!(nginx.curl(host, "/", &["--tlsv1.3"]).0, "{host}, {}", binary.version);
        }
    }
}

#[test]
fn order_of_the_host_counts_if_it_says_so() {
    let tls = |prefers_own_order| ClientTls { ciphers: vec![cipher(GCM_256), cipher(GCM_128)], prefers_own_order };
    let routes = hosts([
        ("own.example".to_owned(), tls(Some(true))),
        ("client.example".to_owned(), tls(Some(false))),
        ("default.example".to_owned(), tls(None)),
    ]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let offered = [GCM_128, GCM_256].join(":");
        for (host, expected) in [("own.example", GCM_256), ("client.example", GCM_128), ("default.example", GCM_128)] {
            assert_eq!(agreed(&nginx, host, &offered).as_deref(), Some(expected), "{host}, {}", binary.version);
        }
    }
}

#[test]
fn nginx_knows_each_cipher_alone() {
    let host = |(cipher, number): (Cipher, usize)| {
        (format!("{number}.example"), ClientTls { ciphers: vec![cipher], prefers_own_order: None })
    };
    let routes = hosts(Cipher::ALL.into_iter().zip(0..).map(host));
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        assert_eq!(nginx.get("0.example", "/", "").status, 200);
    }
}
