//! Rules become locations.
//!
//! nginx matches the normalised path; what is forwarded is the path as it was sent. So that both are the same, the path as
//! sent must begin with the rule's path, letter by letter, and have no dot segment anywhere ([`crate::http`]): else 400.
//! Characters that clients percent-encode (all but those that RFC 3986 calls unreserved) may be encoded or not.
//!
//! Nearly all requests are plain: what was sent is what nginx matched, to the letter ([`crate::http`]). For them `proxy_pass`
//! takes a prefix off without any variable: with one, nginx would look for the upstream among all of them, at each request.
//! The others go aside, to a location that all rules of a host with the same limits share.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use entry_routes::{Action, Forward, Kind, PathMatch, Protocol, Rule, Timeouts};

use crate::token::{Pattern, Plain, Text, Token, is_unreserved};
use crate::upstream::{Upstreams, is_http2, is_tls};
use crate::writer::{Directive, Writer, constant, directive};
use crate::{Note, Settings, Version};

/// From here on `proxy_pass` speaks HTTP/2, which can send a path as it came, less its prefix. `grpc_pass` cannot.
const PROXY_HTTP2: Version = Version::new(1, 29, 4);

/// The locations of a host's rules, which are tried in this order.
pub fn write<'a>(
    writer: &mut Writer<'a>,
    rules: impl IntoIterator<Item = &'a Rule>,
    settings: &Settings,
    upstreams: &Upstreams<'_>,
    notes: &mut Vec<Note>,
) {
    let mut seen = Seen::default();
    let mut asides = Asides::default();
    for rule in rules {
        let path = rule.path.path();
        let is_path = path.starts_with('/') || matches!(&rule.path, PathMatch::Prefix(path) if path.is_empty());
        let places = if is_path { seen.add(&rule.path) } else { [None, None] };
        let mut refused = !is_path;
        for place in places.into_iter().flatten() {
            match location(&place, rule, settings, upstreams, &mut asides) {
                Some(location) => writer.write(&location.origin(Some(&rule.origin))),
                None => refused = true,
            }
        }
        if refused {
            let path: String = path.chars().take(100).collect();
            let message = format!(
                "the path {path:?} is not served: it does not begin with a slash, is too long, or has a character that no \
                 path has"
            );
            notes.push(Note { object: rule.origin.clone(), message });
        }
    }
    if !seen.prefixes.contains("") {
        writer.write(&directive("location").words(["/"]).block(&NOT_FOUND));
    }
    asides.write(writer);
}

static NOT_FOUND_ARGUMENTS: [Token; 2] = [Token::word("404"), Token::word("$sparrow_404")];
static NOT_FOUND: [Directive<'static>; 1] = [constant("return", &NOT_FOUND_ARGUMENTS)];
static BAD_REQUEST_ARGUMENTS: [Token; 2] = [Token::word("400"), Token::word("$sparrow_400")];
static BAD_REQUEST: [Directive<'static>; 1] = [constant("return", &BAD_REQUEST_ARGUMENTS)];

/// Paths that are taken. nginx takes an exact path before a prefix, and a longer prefix before a shorter one; a rule that
/// comes after one that matches all its paths is never reached, so it is left out.
#[derive(Debug, Default)]
struct Seen<'a> {
    exact: HashSet<&'a str>,
    prefixes: HashSet<&'a str>,
}

/// How a prefix is taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strip {
    /// It is not.
    No,
    /// What follows it is sent as it came; the prefix is the same in all its forms.
    Plain,
    /// What follows it is sent as it came.
    Raw,
    /// nginx writes the path anew, so it must be one that is the same in all its forms: `grpc_pass` takes no path.
    Rewrite,
}

impl Strip {
    fn of(place: &Place<'_>, forward: &Forward, settings: &Settings) -> Self {
        // A root has nothing to strip.
        let (Place::Path(path) | Place::Top(path) | Place::Below(path)) = place;
        if !forward.strip_prefix || matches!(place, Place::Below("") | Place::Path("/")) {
            Self::No
        } else if is_http2(forward.backend.protocol) && settings.version < PROXY_HTTP2 {
            Self::Rewrite
        } else if path.bytes().all(is_unreserved) {
            Self::Plain
        } else {
            Self::Raw
        }
    }
}

