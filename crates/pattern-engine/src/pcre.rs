//! Patterns as nginx's engine reads them (PCRE and PCRE2).

use std::fmt::Write as _;

use regex_syntax::hir::{Capture, Class, ClassBytes, ClassBytesRange, Hir, HirKind, Look, LookSet, Repetition};

use crate::BoundedPattern;

/// What a pattern is run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A text that is a value alone.
    Value,
    /// A target as it was sent, with its query. The pattern is for its path, which ends where the query begins.
    Target,
}

/// What becomes of the groups of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups {
    /// They only hold together what is in them.
    Plain,
    /// Each has a name: this, and its number.
    Named(&'static str),
}

impl BoundedPattern {
    /// The pattern for PCRE, with the same meaning. Of its bytes each is a letter or a digit of ASCII, or one of
    /// `` \[]^-()?:<>_|*+{},=!/ ``; all else is written as `\x..`.
    pub fn to_pcre(&self, subject: Subject, groups: Groups) -> String {
        let mut writer = PcreWriter { out: String::new(), subject, groups };
        writer.write(&self.hir);
        writer.out
    }

    /// Whether it says nothing of what follows what it matches: what begins with a text that it matches as a whole is matched too.
    pub fn ends_anywhere(&self) -> bool {
        let looks = self.hir.properties().look_set();
        looks.is_empty() || looks == LookSet::singleton(Look::Start)
    }

    /// Whether it can match at the beginning only.
    pub fn is_anchored(&self) -> bool {
        self.hir.properties().look_set_prefix().contains(Look::Start)
    }

    /// Whether it has a group of this number, and 0 for the whole match.
    pub fn has_group(&self, number: u8) -> bool {
        number == 0 || has_group(&self.hir, number.into())
    }
}

/// Simplified patterns may have lost a group of their text.
fn has_group(hir: &Hir, number: u32) -> bool {
    match hir.kind() {
        HirKind::Capture(Capture { index, sub, .. }) => *index == number || has_group(sub, number),
        HirKind::Repetition(Repetition { sub, .. }) => has_group(sub, number),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(|part| has_group(part, number)),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
    }
}

struct PcreWriter {
    out: String,
    subject: Subject,
    groups: Groups,
}

