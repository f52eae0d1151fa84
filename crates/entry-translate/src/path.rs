//! Paths.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::regex_path;
use crate::verdict_draft::quoted;

/// Longest path, in bytes.
const MAX_PATH_BYTES: usize = 2048;

/// Reads a path as objects write it, and decodes `%XX` in it once: requests are matched decoded, so `/a%20b` and `/a b` are
/// the same.
///
/// # Errors
/// What is wrong with it and what to write, in a sentence.
pub fn parse_path(text: &str) -> Result<String, String> {
    let wrong = |hint: &str| Err(format!("The path {} cannot be used: {hint}", quoted(text)));
    if !text.starts_with('/') {
        return wrong("write it with a `/` at the front");
    }
    if text.len() > MAX_PATH_BYTES {
        return wrong("write at most 2048 bytes");
    }
    let path = if text.contains('%') {
        let mut escapes = text.split('%').skip(1).map(str::as_bytes);
        if !escapes.clone().all(|after| after.len() >= 2 && after[..2].iter().all(u8::is_ascii_hexdigit)) {
            return wrong("`%` is not followed by two hexadecimal digits; write `%25` for the character itself");
        }
        if escapes.any(|after| after[..2].eq_ignore_ascii_case(b"2f")) {
            return wrong("`%2F` is no separator and cannot be matched; write `/`, or a shorter path");
        }
        let Ok(path) = percent_decode_str(text).decode_utf8() else {
            return wrong("it is not UTF-8 when decoded; write the encoded bytes of UTF-8");
        };
        path
    } else {
        Cow::Borrowed(text)
    };
    // There are many paths, and most are plain.
    if path.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'/' || byte == b'-')
        && !has_doubled_slash(&path)
    {
        return Ok(path.into_owned());
    }
    if path.contains(['?', '#']) {
        if let Some(instead) = regex_path::suggest_prefix(&path) {
            let hint = format!(
                "it looks like a pattern, and there are none; write {} with the type `Prefix`",
                quoted(&instead)
            );
            return wrong(&hint);
        }
        return wrong("`?` and `#` are not part of a path; write what is before them");
    }
    if path.contains(char::is_control) {
        return wrong("it holds a control character; write it without");
    }
    if has_doubled_slash(&path) {
        return wrong("requests are matched with doubled slashes merged; write `/` for `//`");
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return wrong("requests are matched with `.` and `..` resolved; write the path that they lead to");
    }
    Ok(path.into_owned())
}

fn has_doubled_slash(path: &str) -> bool {
    path.as_bytes().windows(2).any(|two| two == b"//")
}

/// A path as a prefix: without its final slash, but for `/`.
pub fn into_prefix(mut path: String) -> String {
    if path.len() > 1 && path.ends_with('/') {
        path.pop();
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_once() {
        let longest = format!("/{}", "x".repeat(MAX_PATH_BYTES - 1));
        for (text, expected) in [
            ("/", "/"),
            ("/a/", "/a/"),
            ("/a%20b", "/a b"),
            ("/a b", "/a b"),
            ("/%E4%BD%A0", "/你"),
            ("/你", "/你"),
            ("/%2541", "/%41"),
            ("/%252F", "/%2F"),
            ("/;$v{x}'\"\\", "/;$v{x}'\"\\"),
            ("/%7B%24", "/{$"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
            ("/a+b&c=d", "/a+b&c=d"),
            ("/api/(.*)", "/api/(.*)"),
            (&longest, &longest),
        ] {
            assert_eq!(parse_path(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn invalid_paths_are_rejected() {
        for (text, hint) in [
            ("", "`/` at the front"),
            ("a", "`/` at the front"),
            ("%2Fa", "`/` at the front"),
            ("/%2f", "no separator"),
            ("/a%2Fb", "no separator"),
            ("/%", "two hexadecimal digits"),
            ("/%1", "two hexadecimal digits"),
            ("/%é", "two hexadecimal digits"),
            ("/100%/x", "two hexadecimal digits"),
            ("/%ff", "not UTF-8"),
            ("/a?b", "what is before them"),
            ("/a%3Fb", "what is before them"),
            ("/a#b", "what is before them"),
            ("/%23", "what is before them"),
            ("/%00", "control character"),
            ("/a\0", "control character"),
            ("/a\nb", "control character"),
            ("/a%7F", "control character"),
            ("/\u{85}", "control character"),
            ("//", "write `/` for `//`"),
            ("/a//b", "write `/` for `//`"),
            ("/.", "the path that they lead to"),
            ("/a/../b", "the path that they lead to"),
            ("/a/%2e%2E", "the path that they lead to"),
            ("/a/./", "the path that they lead to"),
            (&format!("/{}", "x".repeat(MAX_PATH_BYTES)), "2048 bytes"),
        ] {
            let message = parse_path(text).unwrap_err();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }

    #[test]
    fn prefixes_have_no_final_slash() {
        assert_eq!(into_prefix("/a/".to_owned()), "/a");
        assert_eq!(into_prefix("/a".to_owned()), "/a");
        assert_eq!(into_prefix("/".to_owned()), "/");
    }
}
