//! Answers of a fixed status, and of a text that is fixed but for what is known of the request.

use crate::policy::split_parts;
use crate::{HeaderPart, HeaderValue};

/// An answer to all requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FixedAnswer {
    status: u16,
    content_type: String,
    text: Vec<HeaderPart>,
}

impl FixedAnswer {
    /// Longest text, in bytes, as [`FixedAnswer::written_text`] has it, of which those count twice that have a backslash in nginx's
    /// configuration.
    pub const LONGEST_TEXT: usize = 3000;

    /// An answer of this status and text. Without a type, it is HTML if it begins like it, else plain text.
    /// None if its type is none, or its text too long, or has control characters other than ends of lines and tabs, or a `$` that does not stand
    /// before the name of a variable of the closed list of headers. What is known only when an answer is there is none of them, nor is what may
    /// be a secret, which a page could read in the text.
    pub fn new(status: u16, content_type: Option<&str>, text: &str) -> Option<Self> {
        let is_text = |char: char| !char.is_control() || matches!(char, '\n' | '\r' | '\t');
        if text.len() > Self::LONGEST_TEXT || !text.chars().all(is_text) {
            return None;
        }
        let parts = split_parts(text)?;
        // Written down, each variable has braces: who reads that must take it, too.
        let written = write_parts(&parts);
        let escaped = written.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t')).count();
        if written.len() + escaped > Self::LONGEST_TEXT {
            return None;
        }
        let variables = || {
            parts.iter().filter_map(|part| match part {
                HeaderPart::Text(_) => None,
                HeaderPart::Variable(variable) => Some(variable),
            })
        };
        if variables().count() > HeaderValue::MOST_VARIABLES
            || variables().any(|variable| variable.is_of_answer() || variable.is_secret())
        {
            return None;
        }
        let by_text = if text.trim_start().starts_with('<') { "text/html" } else { "text/plain" };
        let content_type = content_type.unwrap_or(by_text);
        let answer = || Self { status, content_type: content_type.to_owned(), text: parts };
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
    pub fn parts(&self) -> &[HeaderPart] {
        &self.text
    }

    /// Its text, if that is the same for all requests.
    pub fn fixed_text(&self) -> Option<&str> {
        match self.text.as_slice() {
            [] => Some(""),
            [HeaderPart::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Its text, as annotations have it.
    pub fn written_text(&self) -> String {
        write_parts(&self.text)
    }
}

fn write_parts(parts: &[HeaderPart]) -> String {
    parts.iter().map(HeaderPart::to_string).collect()
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
            (None, "$remote_addr", true),
            (None, "{\"host\": \"${host}\"}\n", true),
            (None, "$document_root", false),
            (None, "$sparrow_host", false),
            (None, "$", false),
            (None, "$http_cookie", false),
            (None, "$cookie_session", false),
            (None, "$upstream_addr", false),
            (None, "$status", false),
            (None, &*"$uri".repeat(16), true),
            (None, &*"$uri".repeat(17), false),
            (None, "a\0", false),
            (None, &*"a".repeat(3001), false),
            (None, &*("a".repeat(2994) + "$uri"), true),
            (None, &*("a".repeat(2995) + "$uri"), false),
            (None, &*"\"".repeat(1501), false),
            (Some("text"), "a", false),
            (Some("text/plain; return 200"), "a", false),
            (Some("text/plain\r\nX: y"), "a", false),
            (Some("text/$x"), "a", false),
            (Some("/"), "a", false),
            (Some("a/b/c"), "a", false),
            (Some(""), "a", false),
        ] {
            let answer = FixedAnswer::new(200, content_type, text);
            assert_eq!(answer.is_some(), is_answer, "{content_type:?} {text:?}");
            if let Some(answer) = answer {
                let read = FixedAnswer::new(200, Some(answer.content_type()), &answer.written_text());
                assert_eq!(read.as_ref(), Some(&answer), "as it is written down");
            }
        }
        let texts = |text: &str| {
            let answer = FixedAnswer::new(200, None, text).unwrap();
            (answer.fixed_text().map(str::to_owned), answer.written_text())
        };
        assert_eq!(texts("a"), (Some("a".to_owned()), "a".to_owned()));
        assert_eq!(texts(""), (Some(String::new()), String::new()));
        assert_eq!(texts("a $host"), (None, "a ${host}".to_owned()));
    }
}
