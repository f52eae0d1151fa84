//! Rules become locations.
//!
//! nginx matches the normalised path; what is forwarded is the path as it was sent. So that both are the same, the path as
//! sent must begin with the rule's path, letter by letter, and have no dot segment anywhere ([`crate::http`]): else 400.
//! Characters that clients percent-encode (all but those that RFC 3986 calls unreserved) may be encoded or not.
//!
//! Nearly all requests are plain: what was sent is what nginx matched, to the letter ([`crate::http`]). For them a location
//! does no more than one that a person would write, and `proxy_pass` takes a prefix off without any variable: with one, nginx
//! would look for the upstream among all of them, at each request. Others with a prefix to take off go aside, to a location
//! that all rules of a host with the same limits share.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use entry_model::{Backend, Kind, PathMatch, PathRewrite, Policy, Protocol, Routes, Rule, Timeouts};

use crate::error_page::FOR_GRPC;
use crate::token::{Pattern, Text, Token, duration, is_unreserved, size};
use crate::upstream::{Upstreams, by_grpc, forwarded, is_http2, is_tls};
use crate::upstream_name::UpstreamName;
use crate::writer::{Directive, Writer, constant, constant_block, directive};
use crate::{Note, Settings};

/// What the locations of a server have in common.
pub struct Context<'a> {
    /// All routes.
    pub routes: &'a Routes,
    /// The settings.
    pub settings: &'a Settings,
    /// The upstreams of all routes.
    pub upstreams: &'a Upstreams<'a>,
    /// Whether requests may come here that name no host, as HTTP/1.0 allows.
    pub nameless: bool,
}

