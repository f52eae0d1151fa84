//! Whatever is in the routes, the configuration has the shape that this program gave it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use entry_routes::{
    Action, Backend, Certificate, CertificateId, Forward, Host, HostName, Key, Kind, ObjectRef, PathMatch, Protocol,
    Routes, Rule, Timeouts,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::lexer::{Statement, lex};
use crate::splice::{MARK, splice};
use crate::{Modules, Settings, Version, render, render_template};

/// Text that means to break out, and any other.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "\"",
        "'",
        "\\",
        ";",
        "{",
        "}",
        "$",
        "${",
        "$host",
        "#",
        "\n",
        "\r",
        "\t",
        " ",
        "\0",
        "(",
        ")",
        "*",
        "~",
        "^",
        ".",
        "/",
        "//",
        "/..",
        "%",
        "?",
        "@",
        "=",
        "\\\"",
        "\"; return 200 x; #",
        "a",
        "b",
        "麻雀",
        "é",
        "\u{7f}",
        "\u{2028}",
        "include /etc/passwd;",
    ]);
    prop_oneof![
        4 => vec(pieces, 0..8).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
        1 => (1_usize..6000).prop_map(|length| "x".repeat(length)),
    ]
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![3 => "[a-c]{1,2}", 2 => hostile()];
    prop_oneof![5 => vec(segment, 0..4).prop_map(|all| format!("/{}", all.join("/"))), 1 => hostile()]
}

fn host() -> impl Strategy<Value = HostName> {
    let name = || prop_oneof![3 => "[a-c]{1,3}(\\.[a-c]{1,3}){0,3}", 1 => "[a-z0-9_.-]{1,300}", 2 => hostile()];
    prop_oneof![4 => name().prop_map(HostName::Exact), 2 => name().prop_map(HostName::Wildcard), 1 => Just(HostName::Any)]
}

fn object() -> impl Strategy<Value = ObjectRef> {
    (hostile(), hostile()).prop_map(|(namespace, name)| ObjectRef { kind: Kind::Ingress, key: Key { namespace, name } })
}

fn rule() -> impl Strategy<Value = Rule> {
    let path = (path(), any::<bool>())
        .prop_map(|(path, exact)| if exact { PathMatch::Exact(path) } else { PathMatch::Prefix(path) });
    let protocol = prop::sample::select(vec![
        Protocol::Http,
        Protocol::Http,
        Protocol::Https,
        Protocol::Http2,
        Protocol::Http2Tls,
    ]);
    let time = || proptest::option::of(any::<u64>().prop_map(Duration::from_millis));
    let forward = (any::<SocketAddr>(), protocol, any::<bool>(), (time(), time(), time()), any::<Option<u64>>())
        .prop_map(|(address, protocol, strip_prefix, (connect, read, send), max_body_bytes)| {
            Action::Forward(Forward {
                backend: Backend { address, protocol },
                strip_prefix,
                timeouts: Timeouts { connect, read, send },
                max_body_bytes,
            })
        });
    let action = prop_oneof![6 => forward, 1 => Just(Action::Unavailable)];
    (path, action, any::<bool>(), object()).prop_map(|(path, action, redirect_to_https, origin)| Rule {
        path,
        action,
        redirect_to_https,
        origin,
    })
}

/// Any routes. The certificates are real ones or text, as asked.
fn routes(pem: Option<(Vec<u8>, Vec<u8>)>) -> impl Strategy<Value = Routes> {
    let id = || prop_oneof!["[0-9a-f]{64}", hostile(), Just("f".repeat(64))].prop_map(CertificateId);
    let certificate = (object(), hostile(), hostile())
        .prop_map(move |(origin, chain, key)| {
            let (chain, key) = pem.clone().unwrap_or((chain.into_bytes(), key.into_bytes()));
            Certificate { origin, chain, key }
        })
        .boxed();
    let hosts = btree_map(host(), (proptest::option::of(id()), vec(rule(), 0..6)), 0..6);
    (hosts, proptest::option::of(rule()), btree_map(id(), certificate.clone(), 0..3), certificate).prop_map(
        |(hosts, default, mut certificates, certificate)| {
            let mut named = BTreeMap::new();
            for (index, (name, (id, rules))) in hosts.into_iter().enumerate() {
                // Most certificates that are named are there.
                if let Some(id) = id.as_ref().filter(|_| index % 3 != 2) {
                    certificates.insert(id.clone(), certificate.clone());
                }
                named.insert(name, Host { certificate: id, rules });
            }
            Routes { hosts: named, default, certificates }
        },
    )
}

