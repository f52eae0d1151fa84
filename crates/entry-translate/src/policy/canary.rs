//! A share of the requests for another backend.

use entry_model::{Pattern, Reason};

use super::annotations::Annotations;
use super::canary_request::{AFFINITY_BEHAVIOR, Canary, CanaryHeader, CanaryRole, DETAILS};
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic};
use super::value::{parse_boolean, parse_go_boolean};

pub const TOPIC: Topic = Topic {
    title: "Canary",
    own: &[
        own(
            "canary",
            "`true`, `false`: whether the Ingress serves nothing of its own, and gets some of the requests of the Ingress of its \
             namespace with the same host and path, whose annotations hold for them. A header decides first, then a cookie, then the \
             weight",
            "`false`",
            "true",
        ).narrows("requests for the paths are answered 503, unless another Ingress has them"),
        own(
            "canary-by-header",
            "the name of a header: with the value `always` the canary gets a request, with `never` it does not, and others do not matter",
            "no header matters",
            "X-Canary",
        ),
        own("canary-by-header-value", "the value of that header, instead of `always` and `never`", "`always` and `never`", "beta").narrows("no value of the header leads to the canary"),
        own(
            "canary-by-header-pattern",
            "a regular expression for the value of that header, where no value is given",
            "`always` and `never`",
            "^v[0-9]+$",
        ).narrows("no value of the header leads to the canary"),
        own(
            "canary-by-cookie",
            "the name of a cookie: with the value `always` the canary gets a request, with `never` it does not, and others do not matter",
            "no cookie matters",
            "canary",
        ),
        own("canary-weight", "how many of all other requests the canary gets, of `canary-weight-total`", "`0`", "10"),
        own("canary-weight-total", "of how many requests the weight is a share, at least `100`", "`100`", "1000").narrows("the weight is `0`"),
        own(
            AFFINITY_BEHAVIOR,
            "`sticky`, `legacy`: whether a session of a main with `affinity` stays with the canary or with its main, or the weight draws each request",
            "`sticky`",
            "legacy",
        ),
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::differs(
            "canary",
            Scope::Rule,
            "The same, for an Ingress of the same namespace; of several canaries of one path the oldest gets requests; it gets none of \
             other paths that lead to the same Service. A weight counts also while none of its endpoints is ready",
        )
        .unchanged_by(&["false"]),
        IngressNginxAnnotation::same("canary-by-cookie", Scope::Rule, "`always` and `never` of this cookie decide"),
        IngressNginxAnnotation::same("canary-by-header", Scope::Rule, "`always` and `never` of this header decide"),
        IngressNginxAnnotation::differs(
            "canary-by-header-pattern",
            Scope::Rule,
            "The same, without look-around, back-references and nested repetitions",
        ),
        IngressNginxAnnotation::same("canary-by-header-value", Scope::Rule, "This value of the header decides"),
        IngressNginxAnnotation::same("canary-weight", Scope::Rule, "The share of all other requests"),
        IngressNginxAnnotation::same("canary-weight-total", Scope::Rule, "Of how many, at least 100"),
        IngressNginxAnnotation::differs(
            AFFINITY_BEHAVIOR,
            Scope::Rule,
            "`sticky`, which is the default: a session stays with the canary or with its main; `legacy`: the weight draws each request. When a weight \
             changes, just as many sessions move as that takes, where they stay there; a header and a cookie of the canary come before, where they come \
             after there. Among several endpoints of the canary a session stays with one if the canary has `sparrow/backends: endpoints`",
        )
        .unchanged_by(&["sticky"]),
    ],
};

const fn own(name: &'static str, value: &'static str, default: &'static str, example: &'static str) -> OwnAnnotation {
    OwnAnnotation::new(name, Objects::Ingresses, value, default, example)
}

/// Reads them.
pub fn read<'a>(reader: &mut AnnotationReader<'a, '_>, annotations: &mut Annotations<'a>) {
    match read_role(reader) {
        Ok(false) => {}
        Ok(true) => {
            annotations.canary = Some(CanaryRole::Of(read_canary(reader)));
            // All else is what the other Ingress says.
            return reader.ignore_other_ingress_nginx();
        }
        Err(()) => {
            annotations.canary = Some(CanaryRole::Unknown);
            for name in DETAILS {
                let _ = (reader.own_text(name), reader.ingress_nginx_text(name));
            }
            return;
        }
    }
    for name in DETAILS.iter().copied() {
        let theirs = reader.ingress_nginx_text(name);
        if theirs.is_some_and(|text| name != AFFINITY_BEHAVIOR || text.trim() != "sticky") {
            let message = "The annotation has no effect, as in ingress-nginx: the Ingress is no canary; add the annotation `canary` with \
                           the value `true`, or remove this one";
            reader.report_note(name, Reason::Invalid, message.to_owned());
        }
        if reader.own_text(name).is_some() {
            let message = "The annotation has no effect: the Ingress is no canary; add the annotation sparrow/canary with the value \
                           `true`, or remove this one";
            reader.report_own_loss(name, Reason::Invalid, message.to_owned());
        }
    }
}

