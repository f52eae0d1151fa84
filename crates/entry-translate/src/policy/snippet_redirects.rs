//! Redirects of snippets that are for some requests only: for one path, or for some of the hosts of their Ingress.

use entry_model::{Action, HostName, PathRewrite, Redirect};

use super::client_redirects::{ActionOfHost, PathRedirect};
use super::redirect_url::RedirectUrl;
use super::snippet_text::Statement;
use crate::host::parse_host;

/// Reads `rewrite ^(/a)$ $1/ redirect`, and its like: of one path, and to one that is fixed.
pub fn read_path_redirect(statement: &Statement, is_of_host: bool) -> Option<PathRedirect> {
    let arguments: Vec<&str> = statement.arguments.iter().map(String::as_str).collect();
    let (pattern, target, status) = match (statement.name.as_str(), arguments.as_slice()) {
        ("rewrite", [pattern, target, "redirect"]) => (pattern, target, "302"),
        ("rewrite", [pattern, target, "permanent"]) => (pattern, target, "301"),
        ("rewrite", [pattern, target]) if target.starts_with("http") => (pattern, target, "302"),
        _ => return None,
    };
    let inner = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let group = inner.strip_prefix('(').and_then(|group| group.strip_suffix(')'));
    let path = plain_path(group.unwrap_or(inner))?;
    let target = if group.is_some() { target.replace("$1", &path) } else { (*target).to_owned() };
    let redirect = if target.starts_with('/') {
        let is_elsewhere = is_plain_path(&target) && target != path;
        let path = PathRewrite::ReplaceFull(target);
        is_elsewhere.then_some(Redirect { status: status.parse().ok()?, scheme: None, host: None, port: None, path })?
    } else {
        read_fixed(status, &target)?
    };
    Some(PathRedirect { path, redirect, is_of_host })
}

/// A redirect to an address that is fixed, to which the query of the request is added, or fixed but for the path, which is then the one that
/// was asked for.
fn read_fixed(status: &str, url: &str) -> Option<Redirect> {
    let redirect = RedirectUrl::parse(url, status.parse().ok()?).ok().filter(RedirectUrl::is_elsewhere)?.for_all()?;
    let path = match redirect.path {
        PathRewrite::Keep => PathRewrite::Keep,
        PathRewrite::ReplaceTarget(target) => {
            let is_path = !target.has_variables() && !target.to_string().contains(['?', '#']);
            PathRewrite::ReplaceFull(is_path.then(|| target.to_string())?)
        }
        _ => return None,
    };
    Some(Redirect { path, ..redirect })
}

/// The path that a pattern stands for, if it is for one only.
fn plain_path(pattern: &str) -> Option<String> {
    const DOT: &str = "\u{0}";
    let escaped = pattern.replace("\\.", DOT);
    let path = escaped.replace(DOT, ".");
    (!escaped.contains('.') && is_plain_path(&path)).then_some(path)
}

/// Whether a path has one form only.
fn is_plain_path(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_~.".contains(&byte);
    let is_dots = |segment: &str| matches!(segment, "." | "..");
    path.starts_with('/')
        && path.len() <= 1000
        && path.bytes().all(is_plain)
        && !path.contains("//")
        && !path.split('/').any(is_dots)
}

/// Reads `if ($host = a.example) { return 301 https://b.example$request_uri; }`, and its like.
pub fn read_host_redirect(statement: &Statement) -> Option<ActionOfHost> {
    let (condition, status, url) = conditional_return(statement)?;
    let inner = condition.strip_prefix("($host")?.strip_suffix(')')?;
    let (is_for_others, host) = match inner.strip_prefix("!=") {
        Some(host) => (true, host),
        None => (false, inner.strip_prefix('=')?),
    };
    let Ok(host) = parse_host(host) else { return None };
    let url = RedirectUrl::parse_with_path(url, status.parse().ok()?).ok().filter(RedirectUrl::is_elsewhere)?;
    let redirect = if is_for_others { url.for_all()? } else { url.for_host(&host)? };
    let HostName::Exact(host) = host else { return None };
    Some(ActionOfHost { host, is_for_others, action: Action::Redirect(redirect) })
}

/// Whether it is `if ($http_x_forwarded_proto = http) { return 301 https://$host$request_uri; }`, or its like: all that comes over HTTP is sent
/// to HTTPS.
pub fn is_https_redirect(statement: &Statement) -> bool {
    let Some((condition, _, url)) = conditional_return(statement) else { return false };
    let is_http = |variable: &str| [format!("({variable}=http)"), format!("({variable}!=https)")].contains(&condition);
    let rest = url.strip_prefix("https://").and_then(|rest| rest.strip_suffix("$request_uri"));
    ["$scheme", "$http_x_forwarded_proto", "$pass_access_scheme"].into_iter().any(is_http)
        && rest.is_some_and(|host| ["$host", "$http_host", "$best_http_host", "$server_name"].contains(&host))
}

