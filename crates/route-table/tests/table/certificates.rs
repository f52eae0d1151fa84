//! Certificates: which handshake gets which, and when one is in the table.

use std::sync::Arc;

use entry_model::{
    Certificate, CertificateId, ClientTls, Host, HostName, Match, PathMatch, Policy, Routes, Rule, Scheme,
};
use route_table::{Changes, Fault, Found, Handshake, Request, Revision, TlsClass};

use crate::support::{empty, get, object, rule, table_of, unbounded_pattern};

fn id(id: &str) -> CertificateId {
    CertificateId(id.into())
}

fn certificate(text: &str) -> Arc<Certificate> {
    let (chain, key) = (format!("chain {text}").into_bytes(), format!("key {text}").into_bytes());
    Arc::new(Certificate { origin: object("secret"), chain, key })
}

fn host(certificate: Option<&str>, rules: Vec<Rule>) -> Arc<Host> {
    Arc::new(Host { certificate: certificate.map(id), rules: rules.into(), closed: false })
}

fn exact(name: &str) -> HostName {
    HostName::Exact(name.to_owned())
}

/// A host, and the certificate that it names.
type NamedHost = (HostName, Option<&'static str>);

/// Routes of hosts, each with a certificate or none, and those certificates that are named.
fn routes(hosts: &[NamedHost], certificates: &[&str]) -> Routes {
    let mut routes = empty();
    routes.certificates = certificates.iter().map(|name| (id(name), certificate(name))).collect();
    for (name, named) in hosts {
        routes.hosts.insert(name.clone(), host(*named, vec![rule("some", Match::any())]));
    }
    routes
}

#[test]
fn handshake_gets_the_certificate_of_the_host_that_matches_best() {
    let hosts = [
        (exact("a.example"), Some("one")),
        (exact("none.example"), None),
        (HostName::OneLabel("example".to_owned()), Some("two")),
        (HostName::Suffix("deep".to_owned()), Some("one")),
        (exact("lost"), Some("lost")),
    ];
    let (_, _, mut table) = table_of(&routes(&hosts, &["one", "two"]), 1 << 16);
    for (name, expected) in [
        ("a.example", Some("one")),
        ("A.Example.", Some("one")),
        ("b.example", Some("two")),
        ("a.b.deep", Some("one")),
        ("none.example", None),
        ("a.b.example", None),
        ("unknown", None),
        ("", None),
    ] {
        match (table.find_handshake(0, name.as_bytes()), expected) {
            (Ok(Handshake::Certificate { id, .. }), Some(expected)) => {
                let found = table.certificate(id.as_bytes()).expect("it is there");
                assert_eq!((&*id, &*found.chain), (expected, format!("chain {expected}").as_bytes()), "{name}");
                assert_eq!(&*found.key, format!("key {expected}").as_bytes());
            }
            (found, expected) => assert_eq!((found, expected), (Ok(Handshake::Rejected), None), "{name}"),
        }
    }
    // A host is served by what it names; that it is not there is its own fault.
    assert!(matches!(table.find_handshake(0, b"lost"), Ok(Handshake::Certificate { .. })));
    assert_eq!(table.certificate(b"lost"), Err(Fault::NoCertificate));
    assert_eq!(table.certificate(b""), Err(Fault::NoCertificate));
}

#[test]
fn sessions_of_two_hosts_or_certificates_have_nothing_in_common() {
    let session = |hosts: &[NamedHost], name: &str| {
        let (_, _, mut table) = table_of(&routes(hosts, &["one", "two"]), 1 << 16);
        match table.find_handshake(0, name.as_bytes()) {
            Ok(Handshake::Certificate { session_context, .. }) => session_context,
            other => panic!("{other:?}"),
        }
    };
    let both = [(exact("a"), Some("one")), (exact("b"), Some("one"))];
    let wildcard = [(HostName::OneLabel("a".to_owned()), Some("one"))];
    assert_eq!(session(&both, "a"), session(&both[..1], "A."));
    let all = [
        session(&both, "a"),
        session(&both, "b"),
        session(&[(exact("a"), Some("two"))], "a"),
        session(&wildcard, "x.a"),
        session(&wildcard, "y.a"),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[at + 1..].contains(one), "{at}");
    }
}