/// Whether the object is a canary. If that cannot be known, it must not take its main's place, nor leave its own, if it is a main, to a shorter
/// path: either may ask for a password.
fn read_role(reader: &mut AnnotationReader<'_, '_>) -> Result<bool, ()> {
    if reader.own_counts("canary", &["canary"]) {
        return reader.own_or_unusable("canary", parse_boolean).unwrap_or(Ok(false));
    }
    Ok(reader.ingress_nginx("canary", parse_go_boolean) == Some(true))
}

fn read_canary(reader: &mut AnnotationReader<'_, '_>) -> Canary {
    let header = reader.either("canary-by-header", parse_header);
    let value = read_value(reader);
    let pattern = read_pattern(reader);
    let header = header.map(|name| {
        let wanted = match (value, pattern) {
            (Some(Ok(value)), _) => CanaryHeader::Value(value.to_owned()),
            (None, Some(Ok(pattern))) => CanaryHeader::Pattern(pattern),
            (Some(Err(())), _) | (None, Some(Err(()))) => CanaryHeader::Nothing,
            (None, None) => CanaryHeader::AlwaysOrNever,
        };
        (name, wanted)
    });
    let cookie = reader.either("canary-by-cookie", parse_cookie).map(str::to_owned);
    let weight = reader.either("canary-weight", parse_number).unwrap_or(0);
    let (total, weight) = match read_total(reader) {
        Some(Err(())) => (100, 0),
        total => (total.and_then(Result::ok).unwrap_or(100).max(100), weight),
    };
    let draws_requests = reader.either(AFFINITY_BEHAVIOR, parse_affinity_behavior).unwrap_or(false);
    Canary { header, cookie, weight: weight.min(total), total, draws_requests }
}

/// The value of the header that decides. With one of ours that cannot be used none does: `always` would let in whoever does not know it.
fn read_value<'a>(reader: &mut AnnotationReader<'a, '_>) -> Option<Result<&'a str, ()>> {
    const NAME: &str = "canary-by-header-value";
    if reader.own_counts(NAME, &[NAME]) {
        return reader.own_or_unusable(NAME, parse_text);
    }
    reader.ingress_nginx(NAME, parse_text).map(Ok)
}

/// Of how many requests the weight is a share. With one of ours that cannot be used it is a share of none, rather than of fewer.
fn read_total(reader: &mut AnnotationReader<'_, '_>) -> Option<Result<u32, ()>> {
    const NAME: &str = "canary-weight-total";
    if reader.own_counts(NAME, &[NAME]) {
        return reader.own_or_unusable(NAME, parse_number);
    }
    reader.ingress_nginx(NAME, parse_number).map(Ok)
}

/// The pattern, if there is one, or that it cannot be used.
fn read_pattern(reader: &mut AnnotationReader<'_, '_>) -> Option<Result<Pattern, ()>> {
    const NAME: &str = "canary-by-header-pattern";
    let found = reader.first_text(NAME, &[NAME])?;
    let reason = if found.is_own() { Reason::Invalid } else { Reason::Unsupported };
    let compiled = pattern_engine::compile(found.text);
    Some(compiled.map_err(|error| reader.report_text_loss(&found, reason, unusable_pattern(error))))
}

fn unusable_pattern(error: pattern_engine::PatternError) -> String {
    format!(
        "The pattern cannot be used, so no header leads to the canary; the cookie and the weight stay in force: {error}"
    )
}

/// Whether each request is drawn.
fn parse_affinity_behavior(text: &str) -> Result<bool, &'static str> {
    match text.trim() {
        "sticky" => Ok(false),
        "legacy" => Ok(true),
        _ => Err("it is `sticky` or `legacy`"),
    }
}

/// The name of a header. nginx knows none with an underscore by it.
fn parse_header(text: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_name = !text.is_empty() && text.len() <= 100 && text.bytes().all(is_plain);
    let name = || text.to_ascii_lowercase().replace('_', "-");
    is_name.then(name).ok_or("a header has letters, digits and `-`, at most 100")
}

fn parse_text(text: &str) -> Result<&str, &'static str> {
    let is_value = |text: &&str| !text.is_empty() && text.len() <= 256 && !text.contains(|c: char| c.is_control());
    Some(text).filter(is_value).ok_or("a value has at least one character and at most 256")
}

fn parse_cookie(text: &str) -> Result<&str, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_name = |text: &&str| !text.is_empty() && text.len() <= 100 && text.bytes().all(is_plain);
    Some(text).filter(is_name).ok_or("a cookie has letters, digits, `-`, `_` and the like, at most 100")
}

fn parse_number(text: &str) -> Result<u32, &'static str> {
    let number = text.trim().parse().ok().filter(|number| *number <= 1_000_000);
    number.ok_or("it is a whole number from 0 to 1000000")
}
