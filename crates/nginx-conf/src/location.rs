//! Rules become locations.
//!
//! nginx matches the normalised path; what is forwarded is the path as it was sent. So that both are the same, the path as
//! sent must begin with the rule's path, letter by letter, and have no dot segment anywhere ([`crate::http`]): else 400.
//! Characters that clients percent-encode (all but those that RFC 3986 calls unreserved) may be encoded or not.
//!
//! Nearly all requests are plain: what was sent is what nginx matched, to the letter ([`crate::http`]). For them a location
//! does no more than one that a person would write, and `proxy_pass` takes a prefix off without any variable: with one, nginx
//! would look for the upstream among all of them, at each request. Others with a prefix to take off go to a location for
//! raw paths, that all rules of a host with the same limits share.
//!
//! Where a path does not decide alone which rule or which backend gets a request, its location chooses ([`crate::branch`]).

use std::collections::BTreeSet;

use entry_model::{Action, PathMatch, Rule};

use crate::branch;
use crate::candidates::Candidates;
use crate::chosen::ChosenLocations;
use crate::context::Context;
use crate::error_page::{BAD_REQUEST, REJECT, not_found};
use crate::inexpressible::{is_branching, is_final};
use crate::location_kind::{LocationKind, TakenPaths};
use crate::location_parts::{redirect_to_https, sent_path, write_route_name};
use crate::proxy_target::{PathCheck, ProxyTarget, proxy_module, rest_variable, scheme, write_treatment};
use crate::raw_path::{RawPathLocations, location_name};
use crate::rewritten_path::path_pattern;
use crate::token::{Pattern, Text};
use crate::writer::{Writer, directive};
use crate::{RenderNote, Settings, inexpressible, policy, redirect, rewritten_path};

/// Where a module leads requests that get the default. No path of a request is like this, so only the module leads there.
const DEFAULT_LOCATION: &str = "sparrow-default";

/// The locations of a host's rules, which are tried in this order. `default`: what the module leads requests of other hosts to, too.
pub fn write<'a>(
    writer: &mut Writer<'a>,
    rules: &[&'a Rule],
    default: Option<&'a Rule>,
    context: &Context<'_>,
    notes: &mut Vec<RenderNote>,
) {
    let mut taken = TakenPaths::default();
    let candidates = Candidates::of(rules);
    let mut shared = SharedLocations::default();
    for rule in rules {
        let path = rule.matches.path.text();
        let is_path = match &rule.matches.path {
            PathMatch::Exact(path) => path.starts_with('/'),
            PathMatch::Prefix(path) => path.is_empty() || path.starts_with('/'),
            // One that cannot be written is reported with all that cannot.
            PathMatch::Regex(_) => true,
        };
        let places = if is_path { taken.add(&rule.matches.path, is_final(rule)) } else { [None, None] };
        let mut obstacle = (!is_path).then_some(NO_PATH);
        for place in places.into_iter().flatten() {
            let (mark, len) = (writer.mark(), shared.chosen.len());
            let choices = candidates.as_ref().map(|candidates| candidates.at(&place, &rule.matches.path));
            if location(writer, &place, (rule, choices.as_deref()), context, &mut shared).is_none() {
                writer.take_back(&mark);
                shared.chosen.truncate(len);
                obstacle = Some(close(writer, &place, rule, context));
            }
        }
        if let Some(obstacle) = obstacle {
            let path: String = path.chars().take(100).collect();
            let message = format!("the path {path:?} is not served: {obstacle}");
            notes.push(RenderNote { object: rule.origin.clone(), message });
        }
    }
    if !context.in_order {
        without_slash(writer, (rules, candidates.as_ref()), &taken, context, &mut shared);
    }
    if !taken.prefixes.contains("") {
        writer.write(&directive("location").words(["/"]).block(not_found(context.settings)));
    }
    if let Some(rule) = default {
        write_default(writer, rule, context, &mut shared);
    }
    shared.raw_path.write(writer, context);
    shared.chosen.write(writer, context);
}

/// Writes the location of the default for hosts of a table, which have none of their own here. What keeps it from being written is told
/// with the rules.
fn write_default<'a>(writer: &mut Writer<'a>, rule: &'a Rule, context: &Context<'_>, shared: &mut SharedLocations<'a>) {
    let place = LocationKind::Default;
    let (mark, len) = (writer.mark(), shared.chosen.len());
    if location(writer, &place, (rule, Some(&[rule])), context, shared).is_none() {
        writer.take_back(&mark);
        shared.chosen.truncate(len);
        close(writer, &place, rule, context);
    }
}

/// Why a path is not served that no request has.
const NO_PATH: &str = "it does not begin with a slash, is too long, or has a character that no path has";