impl PcreWriter {
    fn write(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => literal.0.iter().for_each(|byte| self.byte(*byte)),
            HirKind::Class(Class::Bytes(class)) => self.class(class),
            HirKind::Class(Class::Unicode(class)) => match class.to_byte_class() {
                Some(class) => self.class(&class),
                None => self.nothing(),
            },
            HirKind::Look(look) => self.look(*look),
            HirKind::Repetition(repetition) => self.repetition(repetition),
            HirKind::Capture(Capture { index, sub, .. }) => {
                match self.groups {
                    Groups::Plain => self.out.push_str("(?:"),
                    Groups::Named(name) => {
                        // Writing to a String does not fail.
                        let _ = write!(self.out, "(?<{name}{index}>");
                    }
                }
                self.write(sub);
                self.out.push(')');
            }
            HirKind::Concat(parts) => parts.iter().for_each(|part| match part.kind() {
                HirKind::Alternation(_) => self.group(part),
                _ => self.write(part),
            }),
            HirKind::Alternation(parts) => {
                for (number, part) in parts.iter().enumerate() {
                    if number > 0 {
                        self.out.push('|');
                    }
                    self.write(part);
                }
            }
        }
    }

    fn group(&mut self, hir: &Hir) {
        self.out.push_str("(?:");
        self.write(hir);
        self.out.push(')');
    }

    fn look(&mut self, look: Look) {
        self.out.push_str(match (look, self.subject) {
            (Look::Start, _) => "\\A",
            // `$` would match before a final line feed too.
            (Look::End, Subject::Value) => "\\z",
            (Look::End, Subject::Target) => "(?=\\?|\\z)",
            (Look::WordAscii, _) => "\\b",
            (Look::WordAsciiNegate, _) => "\\B",
            // They are out of the bounds.
            _ => "(?!)",
        });
    }

    fn repetition(&mut self, repetition: &Repetition) {
        let Repetition { min, max, greedy, sub } = repetition;
        match sub.kind() {
            HirKind::Class(_) | HirKind::Capture(_) => self.write(sub),
            HirKind::Literal(literal) if literal.0.len() == 1 => self.write(sub),
            _ => self.group(sub),
        }
        let _ = match (min, max) {
            (0, None) => write!(self.out, "*"),
            (1, None) => write!(self.out, "+"),
            (0, Some(1)) => write!(self.out, "?"),
            (min, None) => write!(self.out, "{{{min},}}"),
            (min, Some(max)) if min == max => write!(self.out, "{{{min}}}"),
            (min, Some(max)) => write!(self.out, "{{{min},{max}}}"),
        };
        if !greedy {
            self.out.push('?');
        }
    }

    fn byte(&mut self, byte: u8) {
        match byte {
            b'?' if self.subject == Subject::Target => self.nothing(),
            b'/' => self.out.push('/'),
            _ if byte.is_ascii_alphanumeric() => self.out.push(byte.into()),
            _ => {
                let _ = write!(self.out, "\\x{byte:02x}");
            }
        }
    }

    fn class(&mut self, class: &ClassBytes) {
        let mut class = class.clone();
        if self.subject == Subject::Target {
            class.difference(&ClassBytes::new([ClassBytesRange::new(b'?', b'?')]));
        }
        let mut others = class.clone();
        others.negate();
        if class.ranges().is_empty() {
            return self.nothing();
        }
        self.out.push('[');
        let ranges = if others.ranges().len() < class.ranges().len() && !others.ranges().is_empty() {
            self.out.push('^');
            others
        } else {
            class
        };
        for range in ranges.ranges() {
            self.byte_of_class(range.start());
            if range.end() > range.start() {
                self.out.push('-');
                self.byte_of_class(range.end());
            }
        }
        self.out.push(']');
    }

    fn byte_of_class(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            self.out.push(byte.into());
        } else {
            let _ = write!(self.out, "\\x{byte:02x}");
        }
    }

    /// Matches nothing.
    fn nothing(&mut self) {
        self.out.push_str("(?!)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PatternError, compile};

    fn pcre(text: &str, subject: Subject, groups: Groups) -> String {
        BoundedPattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_pcre(subject, groups)
    }

    #[test]
    fn pcre_means_the_same_byte_by_byte() {
        for (text, value, target) in [
            ("^/a(.*)$", r"\A/a(?:[^\x0a]*)\z", r"\A/a(?:[^\x0a\x3f]*)(?=\?|\z)"),
            ("(?i)^/a[^/]", r"\A/[Aa][^\x2f]", r"\A/[Aa][^\x2f\x3f]"),
            (r"/\?", r"/\x3f", "/(?!)"),
            ("a{2,3}?b{4}(c|dd)+?", "a{2,3}?b{4}(?:c|dd)+?", "a{2,3}?b{4}(?:c|dd)+?"),
            (r"\d\w", "[0-9][0-9A-Z\\x5fa-z]", "[0-9][0-9A-Z\\x5fa-z]"),
        ] {
            assert_eq!(pcre(text, Subject::Value, Groups::Plain), value, "{text}");
            assert_eq!(pcre(text, Subject::Target, Groups::Plain), target, "{text}");
        }
        assert_eq!(pcre("(a)(?:b)(c)", Subject::Value, Groups::Named("g_")), "(?<g_1>a)b(?<g_2>c)");
        assert!(BoundedPattern::parse("^a").is_ok_and(|pattern| pattern.is_anchored()));
        assert!(BoundedPattern::parse("^a|b").is_ok_and(|pattern| !pattern.is_anchored()));
        assert!(BoundedPattern::parse("(?:^a|^b)c").is_ok_and(|pattern| pattern.is_anchored()));
        assert!(BoundedPattern::parse("(a)(b){0}").is_ok_and(|p| p.has_group(1) && !p.has_group(2) && p.has_group(0)));
    }

    #[test]
    fn pattern_out_of_the_bounds_is_rejected() {
        let long = "a".repeat(513);
        for (text, error) in [
            (&*long, PatternError::Long),
            ("/é", PatternError::NotAscii),
            ("/a b", PatternError::NotAscii),
            ("/(", PatternError::Syntax),
            ("*", PatternError::Syntax),
            (r"\p{L}", PatternError::Syntax),
            ("(?m)^a", PatternError::Syntax),
            ("(?!a)b", PatternError::LookAround),
            ("(?<=a)b", PatternError::LookAround),
            (r"(a)\1", PatternError::LookAround),
            ("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)", PatternError::Groups),
            ("a{1001}", PatternError::Large),
            ("((((a{9}){9}){9}){9}){9}", PatternError::Large),
            ("(a+)+", PatternError::Nested),
            ("(a*b){2}", PatternError::Nested),
            ("(a|b*)*c", PatternError::Nested),
            (".*.*.*.*.*.*.*", PatternError::Unbounded),
        ] {
            assert_eq!(compile(text).err(), Some(error), "{text}");
        }
        for text in
            ["/api(/|$)(.*)", "/api(/.*)?", "/v[0-9]+/x", "/(foo|bar)/.*", "/a/[^/]+/b/[^/]+", "/.*\\.(js|css)$"]
        {
            assert!(compile(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn groups_and_the_rest_of_a_text_stay_in_a_replacement() {
        let replace = |pattern: &str, text: &str, template: &str| compile(pattern).map(|p| p.replace(text, template));
        assert_eq!(replace("^/a(/|$)(.*)", "/a/b", "/$2"), Ok(b"/b".to_vec()));
        assert_eq!(replace("b", "/a/b/c", "<$0>"), Ok(b"/a/<b>/c".to_vec()));
        assert_eq!(replace("(x)?b", "/a/b/c", "[$1$2$$1]"), Ok(b"/a/[$1]/c".to_vec()));
        assert_eq!(replace("x", "/a", "/b"), Ok(b"/a".to_vec()));
    }
}
