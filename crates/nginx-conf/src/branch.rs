//! Locations that choose among rules: by what a request has beside its path, and by chance.
//!
//! ```text
//! location of a path ─► first rule whose conditions hold ─► a share of it ─► location of what was chosen
//! ```
//!
//! Directives of the rewrite module follow each other here, in the order in which rules are tried. What was chosen is done in a
//! location of its own ([`crate::chosen`]), since what policies ask for cannot stand in an `if`.

use entry_model::{Action, Balancing, Destination, Rule};

use crate::balancing_key::write_number;
use crate::chosen::{ChosenAction, ChosenLocation, ChosenLocations, ChosenPath, location_name};
use crate::condition::{Condition, conditions};
use crate::context::Context;
use crate::error_page::not_found;
use crate::inexpressible::{self, can_respond, is_final};
use crate::location_kind::LocationKind;
use crate::location_parts::write_route_name;
use crate::redirect::respond;
use crate::share::{below, shares};
use crate::token::{Text, size};
use crate::upstream_name::UpstreamName;
use crate::writer::Writer;

/// What becomes of a share of a rule's requests.
struct Outcome<'a> {
    /// The numbers of these requests are below it; none for all others.
    bound: Option<u64>,
    /// Where they are forwarded to.
    upstream: Option<UpstreamName<'a>>,
    /// The location that does it.
    location: u32,
}

/// Writes what a location does that chooses among these rules; its line is written, and it is closed by whoever did.
pub fn write<'a>(
    writer: &mut Writer<'a>,
    place: &LocationKind<'_>,
    rules: &[&'a Rule],
    context: &Context<'_>,
    chosen: &mut ChosenLocations<'a>,
) -> Option<()> {
    write_largest_body(writer, rules, context)?;
    if rules.iter().any(|rule| context.routes.policy(rule).redirect_to_https) {
        // It depends on the path, which is another one in the location that was chosen: it is kept from here on.
        writer.line("set").words(["$sparrow_choice", "$sparrow_is_plain_http"]).end()?;
    }
    for rule in rules {
        write_rule(writer, place, rule, context, chosen)?;
    }
    match (rules.last(), place) {
        (Some(last), _) if is_final(last) => return Some(()),
        // Which other rules match such a path is not known here.
        (_, LocationKind::Pattern(_)) => respond(writer, 503, context.settings)?,
        _ => {
            writer.line("set").words(["$sparrow_route", "\"\""]).end()?;
            for directive in not_found(context.settings) {
                writer.write(&directive);
            }
        }
    }
    Some(())
}

/// nginx looks at the size of a body where it first comes, and then where it is forwarded: here none may be smaller than there.
fn write_largest_body(writer: &mut Writer<'_>, rules: &[&Rule], context: &Context<'_>) -> Option<()> {
    let sizes: Vec<Option<u64>> = rules.iter().map(|rule| context.routes.policy(rule).max_body_bytes).collect();
    if sizes.iter().all(Option::is_none) {
        return Some(());
    }
    let sizes = sizes.into_iter().map(|size| size.unwrap_or(context.settings.max_body_bytes));
    // 0 is without limit.
    let largest = sizes.max_by_key(|size| size.wrapping_sub(1)).unwrap_or(0);
    writer.line("client_max_body_size").token(&size(largest)).end()
}