fn settings() -> impl Strategy<Value = Settings> {
    let version = prop::sample::select(vec![Version::new(1, 22, 1), Version::new(1, 26, 3), Version::new(1, 31, 3)]);
    let bits =
        any::<[bool; 9]>().prop_map(|[ssl, http_v2, grpc, realip, stub_status, fastcgi, uwsgi, scgi, pcre_jit]| {
            Modules { ssl, http_v2, grpc, realip, stub_status, fastcgi, uwsgi, scgi, pcre_jit }
        });
    let modules = prop_oneof![Just(Modules::default()), bits];
    (version, modules, any::<[bool; 3]>()).prop_map(|(version, modules, [https, proxy_protocol, trusted])| Settings {
        version,
        modules,
        https: if https { vec![SocketAddr::from(([127, 0, 0, 1], 8443))] } else { Vec::new() },
        http: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
        trusted: if trusted { vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()] } else { Vec::new() },
        proxy_protocol,
        ..Settings::default()
    })
}

/// Each place where text of an object may stand, and nothing else. Panics on what this program does not write.
#[derive(Default)]
struct Shape {
    locations: Vec<(String, String)>,
    names: Vec<String>,
    servers: usize,
    asides: usize,
}

/// The directives that may stand in a block, with the numbers of arguments.
fn allowed(context: &str) -> &'static [(&'static str, std::ops::RangeInclusive<usize>)] {
    match context {
        "server" => &[
            ("listen", 1..=5),
            ("server_name", 1..=1),
            ("http2", 1..=1),
            ("ssl_certificate", 1..=1),
            ("ssl_certificate_key", 1..=1),
            ("ssl_reject_handshake", 1..=1),
            ("if", 1..=1),
            ("location", 1..=2),
            ("return", 2..=2),
            ("access_log", 1..=1),
            ("default_type", 1..=1),
            ("keepalive_timeout", 1..=1),
        ],
        "aside" | "location" => &[
            ("internal", 0..=0),
            ("set", 2..=2),
            ("if", 1..=4),
            ("return", 1..=2),
            ("add_header", 3..=3),
            ("rewrite", 3..=3),
            ("stub_status", 0..=0),
            ("proxy_http_version", 1..=1),
            ("proxy_pass_trailers", 1..=1),
            ("proxy_pass", 1..=1),
            ("grpc_pass", 1..=1),
            ("proxy_connect_timeout", 1..=1),
            ("proxy_read_timeout", 1..=1),
            ("proxy_send_timeout", 1..=1),
            ("grpc_connect_timeout", 1..=1),
            ("grpc_read_timeout", 1..=1),
            ("grpc_send_timeout", 1..=1),
            ("client_max_body_size", 1..=1),
        ],
        "if" => &[("return", 2..=2), ("set", 2..=2), ("rewrite", 3..=3)],
        "upstream" => {
            &[("server", 1..=1), ("keepalive", 1..=1), ("keepalive_timeout", 1..=1), ("keepalive_requests", 1..=1)]
        }
        _ => panic!("no block is expected in {context}"),
    }
}

