//! Which of its endpoints a request gets.

use std::num::NonZeroU16;

use entry_model::{Affinity, BackendMode, Balancing, HashPart, Kind, Reason, SameSite, SessionCookie};

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic};
use super::value::{parse_boolean, parse_go_boolean};
use crate::host::parse_host;

pub const TOPIC: Topic = Topic {
    title: "Affinity and balancing",
    own: &[
        own(
            "affinity",
            "`cookie`: all requests of a session go to the same endpoint, as long as endpoints stay; a client without a session gets one as a \
             cookie. Backends are then endpoints",
            "no affinity",
            "cookie",
        ),
        own(
            "affinity-mode",
            "`balanced`, `persistent`: whether some sessions move when endpoints come, so that all have their share, or a session stays as long as \
             its endpoint does. The cookie of `persistent` names the endpoint by a hash of its address",
            "`balanced`",
            "persistent",
        ),
        own(
            "session-cookie-change-on-failure",
            "`true`, `false`: whether a session whose endpoint failed stays where it was served then, or comes back. With `true` sessions are \
             `persistent`",
            "`false`",
            "true",
        ),
        own("session-cookie-name", "the name of that cookie", "`INGRESSCOOKIE`", "route"),
        own("session-cookie-path", "the path for which it is", "the path of the rule", "/"),
        own("session-cookie-domain", "the domain for which it is", "the host alone", "example.com"),
        own("session-cookie-max-age", "how many seconds it is kept", "until the browser is closed", "86400"),
        own("session-cookie-samesite", "`None`, `Lax`, `Strict`: to which requests of other sites it is added", "not said", "Lax"),
        own(
            "session-cookie-conditional-samesite-none",
            "`true`, `false`: whether `SameSite=None` is left out for old browsers that take it for `Strict`, or for no cookie at all (Chrome 51 to 66, \
             iOS 12, Safari of macOS 10.14, UC Browser before 12.13.2)",
            "`false`",
            "true",
        ),
        own("session-cookie-secure", "`true`, `false`: whether it is sent over HTTPS only", "whether it was given over HTTPS", "true"),
        own(
            "upstream-hash-by",
            "variables in a row, such as `$request_uri$host`: requests for which they are the same go to the same endpoint, as long as \
             endpoints stay. They are `$request_uri`, `$args`, `$request_method`, `$host`, `$best_http_host`, `$remote_addr`, \
             `$binary_remote_addr`, `$realip_remote_addr` (who connects, be it a proxy), `$http_NAME`, `$cookie_NAME`, `$arg_NAME`; there \
             may be text between them. Backends are then endpoints",
            "no hash",
            "$remote_addr",
        ),
        own(
            "upstream-hash-by-subset-size",
            "a number from 1 to 1000: with `upstream-hash-by`, such requests go to any of so many endpoints instead of one",
            "1",
            "3",
        ),
        own(
            "load-balance",
            "`round_robin`, `least_conn`: whether endpoints get requests in turn, or the one that has the fewest of its nginx worker. With \
             `least_conn` backends are endpoints",
            "`round_robin`",
            "least_conn",
        ),
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::same("affinity", Scope::Backend, "`cookie`: the requests of a session go to the same endpoint"),
        IngressNginxAnnotation::same(
            "affinity-mode",
            Scope::Backend,
            "`balanced`: when endpoints come or go, some sessions move, in proportion. `persistent`: a session stays as long as its endpoint does, \
             which the cookie names by a hash of its address",
        ),
        IngressNginxAnnotation::differs(
            "session-cookie-change-on-failure",
            Scope::Backend,
            "`true`: a session whose endpoint failed stays where it was served then; its mode is `persistent`. Without it, other endpoints \
             serve it while its own fails, where it gets an error there, and it comes back",
        ),
        IngressNginxAnnotation::same(
            "session-cookie-conditional-samesite-none",
            Scope::Backend,
            "`true`: `SameSite=None` is left out for browsers that do not understand it (Chrome 51 to 66, iOS 12, Safari of macOS 10.14, UC Browser \
             before 12.13.2)",
        ),
        IngressNginxAnnotation::same("session-cookie-domain", Scope::Backend, "The domain of the cookie"),
        IngressNginxAnnotation::differs(
            "session-cookie-expires",
            Scope::Backend,
            "Is said as `Max-Age`, where there is no `session-cookie-max-age`",
        ),
        IngressNginxAnnotation::same("session-cookie-max-age", Scope::Backend, "How many seconds the cookie is kept"),
        IngressNginxAnnotation::same("session-cookie-name", Scope::Backend, "The name of the cookie, `INGRESSCOOKIE` without it"),
        IngressNginxAnnotation::same("session-cookie-path", Scope::Backend, "The path of the cookie, that of the rule without it"),
        IngressNginxAnnotation::same("session-cookie-samesite", Scope::Backend, "`None`, `Lax` or `Strict`"),
        IngressNginxAnnotation::same(
            "session-cookie-secure",
            Scope::Backend,
            "Whether the cookie is sent over HTTPS only; without it, if it was given over HTTPS",
        ),
        IngressNginxAnnotation::differs(
            "load-balance",
            Scope::Backend,
            "`round_robin` is the same; with `ewma` the endpoint gets a request that has the fewest of its nginx worker",
        )
        .unchanged_by(&["round_robin"]),
        IngressNginxAnnotation::differs(
            "upstream-hash-by",
            Scope::Backend,
            "The same, of these variables: `$request_uri`, `$args`, `$query_string`, `$request_method`, `$host`, `$best_http_host`, \
             `$remote_addr`, `$binary_remote_addr`, `$the_real_ip`, `$realip_remote_addr`, `$http_NAME`, `$cookie_NAME`, `$arg_NAME`",
        ),
        IngressNginxAnnotation::differs(
            "upstream-hash-by-subset",
            Scope::Backend,
            "`true`: requests for which `upstream-hash-by` is the same go to any of a few endpoints. While an \
             endpoint fails, its requests go to any others",
        )
        .unchanged_by(&["false"]),
        IngressNginxAnnotation::differs(
            "upstream-hash-by-subset-size",
            Scope::Backend,
            "How many endpoints a group has, 3 without it; from 1 to 1000",
        ),
    ],
};

