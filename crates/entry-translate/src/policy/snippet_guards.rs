//! Which lines of a snippet for all hosts may keep someone out. Such a snippet is not followed at all, so by these lines everybody would get
//! what not everybody got.

use std::collections::BTreeSet;

use super::annotations::Annotations;
use super::snippet_lines::read_statement;
use super::snippet_text::{Statement, read_statements};
use super::snippet_treatment::Outcome;
use crate::verdict_draft::quoted;

/// Where a snippet for all hosts stands in nginx's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnippetPlace {
    /// Among servers.
    Http,
    /// In each server, or in each location.
    Server,
}

/// What at the level of `http` only defines something, which says nothing unless a line uses it.
const DEFINITIONS: &[&str] = &[
    "geo",
    "geoip_city",
    "geoip_country",
    "geoip2",
    "js_import",
    "js_path",
    "js_set",
    "js_var",
    "limit_conn_zone",
    "limit_req_zone",
    "log_format",
    "lua_package_path",
    "lua_shared_dict",
    "map",
    "perl_set",
    "proxy_cache_path",
    "split_clients",
    "types",
    "upstream",
];

/// The lines of a snippet that may keep someone out, each once, or why it cannot be read.
pub fn snippet_guards(text: &str, place: SnippetPlace) -> BTreeSet<String> {
    match read_statements(text) {
        Ok(statements) => statements.iter().filter(|one| is_guard(one, place)).map(|one| quoted(&one.name)).collect(),
        Err(why) => [why.to_owned()].into(),
    }
}

fn is_guard(statement: &Statement, place: SnippetPlace) -> bool {
    let is_definition = DEFINITIONS.contains(&statement.name.as_str());
    if place == SnippetPlace::Http && (is_definition || is_server_of_another_port(statement)) {
        return false;
    }
    let mut asked = Annotations::default();
    let outcome = read_statement(statement, &mut asked);
    let Annotations { action, answered_paths, policy, .. } = asked;
    let tells_backends = !policy.request_headers.set.is_empty();
    matches!(outcome, Outcome::Closes | Outcome::ClosesPath | Outcome::TakenOut(_))
        || action.is_some()
        || !answered_paths.is_empty()
        // What a client says in such a header was never believed.
        || tells_backends
}

/// Whether it is a server at ports at which nothing of the entry is served.
fn is_server_of_another_port(statement: &Statement) -> bool {
    let Some(block) = statement.block.as_ref().filter(|_| statement.name == "server") else { return false };
    let mut listens = block.iter().filter(|one| one.name == "listen").peekable();
    let is_other = |one: &Statement| {
        let port = one.arguments.first().and_then(|address| address.rsplit(':').next()?.parse::<u16>().ok());
        port.is_some_and(|port| port != 80 && port != 443)
    };
    listens.peek().is_some() && listens.all(is_other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_may_keep_someone_out_are_found_wherever_they_stand() {
        for text in [
            "deny 192.0.2.0/24;",
            "deny all;",
            "allow 10.0.0.0/8; deny all;",
            "if ($bad_bot) { return 403; }",
            "location ~ /\\.git { deny all; }",
            "location /admin { return 404; }",
            "location = /status { stub_status; }",
            "return 301 https://www.example.com$request_uri;",
            "return 444;",
            "auth_basic \"x\"; auth_basic_user_file /etc/nginx/users;",
            "limit_req zone=all burst=5;",
            "proxy_set_header X-User \"\";",
            "proxy_set_header X-User $remote_user;",
            "more_clear_input_headers X-Admin;",
            "include /etc/nginx/custom/*.conf;",
            "ssl_verify_client on;",
            "modsecurity on;",
            "access_by_lua_block { ngx.exit(403) }",
            "server { listen 80; server_name a.example; return 444; }",
            "server { server_name a.example; deny all; }",
            "server { listen [::]:443 ssl; return 444; }",
            "deny",
            "}",
        ] {
            for place in [SnippetPlace::Http, SnippetPlace::Server] {
                assert!(!snippet_guards(text, place).is_empty(), "{place:?} {text}");
            }
        }
        assert!(!snippet_guards("map $a $b { default 1; }", SnippetPlace::Server).is_empty());
    }

    #[test]
    fn lines_that_keep_nobody_out_are_no_guards() {
        for text in [
            "",
            "# deny all;",
            "more_set_headers \"X-Frame-Options: DENY\";",
            "add_header Strict-Transport-Security \"max-age=1\" always;",
            "gzip on; gzip_types text/css;",
            "proxy_cache_path /tmp/c keys_zone=c:10m;",
            "proxy_buffers 8 16k; client_max_body_size 10m;",
            "server_tokens off; access_log off;",
        ] {
            assert_eq!(snippet_guards(text, SnippetPlace::Http), BTreeSet::new(), "{text}");
        }
        for text in [
            "map $http_upgrade $connection_upgrade { default upgrade; '' close; }",
            "limit_req_zone $binary_remote_addr zone=a:10m rate=5r/s;",
            "geo $bad { default 0; 192.0.2.0/24 1; }",
            "server { listen 2443; return 308 https://$host$request_uri; }",
            "server { listen 8080 proxy_protocol; listen [::]:8080; return 301 https://$host$request_uri; }",
        ] {
            assert_eq!(snippet_guards(text, SnippetPlace::Http), BTreeSet::new(), "{text}");
        }
    }
}
