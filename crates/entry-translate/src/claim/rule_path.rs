//! What the path of a rule matches, and what becomes of the path of a request.

use entry_model::{Action, PathMatch, PathRewrite, Redirect, TemplatePart, template_parts};
use pattern_engine::{MAX_PATTERN_BYTES, PatternError, compile};

use crate::anchored_pattern::{anchored, anchored_whole, literal_beginning};
use crate::path::{into_prefix, parse_path};
use crate::policy::path_rewrite::{constant, without_groups};
use crate::policy::path_treatment::{PathTarget, PathTreatment, PatternDialect};
use crate::verdict_draft::quoted;

/// What the path of a rule matches, and what becomes of the path of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct RulePath {
    pub matches: PathMatch,
    pub outcome: PathOutcome,
}

/// What becomes of the path of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum PathOutcome {
    /// It is forwarded, with a path that becomes this; without one, as for all paths of the object.
    Forward(Option<PathRewrite>),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// It is not known.
    Unavailable,
}

impl PathOutcome {
    /// What becomes of a path that is forwarded, if that is said.
    pub fn into_rewrite(self) -> Option<PathRewrite> {
        if let Self::Forward(rewrite) = self { rewrite } else { None }
    }

    /// What is done without a backend.
    pub fn without_backend(&self) -> Option<Action> {
        match self {
            Self::Forward(_) => None,
            Self::Redirect(redirect) => Some(Action::Redirect(redirect.clone())),
            Self::Unavailable => Some(Action::UNAVAILABLE),
        }
    }
}

/// Reads the path of a rule. `all` are those of its object: patterns become paths where they mean nearly the same, but only if all do, since
/// patterns are tried by their length. Without them patterns become paths only where they mean the same: a path is for whole segments and
/// its case counts, which lets through what a pattern holds back.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn read_rule_path(
    text: &str,
    is_exact: bool,
    treatment: &PathTreatment<'_>,
    all: Option<&[&str]>,
) -> Result<RulePath, String> {
    let template = template_of(text, treatment);
    let (matches, rewrite) = match treatment.patterns {
        PatternDialect::Plain => {
            (plain_match(text, is_exact)?, template.map(|template| whole(&without_groups(template))))
        }
        PatternDialect::Own => pattern_match(text, false, template)?,
        PatternDialect::IngressNginx => {
            let is_plain = |text: &&str| as_path(text, template_of(text, treatment)).is_some();
            let is_same = |(path, _): &(&str, Option<PathRewrite>)| *path == "/";
            let plain = as_path(text, template).filter(|plain| match all {
                Some(all) => all.iter().all(is_plain),
                None => is_same(plain),
            });
            match plain {
                Some((plain, rewrite)) if plain == text => (plain_match(text, is_exact)?, rewrite),
                Some((prefix, rewrite)) => (plain_match(prefix, false)?, rewrite),
                None => pattern_match(text, true, template)?,
            }
        }
    };
    Ok(RulePath { matches, outcome: outcome(rewrite, treatment) })
}

/// What stands for a pattern that cannot be used: all that begins as it does, up to its first sign, and is not served. None if it is no
/// pattern, and so no path that a request has.
pub fn unusable_path(text: &str, treatment: &PathTreatment<'_>) -> Option<RulePath> {
    let case = match treatment.patterns {
        PatternDialect::Plain => return None,
        PatternDialect::Own => "",
        PatternDialect::IngressNginx => "(?i)",
    };
    let pattern = compile(&format!("{case}^{}", literal_beginning(text))).ok()?;
    // It stands among the others where the pattern itself would.
    let written: String =
        text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(MAX_PATTERN_BYTES).collect();
    Some(RulePath { matches: PathMatch::Regex(pattern.written_as(&written)), outcome: PathOutcome::Unavailable })
}

/// What the whole path becomes, if that is said and is not the path itself.
fn template_of<'a>(text: &str, treatment: &'a PathTreatment<'_>) -> Option<&'a str> {
    let template = match &treatment.target {
        Some(PathTarget::Whole(template)) => template,
        Some(PathTarget::Elsewhere { path, .. }) => &**path,
        Some(PathTarget::Prefix(_) | PathTarget::Matched { .. } | PathTarget::Unusable) | None => return None,
    };
    let is_itself = matches!(treatment.target, Some(PathTarget::Whole(_))) && template == text;
    (!is_itself).then_some(template)
}