/// Where a location stands.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// This path.
    Path(&'a str),
    /// The path of a prefix, without a final slash.
    Top(&'a str),
    /// What is below a prefix, which has no final slash here.
    Below(&'a str),
}

impl<'a> Seen<'a> {
    fn add(&mut self, path: &'a PathMatch) -> [Option<Place<'a>>; 2] {
        match path {
            PathMatch::Exact(exact) => {
                let new = !self.covers(exact) && self.exact.insert(exact);
                [new.then_some(Place::Path(exact)), None]
            }
            PathMatch::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/');
                if self.covers(prefix) {
                    return [None, None];
                }
                self.prefixes.insert(prefix);
                let top = !prefix.is_empty() && self.exact.insert(prefix);
                [top.then_some(Place::Top(prefix)), Some(Place::Below(prefix))]
            }
        }
    }

    /// Whether a prefix that was seen matches a path and all below it.
    fn covers(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        !self.prefixes.is_empty() && ends.into_iter().any(|end| self.prefixes.contains(&path[..end]))
    }
}

fn location(
    place: &Place<'_>,
    rule: &Rule,
    settings: &Settings,
    upstreams: &Upstreams<'_>,
    asides: &mut Asides,
) -> Option<Directive<'static>> {
    let mut block = Vec::with_capacity(8);
    block.push(directive("set").words(["$sparrow_route"]).token(route_name(rule)?));
    let forward = match &rule.action {
        Action::Forward(forward) => upstreams.name(&forward.backend).map(|name| (forward, name)),
        Action::Unavailable => None,
    };
    let strip = forward.map_or(Strip::No, |(forward, _)| Strip::of(place, forward, settings));
    if strip != Strip::Plain {
        let raw = raw_path(place, strip)?;
        block.push(directive("if").words(["($request_uri", "!~"]).token(raw).words([")"]).block(&BAD_REQUEST));
    }
    if rule.redirect_to_https {
        let mut target = Text::default().own("https://$host");
        if settings.public_https_port != 443 {
            target = target.own(":").number(settings.public_https_port);
        }
        block.push(
            directive("if")
                .words(["($sparrow_scheme", "=", "http)"])
                .block(vec![directive("return").words(["308"]).token(target.own("$request_uri").token()?)]),
        );
    }
    match forward {
        Some((forward, name)) => {
            if let (Strip::Plain, Place::Path(prefix) | Place::Top(prefix) | Place::Below(prefix)) = (strip, place) {
                block.push(directive("set").words(["$sparrow_prefix"]).token(Token::literal(prefix)?));
                block.push(directive("set").words(["$sparrow_upstream"]).token(Text::default().plain(name).token()?));
                let rewrite = directive("rewrite").words(["^"]).token(asides.name(place, forward)).words(["last"]);
                block.push(directive("if").words(["($sparrow_odd)"]).block(vec![rewrite]));
            }
            pass(&mut block, place, forward, name, strip)?;
        }
        None => block.push(directive("return").words(["503", "$sparrow_503"])),
    }
    let location = directive("location");
    let location = match place {
        Place::Path(path) | Place::Top(path) => location.words(["="]).token(Token::literal(path)?),
        Place::Below(prefix) => location.words(["^~"]).token(Token::literal(&format!("{prefix}/"))?),
    };
    Some(location.block(block))
}

/// Matches the path as it was sent, with its query. What follows a prefix that is stripped becomes `$sparrow_rest`; a
/// variable of a pattern is set by a negative comparison too, where it fails.
fn raw_path(place: &Place<'_>, strip: Strip) -> Option<Token> {
    let (path, rest) = match (place, strip) {
        (Place::Path(path) | Place::Top(path), Strip::No) => (path, "(?:\\?|$)"),
        (Place::Path(path) | Place::Top(path), Strip::Rewrite) => (path, ")(?:\\?|$)"),
        (Place::Path(path) | Place::Top(path), _) => (path, ")(?<sparrow_rest>(?:\\?.*)?)$"),
        (Place::Below(prefix), Strip::No) => (prefix, "/"),
        (Place::Below(prefix), Strip::Rewrite) => (prefix, ")(?<sparrow_rest>/[^?]*)"),
        (Place::Below(prefix), _) => (prefix, ")(?<sparrow_rest>/.*)$"),
    };
    Pattern::default().own(if strip == Strip::No { "^" } else { "^(?<sparrow_prefix>" }).path(path).own(rest).token()
}

/// Sends the request on.
fn pass(
    block: &mut Vec<Directive<'static>>,
    place: &Place<'_>,
    forward: &Forward,
    name: &Plain,
    strip: Strip,
) -> Option<()> {
    let below = matches!(place, Place::Below(_));
    if strip == Strip::Rewrite {
        block.push(
            directive("if").words(["($request_uri", "~", "\"^[^?]*(?:[^A-Za-z0-9._~/?-]|//)\")"]).block(&BAD_REQUEST),
        );
        block.push(directive("rewrite").words(["^", if below { "$sparrow_rest" } else { "/" }, "break"]));
    }
    let path = match strip {
        Strip::No | Strip::Rewrite => "",
        Strip::Plain => "/",
        Strip::Raw => rest(below),
    };
    let protocol = forward.backend.protocol;
    let grpc = is_http2(protocol) && matches!(strip, Strip::No | Strip::Rewrite);
    let url = Text::default().own(scheme(protocol, grpc)).plain(name).own(path);
    block.push(directive(if grpc { "grpc_pass" } else { "proxy_pass" }).token(url.token()?));
    limits(block, protocol, forward.timeouts, forward.max_body_bytes, grpc);
    Some(())
}

