//! What a backend is asked for: the target as the client sent it, less what the rule takes off, byte for byte.
//!
//! A rule is found by the path as nginx understands it: decoded, without dot segments and doubled slashes. What is forwarded must
//! mean the same, so a target whose path does not itself begin with the rule's, or that the rule's pattern does not match as it was
//! sent, is rejected, and one in which any server may see a dot segment.

use std::borrow::Cow;
use std::fmt::Write as _;

use entry_model::{PathRewrite, Pattern, TemplatePart, UrlPart, UrlVariable, encode_path, template_parts};

/// A target that is not forwarded, since it could mean something else to the backend than it did to the rule: it is answered 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmbiguousTarget;

/// A target, split where a rule's path ends in it. Of a pattern there is no end: all of the path is the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitTarget<'a> {
    /// The rule's path, as it was sent.
    pub matched: &'a [u8],
    /// What follows in the path: nothing, or it begins with `/`.
    pub rest: &'a [u8],
    /// The query with its `?`, if there is any.
    pub query: &'a [u8],
}

impl<'a> SplitTarget<'a> {
    /// Cuts a target at the end of a rule's path, which is decoded and normalised; that of a prefix is without its final slash. A
    /// target that has no path, as in `http://host?query`, asks for `/`.
    ///
    /// # Errors
    /// The target's path does not begin with the rule's, letter by letter.
    pub fn new(target: &'a [u8], rule: &str) -> Result<Self, AmbiguousTarget> {
        let (path, query) = path_and_query(target);
        let end = length_of(path, rule.as_bytes()).ok_or(AmbiguousTarget)?;
        let (matched, rest) = path.split_at(end);
        if rest.first().is_none_or(|byte| *byte == b'/') {
            Ok(Self { matched, rest, query })
        } else {
            Err(AmbiguousTarget)
        }
    }

    /// The target of a rule with this pattern.
    ///
    /// # Errors
    /// The pattern does not match the target's path.
    pub fn of_pattern(target: &'a [u8], pattern: &Pattern) -> Result<Self, AmbiguousTarget> {
        let (path, query) = path_and_query(target);
        if pattern.is_match(path) { Ok(Self { matched: b"", rest: path, query }) } else { Err(AmbiguousTarget) }
    }

    /// What it becomes, with what stands for parts of its request.
    ///
    /// # Errors
    /// What a pattern's template makes of it begins with no slash, so that it would be a part of a host, or is ambiguous itself.
    pub fn rewrite(
        &self,
        rewrite: &PathRewrite,
        value: impl Fn(UrlVariable) -> Cow<'a, [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), AmbiguousTarget> {
        match rewrite {
            PathRewrite::Keep => self.keep(out),
            PathRewrite::StripPrefix => self.replace_prefix("", out),
            PathRewrite::ReplacePrefix(replacement) => self.replace_prefix(replacement, out),
            PathRewrite::ReplaceFull(replacement) => self.replace_path(replacement, out),
            PathRewrite::ReplaceTarget(target) => {
                for part in &target.0 {
                    match part {
                        UrlPart::Text(text) => add_target(text, out),
                        UrlPart::Variable(variable) => out.extend_from_slice(&value(*variable)),
                    }
                }
            }
            PathRewrite::Regex { pattern, template } => {
                let path = [self.matched, self.rest].concat();
                out.extend_from_slice(&pattern.replace(path, &encoded_template(template)));
                out.extend_from_slice(self.query);
                if !out.starts_with(b"/") || is_ambiguous(out) {
                    return Err(AmbiguousTarget);
                }
            }
        }
        Ok(())
    }

    /// What is asked for if nothing is taken off.
    pub fn keep(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.matched);
        self.add_rest(out);
    }

    /// What is asked for if the rule's path is replaced by this one, which is decoded. Without any it is taken off.
    pub fn replace_prefix(&self, replacement: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(encoded_path(replacement).as_bytes());
        self.add_rest(out);
    }

    /// What is asked for if the whole path is replaced by this one, which is decoded.
    pub fn replace_path(&self, replacement: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(encoded_path(replacement).as_bytes());
        Self { rest: b"", ..*self }.add_rest(out);
    }

    fn add_rest(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.rest);
        if out.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(self.query);
    }
}

/// A path as it is sent. A dollar is encoded as well, as it is where nginx's configuration says the path.
fn encoded_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    encode_path(path, &mut encoded);
    if encoded.contains('$') { encoded.replace('$', "%24") } else { encoded }
}

