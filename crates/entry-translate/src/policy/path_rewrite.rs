//! What paths are, and what becomes of them.

use std::borrow::Cow;

use entry_model::{Reason, Scheme, TemplatePart, template_parts};

use super::annotations::Annotations;
use super::forwarded_prefix::read_forwarded_prefix;
use super::path_treatment::{PathTarget, PathTreatment, PatternDialect};
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::url::parse_authority;
use super::value::{parse_boolean, parse_go_boolean};

/// Longest target of a rewrite, in bytes.
const MAX_TARGET_BYTES: usize = 512;

pub const TOPIC: Topic = Topic {
    title: "Paths and rewriting",
    own: &[
        OwnAnnotation {
            name: "strip-prefix",
            objects: Objects::ServicesAndIngresses,
            value: "`true`, `false`: whether the path that matched is taken off before forwarding",
            default: "Services: `true`; Ingresses: `false`",
            example: "false",
            unusable: UnusableValue::Closes,
        },
        OwnAnnotation {
            name: "replace-prefix",
            objects: Objects::ServicesAndIngresses,
            value: "a path that replaces the one that matched; what follows it stays",
            default: "none",
            example: "/v2",
            unusable: UnusableValue::Closes,
        },
        OwnAnnotation {
            name: "forwarded-prefix",
            objects: Objects::ServicesAndIngresses,
            value: "a path that backends are told in `X-Forwarded-Prefix`",
            default: "the prefix that is taken off, if one is",
            example: "/shop",
            unusable: UnusableValue::Ignored,
        },
        OwnAnnotation {
            name: "path-regex",
            objects: Objects::ServicesAndIngresses,
            value: "`true`, `false`: whether the paths of the object are [regular expressions](#regular-expressions), whatever their type",
            default: "`false`",
            example: "true",
            unusable: UnusableValue::Closes,
        },
        OwnAnnotation {
            name: "rewrite",
            objects: Objects::ServicesAndIngresses,
            value: "a path that replaces the whole path before forwarding; `$1` to `$9` stand for what the groups of its regular \
                    expression matched; the query stays",
            default: "none",
            example: "/items/$1",
            unusable: UnusableValue::Closes,
        },
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::differs(
            "rewrite-target",
            Scope::Rule,
            "The whole path is replaced by the target, `$1` to `$9` stand for what groups matched, the query stays, and an absolute \
             target is a redirect with 302. What is made of the path is forwarded as it was sent, not decoded. A path without \
             characters of regular expressions stays what its type says; a path and a target that together take off a prefix, or change \
             nothing, are a prefix, for which case counts. Other Ingresses of the host are not touched",
        ),
        IngressNginxAnnotation::differs(
            "use-regex",
            Scope::Rule,
            "The paths of the Ingress are regular expressions, whatever their type: bound to the beginning of the path, case \
             ignored, tried by their length. There is no look-around. Paths of other Ingresses of the host stay what they are",
        )
        .unchanged_by(&["false"]),
        IngressNginxAnnotation::same(
            "preserve-trailing-slash",
            Scope::Rule,
            "Redirects to HTTPS keep a final slash, with this annotation and without it",
        ),
        IngressNginxAnnotation::differs(
            "x-forwarded-prefix",
            Scope::Rule,
            "What backends are told in `X-Forwarded-Prefix`, whatever the client says in it; with `rewrite-target` alone, as there. \
             Groups (`$1`) are not put in. Without it they are told the prefix that is taken off, if one is, and nothing there",
        ),
    ],
};

/// Reads them.
pub fn read<'a>(reader: &mut AnnotationReader<'a, '_>, annotations: &mut Annotations<'a>) {
    annotations.strip_prefix = reader.own("strip-prefix", parse_boolean);
    // They change nothing: redirects keep the path as it was sent.
    let _ = reader.ingress_nginx_text("preserve-trailing-slash");
    let theirs = read_ingress_nginx(reader);
    let patterns = match reader.own_or_unusable("path-regex", parse_boolean) {
        Some(is_pattern) => {
            reader.own_counts("path-regex", &["use-regex"]);
            // A pattern matches what a path does, and more: where it is not known which it is, all of that is closed.
            if is_pattern.unwrap_or(true) { PatternDialect::Own } else { PatternDialect::Plain }
        }
        None => theirs.patterns,
    };
    let prefix = read_forwarded_prefix(reader, theirs.target.is_some());
    annotations.policy.request_headers.set.extend(prefix);
    annotations.paths = PathTreatment { patterns, target: read_target(reader, theirs.target) };
}

/// What paths become by ours, else by that of ingress-nginx.
fn read_target<'a>(reader: &mut AnnotationReader<'a, '_>, theirs: Option<PathTarget<'a>>) -> Option<PathTarget<'a>> {
    let prefix = reader.own("replace-prefix", parse_replacement).map(PathTarget::Prefix);
    let whole = reader.own("rewrite", parse_template).map(PathTarget::Whole);
    for name in ["rewrite", "replace-prefix"] {
        reader.own_counts(name, &["rewrite-target"]);
    }
    whole.or(prefix).or(theirs)
}

