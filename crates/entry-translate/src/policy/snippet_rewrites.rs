//! Lines of `rewrite` that send clients elsewhere: those that are for all requests become a `return`, of which it is known what it does, and those
//! of a server for the paths that a pattern matches stand before all else, as there.
//!
//! Source: `ngx_http_rewrite` of nginx's `src/http/modules/ngx_http_rewrite_module.c`.

use std::borrow::Cow;
use std::sync::Arc;

use entry_model::{Action, PathMatch, PathRewrite, Redirect};

use super::client_redirects::AnsweredPath;
use super::path_rewrite::{constant, parse_target, parse_template};
use super::path_treatment::PathTarget;
use super::snippet_lines::MOST_ANSWERED_PATHS;
use super::snippet_text::Statement;
use crate::anchored_pattern::{anchored, anchored_whole, is_alternation, literal_beginning};

/// Patterns that match each path, and what their group, if they have one, stands for: all of the path, or what follows its first slash.
const ALL: [(&str, Option<&str>); 14] = [
    ("^", None),
    ("^/", None),
    ("/", None),
    (".*", None),
    ("^.*", None),
    ("^.*$", None),
    ("^/.*$", None),
    ("(.*)", Some("$1")),
    ("^(.*)", Some("$1")),
    ("^(.*)$", Some("$1")),
    ("^(/.*)$", Some("$1")),
    ("/(.*)", Some("/$1")),
    ("^/(.*)", Some("/$1")),
    ("^/(.*)$", Some("/$1")),
];

/// How expressions are told from paths where they are written.
const MARK: &str = "~ ";

/// The same statements, in which each `rewrite` of all requests is the `return` that does the same.
pub fn with_returns(statements: Vec<Statement>) -> Vec<Statement> {
    let with_return = |statement: Statement| match as_return(&statement) {
        Some(arguments) => Statement { name: "return".to_owned(), arguments, block: None },
        None => Statement { block: statement.block.map(with_returns), ..statement },
    };
    statements.into_iter().map(with_return).collect()
}

/// The status and the URL.
fn as_return(statement: &Statement) -> Option<Vec<String>> {
    let (pattern, target, status) = read_rewrite(statement)?;
    let (_, group) = ALL.iter().find(|(all, _)| *all == pattern)?;
    let target = group.map_or_else(|| target.to_owned(), |group| target.replace(group, "$uri"));
    // The query follows, unless a `?` stands at the end. What has one already would have it twice.
    let has_query = ["$request_uri", "${request_uri}"].iter().any(|whole| target.ends_with(whole));
    let url = match target.strip_suffix('?') {
        Some(url) => url.to_owned(),
        None if has_query => target,
        None if target.contains('?') => return None,
        None => target + "$is_args$args",
    };
    Some(vec![status.to_owned(), url])
}

/// Reads a line of a server for the paths that a pattern matches from their beginning.
pub fn read_pattern_redirect(statement: &Statement) -> Option<AnsweredPath> {
    let (text, target, status) = read_rewrite(statement)?;
    if !text.starts_with('^') || is_alternation(text) {
        return None;
    }
    let (template, scheme, host, port) = match parse_target(target).ok()? {
        PathTarget::Whole(template) => (Cow::Borrowed(template), None, None, None),
        PathTarget::Elsewhere { scheme, host, port, path } => (path, scheme, Some(host), port),
        PathTarget::Prefix(_) | PathTarget::Matched { .. } | PathTarget::Unusable => return None,
    };
    let pattern = anchored(text, false).ok()?;
    // What leads to itself would do so without end.
    let is_endless = |path: &str| host.is_none() && pattern.is_match(path);
    let path = match constant(&template) {
        Some(path) if is_endless(path) => return None,
        Some(path) => PathRewrite::ReplaceFull(path.to_owned()),
        None => PathRewrite::Regex { pattern: anchored_whole(text, false).ok()?, template: template.into_owned() },
    };
    let redirect = Redirect { status: status.parse().ok()?, scheme, host, port, path };
    let path = PathMatch::Regex(pattern.written_as(&[MARK, text].concat()).placed_first());
    Some(AnsweredPath { path, action: Action::Redirect(redirect), policy: Arc::default() })
}

