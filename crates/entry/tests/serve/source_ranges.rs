//! Who may ask, by address.

use std::net::SocketAddr;

use entry_model::{Access, AddressRange, Policy};
use nginx_conf::Settings;

use super::support::{Nginx, backend, binaries, exact, forward, prefix, treated};

fn ranges(texts: &[&str]) -> Vec<AddressRange> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn policy(allowed: Option<&[&str]>, denied: &[&str]) -> Policy {
    let allowed = allowed.map(|allowed| ranges(allowed).into());
    let access = Access { allowed, denied: ranges(denied).into(), ..Access::default() };
    Policy { access, ..Policy::default() }
}

fn trust_loopback(settings: &mut Settings) {
    settings.trusted = vec!["127.0.0.0/8".parse().unwrap()];
}

/// What is answered to a client of this address.
fn status(nginx: &Nginx, client: &str, target: &str) -> u16 {
    nginx.get("x", target, &format!("X-Forwarded-For: {client}\r\n")).status
}

#[test]
fn source_ranges_decide_by_the_address_that_a_trusted_proxy_says() {
    let policy = policy(Some(&["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]), &["10.6.0.0/16", "2001:db8::6"]);
    let rules = |address: SocketAddr| vec![forward(prefix("/a"), address, true), forward(exact("/b"), address, false)];
    let routes = treated(&policy, rules(backend("a")));
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, trust_loopback);
        for (client, may) in [
            ("10.0.0.1", true),
            ("10.255.255.255", true),
            ("11.0.0.1", false),
            ("10.6.0.1", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8::1", true),
            ("2001:db8::6", false),
            ("2001:db9::1", false),
            // The last that no trusted proxy is.
            ("10.0.0.1, 11.0.0.1", false),
            ("11.0.0.1, 10.0.0.1", true),
        ] {
            // Paths that are plain and that are not, with and without a prefix to take off.
            for target in ["/a", "/a/x", "/a/%78", "/a//x", "/b"] {
                let expected = if may { 200 } else { 403 };
                assert_eq!(status(&nginx, client, target), expected, "{client} {target} {}", binary.version);
            }
        }
    }
}

#[test]
fn client_cannot_say_its_address_where_no_proxy_is_trusted() {
    let routes = treated(&policy(Some(&["10.0.0.0/8"]), &[]), vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for headers in ["", "X-Forwarded-For: 10.0.0.1\r\n", "X-Real-IP: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\n"] {
            assert_eq!(nginx.get("x", "/", headers).status, 403, "{headers}");
        }
    }
}

#[test]
fn ranges_of_one_family_let_nobody_of_the_other_in() {
    let routes = treated(&policy(Some(&["0.0.0.0/0"]), &[]), vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, trust_loopback);
        assert_eq!([status(&nginx, "10.0.0.1", "/"), status(&nginx, "2001:db8::1", "/")], [200, 403]);
    }
}

#[test]
fn denied_address_alone_leaves_all_others_in() {
    let routes = treated(&policy(None, &["10.0.0.1"]), vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, trust_loopback);
        assert_eq!([status(&nginx, "10.0.0.1", "/"), status(&nginx, "10.0.0.2", "/")], [403, 200]);
    }
}