impl Shape {
    fn read(&mut self, statements: &[Statement], context: &str) {
        for statement in statements {
            let (name, arguments) = statement.words.split_first().unwrap();
            let known = allowed(context).iter().find(|(known, _)| known == name);
            let (_, numbers) = known.unwrap_or_else(|| panic!("line {}: {name} in {context}", statement.line));
            assert!(numbers.contains(&arguments.len()), "line {}: {:?}", statement.line, statement.words);
            match name.as_str() {
                "location" => {
                    if let [modifier, path] = arguments {
                        // Those where requests go that are not plain: no path of an object is like this.
                        if modifier == "=" && path.starts_with("sparrow-aside-") {
                            self.asides += 1;
                            self.read(statement.block.as_deref().unwrap(), "aside");
                            continue;
                        }
                        self.locations.push((modifier.clone(), path.clone()));
                    } else {
                        assert!(["/", "@sparrow_failure"].contains(&arguments[0].as_str()), "{arguments:?}");
                    }
                }
                "server_name" => self.names.push(arguments[0].clone()),
                // What is special in a pattern of a text is encoded: whatever else there is, is this program's.
                "if" if context == "location" && arguments.len() > 1 => {
                    let pattern = arguments[2].trim_end_matches(")$").trim_end_matches("|$)");
                    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/\\()?:|%^<>_.*[]=~-".contains(&b);
                    assert!(pattern.bytes().all(plain), "{arguments:?}");
                }
                // This program's in whole.
                "if" if context == "aside" => {}
                _ => arguments.iter().for_each(|argument| variables(argument)),
            }
            if let Some(block) = &statement.block {
                self.read(block, name);
            }
        }
    }
}

