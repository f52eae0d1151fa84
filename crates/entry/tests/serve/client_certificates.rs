//! Who may ask, by certificate.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use entry_model::{
    Certificate, CertificateId, ClientCertificateRule, ClientCertificates, ClientVerification, Host, HostName, Policy,
    Routes, Rule, VerificationMode,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};

use super::support::{Echo as _, Nginx, backend, binaries, forward, object, policies, prefix};

/// An authority that lets clients in.
pub struct Authority {
    name: &'static str,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &'static str) -> Self {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { name, pem, issuer: Issuer::new(params, key) }
    }

    /// A file with a certificate of a client and its key.
    pub fn client(&self, directory: &Path, name: &str, serial: u64) -> PathBuf {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        params.distinguished_name = named(name);
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = directory.join(format!("{}-{name}-{serial}.pem", self.name));
        fs::write(&file, certificate.pem() + &key.serialize_pem()).unwrap();
        file
    }

    /// The list of what it has revoked.
    fn revoking(&self, serial: u64) -> String {
        let time = |year| rcgen::date_time_ymd(year, 1, 1);
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: time(2020),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: time(2020),
            next_update: time(4000),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

pub fn rule(authority: &Authority, change: impl FnOnce(&mut ClientVerification)) -> ClientCertificateRule {
    let mut verification = ClientVerification {
        mode: VerificationMode::Required,
        depth: 1,
        authorities: authority.pem.as_str().into(),
        revoked: "".into(),
        error_page: None,
        origin: object("authority"),
    };
    change(&mut verification);
    ClientCertificateRule { verification: verification.into(), subject: None, passes_certificate: false }
}

/// Hosts with certificates, each with what its clients are asked for.
pub fn hosts<const N: usize>(hosts: [(&str, Option<ClientCertificates>); N]) -> Routes {
    let mut routes = Routes { policies: policies(), ..Routes::default() };
    for (name, client_certificates) in hosts {
        let policy = routes.policies.intern(&Policy { client_certificates, ..Policy::default() });
        let mut rule = forward(prefix("/"), backend("a"), false);
        rule.policy = policy;
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let id = CertificateId(format!("{:0>64}", routes.certificates.len()).into());
        let (chain, key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
        routes.certificates.insert(id.clone(), Certificate { origin: object("certificate"), chain, key }.into());
        let host = Host { certificate: Some(id), rules: vec![rule].into(), closed: true };
        routes.hosts.insert(HostName::Exact(name.to_owned()), Arc::new(host));
    }
    routes
}

/// The status, and the head that the backend saw.
pub fn ask(nginx: &Nginx, host: &str, certificate: Option<&Path>, more: &[&str]) -> (String, String) {
    let mut arguments = vec!["-w", "\n%{http_code}"];
    if let Some(file) = certificate {
        arguments.extend(["--cert", file.to_str().unwrap()]);
    }
    arguments.extend(more);
    let (done, text) = nginx.curl(host, "/", &arguments);
    if !done {
        return ("none".to_owned(), text);
    }
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

#[test]
fn clients_get_in_with_a_certificate_of_the_authority_only() {
    let directory = tempfile::tempdir().unwrap();
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let [known, revoked] = [2, 3].map(|serial| own.client(directory.path(), "robot", serial));
    let stranger = other.client(directory.path(), "robot", 2);
    let list = own.revoking(3);
    for (mode, list, none, unknown) in [
        (VerificationMode::Required, &*list, "400", "400"),
        (VerificationMode::Optional, &list, "200", "400"),
        // To nginx, one of nobody with a list is one of which the list is missing.
        (VerificationMode::OptionalOfAnyone, "", "200", "200"),
    ] {
        let asked = rule(&own, |verification| (verification.mode, verification.revoked) = (mode, list.into()));
        let routes = hosts([("a.example", Some(ClientCertificates::Usable(asked))), ("b.example", None)]);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            let status = |certificate: Option<&Path>| ask(&nginx, "a.example", certificate, &[]).0;
            assert_eq!(status(Some(&known)), "200", "{mode:?}");
            assert_eq!(status(None), none, "{mode:?}");
            assert_eq!(status(Some(&stranger)), unknown, "{mode:?}");
            assert_eq!(status(Some(&revoked)), if list.is_empty() { "200" } else { "400" }, "{mode:?}");
            assert_eq!(ask(&nginx, "b.example", None, &[]).0, "200");
            // Over plain HTTP there is no certificate.
            let plain = nginx.get("a.example", "/", "").status;
            assert_eq!(plain, if mode == VerificationMode::Required { 403 } else { 200 }, "{mode:?}");
        }
    }
}

#[test]
fn backends_are_told_the_certificate_and_clients_cannot_say_it() {
    let directory = tempfile::tempdir().unwrap();
    let own = Authority::new("own");
    let known = own.client(directory.path(), "robot", 2);
    let optional = |passes_certificate| ClientCertificateRule {
        passes_certificate,
        ..rule(&own, |verification| verification.mode = VerificationMode::Optional)
    };
    let forged = [
        "ssl-client-verify: SUCCESS",
        "ssl-client-subject-dn: CN=root",
        "ssl-client-issuer-dn: CN=x",
        "ssl-client-cert: x",
    ];
    let forged: Vec<_> = forged.iter().flat_map(|header| ["-H", header]).collect();
    for passes in [false, true] {
        let asked = Some(ClientCertificates::Usable(optional(passes)));
        let routes = hosts([("a.example", asked), ("b.example", None)]);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            let seen = |text: &str, name: &str| testbed::http::header_of(text, name).map(str::to_owned);
            let (_, text) = ask(&nginx, "a.example", Some(&known), &forged);
            assert_eq!(seen(&text, "ssl-client-verify").as_deref(), Some("SUCCESS"));
            assert_eq!(seen(&text, "ssl-client-subject-dn").as_deref(), Some("CN=robot"));
            assert_eq!(seen(&text, "ssl-client-issuer-dn").as_deref(), Some("CN=own"));
            let certificate = seen(&text, "ssl-client-cert");
            assert_eq!(certificate.is_some_and(|text| text.starts_with("-----BEGIN%20CERTIFICATE")), passes, "{text}");
            // What else backends are told stays.
            assert_eq!(seen(&text, "X-Forwarded-Proto").as_deref(), Some("https"));
            let (_, text) = ask(&nginx, "a.example", None, &forged);
            assert_eq!(seen(&text, "ssl-client-verify").as_deref(), Some("NONE"));
            assert_eq!(seen(&text, "ssl-client-subject-dn"), None, "{text}");
            assert_eq!(seen(&text, "ssl-client-cert"), None, "{text}");
            let (_, text) = ask(&nginx, "b.example", None, &forged);
            assert!(!text.to_ascii_lowercase().contains("ssl-client"), "{text}");
            let answer = nginx.get("a.example", "/", "ssl-client-verify: SUCCESS\r\n");
            assert_eq!(answer.seen("ssl-client-verify"), None);
        }
    }
}

#[test]
fn subject_must_match_and_an_error_page_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let own = Authority::new("own");
    let [robot, human] = ["robot-7", "human"].map(|name| own.client(directory.path(), name, 2));
    let mut asked = rule(&own, |verification| verification.error_page = Some("https://example.com/no?x=1".to_owned()));
    asked.subject = Some("^CN=robot-[0-9]+$".to_owned());
    let routes = hosts([("a.example", Some(ClientCertificates::Usable(asked)))]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        assert_eq!(ask(&nginx, "a.example", Some(&robot), &[]).0, "200");
        assert_eq!(ask(&nginx, "a.example", Some(&human), &[]).0, "403");
        let (status, text) = ask(&nginx, "a.example", None, &["-i"]);
        assert_eq!(status, "302", "{text}");
        assert!(text.to_ascii_lowercase().contains("location: https://example.com/no?x=1"), "{text}");
    }
}

