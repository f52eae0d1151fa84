//! Redirects of clients.

use std::borrow::Cow;

use entry_model::{PathRewrite, Reason, Redirect, Scheme};
use percent_encoding::percent_decode_str;

use super::annotations::Annotations;
use super::client_redirects::{Redirects, RequestRedirect};
use super::path_rewrite::parse_authority;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::value::{parse_boolean, parse_go_boolean};
use crate::verdict_draft::quoted;

/// Longest URL, in bytes.
const MAX_URL_BYTES: usize = 1024;

const CODE: &str = "301, 302, 303, 307 and, of permanent ones, 308 are taken; with another one it is the default";

pub const TOPIC: Topic = Topic {
    title: "Redirects",
    own: &[
        OwnAnnotation {
            name: "redirect",
            objects: Objects::ServicesAndIngresses,
            value: "a URL to which clients are sent instead of forwarding their requests. `$scheme`, `$host`, and `$request_uri`, \
                    `$uri` or `$is_args$args` at its end stand for parts of the request",
            default: "none",
            example: "https://www.example.com$request_uri",
            unusable: UnusableValue::Closes,
        },
        OwnAnnotation {
            name: "redirect-status",
            objects: Objects::ServicesAndIngresses,
            value: "`301`, `302`, `303`, `307` or `308`: the status of `sparrow/redirect`",
            default: "`302`",
            example: "308",
            unusable: UnusableValue::Ignored,
        },
        OwnAnnotation {
            name: "app-root",
            objects: Objects::Ingresses,
            value: "a path, which may have a query, to which clients that ask for `/` of a host of the Ingress are sent with 302, also where another \
                    Ingress of the namespace has the path `/`",
            default: "none",
            example: "/app/",
            unusable: UnusableValue::Narrows("requests for `/` are answered 503"),
        },
        OwnAnnotation {
            name: "www-redirect",
            objects: Objects::Ingresses,
            value: "`true`, `false`: whether clients that ask for a host of the Ingress with `www.` in front, or without it, are sent \
                    to that of the Ingress with 308. It takes no host that another rule of its namespace names, or that belongs to another \
                    namespace",
            default: "`false`",
            example: "true",
            unusable: UnusableValue::Ignored,
        },
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::same(
            "permanent-redirect",
            Scope::Rule,
            "Clients are sent to a URL, or to a path of the same host, with 301. Of variables it takes `$scheme`, `$host`, and at its end `$request_uri`, `$uri`, \
             `$is_args$args`; with others requests are answered 503",
        ),
        IngressNginxAnnotation::same("permanent-redirect-code", Scope::Rule, CODE),
        IngressNginxAnnotation::same(
            "temporal-redirect",
            Scope::Rule,
            "As `permanent-redirect`, to a URL, with 302; where both are there, it comes first",
        ),
        IngressNginxAnnotation::same("temporal-redirect-code", Scope::Rule, CODE),
        IngressNginxAnnotation::same(
            "app-root",
            Scope::Host,
            "Clients that ask for `/` of a host of the Ingress are sent to this path with 302, also where another Ingress of the namespace has the \
             path `/`",
        ),
        IngressNginxAnnotation::same(
            "from-to-www-redirect",
            Scope::Host,
            "Clients that ask for a host of the Ingress with `www.` in front, or without it, are sent to that of the Ingress with \
             308; over HTTPS, if the certificate is for both. It takes no host that another rule of its namespace names, or that belongs \
             to another namespace",
        )
        .unchanged_by(&["false"]),
        IngressNginxAnnotation::same(
            "relative-redirects",
            Scope::Rule,
            "The entry makes no redirects of its own but those that are asked for, which name scheme and host",
        ),
        IngressNginxAnnotation::never(
            "use-port-in-redirects",
            Scope::Rule,
            "redirects of the entry name the port that clients see (`--public-https-port`), never that of a pod",
        )
        .unchanged_by(&["false"]),
    ],
};

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let _ = reader.ingress_nginx_text("relative-redirects");
    let theirs = read_ingress_nginx(reader);
    let all = read_own(reader, theirs);
    let root = if reader.own_counts("app-root", &["app-root"]) {
        reader.own_or_unusable("app-root", parse_root).map(|path| (path.ok(), "sparrow/app-root"))
    } else {
        let path = reader.ingress_nginx("app-root", parse_root);
        path.map(|path| (Some(path), "nginx.ingress.kubernetes.io/app-root"))
    };
    let www = if reader.own_counts("www-redirect", &["from-to-www-redirect"]) {
        reader.own("www-redirect", parse_boolean).filter(|is_on| *is_on).map(|_| "sparrow/www-redirect")
    } else {
        let is_on = reader.ingress_nginx("from-to-www-redirect", parse_go_boolean).filter(|is_on| *is_on);
        is_on.map(|_| "nginx.ingress.kubernetes.io/from-to-www-redirect")
    };
    annotations.redirects = Redirects { all, root, www };
}