/// The locations of a host's rules, which are tried in this order.
pub fn write<'a>(writer: &mut Writer<'a>, rules: &[&'a Rule], context: &Context<'_>, notes: &mut Vec<Note>) {
    let mut seen = Seen::default();
    let mut asides = Asides::default();
    for rule in rules {
        if matches!(rule.matches.path, PathMatch::Regex(_)) {
            // It is reported with all that cannot be written.
            continue;
        }
        let path = rule.matches.path.text();
        let is_path = path.starts_with('/') || matches!(&rule.matches.path, PathMatch::Prefix(path) if path.is_empty());
        let places = if is_path { seen.add(&rule.matches.path) } else { [None, None] };
        let mut refused = !is_path;
        for place in places.into_iter().flatten() {
            let mark = writer.mark();
            if location(writer, &place, rule, context, &mut asides).is_none() {
                writer.take_back(&mark);
                refused = true;
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
    without_slash(writer, rules, &seen, context, &mut asides);
    if !seen.prefixes.contains("") {
        writer.write(&directive("location").words(["/"]).block(not_found()));
    }
    // Of words of this program and numbers: nginx can read them.
    let _ = asides.write(writer);
}

/// Says what becomes of a path without a final slash where an exact path is the same with one: nginx would by itself send
/// clients from the one to the other.
fn without_slash<'a>(
    writer: &mut Writer<'a>,
    rules: &[&'a Rule],
    seen: &Seen<'a>,
    context: &Context<'_>,
    asides: &mut Asides,
) {
    let bare = |path: &&'a str| path.strip_suffix('/');
    let is_free = |path: &&str| !path.is_empty() && !seen.exact.contains(path);
    for path in seen.exact.iter().filter_map(bare).filter(is_free).collect::<BTreeSet<_>>() {
        let rule = rules
            .iter()
            .find(|rule| matches!(rule.matches.path, PathMatch::Prefix(_)) && rule.matches.path.matches(path));
        let mark = writer.mark();
        let written = match rule {
            Some(rule) => {
                let place = Place::Within { path, prefix: rule.matches.path.text().trim_end_matches('/') };
                location(writer, &place, rule, context, asides)
            }
            None => nothing(writer, path),
        };
        // One that cannot be written was not written with its slash either.
        if written.is_none() {
            writer.take_back(&mark);
        }
    }
}

fn nothing(writer: &mut Writer<'_>, path: &str) -> Option<()> {
    writer.line("location").words(["="]).literal(path).open(None)?;
    for directive in not_found() {
        writer.write(&directive);
    }
    writer.close();
    Some(())
}

fn not_found() -> Vec<Directive<'static>> {
    [std::slice::from_ref(&REFUSE), &FOR_GRPC[..], &NOT_FOUND].concat()
}

static NOT_FOUND_ARGUMENTS: [Token; 2] = [Token::word("404"), Token::word("$sparrow_404")];
static NOT_FOUND: [Directive<'static>; 1] = [constant("return", &NOT_FOUND_ARGUMENTS)];
static BAD_REQUEST_ARGUMENTS: [Token; 2] = [Token::word("400"), Token::word("$sparrow_400")];
static BAD_REQUEST: [Directive<'static>; 1] = [constant("return", &BAD_REQUEST_ARGUMENTS)];

static NAMELESS_ARGUMENTS: [Token; 1] = [Token::word("($sparrow_nameless)")];
static NO_HOST_ARGUMENTS: [Token; 1] = [Token::word("400")];
static NO_HOST: [Directive<'static>; 1] = [constant("return", &NO_HOST_ARGUMENTS)];
/// A request that names no host cannot be sent to another address of it.
static NAMELESS: Directive<'static> = constant_block("if", &NAMELESS_ARGUMENTS, &NO_HOST);

static REFUSE_ARGUMENTS: [Token; 1] = [Token::word("($sparrow_refused)")];
/// Whatever becomes of a request, one with dot segments is refused; and if `$sparrow_path` is set, one that does not begin
/// with it.
static REFUSE: Directive<'static> = constant_block("if", &REFUSE_ARGUMENTS, &BAD_REQUEST);

/// Paths that are taken. nginx takes an exact path before a prefix, and a longer prefix before a shorter one; a rule that
/// comes after one that matches all its paths is never reached, so it is left out.
#[derive(Debug, Default)]
struct Seen<'a> {
    exact: HashSet<&'a str>,
    prefixes: HashSet<&'a str>,
}

/// How a location sees to it that what was matched is what is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Plain requests go on, others are compared first.
    Plain,
    /// Every request is compared: the path may be sent in several forms.
    Compared,
    /// nginx writes the path anew, so it must be one that is the same in all its forms: `grpc_pass` takes no path.
    Rewritten,
}

/// How a location sends requests on.
struct Sent<'a> {
    backend: &'a Backend,
    policy: &'a Policy,
    upstream: UpstreamName<'a>,
    way: Way,
    /// Whether the path of the place is taken off.
    strips: bool,
}

impl<'a> Sent<'a> {
    fn of(place: &Place<'_>, rule: &'a Rule, context: &'a Context<'_>) -> Option<Self> {
        let (forward, backend) = forwarded(rule)?;
        let (upstream, policy) = (context.upstreams.name(backend)?, context.routes.policy(rule));
        // A root has nothing to strip.
        let path = place.path();
        let strips = forward.path == PathRewrite::StripPrefix && !matches!(place, Place::Path("/")) && !path.is_empty();
        let way = match by_grpc(backend.protocol, context.settings) {
            true if strips => Way::Rewritten,
            // `proxy_pass` can take off no less than the whole path of the location.
            _ if strips && matches!(place, Place::Within { .. }) => Way::Compared,
            false if path.bytes().all(is_unreserved) => Way::Plain,
            _ => Way::Compared,
        };
        Some(Self { backend, policy, upstream, way, strips })
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
    /// One path below such a prefix.
    Within {
        /// The path.
        path: &'a str,
        /// The prefix.
        prefix: &'a str,
    },
}

impl<'a> Place<'a> {
    /// The path of the rule.
    fn path(&self) -> &'a str {
        match self {
            Self::Path(path) | Self::Top(path) | Self::Below(path) | Self::Within { prefix: path, .. } => path,
        }
    }

    /// Whether it is for what is below the path of the rule.
    fn is_below(&self) -> bool {
        matches!(self, Self::Below(_) | Self::Within { .. })
    }
}

impl<'a> Seen<'a> {
    fn add(&mut self, path: &'a PathMatch) -> [Option<Place<'a>>; 2] {
        match path {
            PathMatch::Exact(exact) => {
                let new = !self.covers(exact) && self.exact.insert(exact);
                [new.then_some(Place::Path(exact)), None]
            }
            PathMatch::Regex(_) => [None, None],
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

/// Writes the location; `None` if nginx could not read it, which is then to be taken back.
fn location<'a>(
    writer: &mut Writer<'a>,
    place: &Place<'_>,
    rule: &'a Rule,
    context: &Context<'_>,
    asides: &mut Asides,
) -> Option<()> {
    let settings = context.settings;
    let location = writer.line("location");
    match place {
        Place::Path(path) | Place::Top(path) | Place::Within { path, .. } => location.words(["="]).literal(path),
        Place::Below(prefix) => location.words(["^~"]).literal_of([prefix, "/"]),
    }
    .open(Some(&rule.origin))?;
    writer.line("set").words(["$sparrow_route"]).text(|text| route_name(text, rule)).end()?;
    if context.routes.policy(rule).redirect_to_https {
        if context.nameless {
            writer.write(&NAMELESS);
        }
        writer.line("if").words(["($sparrow_in_clear)"]).open(None)?;
        let target = |text: Text| match settings.public_https_port {
            443 => text.own("https://$host$request_uri"),
            port => text.own("https://$host:").number(port).own("$request_uri"),
        };
        writer.line("return").words(["308"]).text(target).end()?;
        writer.close();
    }
    match Sent::of(place, rule, context) {
        Some(sent) => {
            match sent.way {
                Way::Plain => guard(writer, place, &sent, asides)?,
                Way::Compared | Way::Rewritten => compare(writer, place, &sent)?,
            }
            pass(writer, place, &sent, settings)?;
        }
        None => {
            writer.write(&REFUSE);
            for directive in &FOR_GRPC {
                writer.write(directive);
            }
            writer.line("return").words(["503", "$sparrow_503"]).end()?;
        }
    }
    writer.close();
    Some(())
}

/// Refuses what does not begin with the path as it was sent, of what is not plain; where the path is taken off, aside.
fn guard(writer: &mut Writer<'_>, place: &Place<'_>, sent: &Sent<'_>, asides: &mut Asides) -> Option<()> {
    let path = place.path();
    if !sent.strips {
        if !path.is_empty() {
            writer.line("set").words(["$sparrow_path"]).literal(path).end()?;
        }
        writer.write(&REFUSE);
        return Some(());
    }
    writer.line("set").words(["$sparrow_prefix"]).literal(path).end()?;
    writer.line("if").words(["($sparrow_odd)"]).open(None)?;
    writer.line("set").words(["$sparrow_upstream"]).text(|text| text.upstream(sent.upstream)).end()?;
    let index = asides.index(place, sent);
    writer.line("rewrite").words(["^"]).text(|text| aside(text, index)).words(["last"]).end()?;
    writer.close();
    Some(())
}

/// Refuses what does not begin with the path as it was sent.
fn compare(writer: &mut Writer<'_>, place: &Place<'_>, sent: &Sent<'_>) -> Option<()> {
    writer.write(&REFUSE);
    let condition = writer.line("if").words(["($request_uri", "!~"]);
    condition.pattern(|pattern| raw_path(pattern, place, sent)).words([")"]).open(None)?;
    writer.write(&BAD_REQUEST[0]);
    writer.close();
    if sent.way == Way::Rewritten {
        let condition = ["($request_uri", "~", "\"^[^?]*(?:[^A-Za-z0-9._~/?-]|//)\")"];
        writer.line("if").words(condition).open(None)?;
        writer.write(&BAD_REQUEST[0]);
        writer.close();
        let path = if place.is_below() { "$sparrow_rest" } else { "/" };
        writer.line("rewrite").words(["^", path, "break"]).end()?;
    }
    Some(())
}

/// Matches the path as it was sent, with its query. What follows a prefix that is stripped becomes `$sparrow_rest`; a
/// variable of a pattern is set by a negative comparison too, where it fails.
fn raw_path(pattern: Pattern, place: &Place<'_>, sent: &Sent<'_>) -> Pattern {
    let rewritten = sent.way == Way::Rewritten;
    let rest = match place.is_below() {
        false if !sent.strips => "(?:\\?|$)",
        false if rewritten => ")(?:\\?|$)",
        false => ")(?<sparrow_rest>(?:\\?.*)?)$",
        true if !sent.strips => "/",
        true if rewritten => ")(?<sparrow_rest>/[^?]*)",
        true => ")(?<sparrow_rest>/.*)$",
    };
    let path = place.path();
    pattern.own(if sent.strips { "^(?<sparrow_prefix>" } else { "^" }).path(path).own(rest)
}

/// Sends the request on.
fn pass(writer: &mut Writer<'_>, place: &Place<'_>, sent: &Sent<'_>, settings: &Settings) -> Option<()> {
    let path = match sent.way {
        _ if !sent.strips => "",
        Way::Plain => "/",
        Way::Compared => rest(place.is_below()),
        Way::Rewritten => "",
    };
    let (backend, Policy { timeouts, max_body_bytes, .. }) = (sent.backend, sent.policy);
    let grpc = by_grpc(backend.protocol, settings);
    let url = |text: Text| text.own(scheme(backend.protocol, grpc)).upstream(sent.upstream).own(path);
    writer.line(if grpc { "grpc_pass" } else { "proxy_pass" }).text(url).end()?;
    limits(writer, backend.protocol, *timeouts, *max_body_bytes, grpc)
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
    writer: &mut Writer<'_>,
    protocol: Protocol,
    times: Timeouts,
    max_body_bytes: Option<u64>,
    grpc: bool,
) -> Option<()> {
    if is_http2(protocol) && !grpc {
        writer.line("proxy_http_version").words(["2"]).end()?;
        writer.line("proxy_pass_trailers").words(["on"]).end()?;
        writer.line("set").words(["$sparrow_te", "$sparrow_trailers"]).end()?;
    }
    for (time, proxy_name, grpc_name) in [
        (times.connect, "proxy_connect_timeout", "grpc_connect_timeout"),
        (times.read, "proxy_read_timeout", "grpc_read_timeout"),
        (times.send, "proxy_send_timeout", "grpc_send_timeout"),
    ] {
        if let Some(time) = time {
            writer.line(if grpc { grpc_name } else { proxy_name }).token(&duration(time)).end()?;
        }
    }
    if let Some(bytes) = max_body_bytes {
        writer.line("client_max_body_size").token(&size(bytes)).end()?;
    }
    Some(())
}

/// The locations of a host for requests that are not plain, of rules that strip a prefix: one for all that are sent on alike.
#[derive(Debug, Default)]
struct Asides(BTreeMap<Alike, u32>);

/// What requests have in common that one location can send on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    below: bool,
    protocol: Protocol,
    times: [Option<Duration>; 3],
    max_body_bytes: Option<u64>,
}

impl Asides {
    /// The location for such requests. The rule's own sets `$sparrow_prefix` and `$sparrow_upstream`.
    fn index(&mut self, place: &Place<'_>, sent: &Sent<'_>) -> u32 {
        let Timeouts { connect, read, send } = sent.policy.timeouts;
        let alike = Alike {
            below: place.is_below(),
            protocol: sent.backend.protocol,
            times: [connect, read, send],
            max_body_bytes: sent.policy.max_body_bytes,
        };
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(alike).or_insert(next)
    }

    fn write(&self, writer: &mut Writer<'_>) -> Option<()> {
        for (alike, index) in &self.0 {
            // All in one text, so that its parts can be compared: no dot segments, and the prefix is what the path begins with.
            let pattern = if alike.below {
                r#""^0(?<sparrow_matched>[^ ]+) \\k<sparrow_matched>(?<sparrow_rest>/.*)$")"#
            } else {
                r#""^0(?<sparrow_matched>[^ ]+) \\k<sparrow_matched>(?<sparrow_rest>(?:\\?.*)?)$")"#
            };
            writer.line("location").words(["="]).text(|text| aside(text, *index)).open(None)?;
            writer.line("internal").end()?;
            writer.line("set").words(["$sparrow_sent", r#""$sparrow_dots$sparrow_prefix $request_uri""#]).end()?;
            writer.line("if").words(["($sparrow_sent", "!~", pattern]).open(None)?;
            writer.write(&BAD_REQUEST[0]);
            writer.close();
            let url =
                |text: Text| text.own(scheme(alike.protocol, false)).own("$sparrow_upstream").own(rest(alike.below));
            writer.line("proxy_pass").text(url).end()?;
            let [connect, read, send] = alike.times;
            limits(writer, alike.protocol, Timeouts { connect, read, send }, alike.max_body_bytes, false)?;
            writer.close();
        }
        Some(())
    }
}

/// No path begins like this, so only a rewrite leads there.
fn aside(text: Text, index: u32) -> Text {
    text.own("sparrow-aside-").number(index)
}

/// The object of a rule, for the access log. Names of Kubernetes are plain; others, from a file, are made so.
fn route_name(text: Text, rule: &Rule) -> Text {
    let key = &rule.origin.key;
    let text = match rule.origin.kind {
        Kind::Service => text.own("Service "),
        Kind::Ingress => text.own("Ingress "),
        _ => text,
    };
    text.plain_of(&key.namespace, '_').own("/").plain_of(&key.name, '_')
}
