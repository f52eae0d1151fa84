//! Patterns that are bound to the beginning of a path.

use entry_model::Pattern;
use pattern_engine::{MAX_PATTERN_BYTES, PatternError, compile};

/// A pattern that is bound to the beginning of a path.
///
/// # Errors
/// What of it cannot be used.
pub fn anchored(text: &str, ignores_case: bool) -> Result<Pattern, PatternError> {
    compile_anchored(text, ignores_case, "")
}

/// The same with all that follows in the path.
///
/// # Errors
/// As [`anchored`].
pub fn anchored_whole(text: &str, ignores_case: bool) -> Result<Pattern, PatternError> {
    compile_anchored(text, ignores_case, if reaches_the_end(text) { "" } else { "(?s:.*)" })
}

fn compile_anchored(text: &str, ignores_case: bool, rest: &str) -> Result<Pattern, PatternError> {
    let case = if ignores_case { "(?i)" } else { "" };
    let text = text.strip_prefix('^').unwrap_or(text);
    if is_alternation(text) {
        compile(&format!("{case}^(?:{text}){rest}"))
    } else {
        compile(&format!("{case}^{text}{rest}"))
    }
}

/// What whatever a pattern matches begins with: a part of its text, or the root.
pub fn literal_beginning(text: &str) -> &str {
    let text = text.strip_prefix('^').unwrap_or(text);
    let is_literal = |c: char| c.is_ascii_alphanumeric() || "/-_~".contains(c);
    let end = text.find(|c| !is_literal(c)).unwrap_or(text.len()).min(MAX_PATTERN_BYTES / 2);
    // What is before such a sign need not be there.
    let end = if text[end..].starts_with(['*', '?', '{']) { end.saturating_sub(1) } else { end };
    if is_alternation(text) || end == 0 { "/" } else { &text[..end] }
}

/// Whether a pattern is a choice as a whole.
pub fn is_alternation(text: &str) -> bool {
    let (mut depth, mut in_class, mut escaped) = (0_u32, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b']' => in_class = false,
            _ if in_class => {}
            b'[' => in_class = true,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

/// Whether a pattern matches up to the end of a path wherever it matches.
fn reaches_the_end(text: &str) -> bool {
    let ends = ["(.*)", ".*", "$"].into_iter().filter_map(|end| text.strip_suffix(end));
    !is_alternation(text) && ends.into_iter().any(|before| !before.ends_with('\\'))
}