/// The condition, without blanks, the status and the URL of a conditional redirect.
fn conditional_return(statement: &Statement) -> Option<(String, &str, &str)> {
    let block = statement.block.as_deref().filter(|_| statement.name == "if")?;
    let [Statement { name, arguments, block: None }] = block else { return None };
    let [status, url] = arguments.as_slice() else { return None };
    let is_redirect = name == "return" && ["301", "302", "303", "307", "308"].contains(&status.as_str());
    is_redirect.then(|| (statement.arguments.concat(), status.as_str(), url.as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::snippet_text::read_statements;
    use super::*;

    fn statement(text: &str) -> Statement {
        read_statements(text).unwrap().remove(0)
    }

    #[test]
    fn rewrite_of_one_path_is_a_redirect() {
        for (text, path, status, target) in [
            ("rewrite ^(/dashboard)$ $1/ redirect;", "/dashboard", 302, "/dashboard/"),
            ("rewrite ^(/a/b)$ $1/c permanent;", "/a/b", 301, "/a/b/c"),
            ("rewrite ^/$ /login redirect;", "/", 302, "/login"),
            ("rewrite \"^(/v1\\.2)$\" $1/ redirect;", "/v1.2", 302, "/v1.2/"),
        ] {
            let found = read_path_redirect(&statement(text), false).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((&*found.path, found.redirect.status), (path, status), "{text}");
            assert_eq!(found.redirect.path, PathRewrite::ReplaceFull(target.to_owned()), "{text}");
        }
        let elsewhere = read_path_redirect(&statement("rewrite ^/a$ https://b.example/c permanent;"), false);
        assert_eq!(elsewhere.and_then(|found| found.redirect.host).as_deref(), Some("b.example"));
        for text in [
            "rewrite ^(/dashboard)$ $1/ break;",
            "rewrite ^(/dashboard)$ $1/ last;",
            "rewrite ^(/dashboard)$ $1/;",
            "rewrite ^(/dashboard) $1/ redirect;",
            "rewrite (/dashboard)$ $1/ redirect;",
            "rewrite ^(/d.shboard)$ $1/ redirect;",
            "rewrite ^(/a|/b)$ $1/ redirect;",
            "rewrite ^(/a)$ $1 redirect;",
            "rewrite ^(/a)$ /b?c redirect;",
            "rewrite ^(/a)$ /$host redirect;",
            "rewrite ^(/a)$ $2/ redirect;",
            "rewrite ^(/a)$ //evil.example/ redirect;",
            "rewrite ^(/a/../b)$ $1/ redirect;",
            "rewrite ^/old/(.*)$ /new/$1 permanent;",
        ] {
            assert_eq!(read_path_redirect(&statement(text), false), None, "{text}");
        }
    }

    #[test]
    fn condition_on_the_scheme_sends_to_https() {
        for (text, expected) in [
            ("if ($http_x_forwarded_proto = \"http\") { return 301 https://$host$request_uri; }", true),
            ("if ($scheme = http) { return 308 https://$server_name$request_uri; }", true),
            ("if ($http_x_forwarded_proto != 'https') { return 302 https://$http_host$request_uri; }", true),
            ("if ($http_x_forwarded_proto = http) { return 301 https://a.example$request_uri; }", false),
            ("if ($http_x_forwarded_proto = https) { return 301 https://$host$request_uri; }", false),
            ("if ($http_x_forwarded_proto != http) { return 301 https://$host$request_uri; }", false),
            ("if ($scheme = http) { return 403; }", false),
            ("if ($scheme = http) { return 301 https://$host; }", false),
            ("if ($http_x = http) { return 301 https://$host$request_uri; }", false),
        ] {
            assert_eq!(is_https_redirect(&statement(text)), expected, "{text}");
        }
    }

    #[test]
    fn condition_on_the_host_is_for_that_host_or_for_the_others() {
        let name = |name: &str| HostName::Exact(name.to_owned());
        let is_for = |text: &str, host: &HostName| {
            read_host_redirect(&statement(text)).and_then(|found| found.action_for(host)).is_some()
        };
        let (a, b) = (name("a.example"), name("b.example"));
        for quoted in ["a.example", "'a.example'", "\"A.example\""] {
            let text = format!("if ($host = {quoted}) {{ return 301 https://b.example$request_uri; }}");
            assert!(is_for(&text, &a) && !is_for(&text, &b), "{text}");
        }
        let others = "if ($host != b.example) { return 308 https://b.example$request_uri; }";
        assert!(is_for(others, &a) && !is_for(others, &b) && !is_for(others, &HostName::Any));
        for text in [
            "if ($host ~ a.example) { return 301 https://b.example; }",
            "if ($host = a.example) { return 403; }",
            "if ($host = a.example) { return 301 https://b.example; deny all; }",
            "if ($host = a.example) { rewrite ^ https://b.example permanent; }",
            "if ($host = $server_name) { return 301 https://b.example; }",
            "if ($http_x = a.example) { return 301 https://b.example; }",
            "if ($host = a.example) { return 301 https://$host$request_uri; }",
        ] {
            assert_eq!(read_host_redirect(&statement(text)), None, "{text}");
        }
    }
}
