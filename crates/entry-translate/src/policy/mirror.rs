//! A copy of each request for another server.

use std::borrow::Cow;

use entry_model::{Mirror, Reason, UrlPart, UrlText, UrlVariable};

use super::annotations::Annotations;
use super::outside_server::{Unreachable, find_server};
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic};
use super::url::{parse_http_url, parse_url_text};
use super::value::{parse_boolean, parse_on_off};
use crate::verdict_draft::quoted;

pub const TOPIC: Topic = Topic {
    title: "Mirror",
    own: &[
        own(
            "mirror-target",
            "a URL to which a copy of each request goes, with the headers of the client, credentials among them; what is answered there is \
             dropped. Of variables it takes those of `auth-url`; without a path it gets that of the request",
            "no copies",
            "http://shadow.shop.svc.cluster.local$request_uri",
        ),
        own("mirror-host", "the `Host` of the copy", "the host of the URL", "shadow.example.com"),
        own(
            "mirror-request-body",
            "`true`, `false`: whether the copy has the body. It is then held until it is whole, in a file if it is large, up to 1 GiB",
            "`true`",
            "false",
        ).counts_as("false"),
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::differs(
            "mirror-target",
            Scope::Rule,
            "A copy of each request that may pass goes there, with the headers of the client, credentials among them, and `X-Sparrow-Copy: 1`; \
             not of WebSockets, and not of copies. Of variables it takes those of `auth-url`, and a URL without a path, or with \
             `/$request_uri`, gets the path of the request as it is. Where it may lead, and how its name is looked up, is as with \
             `auth-url`; a Service of another namespace gets copies if its `sparrow/requests-from` says so. It has 1 second to be connected to and 5 to answer; until then, a connection of HTTP/1.1 is not used for the \
             client's next request",
        ),
        IngressNginxAnnotation::same(
            "mirror-host",
            Scope::Rule,
            "The `Host` of the copy, in which `$host` may stand; without it that of the URL",
        ),
        IngressNginxAnnotation::differs(
            "mirror-request-body",
            Scope::Rule,
            "`off`: the copy has no body, and does not say that it has one. Else bodies are held until they are whole, as there, up to \
             1 GiB where nothing else is said",
        ),
    ],
};

const fn own(name: &'static str, value: &'static str, default: &'static str, example: &'static str) -> OwnAnnotation {
    OwnAnnotation::new(name, Objects::ServicesAndIngresses, value, default, example)
}

/// Reads them. A target that cannot be used gets no copies, and the requests are served.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    const BODY: &str = "mirror-request-body";
    let with_body = reader.either_of((BODY, parse_boolean), (BODY, parse_on_off)).unwrap_or(true);
    let host = reader.either("mirror-host", parse_host_text);
    let Some(found) = reader.first_text("mirror-target", &["mirror-target"]) else { return };
    match read_mirror(reader, found.text.trim(), host, with_body) {
        Ok(mirror) => annotations.policy.mirror = Some(mirror),
        Err(Unreachable { reason, message }) => {
            let message = format!("{message}. Until then, requests are served and not copied");
            reader.report_text_loss(&found, reason, message);
        }
    }
}

fn read_mirror(
    reader: &mut AnnotationReader<'_, '_>,
    text: &str,
    host: Option<UrlText>,
    with_body: bool,
) -> Result<Mirror, Unreachable> {
    let unusable = |hint| Unreachable {
        reason: Reason::Invalid,
        message: format!("The value {} cannot be used: {hint}", quoted(text)),
    };
    let whole = with_slash(text);
    let url = parse_http_url(&whole).map_err(unusable)?;
    let server = find_server(reader, &url)?;
    let target = if has_path(&whole) { without_second_slash(url.target) } else { sent_target() };
    Ok(Mirror { server, tls: url.tls, host: host.unwrap_or(url.host), target, with_body })
}

/// Where in a URL its path and its query begin; at its end if it has none.
fn path_of(url: &str) -> usize {
    let authority = url.find("://").map_or(0, |at| at + 3);
    url[authority..].find(['/', '?', '#']).map_or(url.len(), |at| authority + at)
}

fn has_path(url: &str) -> bool {
    path_of(url) < url.len()
}

/// The same URL, if the path of the request does not stand in it right behind the host.
fn with_slash(url: &str) -> Cow<'_, str> {
    let begins = ["$request_uri", "${request_uri}"].into_iter().find_map(|name| url.find(name));
    match begins.filter(|at| *at < path_of(url)) {
        Some(at) => Cow::Owned([&url[..at], "/", &url[at..]].concat()),
        None => Cow::Borrowed(url),
    }
}

/// The path of the request has a slash already.
fn without_second_slash(target: UrlText) -> UrlText {
    match &target.0[..] {
        [UrlPart::Text(slash), UrlPart::Variable(UrlVariable::Target | UrlVariable::Path), ..] if slash == "/" => {
            UrlText(target.0[1..].to_vec())
        }
        _ => target,
    }
}

/// What was asked for, as it was sent.
fn sent_target() -> UrlText {
    UrlText(vec![UrlPart::Variable(UrlVariable::Target)])
}

/// A host, in which that of the request may stand.
fn parse_host_text(text: &str) -> Result<UrlText, &'static str> {
    const HINT: &str = "it is a host, maybe with a port, or `$host`";
    let host = parse_url_text(text.trim()).map_err(|_| HINT)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let is_host = |part: &UrlPart| match part {
        UrlPart::Text(text) => text.bytes().all(is_plain),
        UrlPart::Variable(variable) => matches!(variable, UrlVariable::Host | UrlVariable::HostAndPort),
    };
    let is_given = !host.0.is_empty() && text.len() <= 260;
    if is_given && host.0.iter().all(is_host) { Ok(host) } else { Err(HINT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_the_request_follows_the_host_once() {
        let target = |text: &str| {
            let whole = with_slash(text);
            let url = parse_http_url(&whole).ok()?;
            let target = if has_path(&whole) { without_second_slash(url.target) } else { sent_target() };
            Some(target.to_string())
        };
        for (url, expected) in [
            ("https://a.example", Some("$request_uri")),
            ("https://a.example$request_uri", Some("$request_uri")),
            ("https://a.example:8443/$request_uri", Some("$request_uri")),
            ("http://a.example/${request_uri}", Some("$request_uri")),
            ("http://a.example/copy$request_uri", Some("/copy$request_uri")),
            ("http://a.example/", Some("/")),
            ("http://a.example?x=$request_uri", Some("/?x=$request_uri")),
            ("http://$request_uri", None),
            ("http://a.example/$pid", None),
            ("a.example", None),
            ("unix:/run/x", None),
        ] {
            assert_eq!(target(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn host_is_a_name_or_that_of_the_request() {
        for text in ["a.example", "a.example:81", "[fd00::1]", "$host", "x.$host", "$http_host"] {
            assert!(parse_host_text(text).is_ok(), "{text}");
        }
        for text in ["", "a b", "a/b", "$request_uri", "a\r\nX: y", "$1", "é", &"a".repeat(261)] {
            assert!(parse_host_text(text).is_err(), "{text}");
        }
    }
}
