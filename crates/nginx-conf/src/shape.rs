//! The shape that this program gives to a configuration, whatever is in the routes. For tests and fuzzing.

use std::collections::BTreeSet;

use entry_model::{HeaderVariable, HostName, Routes};

use crate::Revision;
use crate::lexer::{Statement, lex};

/// Checks what was made of routes: nginx can read it, texts of objects are where they were put and each is one token, no
/// directive and no variable is there that this program does not write, and lines and files are those that it says.
///
/// # Panics
///
/// Anything else.
pub fn check(routes: &Routes, revision: &Revision) {
    let text = std::str::from_utf8(&revision.files["nginx.conf"]).expect("UTF-8");
    let statements = lex(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let http = statements.iter().find(|statement| statement.words == ["http"]);
    let http = http.and_then(|http| http.block.as_ref()).expect("a block `http`");
    let mut shape = Shape::default();
    for statement in http {
        if statement.words == ["server"] {
            shape.servers += 1;
            shape.read(statement.block.as_ref().expect("a block"), "server");
        } else if statement.words[0] == "upstream" {
            assert!(statement.words[1].bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
            assert!(shape.upstreams.insert(statement.words[1].clone()), "two upstreams {}", statement.words[1]);
            shape.read(statement.block.as_ref().expect("a block"), "upstream");
        } else {
            assert!(
                statement.block.is_none() || ["map", "geo", "split_clients"].contains(&statement.words[0].as_str())
            );
        }
    }
    // Control, and at each listener any host, each that asks something of its clients, and those below such wildcards.
    assert!(shape.servers <= 1 + routes.listeners.len() * (routes.hosts.len() + 2));
    shape.compare(routes);
    // Lines of origins are lines of their objects, and files are where they should be.
    let lines = text.lines().count();
    for origin in &revision.origins {
        assert!(revision.files.contains_key(&*origin.file));
        assert!(origin.first_line >= 1 && origin.first_line <= origin.last_line);
        assert!(origin.file != "nginx.conf" || usize::try_from(origin.last_line).is_ok_and(|last| last <= lines));
    }
    for file in revision.files.keys() {
        let certificate = file.strip_prefix("certs/").and_then(|file| file.strip_suffix(".pem"));
        let plain = certificate.is_some_and(|id| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        let passwords = file.strip_prefix("passwords/").is_some_and(|name| name.bytes().all(|b| b.is_ascii_hexdigit()));
        let authorities =
            ["authorities/", "revoked/"].iter().find_map(|prefix| file.strip_prefix(prefix)?.strip_suffix(".pem"));
        let authorities = authorities.is_some_and(|name| name.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(file == "nginx.conf" || plain || passwords || authorities, "{file}");
    }
    // The hash is of the files, but for the place where it stands.
    assert_eq!(text.matches(&revision.hash).count(), 1);
}

/// Each place where text of an object may stand, and nothing else. Panics on what this program does not write.
#[derive(Default)]
struct Shape {
    names: Vec<String>,
    upstreams: BTreeSet<String>,
    servers: usize,
}

/// A directive, with the numbers of its arguments.
type Allowed = (&'static str, std::ops::RangeInclusive<usize>);

/// What may stand in a location.
const OF_LOCATION: &[Allowed] = &[
    ("internal", 0..=0),
    ("set", 2..=2),
    ("if", 1..=4),
    ("return", 1..=2),
    ("add_header", 2..=3),
    ("types", 0..=0),
    ("default_type", 1..=1),
    ("access_log", 1..=1),
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
    ("client_body_buffer_size", 1..=1),
    ("proxy_buffering", 1..=1),
    ("proxy_request_buffering", 1..=1),
    ("proxy_max_temp_file_size", 1..=1),
    ("proxy_buffer_size", 1..=1),
    ("proxy_buffers", 2..=2),
    ("proxy_busy_buffers_size", 1..=1),
    ("grpc_buffer_size", 1..=1),
    ("proxy_ssl_verify", 1..=1),
    ("proxy_ssl_verify_depth", 1..=1),
    ("proxy_ssl_trusted_certificate", 1..=1),
    ("proxy_ssl_certificate", 1..=1),
    ("proxy_ssl_certificate_key", 1..=1),
    ("proxy_ssl_name", 1..=1),
    ("proxy_ssl_server_name", 1..=1),
    ("proxy_ssl_ciphers", 1..=1),
    ("proxy_ssl_protocols", 1..=2),
    ("grpc_ssl_verify", 1..=1),
    ("grpc_ssl_verify_depth", 1..=1),
    ("grpc_ssl_trusted_certificate", 1..=1),
    ("grpc_ssl_certificate", 1..=1),
    ("grpc_ssl_certificate_key", 1..=1),
    ("grpc_ssl_name", 1..=1),
    ("grpc_ssl_server_name", 1..=1),
    ("grpc_ssl_ciphers", 1..=1),
    ("grpc_ssl_protocols", 1..=2),
    ("proxy_next_upstream", 1..=11),
    ("proxy_next_upstream_tries", 1..=1),
    ("proxy_next_upstream_timeout", 1..=1),
    ("grpc_next_upstream", 1..=11),
    ("grpc_next_upstream_tries", 1..=1),
    ("grpc_next_upstream_timeout", 1..=1),
    ("proxy_cookie_domain", 2..=2),
    ("proxy_cookie_path", 2..=2),
    ("proxy_redirect", 2..=2),
    ("error_page", 2..=64),
    ("auth_request", 1..=1),
    ("mirror", 1..=1),
    ("mirror_request_body", 1..=1),
    ("auth_request_set", 2..=2),
    ("proxy_intercept_errors", 1..=1),
    ("grpc_intercept_errors", 1..=1),
    ("proxy_pass_request_body", 1..=1),
    ("proxy_method", 1..=1),
    ("proxy_ssl_server_name", 1..=1),
    ("proxy_ssl_name", 1..=1),
    ("proxy_ssl_session_reuse", 1..=1),
    ("proxy_hide_header", 1..=1),
    ("proxy_set_header", 2..=2),
    ("grpc_hide_header", 1..=1),
    ("grpc_set_header", 2..=2),
    ("satisfy", 1..=1),
    ("auth_basic", 1..=1),
    ("auth_basic_user_file", 1..=1),
    ("sparrow_remember_passwords", 1..=1),
    ("sparrow_balancing_key", 1..=1),
    ("sparrow_balancing_subset", 1..=1),
    ("sparrow_balancing_endpoint", 1..=1),
    ("allow", 1..=1),
    ("deny", 1..=1),
    ("limit_req", 1..=3),
    ("limit_req_status", 1..=1),
    ("limit_conn", 2..=2),
    ("limit_conn_status", 1..=1),
    ("limit_rate", 1..=1),
    ("limit_rate_after", 1..=1),
];

/// The directives that may stand in a block, with the numbers of arguments.
fn allowed(context: &str) -> &'static [Allowed] {
    match context {
        "server" => &[
            ("listen", 1..=5),
            ("server_name", 1..=1),
            ("http2", 1..=1),
            ("sparrow_certificates", 0..=1),
            ("sparrow_route", 1..=1),
            ("ssl_client_certificate", 1..=1),
            ("ssl_verify_client", 1..=1),
            ("ssl_verify_depth", 1..=1),
            ("ssl_crl", 1..=1),
            ("ssl_ciphers", 1..=1),
            ("ssl_prefer_server_ciphers", 1..=1),
            ("error_page", 3..=6),
            ("if", 1..=1),
            ("location", 1..=2),
            ("access_log", 1..=1),
            ("default_type", 1..=1),
            ("keepalive_timeout", 1..=1),
        ],
        "location" => OF_LOCATION,
        "if" => &[("return", 1..=2), ("add_header", 2..=3)],
        "types" => &[],
        "upstream" => &[
            ("sparrow_backends", 0..=0),
            ("server", 1..=3),
            ("keepalive", 1..=1),
            ("keepalive_timeout", 1..=1),
            ("keepalive_requests", 1..=1),
            ("keepalive_time", 1..=1),
            ("sparrow_keep_connections", 3..=4),
        ],
        _ => panic!("no block is expected in {context}"),
    }
}

impl Shape {
    fn read(&mut self, statements: &[Statement], context: &str) {
        for statement in statements {
            let (name, arguments) = statement.words.split_first().expect("a word");
            let known = allowed(context).iter().find(|(known, _)| known == name);
            let (_, numbers) = known.unwrap_or_else(|| panic!("line {}: {name} in {context}", statement.line));
            assert!(numbers.contains(&arguments.len()), "line {}: {:?}", statement.line, statement.words);
            match name.as_str() {
                "location" => {
                    if let [modifier, path] = arguments {
                        // No path of a request is like this, but for those of the control server.
                        let is_own = path.starts_with("sparrow-")
                            || ["/generation", "/status", "/table"].contains(&path.as_str());
                        assert!(modifier == "=" && is_own, "{arguments:?}");
                    } else {
                        let name = arguments[0].as_str();
                        assert!(name == "/" || name.starts_with("@sparrow_"), "{arguments:?}");
                    }
                }
                "server_name" => self.names.push(arguments[0].clone()),
                "if" if arguments.len() > 1 => {
                    variables(&arguments[0]);
                    assert_plain_pattern(&arguments[2]);
                }
                // Variables of a closed list, and texts that are plain.
                "sparrow_balancing_key" => {
                    let plain = |b: u8| b.is_ascii_alphanumeric() || b"${}_.-".contains(&b);
                    assert!(arguments[0].bytes().all(plain), "{arguments:?}");
                }
                _ => arguments.iter().for_each(|argument| variables(argument)),
            }
            if let Some(block) = &statement.block {
                self.read(block, name);
            }
        }
    }

    /// Names are those of the routes, to the letter.
    fn compare(&self, routes: &Routes) {
        for name in &self.names {
            let exact = routes.hosts.contains_key(&HostName::Exact(name.clone()));
            let wildcard = name.strip_prefix("~^[^.]+\\.").and_then(|name| name.strip_suffix('$'));
            let plain = |name: &str| name.replace("\\x2e", ".").replace("\\x5f", "_");
            let known = |name| routes.hosts.contains_key(&HostName::OneLabel(plain(name)));
            assert!(exact || wildcard.is_some_and(known), "{name}");
        }
    }
}

/// What is special in a pattern of a text is encoded: whatever else there is, is this program's.
fn assert_plain_pattern(pattern: &str) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/\\()?:|%^<>_.*[]=~-+{},!&".contains(&b);
    assert!(pattern.bytes().all(plain), "{pattern}");
}

/// No variable that this program does not use.
fn variables(argument: &str) {
    for (at, _) in argument.match_indices('$') {
        let name = argument[at + 1..].trim_start_matches('{');
        let name: String = name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let known =
            ["host", "http_accept", "pid", "request_id", "request_method", "request_uri", "scheme", "status", "uri"];
        let known = known.contains(&name.as_str())
            || name.ends_with("remote_addr")
            || HeaderVariable::new(&name).is_some()
            || ["sparrow_", "ssl_client_", "upstream_http_"].iter().any(|known| name.starts_with(known));
        assert!(known, "{argument}");
    }
}
