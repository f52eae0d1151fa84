//! The locations of what was chosen among rules: each does what one of a rule's own does, with the upstream that it is told.

use std::collections::HashMap;

use entry_model::{FixedAnswer, PathMatch, PathRewrite, Policy, Protocol, Redirect};
use pattern_engine::BoundedPattern;

use crate::context::Context;
use crate::error_page::{BAD_REQUEST, REJECT};
use crate::location_kind::LocationKind;
use crate::location_parts::{redirect_to_https, sent_path};
use crate::policy;
use crate::proxy_module::ProxyModule;
use crate::proxy_target::{proxy_module, rest_variable, scheme, write_treatment};
use crate::redirect::{answer, redirect, respond};
use crate::revision::MAIN;
use crate::rewritten_path::{check_sent, set_rewritten};
use crate::token::{Text, is_unreserved};
use crate::writer::{Directive, Writer, case, map};

/// The path of a request as it was sent, with its query: a path that was left out is the root.
pub fn variable() -> Directive<'static> {
    map("$request_uri", "$sparrow_request_target", vec![case("default", "$request_uri"), case("\"\"", "/")])
}

/// What is done with requests that were chosen, and which they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChosenLocation<'a> {
    pub path: ChosenPath<'a>,
    pub action: ChosenAction<'a>,
    pub policy: Policy,
}

/// Which paths the requests have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChosenPath<'a> {
    /// This path.
    Path(&'a str),
    /// The path of a prefix.
    Top(&'a str),
    /// More than this prefix.
    Below(&'a str),
    /// Those that a pattern of this text matches.
    Pattern(&'a str),
}

/// What is done with them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ChosenAction<'a> {
    /// They are forwarded to `$sparrow_upstream`.
    Forward {
        rewrite: &'a PathRewrite,
        protocol: Protocol,
    },
    Redirect(&'a Redirect),
    Respond(u16),
    Answer(&'a FixedAnswer),
}

/// The locations of a host.
#[derive(Debug, Default)]
pub struct ChosenLocations<'a>(HashMap<ChosenLocation<'a>, u32>);

impl<'a> ChosenPath<'a> {
    /// The paths at a place of those that a rule is for.
    pub fn of(place: &LocationKind<'_>, rule: &'a PathMatch) -> Self {
        match rule {
            PathMatch::Exact(path) => Self::Path(path),
            PathMatch::Regex(pattern) => Self::Pattern(pattern.text()),
            PathMatch::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/');
                match place {
                    LocationKind::Path(path) | LocationKind::Top(path) | LocationKind::Within { path, .. }
                        if *path == prefix =>
                    {
                        Self::Top(prefix)
                    }
                    _ => Self::Below(prefix),
                }
            }
        }
    }

    fn location_kind(self) -> Option<LocationKind<'a>> {
        match self {
            Self::Path(path) => Some(LocationKind::Path(path)),
            Self::Top(path) => Some(LocationKind::Top(path)),
            Self::Below(path) => Some(LocationKind::Below(path)),
            Self::Pattern(text) => BoundedPattern::parse(text).ok().map(LocationKind::Pattern),
        }
    }
}

impl<'a> ChosenLocations<'a> {
    /// The number of a location; none if nginx could not read it.
    pub fn add(&mut self, location: ChosenLocation<'a>, context: &Context<'_>) -> Option<u32> {
        if let Some(number) = self.0.get(&location) {
            return Some(*number);
        }
        let number = u32::try_from(self.0.len()).ok()?;
        location.write(&mut Writer::new(MAIN, 0), number, context)?;
        self.0.insert(location, number);
        Some(number)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes back those that were added since there were so many.
    pub fn truncate(&mut self, len: usize) {
        self.0.retain(|_, number| usize::try_from(*number).is_ok_and(|number| number < len));
    }

    /// Writes them.
    pub fn write(&self, writer: &mut Writer<'_>, context: &Context<'_>) {
        let mut locations: Vec<_> = self.0.iter().collect();
        locations.sort_unstable_by_key(|(_, number)| **number);
        for (location, number) in locations {
            // Each was written once when it was added: nginx can read it.
            let _ = location.write(writer, *number, context);
        }
    }
}

impl ChosenLocation<'_> {
    fn write(&self, writer: &mut Writer<'_>, number: u32, context: &Context<'_>) -> Option<()> {
        writer.line("location").words(["="]).text(|text| location_name(text, number)).open(None)?;
        writer.line("internal").end()?;
        if self.policy.redirect_to_https {
            redirect_to_https(writer, context)?;
        }
        let place = self.path.location_kind()?;
        match &self.action {
            ChosenAction::Respond(status) => respond(writer, *status, context.settings)?,
            ChosenAction::Answer(fixed) => answer(writer, fixed, &self.policy.answer_headers.added, context.settings)?,
            ChosenAction::Redirect(elsewhere) => redirect(writer, &place, elsewhere, context)?,
            ChosenAction::Forward { rewrite, protocol } => {
                self.forward(writer, &place, rewrite, *protocol, context)?;
            }
        }
        writer.close();
        Some(())
    }

    fn forward(
        &self,
        writer: &mut Writer<'_>,
        place: &LocationKind<'_>,
        rewrite: &PathRewrite,
        protocol: Protocol,
        context: &Context<'_>,
    ) -> Option<()> {
        let module = proxy_module(protocol, context.settings);
        policy::write_answers(writer, &self.policy, context.settings)?;
        let target = write_target(writer, place, rewrite)?;
        let target = if module == ProxyModule::Grpc {
            write_uri(writer, target)?;
            ""
        } else {
            target
        };
        let url = |text: Text| text.own(scheme(protocol, module)).own("$sparrow_upstream").own(target);
        writer.line(module.pass()).text(url).end()?;
        write_treatment(writer, protocol, &self.policy, module, context)
    }
}

/// Checks the path as it was sent. What the backend is asked for.
fn write_target(writer: &mut Writer<'_>, place: &LocationKind<'_>, rewrite: &PathRewrite) -> Option<&'static str> {
    let (path, is_below) = (place.path(), place.is_below());
    let is_pattern = matches!(place, LocationKind::Pattern(_));
    match rewrite {
        // A root has nothing to strip, nor has a pattern.
        PathRewrite::StripPrefix if !is_pattern && !path.is_empty() && path != "/" => {
            check_path(writer, path, is_below, true)?;
            Some(rest_variable(is_below))
        }
        PathRewrite::Keep | PathRewrite::StripPrefix if is_pattern => {
            check_sent(writer, place)?;
            Some("$sparrow_request_target")
        }
        PathRewrite::Keep | PathRewrite::StripPrefix => {
            check_path(writer, path, is_below, false)?;
            Some("$sparrow_request_target")
        }
        PathRewrite::ReplacePrefix(_)
        | PathRewrite::ReplaceFull(_)
        | PathRewrite::ReplaceTarget(_)
        | PathRewrite::Regex { .. } => {
            check_sent(writer, place)?;
            set_rewritten(writer, place, rewrite, ProxyModule::Proxy)?;
            Some("$sparrow_rewritten")
        }
    }
}