/// Asks something else than others of the clients of a host.
fn ask_clients(routes: &mut Routes, name: &HostName, prefers_own_order: bool) {
    let client_tls = ClientTls { prefers_own_order: Some(prefers_own_order), ..ClientTls::default() };
    let policy = routes.policies.intern(&Policy { client_tls, ..Policy::default() });
    let mut host = Host::clone(&routes.hosts[name]);
    host.rules.iter_mut().for_each(|rule| rule.policy = policy);
    routes.hosts.insert(name.clone(), host.into());
}

#[test]
fn session_is_not_taken_up_once_something_else_is_asked_of_clients() {
    let routes = routes(&[(exact("a"), Some("one"))], &["one"]);
    let (mut planner, mut writer, mut table) = table_of(&routes, 1 << 16);
    let mut seen = Vec::new();
    for (revision, asked) in [(2, None), (3, Some(false)), (4, Some(true))] {
        let mut routes = routes.clone();
        if let Some(prefers_own_order) = asked {
            ask_clients(&mut routes, &exact("a"), prefers_own_order);
        }
        writer.apply(&planner.plan(&routes, Revision(revision))).expect("there is room");
        let Ok(Handshake::Certificate { tls_class, session_context, .. }) = table.find_handshake(0, b"a") else {
            panic!("{asked:?}")
        };
        seen.push((tls_class.0, session_context));
    }
    assert_eq!(seen.iter().map(|(class, _)| *class).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(seen[0].1 != seen[1].1 && seen[1].1 != seen[2].1 && seen[0].1 != seen[2].1);
}

#[test]
fn host_is_served_on_connections_whose_clients_were_asked_what_it_asks_alone() {
    let hosts = [(exact("a"), Some("one")), (exact("b"), Some("one")), (exact("none"), None)];
    let mut routes = routes(&hosts, &["one"]);
    ask_clients(&mut routes, &exact("a"), false);
    let (_, _, mut table) = table_of(&routes, 1 << 16);
    let mut is_served = |server: u128, server_name: &str, host: &str| {
        let (server_name, tls_class) = (server_name.as_bytes(), TlsClass(server));
        let https = Request { scheme: Scheme::Https, connection: Scheme::Https, ..get(host, "/") };
        match table.find(&Request { server_name, tls_class, ..https }) {
            Ok(Found::Route(_)) => true,
            Ok(Found::OtherConnection) => false,
            other => panic!("{other:?}"),
        }
    };
    for (server, server_name, host, expected) in [
        (1, "a", "a", true),
        (0, "b", "b", true),
        // The server of its name, for a connection that was opened for another host, with the same certificate.
        (1, "b", "a", false),
        (0, "a", "b", false),
        // A server that asks nothing, or something else.
        (0, "a", "a", false),
        (2, "a", "a", false),
        (1, "b", "b", false),
        // Who names no host was asked what all are.
        (1, "", "a", false),
        (0, "", "a", false),
        (0, "", "b", true),
    ] {
        assert_eq!(is_served(server, server_name, host), expected, "{server} {server_name} {host}");
    }
    // In the clear nobody is asked.
    assert!(matches!(table.find(&get("a", "/")), Ok(Found::Route(_))));
}

#[test]
fn certificate_comes_with_the_first_host_and_goes_with_the_last() {
    let steps: [(&[NamedHost], &[&str], usize); 7] = [
        (&[(exact("a"), None)], &["one", "two"], 0),
        (&[(exact("a"), Some("one"))], &["one", "two"], 1),
        (&[(exact("a"), Some("one")), (exact("b"), Some("one")), (exact("c"), Some("two"))], &["one", "two"], 2),
        (&[(exact("b"), Some("one"))], &["one", "two"], 1),
        (&[(exact("b"), Some("one"))], &["two"], 0),
        (&[(exact("b"), Some("one"))], &["one"], 1),
        (&[(exact("b"), Some("two"))], &["one"], 0),
    ];
    let (mut planner, mut writer, mut table) = table_of(&empty(), 1 << 16);
    for (number, (hosts, certificates, expected)) in (2..).zip(steps) {
        let routes = routes(hosts, certificates);
        let changes = planner.plan(&routes, Revision(number));
        writer.apply(&Changes::decode(&changes.encode()).expect("a record").0).expect("there is room");
        assert_eq!(table.check().map(|contents| contents.certificates), Ok(expected), "{number}");
        let (fresh, _, mut whole) = table_of(&routes, 1 << 16);
        assert_eq!((table.check(), &planner.full().changes), (whole.check(), &fresh.full().changes), "{number}");
    }
}

#[test]
fn host_whose_certificate_is_too_long_is_not_served_over_tls() {
    let hosts = [(exact("a"), Some("long")), (exact("b"), Some("one"))];
    let mut routes = routes(&hosts, &["one"]);
    let long = Certificate { chain: vec![b'a'; 1 << 18], ..Certificate::clone(&certificate("long")) };
    routes.certificates.insert(id("long"), Arc::new(long));
    let (planner, _, mut table) = table_of(&routes, 1 << 20);
    assert_eq!(planner.not_carried().count(), 0);
    assert!(matches!(table.find_handshake(0, b"a"), Ok(Handshake::Certificate { .. })));
    assert_eq!(table.certificate(b"long"), Err(Fault::NoCertificate));
    assert!(matches!(table.find(&get("a", "/")), Ok(Found::Route(_))));
    assert_eq!(table.check().map(|contents| (contents.hosts, contents.certificates)), Ok((2, 1)));
}

#[test]
fn host_that_is_not_carried_has_its_certificate_in_the_table() {
    let mut routes = empty();
    let rules = || vec![rule("pattern", Match::path(PathMatch::Regex(unbounded_pattern())))];
    routes.hosts.insert(exact("a"), host(Some("0123abcd"), rules()));
    routes.hosts.insert(exact("without"), host(None, rules()));
    routes.certificates.insert(id("0123abcd"), certificate("one"));
    let (_, _, mut table) = table_of(&routes, 1 << 16);
    assert!(matches!(table.find_handshake(0, b"a"), Ok(Handshake::Certificate { .. })));
    assert_eq!(table.find_handshake(0, b"without"), Ok(Handshake::Rejected));
    assert_eq!(table.check().map(|contents| contents.certificates), Ok(1));
    let request = Request { scheme: Scheme::Https, connection: Scheme::Https, ..get("a", "/") };
    assert_eq!(table.find(&request), Err(Fault::NotCarried));
}

#[test]
fn request_on_a_connection_for_a_host_with_another_certificate_is_misdirected() {
    let hosts = [(exact("a"), Some("one")), (exact("b"), Some("one")), (exact("c"), Some("two"))];
    let (mut planner, mut writer, mut table) = table_of(&routes(&hosts, &["one", "two"]), 1 << 16);
    let mut is_misdirected = |server_name: &str, host: &str| {
        let server_name = server_name.as_bytes();
        let request = Request { scheme: Scheme::Https, connection: Scheme::Https, server_name, ..get(host, "/") };
        match table.find(&request) {
            Ok(Found::Route(_)) => false,
            Ok(Found::OtherConnection) => true,
            other => panic!("{other:?}"),
        }
    };
    for (server_name, host, expected) in [
        ("a", "a", false),
        ("A.", "a", false),
        ("a", "b", false),
        ("a", "c", true),
        ("c", "a", true),
        ("", "a", false),
        ("gone", "a", true),
    ] {
        assert_eq!(is_misdirected(server_name, host), expected, "{server_name}, then {host}");
    }
    // The certificate of a host is renewed: its connections live.
    let hosts = [(exact("a"), Some("new")), (exact("b"), Some("one"))];
    writer.apply(&planner.plan(&routes(&hosts, &["one", "new"]), Revision(2))).expect("there is room");
    assert!(!is_misdirected("a", "a") && is_misdirected("a", "b"));
}

#[test]
fn key_of_a_certificate_is_in_no_text_for_logs() {
    let (planner, _, mut table) = table_of(&routes(&[(exact("a"), Some("one"))], &["one"]), 1 << 16);
    let text = format!("{:?} {:?}", planner.full(), table.certificate(b"one"));
    let bytes = format!("{:?}", &b"key one"[1..5]);
    assert!(!text.contains("key one") && !text.contains(bytes.trim_matches(['[', ']'])), "{text}");
}