/// Reads `rewrite ^/api/(.*)$ /$1 break`: what is below a path becomes another path of the same backend. That is known where the pattern begins
/// with the path of each rule for which it can match, and takes whatever follows it: else one that is sent in another spelling would stay as it is.
pub fn read_path_target(statement: &Statement, paths: &[&str]) -> Option<PathTarget<'static>> {
    const RESTS: [&str; 6] = ["(.*)", "(.*)$", "/?(.*)", "/?(.*)$", "(/|$)(.*)", "(/|$)(.*)$"];
    let arguments: Vec<&str> = statement.arguments.iter().map(String::as_str).collect();
    let ("rewrite", [text, target, "break"], None) = (&*statement.name, &*arguments, &statement.block) else {
        return None;
    };
    let beginning = literal_beginning(text);
    let rest = text.strip_prefix('^')?.strip_prefix(beginning)?;
    let prefix = beginning.trim_end_matches('/');
    let is_known = |path: &&str| {
        let path = path.trim_end_matches('/');
        path == prefix || !path.starts_with(prefix) && !prefix.starts_with(path)
    };
    if !RESTS.contains(&rest) || !paths.iter().all(is_known) {
        return None;
    }
    let template = parse_template(target).ok()?.to_owned();
    Some(PathTarget::Matched { pattern: anchored_whole(text, false).ok()?, template })
}

/// The pattern, the target and the status of a line that sends clients elsewhere.
fn read_rewrite(statement: &Statement) -> Option<(&str, &str, &str)> {
    if statement.name != "rewrite" || statement.block.is_some() {
        return None;
    }
    let arguments: Vec<&str> = statement.arguments.iter().map(String::as_str).collect();
    let is_url = |text: &str| ["http://", "https://", "$scheme"].iter().any(|scheme| text.starts_with(scheme));
    match arguments.as_slice() {
        [pattern, target, "redirect"] => Some((pattern, target, "302")),
        [pattern, target, "permanent"] => Some((pattern, target, "301")),
        [pattern, target] | [pattern, target, "last" | "break"] if is_url(target) => Some((pattern, target, "302")),
        _ => None,
    }
}

/// Adds such a redirect, if it is tried as in nginx: before all else, and behind those that stand before it. Patterns are tried by their length.
pub fn push_pattern_redirect(all: &mut Vec<AnsweredPath>, one: AnsweredPath) -> bool {
    let is_tried_before = |other: &AnsweredPath| match &other.path {
        PathMatch::Regex(pattern) if pattern.is_first() => {
            let (other_text, text) = (pattern.written(), one.path.text());
            let is_before = other_text.len() >= text.len() || exclude_each_other(other_text, text);
            matches!(other.action, Action::Redirect(_)) && is_before
        }
        PathMatch::Exact(_) | PathMatch::Prefix(_) | PathMatch::Regex(_) => true,
    };
    let is_in_order = all.len() < MOST_ANSWERED_PATHS && all.iter().all(is_tried_before);
    if is_in_order {
        all.push(one);
    }
    is_in_order
}

/// Whether no path matches both of two patterns, as they are written.
fn exclude_each_other(one: &str, two: &str) -> bool {
    let beginning = |text: &str| literal_beginning(text.strip_prefix(MARK).unwrap_or(text)).to_owned();
    let (one, two) = (beginning(one), beginning(two));
    !one.starts_with(&two) && !two.starts_with(&one)
}

#[cfg(test)]
mod tests {
    use super::super::snippet_text::read_statements;
    use super::*;

    fn returned(text: &str) -> Option<String> {
        let all = with_returns(read_statements(text).unwrap());
        (all[0].name == "return").then(|| all[0].arguments.join(" "))
    }