/// Rejects a request whose path, as it was sent, does not begin with the rule's.
fn check_path(writer: &mut Writer<'_>, path: &str, is_below: bool, strips: bool) -> Option<()> {
    let is_plain = !strips && path.bytes().all(is_unreserved);
    if is_plain && !path.is_empty() {
        writer.line("set").words(["$sparrow_path"]).literal(path).end()?;
    }
    writer.write(&REJECT);
    if !is_plain {
        let condition = writer.line("if").words(["($request_uri", "!~"]);
        condition.pattern(|pattern| sent_path(pattern, path, is_below, strips)).words([")"]).open(None)?;
        writer.write(&BAD_REQUEST);
        writer.close();
    }
    Some(())
}

/// Has nginx send the path of a target, which must be one that is the same in all its forms: `grpc_pass` takes none.
fn write_uri(writer: &mut Writer<'_>, target: &'static str) -> Option<()> {
    writer.line("set").words(["$sparrow_choice", target]).end()?;
    let path = r#""^(?<sparrow_rest>(?:/[A-Za-z0-9._~-]+)*+/?)(?:\\?|$)""#;
    writer.line("if").words(["($sparrow_choice", "!~", path, ")"]).open(None)?;
    writer.write(&BAD_REQUEST);
    writer.close();
    writer.line("rewrite").words(["^", "$sparrow_rest", "break"]).end()
}

/// The name of one. No path begins like this, so only a rewrite leads there.
pub fn location_name(text: Text, number: u32) -> Text {
    text.own("sparrow-chosen-").number(number)
}