/// Answers 503 in the place of a location that could not be written: else one of a shorter path, which may ask for less, would get its
/// requests. What is told of that.
fn close<'a>(writer: &mut Writer<'a>, place: &LocationKind<'_>, rule: &'a Rule, context: &Context<'_>) -> &'static str {
    let mark = writer.mark();
    let closed = open(writer, place, rule, context).and_then(|()| {
        write_route_name(writer, rule)?;
        redirect::respond(writer, 503, context.settings)
    });
    if closed.is_none() {
        writer.take_back(&mark);
        return NO_PATH;
    }
    writer.close();
    "nginx cannot read what is asked for there, so requests for it are answered 503"
}

/// Locations to which those of paths lead requests.
#[derive(Debug, Default)]
struct SharedLocations<'a> {
    raw_path: RawPathLocations,
    chosen: ChosenLocations<'a>,
}

/// Says what becomes of a path without a final slash where an exact path is the same with one: nginx would by itself send
/// clients from the one to the other.
fn without_slash<'a>(
    writer: &mut Writer<'a>,
    (rules, candidates): (&[&'a Rule], Option<&Candidates<'_, 'a>>),
    taken: &TakenPaths<'a>,
    context: &Context<'_>,
    shared: &mut SharedLocations<'a>,
) {
    let bare = |path: &&'a str| path.strip_suffix('/');
    let is_free = |path: &&str| !path.is_empty() && !taken.exact.contains(path);
    for path in taken.exact.iter().filter_map(bare).filter(is_free).collect::<BTreeSet<_>>() {
        let rule = rules
            .iter()
            .find(|rule| matches!(rule.matches.path, PathMatch::Prefix(_)) && rule.matches.path.matches(path));
        let (mark, len) = (writer.mark(), shared.chosen.len());
        let written = match rule {
            Some(rule) => {
                let place = LocationKind::Within { path, prefix: rule.matches.path.text().trim_end_matches('/') };
                let choices = candidates.map(|candidates| candidates.at(&place, &rule.matches.path));
                location(writer, &place, (rule, choices.as_deref()), context, shared)
            }
            None => nothing(writer, path, context.settings),
        };
        // One that cannot be written was not written with its slash either.
        if written.is_none() {
            writer.take_back(&mark);
            shared.chosen.truncate(len);
        }
    }
}

fn nothing(writer: &mut Writer<'_>, path: &str, settings: &Settings) -> Option<()> {
    writer.line("location").words(["="]).literal(path).open(None)?;
    for directive in not_found(settings) {
        writer.write(&directive);
    }
    writer.close();
    Some(())
}

/// Writes the location of a rule; `None` if nginx could not read it, which is then to be taken back. If the path does not decide
/// alone, there are rules to choose from.
fn location<'a>(
    writer: &mut Writer<'a>,
    place: &LocationKind<'_>,
    (rule, choices): (&'a Rule, Option<&[&'a Rule]>),
    context: &Context<'_>,
    shared: &mut SharedLocations<'a>,
) -> Option<()> {
    open(writer, place, rule, context)?;
    match choices {
        Some(rules) if !matches!(rules, [only] if !is_branching(only)) => {
            branch::write(writer, place, rules, context, &mut shared.chosen)?;
        }
        _ => follow(writer, place, rule, context, shared)?,
    }
    writer.close();
    Some(())
}

/// Opens the location of a rule.
fn open<'a>(writer: &mut Writer<'a>, place: &LocationKind<'_>, rule: &'a Rule, context: &Context<'_>) -> Option<()> {
    let location = writer.line("location");
    match place {
        LocationKind::Default => location.words(["=", DEFAULT_LOCATION]),
        LocationKind::Pattern(pattern) => location.words(["~"]).pattern(|out| path_pattern(out, pattern)),
        LocationKind::Path(path) | LocationKind::Top(path) if context.in_order => {
            location.words(["~"]).pattern(|out| out.own("^").literal(path).own("\\z"))
        }
        LocationKind::Below(prefix) if context.in_order => {
            location.words(["~"]).pattern(|out| out.own("^").literal(prefix).own("/"))
        }
        LocationKind::Path(path) | LocationKind::Top(path) | LocationKind::Within { path, .. } => {
            location.words(["="]).literal(path)
        }
        LocationKind::Below(prefix) => location.words(["^~"]).literal_of([prefix, "/"]),
    }
    .open(Some(&rule.origin))
}

