//! What a host gets beside hosts that are treated otherwise: some have a server of their own over TLS, and no request may tell.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use entry_model::{
    Action, Balancing, CertificateId, ClientCertificateRule, ClientCertificates, ClientVerification, HostName, Policy,
    Request, Routes, RoutingDecision, Rule, Scheme, VerificationMode,
};

use super::hosts::certify;
use super::support::{Echo as _, Nginx, backend, binaries, forward, object, prefix, routes};

/// The backends, which answer with their names.
const NAMES: [&str; 5] = ["own", "other", "bare", "wildcard", "default"];

/// Hosts below a wildcard, beside it, and a default. `aside`: a bit for each, whether it is treated otherwise than others.
fn neighbours(backends: &[(&'static str, SocketAddr)], aside: u8) -> Routes {
    let to = |name: &str, path: &str| {
        let (_, address) = backends.iter().find(|(known, _)| *known == name).unwrap();
        vec![forward(prefix(path), *address, false)]
    };
    let mut routes = routes([
        ("own.wild.example", to("own", "/only")),
        ("other.example", to("other", "/only")),
        ("bare.wild.example", to("bare", "/only")),
        ("*.wild.example", to("wildcard", "/")),
    ]);
    routes.default = to("default", "/").pop();
    let otherwise = Policy { balancing: Balancing::LeastConnections, ..Policy::default() };
    let otherwise = routes.policies.intern(&otherwise);
    let is_aside = |name: &str| NAMES.iter().position(|known| *known == name).is_some_and(|at| aside >> at & 1 == 1);
    let treat = |rule: &mut Rule| {
        let Action::Forward(to) = &rule.action else { return };
        let address = to.only_backend().unwrap().address.cluster_ip();
        let (name, _) = backends.iter().find(|(_, known)| Some(*known) == address).unwrap();
        if is_aside(name) {
            rule.policy = otherwise;
        }
    };
    for (_, host) in routes.hosts.iter_mut() {
        Arc::make_mut(host).rules.iter_mut().for_each(treat);
    }
    routes.default.iter_mut().for_each(treat);
    for (name, id) in [("own.wild.example", "1a"), ("other.example", "2b"), ("*.wild.example", "3c")] {
        let host = match name.strip_prefix("*.") {
            Some(parent) => HostName::OneLabel(parent.to_owned()),
            None => HostName::Exact(name.to_owned()),
        };
        certify(&mut routes, &host, id, &[name]);
    }
    routes
}

/// Who answers by the definition: a backend, or this status; 0 if there is no connection.
fn expected(routes: &Routes, backends: &[(&'static str, SocketAddr)], request: &Request<'_>) -> String {
    match routes.find(request) {
        RoutingDecision::Rule(Rule { action: Action::Forward(forward), .. }) => {
            let address = forward.only_backend().unwrap().address.cluster_ip();
            backends.iter().find(|(_, known)| Some(*known) == address).unwrap().0.to_owned()
        }
        RoutingDecision::NoCertificate => "0".to_owned(),
        RoutingDecision::NotFound => "404".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// What comes over TLS; the connection trusts the certificate of the host and no other.
fn over_tls(nginx: &Nginx, routes: &Routes, host: &str) -> impl Fn(&str) -> String {
    let certificate =
        HostName::candidates(host).find_map(|name| routes.hosts.get(&name)).and_then(|host| host.certificate.as_ref());
    let file = nginx.dir.path().join(format!("{host}.pem"));
    let chain = certificate.map(|id: &CertificateId| routes.certificates[id].chain.clone());
    fs::write(&file, chain.unwrap_or_default()).unwrap();
    move |path| {
        let trusted = ["-i", "--http1.1", "--no-insecure", "--cacert", file.to_str().unwrap()];
        let arguments = if fs::metadata(&file).unwrap().len() > 0 { &trusted[..] } else { &trusted[..2] };
        let (ok, text) = nginx.curl(host, path, arguments);
        match text.split_once("Backend: ") {
            Some((_, rest)) => rest.lines().next().unwrap().to_owned(),
            None if ok => text.split(' ').nth(1).unwrap_or(&text).to_owned(),
            None if text.contains("unrecognized name") => "0".to_owned(),
            None => text,
        }
    }
}

#[test]
fn hosts_and_default_are_theirs_however_their_neighbours_are_treated() {
    let backends = NAMES.map(|name| (name, backend(name)));
    // Each alone, wildcard and default with each, and all.
    for aside in [0b0_0000, 0b0_0001, 0b0_0010, 0b0_0100, 0b0_1000, 0b1_0000, 0b0_1001, 0b0_1100, 0b1_1000, 0b1_1111] {
        let routes = neighbours(&backends, aside);
        let hosts = ["own.wild.example", "other.example", "bare.wild.example", "x.wild.example", "unknown.example"];
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            for host in hosts {
                let tls = over_tls(&nginx, &routes, host);
                for path in ["/only/x", "/volume/x?q"] {
                    let expected =
                        |scheme| expected(&routes, &backends, &Request { scheme, host, path, ..Request::default() });
                    let answer = nginx.get(host, path, "");
                    let found = if answer.status == 200 {
                        answer.header("Backend").to_owned()
                    } else {
                        answer.status.to_string()
                    };
                    let what = format!("{aside:05b} {host}{path}\n{}", nginx.config());
                    assert_eq!(found, expected(Scheme::Http), "http {what}");
                    if answer.status == 200 {
                        assert_eq!(answer.target(), path, "{what}");
                    }
                    assert_eq!(tls(path), expected(Scheme::Https), "https {what}");
                }
            }
        }
    }
}

#[test]
fn host_below_a_wildcard_is_not_asked_what_clients_of_the_wildcard_are() {
    let backends = NAMES.map(|name| (name, backend(name)));
    let authority = rcgen::generate_simple_self_signed(["authority".to_owned()]).unwrap().cert.pem();
    let verification = ClientVerification {
        mode: VerificationMode::Required,
        depth: 1,
        authorities: authority.as_str().into(),
        revoked: "".into(),
        error_page: Some("https://phish.example/".to_owned()),
        origin: object("authority"),
    };
    let asked = ClientCertificateRule { verification: verification.into(), subject: None, passes_certificate: false };
    let asked = Policy { client_certificates: Some(ClientCertificates::Usable(asked)), ..Policy::default() };
    for aside in [0b0_0000, 0b1_0001] {
        let mut routes = neighbours(&backends, aside);
        let policy = routes.policies.intern(&asked);
        let wildcard = routes.hosts.get_mut(&HostName::OneLabel("wild.example".to_owned())).unwrap();
        Arc::make_mut(wildcard).rules.iter_mut().for_each(|rule| rule.policy = policy);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            let tls = |host: &str, path: &str| over_tls(&nginx, &routes, host)(path);
            assert_eq!(tls("own.wild.example", "/only"), "own", "{}", nginx.config());
            assert_eq!(tls("own.wild.example", "/more"), "default", "{}", nginx.config());
            assert_eq!(tls("bare.wild.example", "/only"), "0", "{}", nginx.config());
            assert_eq!(tls("x.wild.example", "/only"), "302", "{}", nginx.config());
        }
    }
}