/// No variable that this program does not use.
fn variables(argument: &str) {
    for (at, _) in argument.match_indices('$') {
        let name: String = argument[at + 1..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let known = ["host", "request_uri", "scheme"].contains(&name.as_str()) || name.starts_with("sparrow_");
        assert!(known, "{argument}");
    }
}

#[test]
fn any_routes_are_accepted_by_nginx() {
    let made = rcgen::generate_simple_self_signed(["any.example".to_owned()]).unwrap();
    let pem = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
    let binaries = [testbed::nginx::debian(), testbed::nginx::newest()].map(|path| {
        let text = Command::new(&path).arg("-V").output().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = String::from_utf8(text.stderr).unwrap();
        (path, text.parse::<Version>().unwrap(), Modules::parse(&text))
    });
    let config = ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&(routes(Some(pem)), settings()), |(routes, settings)| {
        for (path, version, modules) in &binaries {
            let dir = tempfile::tempdir().unwrap();
            let settings = Settings {
                version: *version,
                modules: *modules,
                runtime: dir.path().to_owned(),
                control: dir.path().join("control"),
                error_log: dir.path().join("error.log"),
                access_log: Some(dir.path().join("access.log")),
                ..settings.clone()
            };
            let generation = render(&routes, &settings);
            for (file, content) in &generation.files {
                let file = dir.path().join(file);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, content).unwrap();
            }
            let mut command = Command::new(path);
            command
                .args(["-t", "-q", "-e", "stderr", "-p"])
                .arg(dir.path())
                .arg("-c")
                .arg(dir.path().join("nginx.conf"));
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            // It says nothing at all: a warning would be in the operator's log at every change.
            let quiet = said.lines().all(|line| line.contains("the \"user\" directive makes sense only"));
            prop_assert!(
                output.status.success() && quiet,
                "{said}\n{}",
                String::from_utf8_lossy(&generation.files["nginx.conf"])
            );
        }
        Ok(())
    });
    result.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_stays_where_it_was_put(routes in routes(None), settings in settings()) {
        let generation = render(&routes, &settings);
        prop_assert_eq!(&generation, &render(&routes, &settings));
        let text = std::str::from_utf8(&generation.files["nginx.conf"]).unwrap();
        let statements = lex(text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let http = statements.iter().find(|statement| statement.words == ["http"]).unwrap().block.as_ref().unwrap();
        let mut shape = Shape::default();
        for statement in http {
            if statement.words == ["server"] {
                shape.servers += 1;
                shape.read(statement.block.as_ref().unwrap(), "server");
            } else if statement.words[0] == "upstream" {
                prop_assert!(statement.words[1].bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
                shape.read(statement.block.as_ref().unwrap(), "upstream");
            } else {
                prop_assert!(statement.block.is_none() || ["map", "geo"].contains(&statement.words[0].as_str()));
            }
        }
        // Control, any host, each other host, and the one that rejects.
        prop_assert!(shape.servers <= routes.hosts.len() + 3);
        let rules = routes.hosts.values().flat_map(|host| &host.rules).chain(&routes.default);
        let mut expected = BTreeSet::from([("=".to_owned(), "/generation".to_owned()), ("=".to_owned(), "/status".to_owned())]);
        for rule in rules {
            match &rule.path {
                PathMatch::Exact(path) => { expected.insert(("=".to_owned(), path.clone())); }
                PathMatch::Prefix(path) => {
                    let path = path.trim_end_matches('/');
                    expected.insert(("=".to_owned(), path.to_owned()));
                    expected.insert(("^~".to_owned(), format!("{path}/")));
                }
            }
        }
        for location in &shape.locations {
            prop_assert!(expected.contains(location), "{:?}", location);
        }
        for name in &shape.names {
            let exact = routes.hosts.contains_key(&HostName::Exact(name.clone()));
            let wildcard = || name.strip_prefix("~^[^.]+\\.").and_then(|name| name.strip_suffix('$'));
            let plain = |name: &str| name.replace("\\x2e", ".").replace("\\x5f", "_");
            prop_assert!(exact || wildcard().is_some_and(|name| routes.hosts.contains_key(&HostName::Wildcard(plain(name)))), "{name}");
        }
        // Lines of origins are lines of their objects, and files are where they should be.
        let lines = u32::try_from(text.lines().count()).unwrap();
        for origin in &generation.origins {
            prop_assert!(generation.files.contains_key(&*origin.file));
            prop_assert!(origin.first_line >= 1 && origin.first_line <= origin.last_line);
            prop_assert!(origin.file != "nginx.conf" || origin.last_line <= lines);
        }
        for file in generation.files.keys() {
            let certificate = file.strip_prefix("certs/").and_then(|file| file.strip_suffix(".pem"));
            let plain = certificate.is_some_and(|id| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
            prop_assert!(file == "nginx.conf" || plain, "{file}");
        }
        // The hash is of the files, but for the place where it stands.
        prop_assert_eq!(text.matches(&generation.hash).count(), 1);
    }

    #[test]
    fn any_text_stays_where_a_template_put_it(routes in routes(None), settings in settings()) {
        const TEMPLATE: &str = "{{ control_server }}{% for r in routes %}block {{ r.path }} x{{ r.name }} \"{{ r.namespace }}\" {\n\
             one a{{ r.cluster_ip }}:{{ r.port }} '{{ r.name }}' {{ r.host }};two ${x}{{ r.match }};}\n{% endfor %}";
        // Not all is quotable everywhere: what is not is refused.
        if let Ok(generation) = render_template(TEMPLATE, &routes, &settings) {
            let text = std::str::from_utf8(&generation.files["nginx.conf"]).unwrap();
            let statements = lex(text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            for statement in &statements[1..] {
                prop_assert_eq!((statement.words[0].as_str(), statement.words.len()), ("block", 4));
                let names: Vec<_> = statement.block.iter().flatten().map(|inner| (inner.words[0].as_str(), inner.words.len())).collect();
                prop_assert_eq!(names, [("one", 4), ("two", 2)]);
            }
        }
    }

    #[test]
    fn a_value_is_one_token_or_refused(value in hostile()) {
        let text = format!("a {MARK}0{MARK} \"b{MARK}0{MARK}\";\n");
        if let Ok((text, _)) = splice(&text, std::slice::from_ref(&value)) {
            let expected = vec!["a".to_owned(), value.clone(), format!("b{value}")];
            prop_assert_eq!(lex(&text).unwrap()[0].words.clone(), expected);
        }
        // A part of a word either stays one or is refused.
        if let Ok((text, _)) = splice(&format!("a b{MARK}0{MARK}c;"), std::slice::from_ref(&value)) {
            prop_assert_eq!(lex(&text).unwrap()[0].words.clone(), ["a".to_owned(), format!("b{value}c")]);
        }
    }
}