/// What is asked of the backend, when a prefix was taken off the path as it was sent.
const fn rest(below: bool) -> &'static str {
    if below { "$sparrow_rest" } else { "/$sparrow_rest" }
}

/// How `proxy_pass` and `grpc_pass` name what they speak.
fn scheme(protocol: Protocol, grpc: bool) -> &'static str {
    match (grpc, is_tls(protocol)) {
        (true, true) => "grpcs://",
        (true, false) => "grpc://",
        (false, true) => "https://",
        (false, false) => "http://",
    }
}

/// How it is sent, how long it may take and how large it may be, as far as that is not as for all others.
fn limits(
    block: &mut Vec<Directive<'static>>,
    protocol: Protocol,
    times: Timeouts,
    max_body_bytes: Option<u64>,
    grpc: bool,
) {
    if is_http2(protocol) && !grpc {
        block.push(directive("proxy_http_version").words(["2"]));
        block.push(directive("proxy_pass_trailers").words(["on"]));
    }
    for (time, proxy_name, grpc_name) in [
        (times.connect, "proxy_connect_timeout", "grpc_connect_timeout"),
        (times.read, "proxy_read_timeout", "grpc_read_timeout"),
        (times.send, "proxy_send_timeout", "grpc_send_timeout"),
    ] {
        if let Some(time) = time {
            block.push(directive(if grpc { grpc_name } else { proxy_name }).token(duration(time)));
        }
    }
    if let Some(bytes) = max_body_bytes {
        block.push(directive("client_max_body_size").token(size(bytes)));
    }
}

/// The locations of a host for requests that are not plain, of rules that strip a prefix: one for all that are sent on alike.
#[derive(Debug, Default)]
struct Asides(BTreeMap<Alike, usize>);

/// What requests have in common that one location can send on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    below: bool,
    protocol: Protocol,
    times: [Option<Duration>; 3],
    max_body_bytes: Option<u64>,
}

impl Asides {
    /// The name of the location for such requests. The rule's own sets `$sparrow_prefix` and `$sparrow_upstream`.
    fn name(&mut self, place: &Place<'_>, forward: &Forward) -> Token {
        let Timeouts { connect, read, send } = forward.timeouts;
        let alike = Alike {
            below: matches!(place, Place::Below(_)),
            protocol: forward.backend.protocol,
            times: [connect, read, send],
            max_body_bytes: forward.max_body_bytes,
        };
        let next = self.0.len();
        aside(*self.0.entry(alike).or_insert(next))
    }

    fn write(&self, writer: &mut Writer<'_>) {
        for (alike, index) in &self.0 {
            let pattern = if alike.below {
                "\"^(?<sparrow_matched>[^ ]+) \\\\k<sparrow_matched>(?<sparrow_rest>/.*)$\")"
            } else {
                "\"^(?<sparrow_matched>[^ ]+) \\\\k<sparrow_matched>(?<sparrow_rest>(?:\\\\?.*)?)$\")"
            };
            let mut block = vec![
                directive("internal"),
                directive("set").words(["$sparrow_sent", "\"$sparrow_prefix $request_uri\""]),
                directive("if").words(["($sparrow_sent", "!~", pattern]).block(&BAD_REQUEST),
            ];
            let [connect, read, send] = alike.times;
            let url =
                Text::default().own(scheme(alike.protocol, false)).own("$sparrow_upstream").own(rest(alike.below));
            block.extend(url.token().map(|url| directive("proxy_pass").token(url)));
            limits(&mut block, alike.protocol, Timeouts { connect, read, send }, alike.max_body_bytes, false);
            writer.write(&directive("location").words(["="]).token(aside(*index)).block(block));
        }
    }
}

/// No path begins like this, so only a rewrite leads there.
fn aside(index: usize) -> Token {
    Text::default().own("sparrow-aside-").number(index as u64).token().unwrap_or(Token::word("sparrow-aside"))
}

/// A time, in milliseconds: at least one, since 0 would end at once, and at most 30 days.
pub fn duration(time: Duration) -> Token {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).clamp(1, 30 * 24 * 3600 * 1000);
    Text::default().number(millis).own("ms").token().unwrap_or(Token::word("60s"))
}

/// A number of bytes, as far as nginx counts.
pub fn size(bytes: u64) -> Token {
    Token::number(bytes.min(i64::MAX.unsigned_abs()))
}

/// The object of a rule, for the access log. Names of Kubernetes are plain; others, from a file, are made so.
fn route_name(rule: &Rule) -> Option<Token> {
    let key = &rule.origin.key;
    let text = Text::default().own(match rule.origin.kind {
        Kind::Service => "Service ",
        Kind::Ingress => "Ingress ",
        _ => "",
    });
    text.plain_of(&key.namespace, '_').own("/").plain_of(&key.name, '_').token()
}