/// A template whose texts are encoded: what its groups stand for is as it was sent.
fn encoded_template(template: &str) -> String {
    let mut encoded = String::with_capacity(template.len());
    for part in template_parts(template) {
        match part {
            TemplatePart::Text(text) => encoded.push_str(&encoded_path(text)),
            TemplatePart::Group(number) => {
                // Writing to a String does not fail.
                let _ = write!(encoded, "${number}");
            }
        }
    }
    encoded
}

/// Adds a target as it stands in a URL; what no URL has is encoded, and a dollar as in paths.
fn add_target(target: &str, out: &mut Vec<u8>) {
    for byte in target.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!&'()*+,;=%".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

/// Cuts a target where its fragment begins: only clients have one.
pub fn cut_fragment(target: &mut Vec<u8>) {
    if let Some(at) = target.iter().position(|byte| *byte == b'#') {
        target.truncate(at);
    }
}

/// Whether a target has a path: one without asks for `/`.
pub fn has_path(target: &[u8]) -> bool {
    target.first().is_some_and(|byte| *byte != b'?')
}

/// The path, which is never empty, and the query with its `?`.
pub(crate) fn path_and_query(target: &[u8]) -> (&[u8], &[u8]) {
    let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    (if path.is_empty() { b"/" } else { path }, query)
}

/// Whether servers may understand a target differently, whatever its route is: it has a dot segment, or a `#`, at which others end
/// a path and nginx does not.
pub fn is_ambiguous(target: &[u8]) -> bool {
    // Nearly all targets have nothing of what makes them so, which is told of many bytes at once.
    let is_suspect = |byte: &u8| u8::from(matches!(byte, b'#' | b'%' | b'.'));
    target.iter().map(is_suspect).fold(0, |all, one| all | one) != 0
        && (target.contains(&b'#') || has_dot_segment(path_and_query(target).0))
}

/// How many bytes of a path as it was sent are a rule's path. Of the rule's bytes those may be encoded that a client may have to
/// encode; the others are only encoded to be overlooked.
fn length_of(path: &[u8], rule: &[u8]) -> Option<usize> {
    let mut at = 0;
    for byte in rule {
        let sent = &path[at..];
        if sent.first() == Some(byte) {
            at += 1;
        } else if !is_plain(*byte) && decoded(sent) == Some(*byte) {
            at += 3;
        } else {
            return None;
        }
    }
    Some(at)
}

/// The characters that mean the same encoded and not (RFC 3986, 2.3), and the slash, which does not.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte)
}

/// The byte that `%XX` at the beginning stands for.
fn decoded(sent: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = sent else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
}

/// Whether a path has a segment `.` or `..` in any form that some server takes for one: encoded dots, encoded or reversed slashes,
/// and parameters after the dots.
fn has_dot_segment(path: &[u8]) -> bool {
    // How many dots the segment has so far, if it has nothing else.
    let mut dots = None;
    let mut rest = path;
    while let Some((byte, length)) = first(rest) {
        rest = &rest[length..];
        match byte {
            b'/' | b'\\' | b';' if matches!(dots, Some(1 | 2)) => return true,
            b'/' | b'\\' => dots = Some(0),
            b'.' => dots = dots.map(|number: usize| number + 1),
            _ => dots = None,
        }
    }
    matches!(dots, Some(1 | 2))
}