/// How many endpoints a group has there, where nothing says so.
const DEFAULT_SUBSET_SIZE: u16 = 3;

/// Most parts of what requests are told apart by.
const MAX_PARTS: usize = 8;

const fn own(name: &'static str, value: &'static str, default: &'static str, example: &'static str) -> OwnAnnotation {
    OwnAnnotation::new(name, Objects::ServicesAndIngresses, value, default, example)
}

/// Reads them. What is chosen among are endpoints: so requests go there, if nothing says otherwise.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let affinity = reader.either("affinity", parse_affinity).is_some();
    let session = affinity.then(|| Balancing::Session(Box::new(read_cookie(reader))));
    if affinity {
        let path = reader.either("session-cookie-path", parse_cookie_path);
        path.unwrap_or_default().clone_into(&mut annotations.policy.session_path);
    }
    let subset_size = read_subset_size(reader);
    let hash = read_hash(reader).map(|parts| match subset_size {
        Some(size) => Balancing::HashSubset(parts, size),
        None => Balancing::Hash(parts),
    });
    let method = reader.either("load-balance", parse_method);
    annotations.policy.balancing = session.or(hash).or(method).unwrap_or_default();
    if annotations.policy.balancing == Balancing::RoundRobin {
        return;
    }
    match annotations.backends {
        None => annotations.backends = Some(BackendMode::Endpoints),
        Some(BackendMode::Endpoints) => {}
        Some(BackendMode::ClusterIp) => {
            let message = "Requests go to the cluster IP of the Service, behind which the cluster chooses the endpoint, so affinity, hash \
                           and balancing have no effect; let requests go to endpoints";
            let name = if reader.kind() == Kind::Service {
                "sparrow/backends"
            } else {
                "service-upstream or sparrow/backends"
            };
            annotations.policy.balancing = Balancing::RoundRobin;
            annotations.policy.session_path.clear();
            reader.report_object_loss(Reason::Unsupported, format!("{message}: {name}"));
        }
    }
}

fn read_cookie(reader: &mut AnnotationReader<'_, '_>) -> SessionCookie {
    let affinity = read_affinity(reader);
    let expires = reader.ingress_nginx("session-cookie-expires", parse_seconds);
    SessionCookie {
        name: reader.either("session-cookie-name", parse_name).unwrap_or("INGRESSCOOKIE").to_owned(),
        domain: reader.either("session-cookie-domain", parse_domain),
        max_age_seconds: reader.either("session-cookie-max-age", parse_seconds).or(expires),
        same_site: read_same_site(reader),
        secure: reader.either_of(("session-cookie-secure", parse_boolean), ("session-cookie-secure", parse_go_boolean)),
        affinity,
        changes_share: false,
    }
}

