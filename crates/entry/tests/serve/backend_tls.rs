//! Whether a backend is the one that its rule names, and what it is shown.

use std::fs;

use entry_model::{BackendTls, Pem, Policy, Protocol, Rule, Verification};

use super::support::{Nginx, NginxBackend, backed, binaries, forward, newest, prefix, treated_routes};

/// A backend that tells the name that it was sent, and the subject of the certificate that it was shown, of this authority.
fn secret_backend(authority: &str) -> NginxBackend {
    let authority = authority.to_owned();
    NginxBackend::start(&newest(), move |address| {
        format!(
            "server {{ listen {address} ssl; ssl_certificate cert.pem; ssl_certificate_key cert.pem; ssl_verify_client optional_no_ca;\n\
             return 200 \"$ssl_server_name $ssl_client_s_dn {authority}\"; }}"
        )
    })
}

fn rule(path: &str, backend: &NginxBackend, backend_tls: BackendTls) -> (Rule, Policy) {
    let rule = backed(forward(prefix(path), backend.address, false), |backend| {
        backend.protocol = Protocol::Https;
        backend.keep_alive = false;
    });
    (rule, Policy { backend_tls, ..Policy::default() })
}

fn pem(text: &str) -> Pem {
    Pem(text.as_bytes().into())
}

#[test]
fn backend_is_verified_by_the_authorities_of_its_rule_and_no_other() {
    let backend = secret_backend("x");
    // The backend's certificate is its own authority.
    let text = fs::read_to_string(backend.dir.path().join("cert.pem")).unwrap();
    let (own, _) = text.split_at(text.find("-----BEGIN PRIVATE").unwrap());
    let other = rcgen::generate_simple_self_signed(["backend".to_owned()]).unwrap();
    let verified = |authorities: &str, name: Option<&str>| BackendTls {
        verification: Some(Verification { authorities: pem(authorities), depth: 1 }),
        name: name.map(str::to_owned),
        ..BackendTls::default()
    };
    let certificate = Some(pem(&(other.cert.pem() + &other.signing_key.serialize_pem())));
    let routes = treated_routes([
        rule("/good", &backend, verified(own, Some("backend"))),
        rule("/other-name", &backend, verified(own, Some("front"))),
        rule("/of-client", &backend, verified(own, None)),
        rule("/other-authority", &backend, verified(&other.cert.pem(), Some("backend"))),
        rule("/shown", &backend, BackendTls { certificate, ..BackendTls::default() }),
        rule("/hidden", &backend, BackendTls { hides_name: true, ..BackendTls::default() }),
        rule("/", &backend, BackendTls::default()),
    ]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        // The one that is not verified comes first and last: no connection of it is used for another.
        for _ in 0..2 {
            let get = |path: &str| {
                let answer = nginx.get("backend", path, "");
                (answer.status, answer.text())
            };
            assert_eq!(get("/"), (200, "backend  x".to_owned()));
            assert_eq!(get("/good"), (200, "backend  x".to_owned()));
            assert_eq!(get("/of-client").0, 200);
            assert_eq!(nginx.get("front", "/of-client", "").status, 502);
            assert_eq!(get("/other-name").0, 502);
            assert_eq!(get("/other-authority").0, 502);
            assert_eq!(get("/shown"), (200, "backend CN=rcgen self signed cert x".to_owned()));
            assert_eq!(get("/hidden"), (200, "  x".to_owned()));
        }
    }
}