/// Writes what a location does whose requests all get one rule.
fn follow<'a>(
    writer: &mut Writer<'a>,
    place: &LocationKind<'_>,
    rule: &'a Rule,
    context: &Context<'_>,
    shared: &mut SharedLocations<'a>,
) -> Option<()> {
    write_route_name(writer, rule)?;
    if context.routes.policy(rule).redirect_to_https {
        redirect_to_https(writer, context)?;
    }
    let target = ProxyTarget::of(place, rule, context);
    if let Some(target) = &target {
        policy::write_answers(writer, target.policy, context.settings)?;
    }
    match target {
        Some(target) if target.is_rewritten(place) => {
            rewritten_path::forward(writer, place, &target, context)?;
        }
        Some(target) => {
            match target.check {
                PathCheck::Plain => guard(writer, place, &target, context, &mut shared.raw_path)?,
                PathCheck::Compared | PathCheck::Rewritten => compare(writer, place, &target)?,
            }
            pass(writer, place, &target, context)?;
        }
        None => match &rule.action {
            _ if inexpressible::of_rule(rule).is_some() => redirect::respond(writer, 503, context.settings)?,
            Action::Redirect(elsewhere) => redirect::redirect(writer, place, elsewhere, context)?,
            Action::Respond(status) => redirect::respond(writer, *status, context.settings)?,
            Action::Answer(answer) => {
                redirect::answer(writer, answer, &context.routes.policy(rule).answer_headers.added, context.settings)?;
            }
            Action::Forward(_) => redirect::respond(writer, 503, context.settings)?,
        },
    }
    Some(())
}

/// Refuses what does not begin with the path as it was sent, of what is not plain; where the path is taken off, aside.
fn guard(
    writer: &mut Writer<'_>,
    place: &LocationKind<'_>,
    target: &ProxyTarget<'_>,
    context: &Context<'_>,
    raw_path_locations: &mut RawPathLocations,
) -> Option<()> {
    let path = place.path();
    if !target.strips {
        if !path.is_empty() {
            writer.line("set").words(["$sparrow_path"]).literal(path).end()?;
        }
        writer.write(&REJECT);
        return Some(());
    }
    writer.line("set").words(["$sparrow_prefix"]).literal(path).end()?;
    writer.line("if").words(["($sparrow_uri_not_plain)"]).open(None)?;
    writer.line("set").words(["$sparrow_upstream"]).text(|text| text.upstream(target.upstream)).end()?;
    let index = raw_path_locations.index(place, target, context.policy_classes.of(target.policy_id));
    writer.line("rewrite").words(["^"]).text(|text| location_name(text, index)).words(["last"]).end()?;
    writer.close();
    Some(())
}

/// Refuses what does not begin with the path as it was sent.
fn compare(writer: &mut Writer<'_>, place: &LocationKind<'_>, target: &ProxyTarget<'_>) -> Option<()> {
    writer.write(&REJECT);
    let condition = writer.line("if").words(["($request_uri", "!~"]);
    condition.pattern(|pattern| raw_path(pattern, place, target)).words([")"]).open(None)?;
    writer.write(&BAD_REQUEST);
    writer.close();
    if target.check == PathCheck::Rewritten {
        let condition = ["($request_uri", "~", "\"^[^?]*(?:[^A-Za-z0-9._~/?-]|//)\")"];
        writer.line("if").words(condition).open(None)?;
        writer.write(&BAD_REQUEST);
        writer.close();
        let path = if place.is_below() { "$sparrow_rest" } else { "/" };
        writer.line("rewrite").words(["^", path, "break"]).end()?;
    }
    Some(())
}

/// Matches the path as it was sent, with its query. What follows a prefix that is stripped becomes `$sparrow_rest`; a
/// variable of a pattern is set by a negative comparison too, where it fails.
fn raw_path(pattern: Pattern, place: &LocationKind<'_>, target: &ProxyTarget<'_>) -> Pattern {
    let (path, is_below) = (place.path(), place.is_below());
    if target.check != PathCheck::Rewritten {
        return sent_path(pattern, path, is_below, target.strips);
    }
    let rest = if is_below { ")(?<sparrow_rest>/[^?]*)" } else { ")(?:\\?|$)" };
    pattern.own("^(?<sparrow_prefix>").path(path).own(rest)
}

/// Sends the request on.
fn pass(
    writer: &mut Writer<'_>,
    place: &LocationKind<'_>,
    target: &ProxyTarget<'_>,
    context: &Context<'_>,
) -> Option<()> {
    let path = match target.check {
        _ if !target.strips => "",
        PathCheck::Plain => "/",
        PathCheck::Compared => rest_variable(place.is_below()),
        PathCheck::Rewritten => "",
    };
    let protocol = target.backend.protocol;
    let module = proxy_module(protocol, context.settings);
    let url = |text: Text| text.own(scheme(protocol, module)).upstream(target.upstream).own(path);
    writer.line(module.pass()).text(url).end()?;
    write_treatment(writer, protocol, target.policy, module, context)
}
