//! The first segment of what a pattern matches: by it namespaces share the paths of hosts that no rule names.

use entry_model::{PathMatch, Pattern};
use pattern_engine::{BoundedPattern, compile};

/// Binds a pattern to its first segment. Returns what was written if it has none.
pub fn bind_to_segment(path: &mut PathMatch) -> Option<String> {
    let PathMatch::Regex(pattern) = path else { return None };
    let bound = first_segment(pattern.text()).and_then(|FirstSegment { case, segment, rest }| match rest {
        Some(rest) => {
            let bound = compile(&format!("^/{segment}{case}{rest}")).ok()?;
            Some(PathMatch::Regex(bound.written_as(pattern.written())))
        }
        // Whatever begins so: of that, what is of the segment.
        None => {
            let path = ["/", segment].concat();
            (ends_anywhere(pattern.text()) && pattern.is_match(&path)).then_some(PathMatch::Prefix(path))
        }
    });
    let Some(bound) = bound else { return Some(pattern.written().to_owned()) };
    *path = bound;
    None
}

/// Whether a pattern says nothing of what follows what it matches.
fn ends_anywhere(text: &str) -> bool {
    BoundedPattern::parse(text).is_ok_and(|pattern| pattern.ends_anywhere())
}

/// The first segment of what a pattern matches.
struct FirstSegment<'a> {
    /// What says that case does not count.
    case: &'a str,
    /// Plain text, with which all begins that it matches.
    segment: &'a str,
    /// What follows, if the segment ends there.
    rest: Option<&'a str>,
}

fn first_segment(text: &str) -> Option<FirstSegment<'_>> {
    let (case, text) = match text.strip_prefix("(?i)") {
        Some(text) => ("(?i)", text),
        None => ("", text),
    };
    let text = text.strip_prefix('^')?;
    // What is repeated may be there no times.
    let is_needed = |after: &str| !after.starts_with(['*', '?', '{']);
    let Some(text) = text.strip_prefix('/').filter(|after| is_needed(after)) else {
        // Each path begins with it, whether a pattern says so or not.
        return text.starts_with('/').then_some(FirstSegment { case, segment: "", rest: None });
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_~".contains(c);
    let (segment, rest) = text.split_at(text.find(|c| !is_plain(c)).unwrap_or(text.len()));
    let ends = ["/", "(/|$)", "(?:/|$)"].into_iter().any(|end| rest.strip_prefix(end).is_some_and(is_needed));
    let ends = !segment.is_empty() && (ends || rest == "$");
    // What is before such a sign need not be there.
    let segment = if is_needed(rest) { segment } else { &segment[..segment.len().saturating_sub(1)] };
    Some(FirstSegment { case, segment, rest: ends.then_some(rest) })
}

/// The first segment of a pattern that is bound to one.
pub fn segment_of(pattern: &Pattern) -> &str {
    first_segment(pattern.text()).map_or("", |first| first.segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str) -> String {
        let mut path = PathMatch::Regex(compile(text).expect("a pattern"));
        match bind_to_segment(&mut path) {
            Some(_) => "unbound".to_owned(),
            None => path.text().to_owned(),
        }
    }

    #[test]
    fn pattern_is_bound_to_a_whole_segment_whose_case_counts() {
        for (text, expected) in [
            ("(?i)^/bank/v[0-9]+/.*", "/bank"),
            ("^/bank(/|$)(.*)", "/bank"),
            ("(?i)^/a-b_c~1(?:/|$)", "/a-b_c~1"),
            ("^/bank$", "/bank"),
        ] {
            let mut path = PathMatch::Regex(compile(text).expect("a pattern"));
            assert_eq!(bind_to_segment(&mut path), None, "{text}");
            let PathMatch::Regex(pattern) = &path else { panic!("{path:?}") };
            assert_eq!(["/", segment_of(pattern)].concat(), expected, "{text}");
            assert!(pattern.is_match([expected, if text.ends_with('$') { "" } else { "/v1/X" }].concat()), "{text}");
            for other in [expected.to_uppercase() + "/v1/x", format!("{expected}rupt/v1/x"), "/other/v1/x".to_owned()] {
                assert!(
                    other.starts_with(expected) && other[expected.len()..].starts_with('/')
                        || !pattern.is_match(&other),
                    "{text} {other}"
                );
            }
        }
    }

    #[test]
    fn pattern_that_may_match_other_segments_is_not_bound() {
        for text in [
            "^/(bank)(/|$)(.*)",
            "^/[b]ank.*",
            "^/bank/?x",
            "^/bank/*x",
            "^/bank/{0}x",
            "^/bank(/|$)?x",
            "^/bank(/|$){0}x",
            "^/ban?k/x",
            "^(?:/bank/a|/disk/.*)",
            "(?i)^/b.nk/x",
            "^/bank(/|$|x)",
            "^/bank.+",
            "^/(bank$)?",
        ] {
            assert_eq!(bound(text), "unbound", "{text}");
        }
    }

    #[test]
    fn pattern_of_whatever_begins_with_a_segment_becomes_its_prefix() {
        for (text, prefix) in [
            ("(?i)^/bank.*", "/bank"),
            ("(?i)^/banks?", "/bank"),
            ("^/bank", "/bank"),
            ("^/bank(/.*)?", "/bank"),
            (r"^/bank(\/?)(.*)", "/bank"),
            ("^/bank/?(.*)", "/bank"),
            ("(?i)^/(.*)", "/"),
            ("(?i)^/", "/"),
            ("(?i)^/*", "/"),
            ("(?i)^/?(.*)", "/"),
        ] {
            assert_eq!(bound(text), prefix, "{text}");
        }
    }
}