#[test]
fn cve_2025_1097_pattern_of_subjects_is_no_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let own = Authority::new("own");
    let robot = own.client(directory.path(), "robot", 2);
    for subject in [
        r#"CN=x")[{]return\x20200;[}]#"#.replace("\")", "\"[)]"),
        r#"CN=x";load_module\x20/tmp/x.so;#"#.to_owned(),
        "CN=x$request_uri".to_owned(),
    ] {
        let mut asked = rule(&own, |_| {});
        asked.subject = Some(subject);
        let routes = hosts([("a.example", Some(ClientCertificates::Usable(asked)))]);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            assert_eq!(ask(&nginx, "a.example", Some(&robot), &[]).0, "403");
        }
    }
}

#[test]
fn nobody_gets_in_where_it_is_not_known_who_may() {
    let routes = hosts([("a.example", Some(ClientCertificates::Unusable))]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        assert_eq!(ask(&nginx, "a.example", None, &[]).0, "503");
        assert_eq!(nginx.get("a.example", "/", "").status, 503);
    }
}

#[test]
fn connection_of_another_host_does_not_lead_in() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let [of_one, of_two] = [&one, &two].map(|authority| authority.client(directory.path(), "robot", 2));
    let usable = |authority| Some(ClientCertificates::Usable(rule(authority, |_| {})));
    let routes = hosts([("a.example", usable(&one)), ("b.example", usable(&two)), ("c.example", None)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        // The connection is made for the one host, and the request is for the other.
        let other = |opened: &str, host: &str, certificate: Option<&Path>| {
            ask(&nginx, opened, certificate, &["-H", &format!("Host: {host}")]).0
        };
        for (opened, host, certificate) in [
            ("c.example", "a.example", None),
            ("c.example", "a.example", Some(&*of_one)),
            ("b.example", "a.example", Some(&*of_two)),
            ("a.example", "b.example", Some(&*of_one)),
        ] {
            let status = other(opened, host, certificate);
            assert!(["400", "421", "none"].contains(&status.as_str()), "{opened} {host} {status} {}", binary.version);
        }
        assert_eq!(ask(&nginx, "a.example", Some(&of_one), &[]).0, "200");
        assert_eq!(ask(&nginx, "b.example", Some(&of_two), &[]).0, "200");
    }
}

