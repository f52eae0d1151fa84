//! Patterns as nginx's engine reads them (PCRE and PCRE2).

use std::fmt::Write as _;

use regex_syntax::hir::{Capture, Class, ClassBytes, Hir, HirKind, Look, LookSet, Repetition};

use crate::BoundedPattern;

impl BoundedPattern {
    /// The pattern for PCRE, with the same meaning. Of its bytes each is a letter or a digit of ASCII, or one of
    /// `` \[]^-()?:<>_|*+{},=!/ ``; all else is written as `\x..`.
    pub fn to_pcre(&self) -> String {
        let mut writer = PcreWriter { out: String::new() };
        writer.write(&self.hir);
        writer.out
    }

    /// Whether it says nothing of what follows what it matches: what begins with a text that it matches as a whole is matched too.
    pub fn ends_anywhere(&self) -> bool {
        let looks = self.hir.properties().look_set();
        looks.is_empty() || looks == LookSet::singleton(Look::Start)
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
            HirKind::Capture(Capture { sub, .. }) => self.group(sub),
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
        self.out.push_str(match look {
            Look::Start => "\\A",
            // `$` would match before a final line feed too.
            Look::End => "\\z",
            Look::WordAscii => "\\b",
            Look::WordAsciiNegate => "\\B",
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
            b'/' => self.out.push('/'),
            _ if byte.is_ascii_alphanumeric() => self.out.push(byte.into()),
            _ => {
                let _ = write!(self.out, "\\x{byte:02x}");
            }
        }
    }

    fn class(&mut self, class: &ClassBytes) {
        let mut others = class.clone();
        others.negate();
        if class.ranges().is_empty() {
            return self.nothing();
        }
        self.out.push('[');
        let ranges = if others.ranges().len() < class.ranges().len() && !others.ranges().is_empty() {
            self.out.push('^');
            &others
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

    fn bounded(text: &str) -> BoundedPattern {
        BoundedPattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn pcre_means_the_same_byte_by_byte() {
        for (text, expected) in [
            ("^/a(.*)$", r"\A/a(?:[^\x0a]*)\z"),
            ("(?i)^/a[^/]", r"\A/[Aa][^\x2f]"),
            (r"/\?", r"/\x3f"),
            ("a{2,3}?b{4}(c|dd)+?", "a{2,3}?b{4}(?:c|dd)+?"),
            (r"\d\w", "[0-9][0-9A-Z\\x5fa-z]"),
            ("(a)(?:b)(c)", "(?:a)b(?:c)"),
        ] {
            assert_eq!(bounded(text).to_pcre(), expected, "{text}");
        }
    }

    #[test]
    fn groups_of_a_pattern_are_known_by_their_numbers() {
        let pattern = bounded("(a)(b){0}");
        assert_eq!([0, 1, 2].map(|number| pattern.has_group(number)), [true, true, false]);
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