/// Writes what becomes of the requests that get a rule; all others go on with what follows.
fn write_rule<'a>(
    writer: &mut Writer<'a>,
    place: &LocationKind<'_>,
    rule: &'a Rule,
    context: &Context<'_>,
    chosen: &mut ChosenLocations<'a>,
) -> Option<()> {
    write_route_name(writer, rule)?;
    let outcomes = outcomes(place, rule, context, chosen)?;
    let conditions = if is_final(rule) { Vec::new() } else { conditions(&rule.matches) };
    let balancing = &context.routes.policy(rule).balancing;
    let is_session = matches!(balancing, Balancing::Session(cookie) if !cookie.changes_share);
    let subject = match (&conditions[..], &outcomes[..]) {
        ([], [_]) => "",
        ([], _) if !is_session => "($request_id",
        ([condition], [outcome]) => {
            condition.open_if(writer, true)?;
            lead(writer, outcome)?;
            writer.close();
            return Some(());
        }
        (conditions, _) => {
            test(writer, conditions)?;
            let misses = if conditions.is_empty() { "" } else { "$sparrow_misses" };
            let number = |text: Text| write_number(text.own(misses), balancing);
            writer.line("set").words(["$sparrow_choice"]).text(number).end()?;
            "($sparrow_choice"
        }
    };
    for outcome in &outcomes {
        if outcome.bound.is_none() && conditions.is_empty() {
            return lead(writer, outcome);
        }
        let line = writer.line("if").words([subject, "~"]).pattern(|pattern| {
            let pattern = pattern.own(if conditions.is_empty() { "^" } else { "^0" });
            match outcome.bound {
                Some(bound) => below(pattern, bound),
                None => pattern,
            }
        });
        line.words([")"]).open(None)?;
        lead(writer, outcome)?;
        writer.close();
    }
    Some(())
}

/// Sets `$sparrow_misses`: 1 for requests that do not meet the conditions.
fn test(writer: &mut Writer<'_>, conditions: &[Condition<'_>]) -> Option<()> {
    if conditions.is_empty() {
        return Some(());
    }
    writer.line("set").words(["$sparrow_misses", "0"]).end()?;
    for condition in conditions {
        condition.open_if(writer, false)?;
        writer.line("set").words(["$sparrow_misses", "1"]).end()?;
        writer.close();
    }
    Some(())
}

/// What becomes of a rule's requests, share by share.
fn outcomes<'a: 'c, 'c>(
    place: &LocationKind<'_>,
    rule: &'a Rule,
    context: &'c Context<'_>,
    chosen: &mut ChosenLocations<'a>,
) -> Option<Vec<Outcome<'c>>> {
    let path = ChosenPath::of(place, &rule.matches.path);
    let policy = context.routes.policy(rule);
    let mut add = |action| chosen.add(ChosenLocation { path, action, policy: policy.clone() }, context);
    let (rewrite, shares) = match &rule.action {
        Action::Forward(forward) if inexpressible::of_rule(rule).is_none() => (&forward.path, shares(forward)),
        action => {
            let action = match action {
                Action::Redirect(redirect) if inexpressible::of_rule(rule).is_none() => {
                    ChosenAction::Redirect(redirect)
                }
                Action::Respond(status) if inexpressible::of_rule(rule).is_none() => ChosenAction::Respond(*status),
                Action::Answer(answer) if inexpressible::of_rule(rule).is_none() => ChosenAction::Answer(answer),
                _ => ChosenAction::Respond(503),
            };
            return Some(vec![Outcome { bound: None, upstream: None, location: add(action)? }]);
        }
    };
    if shares.is_empty() {
        // As the Gateway API has it.
        return Some(vec![Outcome { bound: None, upstream: None, location: add(ChosenAction::Respond(500))? }]);
    }
    shares
        .into_iter()
        .map(|(bound, share)| {
            let (upstream, action) = match &share.destination {
                Destination::Status(status) if can_respond(*status) => (None, ChosenAction::Respond(*status)),
                Destination::Status(_) => (None, ChosenAction::Respond(500)),
                Destination::Backend(backend) => match context.upstreams.name(backend, policy) {
                    None => (None, ChosenAction::Respond(503)),
                    upstream => (upstream, ChosenAction::Forward { rewrite, protocol: backend.protocol }),
                },
            };
            Some(Outcome { bound, upstream, location: add(action)? })
        })
        .collect()
}

/// Leads a request to the location of what was chosen.
fn lead(writer: &mut Writer<'_>, outcome: &Outcome<'_>) -> Option<()> {
    if let Some(upstream) = outcome.upstream {
        writer.line("set").words(["$sparrow_upstream"]).text(|text| text.upstream(upstream)).end()?;
    }
    writer.line("rewrite").words(["^"]).text(|text| location_name(text, outcome.location)).words(["last"]).end()
}