    #[test]
    fn rewrite_of_all_requests_is_a_return() {
        for (text, expected) in [
            ("rewrite ^ https://b.example$request_uri? permanent;", "301 https://b.example$request_uri"),
            ("rewrite ^ https://b.example$request_uri redirect;", "302 https://b.example$request_uri"),
            ("rewrite ^ https://b.example;", "302 https://b.example$is_args$args"),
            ("rewrite ^ https://b.example/x break;", "302 https://b.example/x$is_args$args"),
            ("rewrite ^(.*)$ https://b.example$1 permanent;", "301 https://b.example$uri$is_args$args"),
            ("rewrite ^/(.*) $scheme://b.example/$1? last;", "302 $scheme://b.example$uri"),
            ("rewrite ^/(.*)$ /docs/$1 permanent;", "301 /docs$uri$is_args$args"),
            ("rewrite ^ https://b.example/?a=b? permanent;", "301 https://b.example/?a=b"),
        ] {
            assert_eq!(returned(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "rewrite ^ /x last;",
            "rewrite ^ /x break;",
            "rewrite ^ /x;",
            "rewrite ^ https://b.example/?a=b permanent;",
            "rewrite ^/a https://b.example/ permanent;",
            "rewrite ^ https://b.example/ permanent x;",
            "rewrite ^ https://b.example/ permanent { }",
            "rewrite ^;",
        ] {
            assert_eq!(returned(text), None, "{text}");
        }
        let nested = with_returns(read_statements("location /a { rewrite ^ https://b.example? permanent; }").unwrap());
        assert_eq!(nested[0].block.as_ref().unwrap()[0].arguments, ["301", "https://b.example"]);
    }

    #[test]
    fn rewrite_of_a_pattern_replaces_the_whole_path() {
        for (text, path, expected) in [
            ("rewrite ^/old/(.*)$ /new/$1 permanent;", "/old/a/b", "/new/a/b"),
            ("rewrite ^/old /new redirect;", "/older", "/new"),
            ("rewrite ^/old/(\\d+) /items/$1/ permanent;", "/old/12/x", "/items/12/"),
            ("rewrite ^/blog(/|$)(.*) https://blog.example/$2 permanent;", "/blog/x", "/x"),
            ("rewrite ^(/.*[^/])$ $1/ permanent;", "/a/b", "/a/b/"),
        ] {
            let statements = read_statements(text).unwrap();
            let AnsweredPath { path: matched, action, .. } =
                read_pattern_redirect(&statements[0]).unwrap_or_else(|| panic!("{text}"));
            let Action::Redirect(redirect) = action else { panic!("{text}") };
            assert!(matched.matches(path), "{text}");
            assert_eq!(redirect.path.apply(&matched, path), expected, "{text}");
        }
        for text in [
            "rewrite ^/old/(.*)$ /new/$1 last;",
            "rewrite ^/old/(.*)$ /new/$1 break;",
            "rewrite /old/(.*)$ /new/$1 permanent;",
            "rewrite ^/old/(.*)$ /new/$1? permanent;",
            "rewrite ^/old/(.*)$ /new/$host permanent;",
            "rewrite ^/old/(?!x)(.*)$ /new/$1 permanent;",
            "rewrite ^/old(.*)$ /old permanent;",
            "rewrite ^/old/(.*)$ https://$1/ permanent;",
        ] {
            assert!(read_pattern_redirect(&read_statements(text).unwrap()[0]).is_none(), "{text}");
        }
    }

    #[test]
    fn rewrite_within_a_path_is_known_where_it_takes_all_that_follows() {
        let read = |text: &str, paths: &[&str]| read_path_target(&read_statements(text).unwrap()[0], paths);
        for (text, path, sent, expected) in [
            ("rewrite ^/api/(.*)$ /$1 break;", "/api", "/api/a%2Fb", "/a%2Fb"),
            ("rewrite ^/api/(.*)$ /$1 break;", "/api/", "/api", "/api"),
            ("rewrite ^/api(/|$)(.*) /v2/$2 break;", "/api", "/api", "/v2/"),
            ("rewrite ^/api/?(.*)$ /$1 break;", "/api", "/api", "/"),
            ("rewrite ^/(.*)$ /app/$1 break;", "/", "/a", "/app/a"),
        ] {
            let Some(PathTarget::Matched { pattern, template }) = read(text, &[path, "/other"]).or(read(text, &[path]))
            else {
                panic!("{text}")
            };
            assert_eq!(String::from_utf8_lossy(&pattern.replace(sent, &template)), expected, "{text}");
        }
        for (text, paths) in [
            // What is sent in another spelling would stay as it is.
            ("rewrite ^/api/(.*)$ /$1 break;", &["/"][..]),
            ("rewrite ^/api/(.*)$ /$1 break;", &["/api/v1"]),
            ("rewrite ^/api/v([0-9]+)$ /$1 break;", &["/api"]),
            ("rewrite ^/api/(.*)$ /$1 last;", &["/api"]),
            ("rewrite ^/api/(.*)$ /$1;", &["/api"]),
            ("rewrite /api/(.*)$ /$1 break;", &["/api"]),
            ("rewrite ^/api/(.*)$ /$1? break;", &["/api"]),
            ("rewrite ^/api/(.*)$ /$host break;", &["/api"]),
            ("rewrite ^/a.i/(.*)$ /$1 break;", &["/api"]),
        ] {
            assert_eq!(read(text, paths), None, "{text} {paths:?}");
        }
    }
}