fn read_ingress_nginx<'a>(reader: &mut AnnotationReader<'a, '_>) -> PathTreatment<'a> {
    let use_regex = reader.ingress_nginx("use-regex", parse_go_boolean).unwrap_or(false);
    let text = reader.ingress_nginx_text("rewrite-target").map(str::trim).filter(|text| !text.is_empty());
    let paths = reader.context.paths;
    // A target that is the path itself changes nothing.
    let text = text.filter(|text| paths.iter().any(|path| path != text));
    let target = text.map(|text| {
        parse_target(text).unwrap_or_else(|hint| {
            let message = format!(
                "The target {} cannot be used, so requests for the paths of the Ingress are answered 503: {hint}",
                crate::verdict_draft::quoted(text)
            );
            reader.report_loss("rewrite-target", Reason::Invalid, message);
            PathTarget::Unusable
        })
    });
    let patterns = if use_regex || target.is_some() { PatternDialect::IngressNginx } else { PatternDialect::Plain };
    PathTreatment { patterns, target }
}

/// Reads a target of ingress-nginx: the template of a path, or a URL with one.
pub fn parse_target(text: &str) -> Result<PathTarget<'_>, &'static str> {
    let schemes = [("http://", Some(Scheme::Http)), ("https://", Some(Scheme::Https)), ("$scheme://", None)];
    let found = schemes.into_iter().find_map(|(prefix, scheme)| Some((text.strip_prefix(prefix)?, scheme)));
    let Some((rest, scheme)) = found else { return parse_template(text).map(PathTarget::Whole) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, port) = parse_authority(&rest[..end])?;
    let path = match &rest[end..] {
        "" => Cow::Borrowed("/"),
        path => Cow::Borrowed(parse_template(path)?),
    };
    Ok(PathTarget::Elsewhere { scheme, host, port, path })
}

/// Reads the template of a path.
pub fn parse_template(text: &str) -> Result<&str, &'static str> {
    let is_template = text.split('$').skip(1).all(|after| after.starts_with(|c: char| c.is_ascii_digit()));
    if !text.starts_with(['/', '$']) {
        Err("write a path that begins with `/`")
    } else if text.len() > MAX_TARGET_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err("write at most 512 characters of ASCII, without blanks")
    } else if !is_template {
        Err("write `$` only before the number of a group, `$1` to `$9`")
    } else if text.contains(['?', '#']) {
        Err("write a path without query and fragment: the query of a request stays")
    } else if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        Err("write it without the segments `.` and `..`")
    } else {
        Ok(text)
    }
}

/// Reads a path that replaces a prefix.
fn parse_replacement(text: &str) -> Result<&str, &'static str> {
    if text.contains('$') { Err("write a path without `$`") } else { parse_template(text) }
}

/// A template without what its groups stand for; none if it has groups.
pub fn constant(template: &str) -> Option<&str> {
    template_parts(template).all(|part| matches!(part, TemplatePart::Text(_))).then_some(template)
}

/// A template for a path that has no groups: they stand for nothing.
pub fn without_groups(template: &str) -> String {
    let texts = template_parts(template).map(|part| match part {
        TemplatePart::Text(text) => text,
        TemplatePart::Group(_) => "",
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_a_template_or_a_url_with_one() {
        for text in ["/", "/$1", "/a/$2/b$1", "$1", "/a.b/..c/", "/~a!*'();:@&=+,"] {
            assert_eq!(parse_target(text), Ok(PathTarget::Whole(text)), "{text}");
        }
        let elsewhere = |scheme, port, path: &'static str| {
            Ok(PathTarget::Elsewhere { scheme, host: "b.example".to_owned(), port, path: path.into() })
        };
        assert_eq!(parse_target("https://b.example/$1"), elsewhere(Some(Scheme::Https), None, "/$1"));
        assert_eq!(parse_target("http://B.example:81"), elsewhere(Some(Scheme::Http), Some(81), "/"));
        assert_eq!(parse_target("$scheme://b.example/x"), elsewhere(None, None, "/x"));
        for text in [
            "a",
            "/$host",
            "/$",
            "/$$",
            "/${1}",
            "/a b",
            "/é",
            "/\"; return 200 x;",
            "/a?b=$1",
            "/a#b",
            "/../x",
            "/a/.",
            "https://$host/x",
            "https://",
            "https:///x",
            "https://b.example:0/",
            "https://b.example:x/",
            "https://user@b.example/",
            "https://*.b.example/",
            "https://b.example?x",
            "ftp://b.example/",
            "//b.example\n/",
            &"/x".repeat(300),
        ] {
            assert!(parse_target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn groups_of_templates_are_found() {
        assert_eq!((constant("/a"), constant("/$1")), (Some("/a"), None));
        assert_eq!(without_groups("/a$1/b$2"), "/a/b");
    }
}
