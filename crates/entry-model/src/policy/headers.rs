//! Headers that rules add to requests and answers, or take out.

use super::{HeaderValue, HeaderVariable};

/// Headers of one connection, which mean nothing to whom a message is passed on (RFC 9110, 7.6.1), and those that say how long a message
/// is.
pub const CONNECTION_HEADERS: [&str; 10] = [
    "Connection",
    "Content-Length",
    "Expect",
    "HTTP2-Settings",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// A header with one value, as a rule asks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderField {
    name: String,
    value: HeaderValue,
}

impl HeaderField {
    /// Longest name, in bytes: longer ones do not fit into nginx's tables of headers.
    pub const LONGEST_NAME: usize = 40;

    /// A header of this name and value.
    ///
    /// # Errors
    /// What is wrong with them: nothing but letters, digits and `-` is a name.
    pub fn new(name: &str, value: &str) -> Result<Self, &'static str> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || name.len() > Self::LONGEST_NAME || !name.bytes().all(is_plain) {
            return Err("a name of a header has up to 40 letters, digits and `-`");
        }
        Ok(Self { name: name.to_owned(), value: HeaderValue::parse(value.trim())? })
    }

    /// The name, as it was written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value; empty if the header is to be taken out.
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// The variables that stand in its value.
    pub fn variables(&self) -> impl Iterator<Item = &HeaderVariable> {
        self.value.variables()
    }

    /// Whether it is a header of this name.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// What a backend is told, beside what all are told.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestHeaders {
    /// `Host`, rather than the one of the client: a name or an address, and maybe a port.
    pub host: Option<UpstreamHost>,
    /// `Connection`, rather than what the client asks for.
    pub connection: Option<ConnectionHeader>,
    /// Others, each name once; one without a value is taken out.
    pub set: Vec<HeaderField>,
}

/// A `Host` for a backend: a name or an address, and maybe a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamHost(String);

impl UpstreamHost {
    /// This one, if it is of nothing but letters, digits and `-._:[]`.
    pub fn new(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let is_host = (1..=260).contains(&text.len()) && text.bytes().all(is_plain);
        is_host.then(|| Self(text.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a backend is told of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionHeader {
    /// `close`: it serves one request.
    Close,
    /// `keep-alive`: it serves further ones. No connection becomes a WebSocket then.
    KeepAlive,
}

impl ConnectionHeader {
    /// Its value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::KeepAlive => "keep-alive",
        }
    }
}

/// What a client is told, beside what the backend says or in its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerHeaders {
    /// Headers of the backend that the client is not told.
    pub hidden: Vec<String>,
    /// Headers that the client is told.
    pub added: Vec<AddedHeader>,
    /// What in `Domain` of cookies becomes what.
    pub cookie_domain: Option<Replacement>,
    /// What at the beginning of `Path` of cookies becomes what.
    pub cookie_path: Option<Replacement>,
    /// What at the beginning of `Location` and `Refresh` becomes what.
    pub redirect: Option<Replacement>,
}

/// A header that the client is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddedHeader {
    /// The header.
    pub field: HeaderField,
    /// Whether it is added to every answer, else to those of success and to redirects.
    pub always: bool,
}

/// A text that is put in the place of another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replacement {
    from: String,
    to: String,
}

impl Replacement {
    /// Of these two.
    ///
    /// # Errors
    /// What is wrong with them: they are of characters that URLs have, and the first is no pattern of nginx.
    pub fn new(from: &str, to: &str) -> Result<Self, &'static str> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:,?&=".contains(&byte);
        let fits = |text: &str| (1..=1000).contains(&text.len()) && text.bytes().all(is_plain);
        if !fits(from) || !fits(to) {
            return Err("it is of letters, digits and `-._~/:,?&=`");
        }
        if from.starts_with('~') {
            return Err("patterns are not supported");
        }
        Ok(Self { from: from.to_owned(), to: to.to_owned() })
    }

    /// What is replaced.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// What is put in its place.
    pub fn to(&self) -> &str {
        &self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_a_name_and_one_line() {
        for (name, value, is_header) in [
            ("X-Frame-Options", "DENY", true),
            ("content-security-policy", "default-src 'self'; script-src \"x\" \\", true),
            ("X", "", true),
            ("", "a", false),
            ("X Y", "a", false),
            ("X:", "a", false),
            ("X_Y", "a", false),
            ("X\r\nY", "a", false),
            ("X", "a\r\nSet-Cookie: b", false),
            ("X", "a\nb", false),
            ("X", "a\0", false),
            ("X", "ä", false),
            ("X", "$host", true),
            ("X", "$1", false),
            ("X", &"a".repeat(3001), false),
            (&"a".repeat(41), "a", false),
        ] {
            assert_eq!(HeaderField::new(name, value).is_ok(), is_header, "{name:?} {value:?}");
        }
    }

    #[test]
    fn replacement_is_no_pattern_and_has_no_variable() {
        for (from, to, is_one) in [
            ("/one/", "/", true),
            ("localhost", "a.example", true),
            ("http://a:8080/x", "/", true),
            ("~^/(.*)", "/", false),
            ("~x", "/", false),
            ("/", "$host", false),
            ("/", "a b", false),
            ("/", "", false),
            ("/;", "/", false),
        ] {
            assert_eq!(Replacement::new(from, to).is_ok(), is_one, "{from} {to}");
        }
    }
}