/// All hosts have the certificate of the first one: so nothing but what their clients are asked tells them apart.
fn with_one_certificate(mut routes: Routes) -> Routes {
    let first = routes.hosts.values().next().unwrap().certificate.clone();
    for (_, host) in routes.hosts.iter_mut() {
        Arc::make_mut(host).certificate.clone_from(&first);
    }
    routes
}

#[test]
fn whoever_gets_into_a_host_was_asked_for_its_own_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let [of_one, of_two] = [&one, &two].map(|authority| authority.client(directory.path(), "robot", 2));
    let usable = |authority, mode| Some(ClientCertificates::Usable(rule(authority, |asked| asked.mode = mode)));
    let all = [
        ("one.example", usable(&one, VerificationMode::Required)),
        ("two.example", usable(&two, VerificationMode::Required)),
        // The same as that of the first.
        ("same.example", usable(&one, VerificationMode::Required)),
        ("optional.example", usable(&one, VerificationMode::Optional)),
        ("open.example", None),
    ];
    let names = all.each_ref().map(|(name, _)| *name);
    let is_let_in = |host: &str, certificate: Option<&Path>| match host {
        "one.example" | "same.example" => certificate == Some(&*of_one),
        "two.example" => certificate == Some(&*of_two),
        "optional.example" => certificate != Some(&*of_two),
        _ => true,
    };
    let routes = with_one_certificate(hosts(all));
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for version in ["-tls1_2", "-tls1_3"] {
            for (opened, certificate) in names
                .iter()
                .flat_map(|name| [None, Some(&*of_one), Some(&*of_two)].map(|certificate| (*name, certificate)))
            {
                let shown = certificate.map(|file| ["-cert", file.to_str().unwrap()]);
                let shown = shown.as_ref().map_or(&[][..], |shown| shown);
                for host in names {
                    let text = s_client_for(&nginx, version, opened, host, shown);
                    let is_in = text.contains("HTTP/1.1 200");
                    let what = format!("{version} {opened} {host} {certificate:?} {}: {text}", binary.version);
                    if opened == host {
                        assert_eq!(is_in, is_let_in(host, certificate), "{what}");
                    } else if host != "open.example" {
                        assert!(!is_in || host == "optional.example" && opened == "open.example", "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn wildcards_and_hosts_below_them_ask_each_for_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let [of_one, of_two] = [&one, &two].map(|authority| authority.client(directory.path(), "robot", 2));
    let usable = |authority| Some(ClientCertificates::Usable(rule(authority, |_| {})));
    let mut routes = hosts([("wild", usable(&one)), ("two.wild", usable(&two)), ("open.wild", None)]);
    let wildcard = routes.hosts.remove(&HostName::Exact("wild".to_owned())).unwrap();
    routes.hosts.insert(HostName::OneLabel("wild".to_owned()), wildcard);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (host, none, first, second) in
            [("x.wild", "400", "200", "400"), ("two.wild", "400", "400", "200"), ("open.wild", "200", "200", "200")]
        {
            let status = |certificate: Option<&Path>| ask(&nginx, host, certificate, &[]).0;
            assert_eq!([None, Some(&*of_one), Some(&*of_two)].map(status), [none, first, second], "{host}");
            let is_open = host == "open.wild";
            assert_eq!(nginx.get(host, "/", "").status, if is_open { 200 } else { 403 }, "{host}");
        }
    }
}

#[test]
fn session_leads_into_no_host_that_asks_another_authority() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let known = one.client(directory.path(), "robot", 2);
    let usable = |authority| Some(ClientCertificates::Usable(rule(authority, |_| {})));
    let routes = with_one_certificate(hosts([
        ("one.example", usable(&one)),
        ("same.example", usable(&one)),
        ("two.example", usable(&two)),
    ]));
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for arguments in [&["-tls1_2"][..], &["-tls1_3"], &["-tls1_2", "-no_ticket"]] {
            let session = nginx.dir.path().join(arguments.concat());
            let (session, known) = (session.to_str().unwrap(), known.to_str().unwrap());
            let with = |more: &[&'static str]| [&arguments[1..], more].concat();
            let first = [&with(&["-cert"])[..], &[known, "-sess_out", session]].concat();
            let first = s_client(&nginx, arguments[0], "one.example", &first);
            assert!(first.contains("HTTP/1.1 200"), "{first}");
            // The certificate is not shown again: it is in the session.
            let again = |host: &str| {
                let more = [&with(&["-sess_in"])[..], &[session]].concat();
                let text = s_client(&nginx, arguments[0], host, &more);
                (text.contains("HTTP/1.1 200"), text.contains("Reused, "))
            };
            let own = again("one.example");
            assert_eq!(own, (true, true), "{arguments:?}");
            for host in ["same.example", "two.example"] {
                assert_eq!(again(host), (false, false), "{arguments:?} {host}");
            }
        }
    }
}

#[test]
fn session_of_another_host_does_not_lead_in() {
    let own = Authority::new("own");
    let asked = Some(ClientCertificates::Usable(rule(&own, |_| {})));
    let routes = hosts([("a.example", asked), ("c.example", None)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for version in ["-tls1_2", "-tls1_3"] {
            let session = nginx.dir.path().join(format!("session{version}"));
            let session = session.to_str().unwrap();
            let first = s_client(&nginx, version, "c.example", &["-sess_out", session]);
            assert!(first.contains("HTTP/1.1 200"), "{first}");
            let second = s_client(&nginx, version, "a.example", &["-sess_in", session]);
            assert!(!second.contains("HTTP/1.1 200"), "{version} {}: {second}", binary.version);
        }
    }
}

#[test]
fn no_way_to_say_a_host_leads_past_its_demand() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let [of_one, of_two] = [&one, &two].map(|authority| authority.client(directory.path(), "robot", 2));
    let usable = |authority| Some(ClientCertificates::Usable(rule(authority, |_| {})));
    let mut routes = with_one_certificate(hosts([
        ("one.example", usable(&one)),
        ("two.example", usable(&two)),
        ("open.example", None),
        ("any", None),
    ]));
    let any = routes.hosts.remove(&HostName::Exact("any".to_owned())).unwrap();
    routes.hosts.insert(HostName::Any, any);
    let host = routes.hosts.get_mut(&HostName::Exact("one.example".to_owned())).unwrap();
    let kept = Arc::make_mut(host);
    kept.rules = vec![Rule { policy: kept.rules[0].policy, ..forward(prefix("/"), backend("secret"), false) }].into();
    let names = [
        None,
        Some("one.example"),
        Some("ONE.EXAMPLE"),
        Some("one.example."),
        Some("one.example.."),
        Some("one.example:443"),
        Some("open.example"),
        Some("OPEN.EXAMPLE."),
        Some("two.example"),
        Some("unknown"),
        Some("127.0.0.1"),
    ];
    let heads = [
        "GET / HTTP/1.1\r\nHost: one.example\r\n",
        "GET / HTTP/1.1\r\nHost: ONE.example.\r\n",
        "GET / HTTP/1.1\r\nHost: one.example:80\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: one.example\r\n",
        "GET https://one.example/ HTTP/1.1\r\nHost: open.example\r\n",
        "GET https://ONE.example:443/ HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        "GET https://open.example/ HTTP/1.1\r\nHost: one.example\r\n",
        "GET / HTTP/1.0\r\nHost: one.example\r\n",
        "GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: one.example\r\n",
    ];
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let own = ask(&nginx, "one.example", Some(&of_one), &["-i"]).1;
        assert_eq!(testbed::http::header_of(&own, "Backend"), Some("secret"), "{own}");
        for (name, certificate) in names.into_iter().flat_map(|name| [(name, None), (name, Some(&of_two))]) {
            let named = name.map_or(vec!["-noservername"], |name| vec!["-servername", name]);
            let shown = certificate.map_or(Vec::new(), |file| vec!["-cert", file.to_str().unwrap()]);
            for (version, head) in ["-tls1_2", "-tls1_3"].into_iter().flat_map(|v| heads.map(|head| (v, head))) {
                let text = s_client_that_sends(&nginx, head, &[&[version], &named[..], &shown].concat());
                assert!(!text.contains("Backend: secret"), "{version} {name:?} {certificate:?} {head}: {text}");
            }
        }
        for head in heads {
            let answer = nginx.send(format!("{head}Connection: close\r\n\r\n"));
            assert_ne!(answer.header("Backend"), "secret", "{head}");
        }
    }
}

/// What openssl shows of a request for a host.
fn s_client(nginx: &Nginx, version: &str, host: &str, more: &[&str]) -> String {
    s_client_for(nginx, version, host, host, more)
}

/// The same, on a connection that is opened for another host.
fn s_client_for(nginx: &Nginx, version: &str, opened: &str, host: &str, more: &[&str]) -> String {
    let named = [&["-servername", opened, version], more].concat();
    s_client_that_sends(nginx, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n"), &named)
}

/// The same, of a request that begins with this.
fn s_client_that_sends(nginx: &Nginx, head: &str, arguments: &[&str]) -> String {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    let mut child = Command::new("openssl")
        .args(["s_client", "-ign_eof", "-connect", &nginx.https.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    write!(child.stdin.take().unwrap(), "{head}Connection: close\r\n\r\n").unwrap();
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}