fn read_same_site(reader: &mut AnnotationReader<'_, '_>) -> Option<SameSite> {
    const CONDITIONAL: &str = "session-cookie-conditional-samesite-none";
    let same_site = reader.either("session-cookie-samesite", parse_same_site);
    let is_conditional = reader.either_of((CONDITIONAL, parse_boolean), (CONDITIONAL, parse_go_boolean));
    match same_site {
        Some(SameSite::None) if is_conditional == Some(true) => Some(SameSite::NoneIfUnderstood),
        same_site => same_site,
    }
}

fn read_affinity(reader: &mut AnnotationReader<'_, '_>) -> Affinity {
    const CHANGE: &str = "session-cookie-change-on-failure";
    let mode = reader.either("affinity-mode", parse_affinity_mode).unwrap_or_default();
    let changes = reader.either_of((CHANGE, parse_boolean), (CHANGE, parse_go_boolean)).unwrap_or_default();
    if changes { Affinity::PersistentUntilFailure } else { mode }
}

/// To how many endpoints requests of the same hash go, if to more than one.
fn read_subset_size(reader: &mut AnnotationReader<'_, '_>) -> Option<NonZeroU16> {
    const SIZE: &str = "upstream-hash-by-subset-size";
    if reader.own_counts(SIZE, &[SIZE]) {
        return reader.own(SIZE, parse_subset_size).filter(|size| size.get() > 1);
    }
    let is_asked = reader.ingress_nginx("upstream-hash-by-subset", parse_go_boolean) == Some(true);
    let size = reader.ingress_nginx(SIZE, parse_subset_size).or(NonZeroU16::new(DEFAULT_SUBSET_SIZE));
    size.filter(|_| is_asked)
}

/// A hash that cannot be read is a loss: requests would be told apart otherwise.
fn read_hash(reader: &mut AnnotationReader<'_, '_>) -> Option<Vec<HashPart>> {
    const NAME: &str = "upstream-hash-by";
    if reader.own_counts(NAME, &[NAME]) {
        return reader.own(NAME, parse_hash);
    }
    let text = reader.ingress_nginx_text(NAME).filter(|text| !text.is_empty())?;
    parse_hash(text)
        .inspect_err(|hint| {
            let message = format!("The value cannot be used, so endpoints get requests in turn: {hint}");
            reader.report_loss(NAME, Reason::Unsupported, message);
        })
        .ok()
}

fn parse_affinity_mode(text: &str) -> Result<Affinity, &'static str> {
    match text.trim() {
        "balanced" => Ok(Affinity::Balanced),
        "persistent" => Ok(Affinity::Persistent),
        _ => Err("it is `balanced` or `persistent`"),
    }
}

fn parse_subset_size(text: &str) -> Result<NonZeroU16, &'static str> {
    let size = text.trim().parse().ok().filter(|size: &NonZeroU16| size.get() <= 1000);
    size.ok_or("it is a number of endpoints, from 1 to 1000")
}

fn parse_affinity(text: &str) -> Result<(), &'static str> {
    if text == "cookie" { Ok(()) } else { Err("it is `cookie`") }
}

fn parse_method(text: &str) -> Result<Balancing, &'static str> {
    match text.trim() {
        "round_robin" => Ok(Balancing::RoundRobin),
        "least_conn" | "ewma" => Ok(Balancing::LeastConnections),
        _ => Err("it is `round_robin` or `ewma`, or `least_conn` here"),
    }
}

fn parse_name(text: &str) -> Result<&str, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || byte == b'.';
    let is_name = |text: &&str| !text.is_empty() && text.len() <= 100 && text.bytes().all(is_plain);
    Some(text).filter(is_name).ok_or("a name has letters, digits, `-`, `_` and `.`, at most 100")
}

fn parse_cookie_path(text: &str) -> Result<&str, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b";,\"\\$".contains(&byte);
    let is_path = |text: &&str| text.starts_with('/') && text.len() <= 256 && text.bytes().all(is_plain);
    Some(text).filter(is_path).ok_or("a path begins with a slash and has at most 256 plain characters")
}