/// Where all requests are sent by ours, else by that of ingress-nginx.
fn read_own(reader: &mut AnnotationReader<'_, '_>, theirs: Option<RequestRedirect>) -> Option<RequestRedirect> {
    let status = reader.own("redirect-status", parse_status).unwrap_or(302);
    let own = reader.own("redirect", |text| parse_redirect(text, status));
    reader.own_counts("redirect", &["temporal-redirect", "permanent-redirect"]);
    own.map(RequestRedirect::To).or(theirs)
}

fn read_ingress_nginx(reader: &mut AnnotationReader<'_, '_>) -> Option<RequestRedirect> {
    let permanent_status = reader.ingress_nginx("permanent-redirect-code", parse_status).unwrap_or(301);
    let temporal_status = reader.ingress_nginx("temporal-redirect-code", parse_temporal_status).unwrap_or(302);
    let permanent = reader.ingress_nginx_text("permanent-redirect").map(str::trim).filter(|text| !text.is_empty());
    let temporal = reader.ingress_nginx_text("temporal-redirect").map(str::trim).filter(|text| !text.is_empty());
    let (name, url, status) = match (temporal, permanent) {
        (Some(url), _) => ("temporal-redirect", url, temporal_status),
        (None, Some(url)) => ("permanent-redirect", url, permanent_status),
        (None, None) => return None,
    };
    let is_path = name == "permanent-redirect" && url.starts_with('/') && !url.starts_with("//");
    let whole = if is_path { Cow::Owned(["$scheme://$host", url].concat()) } else { Cow::Borrowed(url) };
    Some(match parse_redirect(&whole, status) {
        Ok(redirect) => RequestRedirect::To(redirect),
        Err(hint) => {
            let message = format!(
                "The URL {} cannot be used, so requests for the paths of the Ingress are answered 503: {hint}",
                quoted(url)
            );
            reader.report_loss(name, Reason::Invalid, message);
            RequestRedirect::Unusable
        }
    })
}

fn parse_status(text: &str) -> Result<u16, &'static str> {
    let status = text.trim().parse().ok();
    status.filter(|status| [301, 302, 303, 307, 308].contains(status)).ok_or("write 301, 302, 303, 307 or 308")
}

/// There, 308 is none.
fn parse_temporal_status(text: &str) -> Result<u16, &'static str> {
    parse_status(text).ok().filter(|status| *status != 308).ok_or("write 301, 302, 303 or 307")
}

/// Reads a path to which clients are sent, with its query.
fn parse_root(text: &str) -> Result<String, &'static str> {
    let is_path = text.starts_with('/') && !text.starts_with("//") && is_url_text(text) && !text.contains('$');
    is_path.then(|| text.to_owned()).ok_or("write a path that begins with one `/`, of characters that a URL has")
}

fn is_url_text(text: &str) -> bool {
    let is_of_url = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    text.len() <= MAX_URL_BYTES && text.bytes().all(is_of_url)
}

/// Reads a URL, with variables of a closed list.
fn parse_redirect(text: &str, status: u16) -> Result<Redirect, &'static str> {
    let schemes = [("http://", Some(Scheme::Http)), ("https://", Some(Scheme::Https)), ("$scheme://", None)];
    let found = schemes.into_iter().find_map(|(prefix, scheme)| Some((text.strip_prefix(prefix)?, scheme)));
    let (rest, scheme) =
        found.filter(|_| is_url_text(text)).ok_or("write a URL that begins with `http://` or `https://`")?;
    let hosts = ["$host", "$http_host", "$best_http_host"];
    let of_request = hosts.into_iter().find_map(|variable| {
        rest.strip_prefix(variable).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#', '$']))
    });
    let ((host, port), rest) = match of_request {
        Some(rest) => ((None, None), rest),
        None => {
            let (authority, rest) = rest.split_at(rest.find(['/', '?', '#', '$']).unwrap_or(rest.len()));
            let (host, port) = parse_authority(authority)?;
            ((Some(host), port), rest)
        }
    };
    Ok(Redirect { status, scheme, host, port, path: parse_target(rest)? })
}

