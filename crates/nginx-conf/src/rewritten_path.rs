//! Locations of patterns, and of paths that become others: what is asked for is made of the path as it was sent.
//!
//! nginx matches a pattern with the normalised path. The path as it was sent must match too, else 400: it could mean something else to
//! the backend. nginx's engine goes back and tries again, so each pattern says how often it may; where that is not enough the answer
//! is 500, after milliseconds, and nginx logs it.

use entry_model::{PathRewrite, TemplatePart, template_parts};
use pattern_engine::{BoundedPattern, Groups, Subject};

use crate::context::Context;
use crate::error_page::{BAD_REQUEST, REJECT};
use crate::location_kind::LocationKind;
use crate::match_limit::MATCH_LIMIT;
use crate::proxy_module::ProxyModule;
use crate::proxy_target::{ProxyTarget, proxy_module, scheme, write_treatment};
use crate::token::{Pattern, Text};
use crate::writer::{Directive, Writer, case, map};

/// How groups of patterns are named: with this, and their number.
const GROUP: &str = "sparrow_group_";

/// What is asked for must begin with a slash, else it would be a part of the host, and have no dot segment.
pub fn maps(dot_segments: &'static str) -> [Directive<'static>; 2] {
    [
        map("\"\"", "$sparrow_rewritten", vec![case("default", "\"\"")]),
        map(
            "$sparrow_rewritten",
            "$sparrow_rewritten_rejected",
            vec![case("default", "1"), case(dot_segments, "1"), case("~#", "1"), case("~^/", "0")],
        ),
    ]
}

/// Adds a pattern that is run on normalised paths.
pub fn path_pattern(out: Pattern, pattern: &BoundedPattern) -> Pattern {
    out.own(MATCH_LIMIT).bounded(pattern, Subject::Value, Groups::Plain)
}

/// Writes what a location does that forwards requests of a pattern, or whose path becomes another.
pub fn forward(
    writer: &mut Writer<'_>,
    place: &LocationKind<'_>,
    target: &ProxyTarget<'_>,
    context: &Context<'_>,
) -> Option<()> {
    let module = proxy_module(target.backend.protocol, context.settings);
    check_sent(writer, place)?;
    let rewrites = !is_kept(place, target.rewrite);
    if rewrites {
        set_rewritten(writer, place, target.rewrite, module)?;
    }
    let path = if rewrites && module == ProxyModule::Proxy { "$sparrow_rewritten" } else { "" };
    let protocol = target.backend.protocol;
    let url = |text: Text| text.own(scheme(protocol, module)).upstream(target.upstream).own(path);
    writer.line(module.pass()).text(url).end()?;
    write_treatment(writer, protocol, target.policy, module, context)
}

/// Whether the path stays as it is. Of a pattern there is no prefix.
fn is_kept(place: &LocationKind<'_>, rewrite: &PathRewrite) -> bool {
    *rewrite == PathRewrite::Keep || (*rewrite == PathRewrite::StripPrefix && matches!(place, LocationKind::Pattern(_)))
}

/// Rejects a request whose path, as it was sent, is not what the location is for. What follows a prefix in it becomes
/// `$sparrow_rest`, or all of a path that a pattern matches; its query with the question mark `$sparrow_query`.
pub fn check_sent(writer: &mut Writer<'_>, place: &LocationKind<'_>) -> Option<()> {
    writer.write(&REJECT);
    let condition = writer.line("if").words(["($request_uri", "!~"]);
    let sent = |out: Pattern| match place {
        LocationKind::Pattern(pattern) => {
            let before = if pattern.is_anchored() { "" } else { "[^?]*?" };
            let out = out.own(MATCH_LIMIT).own("^(?<sparrow_rest>(?=").own(before);
            out.bounded(pattern, Subject::Target, Groups::Plain).own(")[^?]*)(?<sparrow_query>.*)$")
        }
        // A target may have no path, which stands for the root.
        LocationKind::Path("/") => out.own("^/?(?<sparrow_rest>)(?<sparrow_query>(?:\\?.*)?)$"),
        LocationKind::Path(path) | LocationKind::Top(path) => {
            out.own("^").path(path).own("(?<sparrow_rest>)(?<sparrow_query>(?:\\?.*)?)$")
        }
        LocationKind::Below("") | LocationKind::Default => out.own("^(?<sparrow_rest>[^?]*)(?<sparrow_query>.*)$"),
        LocationKind::Below(path) | LocationKind::Within { prefix: path, .. } => {
            out.own("^").path(path).own("(?<sparrow_rest>/[^?]*)(?<sparrow_query>.*)$")
        }
    };
    condition.pattern(sent).words([")"]).open(None)?;
    writer.write(&BAD_REQUEST);
    writer.close();
    Some(())
}