/// The first byte, decoded if it is one that counts here, and how many were sent for it.
fn first(path: &[u8]) -> Option<(u8, usize)> {
    match decoded(path) {
        Some(byte) if b"/\\;.".contains(&byte) => Some((byte, 3)),
        _ => path.first().map(|byte| (*byte, 1)),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use entry_model::{PathRewrite, UrlText, UrlVariable};

    use super::{AmbiguousTarget, SplitTarget, cut_fragment, encoded_template, is_ambiguous};

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    /// What stands for parts of a request, where there are none.
    fn none<'a>(_: UrlVariable) -> Cow<'a, [u8]> {
        Cow::Borrowed(b"")
    }

    fn stripped(target: &str, rule: &str) -> Result<String, AmbiguousTarget> {
        if is_ambiguous(target.as_bytes()) {
            return Err(AmbiguousTarget);
        }
        let split = SplitTarget::new(target.as_bytes(), rule)?;
        Ok(text(|out| split.replace_prefix("", out)))
    }

    #[test]
    fn prefix_is_taken_off_and_nothing_else() {
        for (target, rule, expected) in [
            ("/volume/a%2Fb//c;d?e=/../f", "/volume", "/a%2Fb//c;d?e=/../f"),
            ("/volume", "/volume", "/"),
            ("/volume?x", "/volume", "/?x"),
            ("/volume//y", "/volume", "//y"),
            ("/volume/.well-known/...", "/volume", "/.well-known/..."),
            ("/volume/a;..", "/volume", "/a;.."),
            ("?x=1", "", "/?x=1"),
            ("//a", "", "//a"),
            ("/%e9%ba%bb%20%e9%9b%80%24host/x", "/麻 雀$host", "/x"),
            ("/麻%20雀$host", "/麻 雀$host", "/"),
        ] {
            assert_eq!(stripped(target, rule).as_deref(), Ok(expected), "{target} of {rule}");
        }
    }

    #[test]
    fn whole_target_is_kept() {
        let split = SplitTarget::new(b"/keep/a%2Fb//c?d", "/keep").expect("a target");
        assert_eq!(text(|out| split.keep(out)), "/keep/a%2Fb//c?d");
    }

    #[test]
    fn what_replaces_a_path_is_encoded_and_the_rest_is_not() {
        for (target, prefix, path) in [
            ("/volume/a%2Fb//c?d", "/x%20%25/a%2Fb//c?d", "/x%20%25?d"),
            ("/volume", "/x%20%25", "/x%20%25"),
            ("/volume/?", "/x%20%25/?", "/x%20%25?"),
        ] {
            let split = SplitTarget::new(target.as_bytes(), "/volume").expect("a target");
            assert_eq!(text(|out| split.replace_prefix("/x %", out)), prefix);
            assert_eq!(text(|out| split.replace_path("/x %", out)), path);
        }
    }

    fn pattern(text: &str) -> entry_model::Pattern {
        pattern_engine::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn groups_are_what_was_sent_and_the_texts_around_them_are_encoded() {
        assert_eq!(encoded_template("/a b$1$$2%$"), "/a%20b$1%242%25%24");
        let rewritten = |target: &str, text: &str, template: &str| {
            let split = SplitTarget::of_pattern(target.as_bytes(), &pattern("^/"))?;
            let rewrite = PathRewrite::Regex { pattern: pattern(text), template: template.to_owned() };
            let mut out = Vec::new();
            split.rewrite(&rewrite, none, &mut out)?;
            Ok(String::from_utf8(out).expect("text"))
        };
        for (target, text, template, expected) in [
            ("/api/a%2Fb//c;d?e=/../f", "^/api(/|$)(.*)", "/x y?/$2", "/x%20y%3F/a%2Fb//c;d?e=/../f"),
            ("/api", "^/api(/|$)(.*)", "/$2", "/"),
            ("/old/old?", "o(.)d", "new", "/new/old?"),
            ("/else", "^/api", "/$$1", "/else"),
            ("/api", "^/api", "/$$1", "/%241"),
            ("?x", "^/(.*)", "/a/$1", "/a/?x"),
        ] {
            assert_eq!(rewritten(target, text, template).as_deref(), Ok(expected), "{target} of {text}");
        }
        for (target, template) in [("/x../y", "/$1"), ("/x.%2e/y", "/$1"), ("/x@host/", "$1"), ("/x", "")] {
            assert_eq!(rewritten(target, "^/x(.*)", template), Err(AmbiguousTarget), "{target} to {template}");
        }
        let sent = SplitTarget::of_pattern(b"/%61pi", &pattern("^/api"));
        assert_eq!(sent, Err(AmbiguousTarget), "the pattern matches another form of it only");
    }

    #[test]
    fn whole_target_is_replaced_and_backends_get_no_fragment() {
        let split = SplitTarget::new(b"/old/x?y", "/old").expect("a target");
        let mut target = Vec::new();
        let rewrite = PathRewrite::ReplaceTarget(UrlText::from_text("/a%2Fb?c=$d\r\n#e"));
        assert_eq!(split.rewrite(&rewrite, none, &mut target), Ok(()));
        assert_eq!(target, b"/a%2Fb?c=%24d%0D%0A#e");
        cut_fragment(&mut target);
        assert_eq!(target, b"/a%2Fb?c=%24d%0D%0A");
    }

    #[test]
    fn target_that_may_mean_another_path_is_rejected() {
        for target in [
            "//volume/a",
            "/%76olume/a",
            "/volume%2Fa",
            "/volumes",
            "/volume/./a",
            "/volume/a/..",
            "/volume/..?x",
            "/volume/%2e%2e/keep",
            "/volume/.%2E/keep",
            "/volume/..%2fkeep",
            "/volume%2f..%2Fkeep",
            "/volume/..;/keep",
            "/volume/..%3bx/keep",
            "/volume/..\\keep",
            "/volume\\..\\keep",
            "/volume/%5c..%5Ckeep",
            "/volume/a#/../b",
            "/volume?a#b",
        ] {
            assert_eq!(stripped(target, "/volume"), Err(AmbiguousTarget), "{target}");
        }
        assert_eq!(stripped("/..", ""), Err(AmbiguousTarget));
    }
}
