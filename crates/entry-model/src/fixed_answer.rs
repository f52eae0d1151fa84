//! Answers of a fixed status and text.

/// An answer that is the same for all requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FixedAnswer {
    status: u16,
    content_type: String,
    text: String,
}

impl FixedAnswer {
    /// Longest text, in bytes, of which those count twice that have a backslash in nginx's configuration.
    pub const LONGEST_TEXT: usize = 3000;

    /// An answer of this status and text. Without a type, it is HTML if it begins like it, else plain text.
    /// None if its type is none, or its text too long, or has a `$`, which would begin a variable of nginx, or control characters other than ends
    /// of lines and tabs.
    pub fn new(status: u16, content_type: Option<&str>, text: &str) -> Option<Self> {
        let escaped = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t')).count();
        let is_text = |char: char| !char.is_control() || matches!(char, '\n' | '\r' | '\t');
        if text.len() + escaped > Self::LONGEST_TEXT || text.contains('$') || !text.chars().all(is_text) {
            return None;
        }
        let by_text = if text.trim_start().starts_with('<') { "text/html" } else { "text/plain" };
        let content_type = content_type.unwrap_or(by_text);
        let answer = || Self { status, content_type: content_type.to_owned(), text: text.to_owned() };
        is_content_type(content_type).then(answer)
    }

    /// Its status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The type of its text.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Whether it is two words with a `/` between them, maybe with parameters.
fn is_content_type(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#&-^_.+".contains(&byte);
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(is_plain);
    let mut parts = text.split(';');
    let kind = parts.next().unwrap_or_default();
    let is_parameter =
        |parameter: &str| parameter.trim().split_once('=').is_some_and(|(name, value)| is_word(name) && is_word(value));
    text.len() <= 128
        && kind.split_once('/').is_some_and(|(one, two)| is_word(one) && is_word(two))
        && parts.all(is_parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_of_a_bounded_text() {
        for (content_type, text, is_answer) in [
            (None, "", true),
            (None, "User-agent: *\nDisallow: /\n", true),
            (Some("application/problem+json; charset=utf-8"), "{}", true),
            (None, "麻雀 \"; }", true),
            (None, "$host", false),
            (None, "a\0", false),
            (None, &*"a".repeat(3001), false),
            (None, &*"\"".repeat(1501), false),
            (Some("text"), "a", false),
            (Some("text/plain; return 200"), "a", false),
            (Some("text/plain\r\nX: y"), "a", false),
            (Some("text/$x"), "a", false),
            (Some("/"), "a", false),
            (Some("a/b/c"), "a", false),
            (Some(""), "a", false),
        ] {
            assert_eq!(FixedAnswer::new(200, content_type, text).is_some(), is_answer, "{content_type:?} {text:?}");
        }
    }
}