/// Reads what follows the host.
fn parse_target(text: &str) -> Result<PathRewrite, &'static str> {
    const VARIABLES: &str = "write no variables but `$scheme` and `$host` in front, and `$request_uri`, `$uri` or `$is_args$args` at the end";
    let (fixed, variable) = text.split_at(text.find('$').unwrap_or(text.len()));
    let is_path = fixed.is_empty() || fixed.starts_with('/');
    let decoded = || percent_decode_str(fixed).decode_utf8().map(Cow::into_owned).map_err(|_| "write UTF-8");
    let has_query = fixed.contains(['?', '#']);
    match variable {
        "" if fixed.is_empty() => Ok(PathRewrite::ReplaceTarget("/".to_owned())),
        "" if is_path => Ok(PathRewrite::ReplaceTarget(fixed.to_owned())),
        "" => Ok(PathRewrite::ReplaceTarget(format!("/{fixed}"))),
        "$request_uri" | "$uri$is_args$args" if fixed.is_empty() => Ok(PathRewrite::Keep),
        "$request_uri" | "$uri$is_args$args" if is_path && !has_query => {
            let pattern = pattern_engine::compile("^").map_err(|_| VARIABLES)?;
            Ok(PathRewrite::Regex { pattern, template: decoded()?.trim_end_matches('/').to_owned() })
        }
        "$is_args$args" if is_path && !has_query => {
            Ok(PathRewrite::ReplaceFull(if fixed.is_empty() { "/".to_owned() } else { decoded()? }))
        }
        _ => Err(VARIABLES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_read_as_parts() {
        let redirect = |scheme, host: Option<&str>, port, path| {
            Ok(Redirect { status: 301, scheme, host: host.map(str::to_owned), port, path })
        };
        let target = |text: &str| PathRewrite::ReplaceTarget(text.to_owned());
        let https = Some(Scheme::Https);
        for (text, expected) in [
            ("https://b.example", redirect(https, Some("b.example"), None, target("/"))),
            ("https://b.example/", redirect(https, Some("b.example"), None, target("/"))),
            (
                "http://b.example:81/a%20b?c=d#e",
                redirect(Some(Scheme::Http), Some("b.example"), Some(81), target("/a%20b?c=d#e")),
            ),
            ("https://b.example?x", redirect(https, Some("b.example"), None, target("/?x"))),
            ("https://b.example$request_uri", redirect(https, Some("b.example"), None, PathRewrite::Keep)),
            ("https://$host$request_uri", redirect(https, None, None, PathRewrite::Keep)),
            (
                "$scheme://b.example/x$is_args$args",
                redirect(None, Some("b.example"), None, PathRewrite::ReplaceFull("/x".to_owned())),
            ),
        ] {
            assert_eq!(parse_redirect(text, 301), expected, "{text}");
        }
        let with_base = parse_redirect("https://b.example/base/$request_uri", 301).map(|redirect| redirect.path);
        assert!(matches!(with_base, Ok(PathRewrite::Regex { template, .. }) if template == "/base"));
        for text in [
            "b.example",
            "//b.example",
            "/x",
            "ftp://b.example",
            "javascript:alert(1)",
            "https://",
            "https://a b/",
            "https://b.example/\"; return 200 x;",
            "https://b.example/\r\nX: y",
            "https://b.example/$http_cookie",
            "https://b.example/$1",
            "https://b.example/$request_uri/x",
            "https://$http_x_forwarded_host/",
            "https://www.$host/",
            "https://$host.evil.example/",
            "https://user@b.example/",
            "https://b.example/é",
        ] {
            assert!(parse_redirect(text, 301).is_err(), "{text}");
        }
    }

    #[test]
    fn root_is_a_path_of_the_same_host() {
        for text in ["/app", "/app/?a=b", "/#/login"] {
            assert_eq!(parse_root(text).as_deref(), Ok(text));
        }
        for text in ["app", "//evil.example", "https://b.example", "/a b", "/$host", "/\"", ""] {
            assert!(parse_root(text).is_err(), "{text}");
        }
    }
}