fn outcome(rewrite: Option<PathRewrite>, treatment: &PathTreatment<'_>) -> PathOutcome {
    match &treatment.target {
        Some(PathTarget::Unusable) => PathOutcome::Unavailable,
        Some(PathTarget::Prefix(replacement)) => PathOutcome::Forward(Some(PathRewrite::replace_prefix(replacement))),
        Some(PathTarget::Matched { pattern, template }) => {
            PathOutcome::Forward(Some(PathRewrite::Regex { pattern: pattern.clone(), template: template.clone() }))
        }
        Some(PathTarget::Elsewhere { scheme, host, port, .. }) => PathOutcome::Redirect(Redirect {
            status: 302,
            scheme: *scheme,
            host: Some(host.clone()),
            port: *port,
            path: rewrite.unwrap_or(PathRewrite::Keep),
        }),
        Some(PathTarget::Whole(_)) | None => PathOutcome::Forward(rewrite),
    }
}

fn plain_match(text: &str, is_exact: bool) -> Result<PathMatch, String> {
    let path = parse_path(text)?;
    Ok(if is_exact { PathMatch::Exact(path) } else { PathMatch::Prefix(into_prefix(path)) })
}

fn pattern_match(
    text: &str,
    ignores_case: bool,
    template: Option<&str>,
) -> Result<(PathMatch, Option<PathRewrite>), String> {
    let wrong =
        |error: PatternError| format!("The path {} cannot be used as a regular expression: {error}", quoted(text));
    if !text.starts_with(['/', '^', '(']) {
        return Err(format!("The path {} cannot be used: write it with a `/` at the front", quoted(text)));
    }
    let pattern = anchored(text, ignores_case).map_err(wrong)?.written_as(text);
    let rewrite = match template {
        None => None,
        Some(template) => Some(match constant(template) {
            Some(path) => whole(path),
            None => PathRewrite::Regex {
                pattern: anchored_whole(text, ignores_case).map_err(wrong)?,
                template: template.to_owned(),
            },
        }),
    };
    Ok((PathMatch::Regex(pattern), rewrite))
}

/// A rewrite of the whole path. Without anything, the path is the root.
fn whole(path: &str) -> PathRewrite {
    PathRewrite::ReplaceFull(if path.is_empty() { "/" } else { path }.to_owned())
}

/// The path that a pattern of ingress-nginx stands for, and what becomes of it, where a path and a rewrite mean the same.
fn as_path<'a>(text: &'a str, template: Option<&str>) -> Option<(&'a str, Option<PathRewrite>)> {
    let groups = template.map(|template| (constant(template), template));
    if is_literal(text) {
        // What groups stand for that it does not have is nothing.
        return Some((text, template.map(|template| whole(&without_groups(template)))));
    }
    let strips = text.strip_suffix("(/|$)(.*)").filter(|path| is_literal(path) && !path.is_empty());
    let all = ["/(.*)", "/?(.*)", "/.*"].contains(&text);
    match groups {
        None if all => Some(("/", None)),
        None => Some((strips?, None)),
        Some((Some(path), _)) if all => Some(("/", Some(whole(path)))),
        Some((Some(path), _)) => Some((strips?, Some(whole(path)))),
        Some((None, "/$1")) if text == "/(.*)" || text == "/?(.*)" => Some(("/", None)),
        Some((None, "/$2")) => Some((strips?, Some(PathRewrite::StripPrefix))),
        Some((None, _)) => None,
    }
}

/// Whether a path has no character that means something in a pattern. A dot is taken for itself: many paths have one.
fn is_literal(text: &str) -> bool {
    text.starts_with('/') && !text.contains(['\\', '^', '$', '|', '?', '*', '+', '(', ')', '[', ']', '{', '}'])
}

