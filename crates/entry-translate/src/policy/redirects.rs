//! Redirects of clients.

use entry_model::Reason;

use super::annotations::Annotations;
use super::client_redirects::{Redirects, RequestRedirect};
use super::reader::AnnotationReader;
use super::redirect_url::{MAX_URL_BYTES, RedirectUrl};
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::value::{parse_boolean, parse_go_boolean};
use crate::verdict_draft::quoted;

const CODE: &str = "301, 302, 303, 307 and, of permanent ones, 308 are taken; with another one it is the default";

pub const TOPIC: Topic = Topic {
    title: "Redirects",
    own: &[
        OwnAnnotation {
            name: "redirect",
            objects: Objects::ServicesAndIngresses,
            value: "a URL to which clients are sent instead of forwarding their requests. `$scheme` in front, `$host` as its host or a part of it \
                    (`https://www.$host`), and behind it `$request_uri`, `$escaped_request_uri`, `$uri`, `$is_args`, `$args`, `$host`, `$scheme` and \
                    `$request_method` stand for parts of the request, as they were sent",
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
            "Clients are sent to a URL, or to a path of the same host, with 301. Of variables it takes `$scheme` in front, `$host`, `$http_host` and \
             `$best_http_host` as its host or a part of it (`https://www.$host`, where the host of the rule is named), and behind it these and \
             `$request_uri`, `$escaped_request_uri`, `$uri`, `$is_args`, `$args` and `$request_method`, as they were sent; with others requests are \
             answered 503",
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
    let hosts = reader.context.hosts;
    let own = reader.own("redirect", |text| RedirectUrl::parse(text, status)?.check_hosts(hosts));
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
    let parse = if name == "permanent-redirect" { RedirectUrl::parse_with_path } else { RedirectUrl::parse };
    Some(match parse(url, status).and_then(|url| url.check_hosts(reader.context.hosts)) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
