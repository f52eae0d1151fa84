//! Tokens of a configuration: the one place where text becomes nginx's.
//!
//! nginx reads a quoted token up to the closing quote; inside it knows `\"`, `\'`, `\\`, `\t`, `\r` and `\n` only, and takes
//! every other backslash as it is. Nothing escapes a `$`: where a directive has variables, [`Token::constant`] refuses it.
//! A token must fit into the buffer of 4096 bytes that nginx reads a file with.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use entry_model::{AddressRange, BackendAddress, encode_path};
use ipnet::IpNet;
use pattern_engine::BoundedPattern;

use crate::upstream_name::{UpstreamName, write_address};

/// Longest token, in bytes as it is printed: a little less than nginx's buffer.
const LONGEST: usize = 4000;

/// A token as it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(Cow<'static, str>);

impl Token {
    /// A word of this program, printed as it is.
    pub const fn word(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }

    /// Words of this program in single quotes, in which there are neither such nor backslashes.
    pub fn quoted_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let words: String = words.into_iter().collect();
        Self(Cow::Owned(format!("'{words}'")))
    }

    /// A number.
    pub fn number(number: impl Into<u64>) -> Self {
        Self(Cow::Owned(number.into().to_string()))
    }

    /// A range of addresses.
    pub fn net(net: IpNet) -> Self {
        Self(Cow::Owned(net.to_string()))
    }

    /// A range of the addresses of clients.
    pub fn range(range: AddressRange) -> Self {
        Self(Cow::Owned(range.to_string()))
    }

    /// A text for a place where nginx knows no variables.
    pub fn literal(text: &str) -> Option<Self> {
        let mut quoted = Quoted::after(String::with_capacity(text.len() + 16));
        quote(&mut quoted.out, text)?;
        quoted.token()
    }

    /// A text for a place where nginx knows variables: there must be none in it.
    pub fn constant(text: &str) -> Option<Self> {
        if text.contains('$') { None } else { Self::literal(text) }
    }

    /// What is printed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether two tokens that are names of headers are the same one.
    pub fn is_same_header(&self, other: &Self) -> bool {
        self.0.trim_matches('"').eq_ignore_ascii_case(other.0.trim_matches('"'))
    }
}

/// Characters that are plain in nginx's configuration, in a regular expression, in a URL and in a file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain(String);

impl Plain {
    /// Takes letters, digits, `-`, `_` and `.`; puts `other` for the rest.
    pub fn from(text: &str, other: char) -> Self {
        let mut out = String::with_capacity(text.len());
        plain(&mut out, text, other);
        Self(out)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn plain(out: &mut String, text: &str, other: char) {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        out.push_str(text);
    } else {
        out.extend(text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { other }));
    }
}

/// A quoted token of several parts: words of this program, in which variables are wanted, and values that are plain.
#[derive(Debug)]
pub struct Text(Quoted);

impl Default for Text {
    fn default() -> Self {
        Self::after(String::with_capacity(96))
    }
}

impl Text {
    /// A token at the end of a file.
    pub fn after(out: String) -> Self {
        Self(Quoted::after(out))
    }

    /// Adds words of this program.
    pub fn own(mut self, text: &'static str) -> Self {
        quote(&mut self.0.out, text);
        self
    }

    /// Adds a value.
    pub fn plain(mut self, text: &Plain) -> Self {
        self.0.out.push_str(text.as_str());
        self
    }

    /// Adds the name of an upstream.
    pub fn upstream(mut self, name: UpstreamName<'_>) -> Self {
        name.write(&mut self.0.out);
        self
    }

    /// Adds the name of an upstream for connections that are no HTTP.
    pub fn stream_upstream(mut self, address: &BackendAddress) -> Self {
        write_address(&mut self.0.out, address);
        self
    }

    /// Adds a value as [`Plain::from`] makes it.
    pub fn plain_of(mut self, text: &str, other: char) -> Self {
        plain(&mut self.0.out, text, other);
        self
    }

    /// Adds a path as a URL has it. A dollar is encoded too: to nginx it would be a variable's.
    pub fn url_path(mut self, path: &str) -> Self {
        let mut encoded = String::with_capacity(path.len());
        encode_path(path, &mut encoded);
        self.0.out.push_str(&encoded.replace('$', "%24"));
        self
    }

    /// Adds a part of a URL as it is; what no URL has, and what nginx would take for a variable, is encoded.
    pub fn url(mut self, url: &str) -> Self {
        for byte in url.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!&'()*+,;=%".contains(&byte) {
                self.0.out.push(byte.into());
            } else {
                let _ = write!(self.0.out, "%{byte:02X}");
            }
        }
        self
    }

    /// Adds a text from outside, in which nothing is a variable; none if it cannot be written.
    pub fn constant(mut self, text: &str) -> Option<Self> {
        if text.contains('$') {
            return None;
        }
        quote(&mut self.0.out, text)?;
        Some(self)
    }

    /// Adds the value of a variable, whose name is one that this program knows.
    pub fn variable(mut self, name: &str) -> Self {
        self.0.out.push_str("${");
        plain(&mut self.0.out, name, '_');
        self.0.out.push('}');
        self
    }

    /// Adds a number.
    pub fn number(mut self, number: impl Into<u64>) -> Self {
        let _ = write!(self.0.out, "{}", number.into());
        self
    }

    /// Adds an address with its port; without the scope of an IPv6 address, which nginx does not know.
    pub fn address(mut self, address: SocketAddr) -> Self {
        let _ = write!(self.0.out, "{}", SocketAddr::new(address.ip(), address.port()));
        self
    }

    /// The token.
    pub fn token(self) -> Option<Token> {
        self.0.token()
    }

    /// The file with the token at its end, and whether it can be read.
    pub fn close(self) -> (String, bool) {
        self.0.close()
    }
}

