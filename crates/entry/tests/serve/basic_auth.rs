//! Who may ask, by name and password.

use std::fs;

use entry_model::{Access, BasicAuth, PasswordFile, Policy, Rule};
use nginx_conf::Settings;

use super::support::{Echo as _, Nginx, backend, binaries, forward, prefix, treated, treated_routes};

/// Hashes of `secret`, in all forms that are taken.
const HASHES: [(&str, &str); 12] = [
    ("bcrypt-2a", "$2a$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"),
    ("bcrypt-2b", "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"),
    ("bcrypt-2y", "$2y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u"),
    ("apr1", "$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0"),
    ("md5", "$1$saltsalt$9xy1btjgzLYfb7hivXtC//"),
    ("sha-256", "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA"),
    (
        "sha-512",
        "$6$rounds=1000$saltsalt$LAV5VE5Y7w1d73x1mFNspYWUpazfmwv2SoepNXNKJ/otop/Zok96Hr8Q13LEv0DRY/x8v0/crpIjl8NJSAqXV/",
    ),
    ("des", "k9JIR3HkfoeYQ"),
    ("sha", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
    ("ssha", "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0"),
    ("plain", "{PLAIN}secret"),
    ("with space", "k9JIR3HkfoeYQ"),
];

fn policy(realm: &str, users: &[(&str, &str)], change: impl FnOnce(&mut Access)) -> Policy {
    let passwords = users.iter().map(|(user, hash)| format!("{user}:{hash}\n")).collect();
    let basic_auth = BasicAuth { realm: realm.to_owned(), passwords: PasswordFile(passwords).into() };
    let mut access = Access { basic_auth: Some(basic_auth), ..Access::default() };
    change(&mut access);
    Policy { access, ..Policy::default() }
}

fn rules() -> Vec<Rule> {
    vec![forward(prefix("/a"), backend("a"), true)]
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |bytes: &[u8]| {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(*bytes.get(at).unwrap_or(&0)));
        let digit = |at: usize| if at > bytes.len() { '=' } else { char::from(DIGITS[bits >> (18 - 6 * at) & 63]) };
        (0..4).map(digit).collect::<String>()
    };
    text.as_bytes().chunks(3).map(group).collect()
}

/// The header with a name and a password.
fn login(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", base64(&format!("{user}:{password}")))
}

#[test]
fn users_get_in_with_their_password_in_each_form_of_hash() {
    let routes = treated(&policy("Shop, all of it", &HASHES, |_| {}), rules());
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (user, _) in HASHES {
            for target in ["/a/x", "/a/%78"] {
                let answer = nginx.get("x", target, &login(user, "secret"));
                assert_eq!(answer.status, 200, "{user} {}", binary.version);
                // The backend gets to know who it is, as from nginx.
                assert_eq!(
                    answer.seen("Authorization"),
                    Some(&*format!("Basic {}", base64(&format!("{user}:secret"))))
                );
                for wrong in ["", "secret ", "Secret", "secre", "{PLAIN}secret"] {
                    assert_eq!(
                        nginx.get("x", target, &login(user, wrong)).status,
                        401,
                        "{user} {wrong} {}",
                        binary.version
                    );
                }
            }
        }
    }
}

#[test]
fn nobody_else_gets_in() {
    let routes = treated(&policy("Shop", &HASHES, |_| {}), rules());
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for headers in [
            String::new(),
            login("nobody", "secret"),
            login("", ""),
            login("des\n", "secret"),
            login("des", HASHES[7].1),
            "Authorization: Basic !\r\n".to_owned(),
            "Authorization: Bearer secret\r\n".to_owned(),
            "Proxy-Authorization: Basic ZGVzOnNlY3JldA==\r\n".to_owned(),
        ] {
            let answer = nginx.get("x", "/a/x", &headers);
            assert_eq!(answer.status, 401, "{headers}");
            assert_eq!(answer.header("WWW-Authenticate"), "Basic realm=\"Shop\"");
        }
    }
}

#[test]
fn realm_that_nginx_takes_for_a_switch_asks_all_the_same() {
    for realm in ["off", "", "Off"] {
        let routes = treated(&policy(realm, &HASHES, |_| {}), rules());
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |_| {});
            assert_eq!(nginx.get("x", "/a/x", "").status, 401, "{realm}");
            assert_eq!(nginx.get("x", "/a/x", &login("des", "secret")).status, 200, "{realm}");
        }
    }
}

#[test]
fn address_or_password_is_enough_where_any_is() {
    let trust_loopback = |settings: &mut Settings| settings.trusted = vec!["127.0.0.0/8".parse().unwrap()];
    for any in [false, true] {
        let change = |access: &mut Access| {
            access.allowed = Some(vec!["10.0.0.0/8".parse().unwrap()].into());
            access.satisfy_any = any;
        };
        let routes = treated(&policy("Shop", &HASHES, change), rules());
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, trust_loopback);
            let ask = |client: &str, headers: &str| {
                nginx.get("x", "/a/x", &format!("X-Forwarded-For: {client}\r\n{headers}")).status
            };
            let (inside, outside, known) = ("10.0.0.1", "11.0.0.1", login("des", "secret"));
            assert_eq!(ask(inside, &known), 200);
            assert_eq!(ask(inside, ""), if any { 200 } else { 401 });
            assert_eq!(ask(outside, &known), if any { 200 } else { 403 });
            assert_eq!(ask(outside, ""), if any { 401 } else { 403 });
            assert_eq!(ask(outside, &login("des", "wrong")), if any { 401 } else { 403 });
        }
    }
}

#[test]
fn password_is_looked_up_once_where_it_is_remembered() {
    let other = [("des", HASHES[6].1)];
    let routes = treated_routes([
        (forward(prefix("/a"), backend("a"), true), policy("Shop", &HASHES, |_| {})),
        (forward(prefix("/b"), backend("b"), true), policy("Shop", &other, |_| {})),
    ]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let ask = |target: &str, user: &str, password: &str| nginx.get("x", target, &login(user, password)).status;
        assert_eq!((ask("/a/x", "bcrypt-2y", "secret"), ask("/a/x", "des", "secret")), (200, 200));
        assert_eq!((ask("/b/x", "bcrypt-2y", "secret"), ask("/a/x", "des", "wrong")), (401, 401));
        let files: Vec<_> = fs::read_dir(nginx.dir.path().join("passwords")).unwrap().collect();
        assert_eq!(files.len(), 2);
        for file in files {
            fs::write(file.unwrap().path(), "").unwrap();
        }
        // What was right is remembered, and nothing else lets anyone in.
        assert_eq!((ask("/a/x", "bcrypt-2y", "secret"), ask("/a/x", "des", "secret")), (200, 200));
        assert_eq!((ask("/b/x", "bcrypt-2y", "secret"), ask("/b/x", "des", "secret")), (401, 401));
        assert_eq!((ask("/a/x", "des", "wrong"), ask("/a/x", "sha", "secret")), (401, 401));
    }
}

#[test]
fn passwords_are_in_no_file_but_their_own() {
    let routes = treated(&policy("Shop", &HASHES, |_| {}), rules());
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let shown = format!("{}{:?}{:?}{routes}", nginx.config(), nginx.revision, routes.policies);
        for (_, hash) in HASHES {
            assert!(!shown.contains(hash), "{hash}");
        }
    }
}