/// The highest number of a group that the target names and a pattern does not have.
pub fn missing_group(text: &str, treatment: &PathTreatment<'_>) -> Option<u8> {
    let has_group =
        |group: &u8| pattern_engine::BoundedPattern::parse(text).is_ok_and(|pattern| pattern.has_group(*group));
    let groups = template_parts(template_of(text, treatment)?).filter_map(|part| match part {
        TemplatePart::Group(group) => Some(group),
        TemplatePart::Text(_) => None,
    });
    groups.filter(|group| !has_group(group)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_that_cannot_be_used_keeps_whatever_begins_like_it() {
        for (text, beginning) in [
            ("/admin(?!/public)", "/admin"),
            ("^/admin/(.*)\\1", "/admin/"),
            ("/admins?(?=/)", "/admin"),
            ("/adm\u{ef}n", "/adm"),
            ("/a|/b(?!c)", "/"),
            ("(?!/public)", "/"),
            ("*", "/"),
            ("/a b", "/a"),
        ] {
            assert_eq!(literal_beginning(text), beginning, "{text}");
            let treatment = |patterns| PathTreatment { patterns, target: None };
            let Some(RulePath { matches: PathMatch::Regex(pattern), outcome: PathOutcome::Unavailable }) =
                unusable_path(text, &treatment(PatternDialect::IngressNginx))
            else {
                panic!("{text}");
            };
            assert!(pattern.is_match(format!("{beginning}istrator").to_uppercase()), "{text}");
            assert_eq!(unusable_path(text, &treatment(PatternDialect::Plain)), None);
        }
        let long = format!("/{}(?!x)", "a".repeat(5_000));
        assert_eq!(literal_beginning(&long).len(), MAX_PATTERN_BYTES / 2);
        assert!(unusable_path(&long, &PathTreatment { patterns: PatternDialect::Own, target: None }).is_some());
    }

    fn read(text: &str, target: Option<&str>) -> String {
        let treatment = PathTreatment { patterns: PatternDialect::IngressNginx, target: target.map(PathTarget::Whole) };
        let RulePath { matches, outcome } = read_rule_path(text, false, &treatment, Some(&[text])).expect("a path");
        let PathOutcome::Forward(rewrite) = outcome else { panic!("{outcome:?}") };
        let matches = match matches {
            PathMatch::Exact(path) => format!("exact {path}"),
            PathMatch::Prefix(path) => format!("prefix {path}"),
            PathMatch::Regex(pattern) => format!("regex {}", pattern.text()),
        };
        match rewrite {
            None => matches,
            Some(PathRewrite::Regex { pattern, template }) => format!("{matches} -> {} {template}", pattern.text()),
            Some(rewrite) => format!("{matches} -> {rewrite:?}"),
        }
    }

    #[test]
    fn patterns_become_paths_only_where_these_mean_the_same() {
        for (text, target, expected) in [
            ("/x", None, "prefix /x"),
            ("/x", Some("/x"), "prefix /x"),
            ("/x", Some("/"), "prefix /x -> ReplaceFull(\"/\")"),
            ("/x", Some("/$1"), "prefix /x -> ReplaceFull(\"/\")"),
            ("/x.y", Some("/z"), "prefix /x.y -> ReplaceFull(\"/z\")"),
            ("/x(/|$)(.*)", Some("/$2"), "prefix /x -> StripPrefix"),
            ("/x(/|$)(.*)", None, "prefix /x"),
            ("/x(/|$)(.*)", Some("/a"), "prefix /x -> ReplaceFull(\"/a\")"),
            ("/x(/|$)(.*)", Some("/a/$2"), "regex (?i)^/x(/|$)(.*) -> (?i)^/x(/|$)(.*) /a/$2"),
            ("/(.*)", Some("/$1"), "prefix /"),
            ("/?(.*)", Some("/$1"), "prefix /"),
            ("/.*", None, "prefix /"),
            ("/.*", Some("/a"), "prefix / -> ReplaceFull(\"/a\")"),
            ("/(.*)", Some("/a/$1"), "regex (?i)^/(.*) -> (?i)^/(.*) /a/$1"),
            ("/x/(.*)", Some("/$1"), "regex (?i)^/x/(.*) -> (?i)^/x/(.*) /$1"),
            ("/x/?(.*)", Some("/$1"), "regex (?i)^/x/?(.*) -> (?i)^/x/?(.*) /$1"),
            ("/x/([a-z]+)", Some("/$1"), "regex (?i)^/x/([a-z]+) -> (?i)^/x/([a-z]+)(?s:.*) /$1"),
            ("/(a|b)\\.*", Some("/$1"), "regex (?i)^/(a|b)\\.* -> (?i)^/(a|b)\\.*(?s:.*) /$1"),
            ("/a|/b", None, "regex (?i)^(?:/a|/b)"),
            ("/a|/b(.*)", Some("/$1"), "regex (?i)^(?:/a|/b(.*)) -> (?i)^(?:/a|/b(.*))(?s:.*) /$1"),
            ("/v[0-9]+$", Some("/a"), "regex (?i)^/v[0-9]+$ -> ReplaceFull(\"/a\")"),
        ] {
            assert_eq!(read(text, target), expected, "{text} {target:?}");
        }
    }

    #[test]
    fn patterns_stay_patterns_beside_patterns() {
        let treatment = PathTreatment { patterns: PatternDialect::IngressNginx, target: None };
        let read = |text| read_rule_path(text, true, &treatment, Some(&["/x", "/v[0-9]+"])).map(|path| path.matches);
        assert!(matches!(read("/x"), Ok(PathMatch::Regex(pattern)) if pattern.text() == "(?i)^/x"));
    }

    #[test]
    fn path_that_is_no_pattern_is_rejected() {
        let treatment = PathTreatment { patterns: PatternDialect::Own, target: None };
        for text in ["/(", "/(?!a).*", "/(a+)+", "a", "", "/a b"] {
            assert!(read_rule_path(text, false, &treatment, Some(&[text])).is_err(), "{text}");
        }
    }

    #[test]
    fn group_that_a_path_does_not_have_is_found() {
        let treatment =
            PathTreatment { patterns: PatternDialect::IngressNginx, target: Some(PathTarget::Whole("/$2$1")) };
        assert_eq!(missing_group("/x/(.*)", &treatment), Some(2));
        assert_eq!(missing_group("/x(/|$)(.*)", &treatment), None);
    }
}
