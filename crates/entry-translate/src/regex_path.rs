//! Paths that look like patterns. There are none here: their characters stand for themselves, which is hardly what is meant.

/// What to write instead of a path that looks like a pattern, a glob or a regular expression; none for one that does not. A
/// character alone that paths do have, such as in `/$metadata` and `/Products(1)`, makes none.
pub fn suggest_prefix(text: &str) -> Option<String> {
    let at = pattern_start(text)?;
    let plain = &text[..at];
    // What stands before `(/|$)` or `/` is whole segments; else the last one is a part of one.
    let whole = plain.ends_with('/')
        || text[at..].starts_with("(/")
        || text[at..].starts_with('/')
        || text[at..].starts_with('$');
    let plain = if whole { plain } else { plain.rsplit_once('/').map_or("", |(before, _)| before) };
    let prefix = plain.trim_end_matches('/');
    Some(if prefix.is_empty() { "/".to_owned() } else { prefix.to_owned() })
}

/// Where the first part of a pattern begins.
fn pattern_start(text: &str) -> Option<usize> {
    let quantified = |at: usize| text[at..].starts_with(['*', '+', '?', '{']);
    let of_class = || {
        let open = text.find('[')?;
        let close = open + text[open..].find(']')?;
        let inside = &text[open + 1..close];
        (quantified(close + 1) || inside.starts_with('^') || inside.contains('-') || inside.contains('\\'))
            .then_some(open)
    };
    let of_group = || {
        let open = text.find('(')?;
        let close = open + text[open..].find(')')?;
        let inside = &text[open + 1..close];
        (quantified(close + 1) || inside.starts_with('?') || inside.contains(['|', '$', '*', '.', '[', '\\']))
            .then_some(open)
    };
    let end = || text.strip_suffix('$').filter(|before| before.len() > 1).map(str::len);
    let dots = || text.find(".*").or_else(|| text.find(".+"));
    let alone = || text.find(['*', '\\', '^', '|']);
    [of_class(), of_group(), end(), dots(), alone()].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_expressions_are_told_from_paths() {
        for (text, expected) in [
            ("/*", "/"),
            ("/app/*", "/app"),
            ("/app*", "/"),
            ("/app(/|$)(.*)", "/app"),
            ("/a/app(/|$)(.*)", "/a/app"),
            ("/app/?(.*)", "/app"),
            ("/app/(.*)", "/app"),
            ("/(.*)", "/"),
            ("/.*", "/"),
            ("/app/.+", "/app"),
            ("/v[0-9]+/x", "/"),
            ("/a/[^/]+/b", "/a"),
            ("/a/[a-z]", "/a"),
            ("/a/\\d+", "/a"),
            ("/a/b$", "/a/b"),
            ("/^a", "/"),
            ("/(foo|bar)/x", "/"),
            ("/a|/b", "/"),
            ("/a/(?<x>b)", "/a"),
            ("/a(b)?/c", "/"),
        ] {
            assert_eq!(suggest_prefix(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "/",
            "/a",
            "/$metadata",
            "/odata/Products(1)",
            "/a+b",
            "/c++",
            "/~user",
            "/@scope/x",
            "/a.b/c",
            "/...",
            "/a,b;c=d",
            "/{x}",
            "/[id]",
            "/a(b)",
            "/a(b",
            "/a[b",
            "/麻雀",
            "/a b",
            "/$",
        ] {
            assert_eq!(suggest_prefix(text), None, "{text}");
        }
    }
}