fn parse_domain(text: &str) -> Result<String, &'static str> {
    let domain = text.trim_start_matches('.');
    let is_name = parse_host(domain).is_ok() && !domain.starts_with('*');
    is_name.then(|| domain.to_ascii_lowercase()).ok_or("it is a name in DNS")
}

fn parse_seconds(text: &str) -> Result<u64, &'static str> {
    let seconds = text.trim().parse().ok().filter(|seconds| *seconds <= 10 * 365 * 24 * 3600);
    seconds.ok_or("it is a whole number of seconds, at most ten years")
}

fn parse_same_site(text: &str) -> Result<SameSite, &'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "none" => Ok(SameSite::None),
        "lax" => Ok(SameSite::Lax),
        "strict" => Ok(SameSite::Strict),
        _ => Err("it is `None`, `Lax` or `Strict`"),
    }
}

/// Variables of a closed list, with plain text between them.
fn parse_hash(text: &str) -> Result<Vec<HashPart>, &'static str> {
    const HINT: &str = "write variables in a row: `$request_uri`, `$args`, `$request_method`, `$host`, `$best_http_host`, `$remote_addr`, \
                        `$binary_remote_addr`, `$realip_remote_addr`, `$http_NAME`, `$cookie_NAME` or `$arg_NAME`";
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut parts, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        if parts.len() == MAX_PARTS || text.len() > 256 {
            return Err(HINT);
        }
        let Some(after) = rest.strip_prefix('$') else {
            let end = rest.find('$').unwrap_or(rest.len());
            parts.push(HashPart::Text(rest[..end].to_owned()));
            rest = &rest[end..];
            continue;
        };
        let name = match after.strip_prefix('{') {
            Some(braced) => {
                let end = braced.find('}').ok_or(HINT)?;
                rest = &braced[end + 1..];
                &braced[..end]
            }
            None => {
                let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
                rest = &after[end..];
                &after[..end]
            }
        };
        parts.push(parse_variable(name).filter(|_| name.chars().all(is_name)).ok_or(HINT)?);
    }
    let has_variable = parts.iter().any(|part| !matches!(part, HashPart::Text(_)));
    if has_variable { Ok(parts) } else { Err(HINT) }
}

fn parse_variable(name: &str) -> Option<HashPart> {
    let named = |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(str::to_owned);
    match name {
        "request_uri" => Some(HashPart::RequestUri),
        "host" => Some(HashPart::Host),
        "best_http_host" => Some(HashPart::Header("host".to_owned())),
        "remote_addr" | "binary_remote_addr" | "the_real_ip" => Some(HashPart::ClientAddress),
        "realip_remote_addr" => Some(HashPart::PeerAddress),
        "request_method" => Some(HashPart::Method),
        "args" | "query_string" => Some(HashPart::Query),
        _ => named("http_")
            .map(|name| HashPart::Header(name.to_ascii_lowercase().replace('_', "-")))
            .or_else(|| named("cookie_").map(HashPart::Cookie))
            .or_else(|| named("arg_").map(HashPart::Parameter)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_of_variables_of_a_closed_list() {
        let text = |text: &str| HashPart::Text(text.to_owned());
        for (asked, expected) in [
            ("$request_uri", Some(vec![HashPart::RequestUri])),
            ("$binary_remote_addr", Some(vec![HashPart::ClientAddress])),
            ("${request_uri}-x$host", Some(vec![HashPart::RequestUri, text("-x"), HashPart::Host])),
            ("$realip_remote_addr", Some(vec![HashPart::PeerAddress])),
            ("$request_method$args", Some(vec![HashPart::Method, HashPart::Query])),
            ("$best_http_host", Some(vec![HashPart::Header("host".to_owned())])),
            ("$http_X_User", Some(vec![HashPart::Header("x-user".to_owned())])),
            ("$cookie_sid$arg_a", Some(vec![HashPart::Cookie("sid".to_owned()), HashPart::Parameter("a".to_owned())])),
            ("", None),
            ("fixed", None),
            ("$", None),
            ("${host", None),
            ("$http_", None),
            ("$document_root", None),
            ("${host;}", None),
            ("$host$host$host$host$host$host$host$host$host", None),
        ] {
            assert_eq!(parse_hash(asked).ok(), expected, "{asked}");
        }
    }
}