/// Makes `$sparrow_rewritten` what is asked for; for `grpc_pass`, which takes no path, the URI that nginx sends.
pub fn set_rewritten(
    writer: &mut Writer<'_>,
    place: &LocationKind<'_>,
    rewrite: &PathRewrite,
    module: ProxyModule,
) -> Option<()> {
    let is_pattern = matches!(place, LocationKind::Pattern(_));
    let query = |text: Text| if module == ProxyModule::Proxy { text.own("$sparrow_query") } else { text };
    let (replacement, rest) = match rewrite {
        PathRewrite::Regex { pattern, template } => {
            replace_pattern(writer, pattern, template, module)?;
            return if module == ProxyModule::Grpc { write_uri(writer) } else { Some(()) };
        }
        PathRewrite::ReplaceTarget(target) => {
            writer.line("set").words(["$sparrow_rewritten"]).text(|text| text.url_target(&target.to_string())).end()?;
            return if module == ProxyModule::Grpc { write_uri(writer) } else { Some(()) };
        }
        PathRewrite::ReplacePrefix(replacement) => (replacement.as_str(), "$sparrow_rest"),
        PathRewrite::ReplaceFull(replacement) => (replacement.as_str(), ""),
        PathRewrite::StripPrefix if !is_pattern && !place.is_below() => ("/", ""),
        PathRewrite::StripPrefix => ("", "$sparrow_rest"),
        PathRewrite::Keep => return writer.line("set").words(["$sparrow_rewritten", "$request_uri"]).end(),
    };
    let value = |text: Text| query(text.url_path(replacement).own(rest));
    writer.line("set").words(["$sparrow_rewritten"]).text(value).end()?;
    if module == ProxyModule::Grpc { write_uri(writer) } else { Some(()) }
}

/// What a pattern matches of the path as it was sent becomes the template; a path that it does not match stays.
fn replace_pattern(
    writer: &mut Writer<'_>,
    pattern: &entry_model::Pattern,
    template: &str,
    module: ProxyModule,
) -> Option<()> {
    let bounded = BoundedPattern::parse(pattern.text()).ok()?;
    let unchanged = if module == ProxyModule::Proxy { "$request_uri" } else { "$uri" };
    writer.line("set").words(["$sparrow_rewritten", unchanged]).end()?;
    let condition = writer.line("if").words(["($request_uri", "~"]);
    let sent = |out: Pattern| {
        let before = if bounded.is_anchored() { "^(?<sparrow_before>)" } else { "^(?<sparrow_before>[^?]*?)" };
        let out = out.own(MATCH_LIMIT).own(before).own("(?<sparrow_group_0>");
        let out = out.bounded(&bounded, Subject::Target, Groups::Named(GROUP));
        out.own(")(?<sparrow_after>[^?]*)(?<sparrow_query>.*)$")
    };
    condition.pattern(sent).words([")"]).open(None)?;
    let value = |text: Text| {
        let parts = template_parts(template);
        let text = parts.fold(text.own("${sparrow_before}"), |text, part| match part {
            TemplatePart::Text(literal) => text.url_path(literal),
            TemplatePart::Group(group) if bounded.has_group(group) => {
                text.own("${sparrow_group_").number(group).own("}")
            }
            TemplatePart::Group(_) => text,
        });
        let text = text.own("${sparrow_after}");
        if module == ProxyModule::Proxy { text.own("$sparrow_query") } else { text }
    };
    writer.line("set").words(["$sparrow_rewritten"]).text(value).end()?;
    writer.close();
    writer.line("if").words(["($sparrow_rewritten_rejected)"]).open(None)?;
    writer.write(&BAD_REQUEST);
    writer.close();
    Some(())
}

/// Has nginx send the path that was made, which must be one that is the same in all its forms.
fn write_uri(writer: &mut Writer<'_>) -> Option<()> {
    for value in ["($request_uri", "($sparrow_rewritten"] {
        writer.line("if").words([value, "~", "\"^[^?]*(?:[^A-Za-z0-9._~/?-]|//)\")"]).open(None)?;
        writer.write(&BAD_REQUEST);
        writer.close();
    }
    writer.line("rewrite").words(["^", "$sparrow_rewritten", "break"]).end()
}
