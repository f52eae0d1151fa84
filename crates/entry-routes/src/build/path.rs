//! Paths.

use percent_encoding::percent_decode_str;

use super::draft::quoted;

/// Longest path, in bytes.
const LONGEST: usize = 2048;

/// Reads a path as objects write it, and decodes `%XX` in it once: requests are matched decoded, so `/a%20b` and `/a b` are
/// the same.
///
/// # Errors
/// What is wrong with it and what to write, in a sentence.
pub fn path(text: &str) -> Result<String, String> {
    let wrong = |hint: &str| Err(format!("The path {} cannot be used: {hint}", quoted(text)));
    if !text.starts_with('/') {
        return wrong("write it with a `/` at the front");
    }
    if text.len() > LONGEST {
        return wrong("write at most 2048 bytes");
    }
    let mut escapes = text.split('%').skip(1).map(|after| after.as_bytes());
    if !escapes.all(|after| after.len() >= 2 && after[..2].iter().all(u8::is_ascii_hexdigit)) {
        return wrong("`%` is not followed by two hexadecimal digits; write `%25` for the character itself");
    }
    if text.split('%').skip(1).any(|after| after.as_bytes()[..2].eq_ignore_ascii_case(b"2f")) {
        return wrong("`%2F` is no separator and cannot be matched; write `/`, or a shorter path");
    }
    let Ok(path) = percent_decode_str(text).decode_utf8() else {
        return wrong("it is not UTF-8 when decoded; write the encoded bytes of UTF-8");
    };
    if path.contains(['?', '#']) {
        return wrong("`?` and `#` are not part of a path; write what is before them");
    }
    if path.contains(char::is_control) {
        return wrong("it holds a control character; write it without");
    }
    if path.contains("//") {
        return wrong("requests are matched with doubled slashes merged; write `/` for `//`");
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return wrong("requests are matched with `.` and `..` resolved; write the path that they lead to");
    }
    Ok(path.into_owned())
}

/// A path as a prefix: without its final slash, but for `/`.
pub fn prefix(mut path: String) -> String {
    if path.len() > 1 && path.ends_with('/') {
        path.pop();
    }
    path
}