/// A regular expression of several parts: words of this program, and values that match themselves.
#[derive(Debug)]
pub struct Pattern(Quoted);

impl Default for Pattern {
    fn default() -> Self {
        Self::after(String::with_capacity(96))
    }
}

impl Pattern {
    /// A token at the end of a file.
    pub fn after(out: String) -> Self {
        Self(Quoted::after(out))
    }

    /// Adds words of this program.
    pub fn own(mut self, text: &'static str) -> Self {
        quote(&mut self.0.out, text);
        self
    }

    /// Adds a value that matches itself, byte by byte.
    pub fn literal(mut self, text: &str) -> Self {
        let out = &mut self.0.out;
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'/' {
                out.push(byte.into());
            } else {
                let _ = write!(out, "\\\\x{byte:02x}");
            }
        }
        self
    }

    /// Adds a regular expression that is within the bounds.
    pub fn bounded(mut self, pattern: &BoundedPattern) -> Self {
        quote(&mut self.0.out, &pattern.to_pcre());
        self
    }

    /// The token.
    pub fn token(self) -> Option<Token> {
        self.0.token()
    }

    /// The file with the token at its end, and whether it can be read.
    pub fn close(self) -> (String, bool) {
        self.0.close()
    }
}

/// A quoted token in the making, after what else is in the string.
#[derive(Debug)]
struct Quoted {
    out: String,
    start: usize,
}

impl Quoted {
    fn after(mut out: String) -> Self {
        let start = out.len();
        out.push('"');
        Self { out, start }
    }

    fn close(mut self) -> (String, bool) {
        self.out.push('"');
        let fits = self.out.len() - self.start <= LONGEST;
        (self.out, fits)
    }

    fn token(self) -> Option<Token> {
        let (out, fits) = self.close();
        fits.then_some(Token(Cow::Owned(out)))
    }
}

/// Whether nginx takes it for a name and nothing else. Longer ones than 253 bytes are in no DNS.
pub fn is_host_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=253).contains(&name.len()) && name.split('.').all(|label| !label.is_empty() && label.bytes().all(plain))
}

/// Adds a text to what is inside quotes; `None` if it cannot be written.
fn quote(out: &mut String, text: &str) -> Option<()> {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push_str(text);
        return Some(());
    }
    let mut plain = 0;
    // All of these are one byte long in UTF-8 and part of no other character.
    for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| *byte < b' ' || *byte == b'"' || *byte == b'\\') {
        let escape = match byte {
            0 => return None,
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\t' => "\\t",
            b'\r' => "\\r",
            b'\n' => "\\n",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        out.push_str(escape);
        plain = at + 1;
    }
    out.push_str(&text[plain..]);
    Some(())
}

/// A time, in milliseconds: at least one, since 0 would end at once, and at most 30 days.
pub fn duration(time: Duration) -> Token {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).clamp(1, 30 * 24 * 3600 * 1000);
    Text::default().number(millis).own("ms").token().unwrap_or(Token::word("60s"))
}

/// The same, in seconds where these are whole.
pub fn time(time: Duration) -> Token {
    let seconds = time.as_secs().min(30 * 24 * 3600);
    let whole = time.subsec_nanos() == 0 && seconds > 0;
    let text = whole.then(|| Token(Cow::Owned(format!("{seconds}s"))));
    text.unwrap_or_else(|| duration(time))
}

/// A number of bytes, as far as nginx counts.
pub fn size(bytes: u64) -> Token {
    Token::number(bytes.min(i64::MAX.unsigned_abs()))
}

/// A path of the settings, if it can be written.
pub fn path_token(path: &Path) -> Option<Token> {
    let text = path.to_str()?;
    (text.len() < 1000 && !text.contains(|c: char| c.is_control())).then(|| Token::constant(text))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_or_rejected() {
        for (text, literal, constant) in [
            ("/a", Some(r#""/a""#), true),
            ("", Some(r#""""#), true),
            ("a b;{}#'", Some(r#""a b;{}#'""#), true),
            ("\"; x\\", Some(r#""\"; x\\""#), true),
            ("a\n\r\tb", Some(r#""a\n\r\tb""#), true),
            ("$host", Some(r#""$host""#), false),
            ("麻雀", Some(r#""麻雀""#), true),
            ("a\0", None, false),
        ] {
            assert_eq!(Token::literal(text).as_ref().map(Token::as_str), literal, "{text:?}");
            assert_eq!(Token::constant(text).is_some(), constant, "{text:?}");
        }
        assert!(Token::literal(&"a".repeat(LONGEST - 2)).is_some());
        assert!(Token::literal(&"a".repeat(LONGEST - 1)).is_none());
    }
}
