//! What changes without another frame, so without a reload.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use entry_model::{Balancing, CertificateId, ClientCertificates, HostName, Listener, Routes, VerificationMode};

use super::balancing::{self, balanced, session};
use super::branches::weighted;
use super::client_certificates::{Authority, ask, hosts, rule};
use super::support::{Binary, Nginx, backend, binaries, forward, prefix};
use super::table::RunningTable;

/// An nginx, and its table.
struct Published {
    nginx: Nginx,
    table: RunningTable,
}

impl Published {
    fn start(binary: &Binary, routes: &Routes) -> Self {
        let nginx = Nginx::start(binary, routes, |_| {});
        let table = nginx.table.clone().unwrap();
        Self { nginx, table }
    }

    /// Changes the routes, without a word to nginx.
    fn publish(&self, routes: &Routes) {
        let listeners = Listener::built_in(&[self.nginx.http], &[self.nginx.https]);
        self.table.publish(&Routes { listeners, ..routes.clone() });
    }
}

#[test]
fn routes_and_certificates_of_a_host_that_asks_for_certificates_of_clients() {
    let directory = tempfile::tempdir().unwrap();
    let own = Authority::new("own");
    let known = own.client(directory.path(), "robot", 2);
    let asked = || Some(ClientCertificates::Usable(rule(&own, |_| {})));
    let first = hosts([("a.example", asked()), ("b.example", None)]);
    // Other certificates, and another backend for one path.
    let mut second = hosts([("a.example", asked()), ("b.example", None)]);
    let renewed = CertificateId("renewed".into());
    let host = Arc::make_mut(second.hosts.get_mut(&HostName::Exact("a.example".to_owned())).unwrap());
    let mut more = forward(prefix("/more"), backend("more"), false);
    more.policy = host.rules[0].policy;
    host.rules.push(more);
    let made = second.certificates.remove(host.certificate.as_ref().unwrap()).unwrap();
    second.certificates.insert(renewed.clone(), made);
    host.certificate = Some(renewed.clone());
    for binary in binaries() {
        let published = Published::start(&binary, &first);
        let nginx = &published.nginx;
        let seen = |target: &str| {
            let (_, text) = nginx.curl("a.example", target, &["-i", "--cert", known.to_str().unwrap()]);
            testbed::http::header_of(&text, "Backend").map(str::to_owned)
        };
        assert_eq!(seen("/more").as_deref(), Some("a"));
        published.publish(&second);
        assert_eq!(seen("/more").as_deref(), Some("more"));
        assert_eq!(seen("/").as_deref(), Some("a"));
        let status = |certificate: Option<&Path>| ask(nginx, "a.example", certificate, &[]).0;
        assert_eq!((status(None), status(Some(&known))), ("400".to_owned(), "200".to_owned()));
        assert_eq!(ask(nginx, "b.example", None, &[]).0, "200");
        let file = directory.path().join("trusted.pem");
        fs::write(&file, &second.certificates[&renewed].chain).unwrap();
        let trusted = ["--no-insecure", "--cacert", file.to_str().unwrap()];
        assert_eq!(ask(nginx, "a.example", Some(&known), &trusted).0, "200", "the new certificate");
    }
}

#[test]
fn connection_for_no_host_leads_into_none_that_asks_something_of_it() {
    let own = Authority::new("own");
    let optional = rule(&own, |asked| asked.mode = VerificationMode::Optional);
    let mut routes = hosts([("a.example", Some(ClientCertificates::Usable(optional))), ("b.example", None)]);
    routes.hosts.insert(HostName::Any, Arc::clone(&routes.hosts[&HostName::Exact("b.example".to_owned())]));
    for binary in binaries() {
        let published = Published::start(&binary, &routes);
        let status =
            |opened: &str, host: &str| ask(&published.nginx, opened, None, &["-H", &format!("Host: {host}")]).0;
        // Addresses are not named (RFC 6066, section 3).
        for (opened, host, expected) in
            [("a.example", "a.example", "200"), ("127.0.0.1", "a.example", "421"), ("127.0.0.1", "b.example", "200")]
        {
            assert_eq!(status(opened, host), expected, "{opened} {host}");
        }
    }
}

#[test]
fn shares_of_sessions() {
    let backends = ["old", "new"].map(backend);
    let with = |weights: [u32; 2]| {
        let shares: Vec<_> = weights.into_iter().zip(backends).collect();
        balanced(vec![weighted(prefix("/app"), &shares)], &Balancing::Session(Box::new(session())), &[])
    };
    for binary in binaries() {
        let published = Published::start(&binary, &with([0, 1]));
        let who = |session: &str| balancing::ask(&published.nginx, &format!("route={session}")).0;
        for (weights, expected) in [([1, 0], ["old", "old"]), ([1, 1], ["old", "new"]), ([0, 1], ["new", "new"])] {
            published.publish(&with(weights));
            assert_eq!(["0123", "fedc"].map(who), expected.map(str::to_owned), "{weights:?}");
        }
    }
}
