//! Values of headers, in which something of the request or of its answer may stand.

use std::fmt;

use super::UrlVariable;

/// The value of a header: one line, of texts and variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderValue(Vec<HeaderPart>);

/// A part of a [`HeaderValue`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeaderPart {
    /// This text, without `$`; in a header, of printable ASCII.
    Text(String),
    /// What is known of the request, or of its answer.
    Variable(HeaderVariable),
}

/// A variable of a closed list that may stand in the value of a header, by the name that nginx or ingress-nginx has for it. None of them can
/// have an end of a line in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderVariable(String);

/// What is known of a request when it comes, beside what may stand in URLs.
const OF_REQUEST: [&str; 14] = [
    "connection",
    "content_length",
    "content_type",
    "hostname",
    "msec",
    "query_string",
    "remote_addr",
    "remote_port",
    "req_id",
    "request_id",
    "server_protocol",
    "the_real_ip",
    "time_iso8601",
    "time_local",
];

/// What is known when it is answered.
const OF_ANSWER: [&str; 8] = [
    "request_length",
    "request_time",
    "status",
    "upstream_addr",
    "upstream_connect_time",
    "upstream_header_time",
    "upstream_response_time",
    "upstream_status",
];

/// What the names of others begin with, before that of a header, a parameter or a cookie; the last is of the answer of the backend.
const PREFIXES: [&str; 4] = ["arg_", "cookie_", "http_", OF_BACKEND];
const OF_BACKEND: &str = "upstream_http_";

/// By what a client is known, and which pages that it shows cannot read.
const SECRETS: [&str; 3] = ["http_authorization", "http_cookie", "http_proxy_authorization"];

impl HeaderVariable {
    /// The one of this name, if it is in the list.
    pub fn new(name: &str) -> Option<Self> {
        let is_rest = |rest: &str| {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            (1..=64).contains(&rest.len()) && rest.bytes().all(is_plain)
        };
        let is_known = UrlVariable::NAMES.iter().any(|(known, _)| *known == name)
            || OF_REQUEST.contains(&name)
            || OF_ANSWER.contains(&name)
            || PREFIXES.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(is_rest));
        is_known.then(|| Self(name.to_owned()))
    }

    /// The names that there are, and what those of others begin with.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let of_urls = UrlVariable::NAMES.into_iter().map(|(name, _)| name);
        of_urls.chain(OF_REQUEST).chain(OF_ANSWER).chain(PREFIXES)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// What it stands for, if that may stand in a URL, too.
    pub fn of_url(&self) -> Option<UrlVariable> {
        let is_query = self.0 == "query_string";
        let mut names = UrlVariable::NAMES.into_iter();
        names.find_map(|(name, variable)| (name == self.0 || is_query && name == "args").then_some(variable))
    }

    /// Whether it is known only when a request is answered.
    pub fn is_of_answer(&self) -> bool {
        OF_ANSWER.contains(&self.name()) || self.0.starts_with(OF_BACKEND)
    }

    /// Whether it may be a secret of the client, which a page that it shows is not to read in an answer.
    pub fn is_secret(&self) -> bool {
        SECRETS.contains(&self.name()) || self.0.starts_with("cookie_")
    }
}

impl HeaderValue {
    /// Longest value, in bytes, of which `"` and `\\` count twice.
    pub const LONGEST: usize = 3000;

    /// Most variables in a value: with their names it must fit into a token of nginx.
    pub(crate) const MOST_VARIABLES: usize = 16;

    /// Reads a value. `${name}` is the same as `$name`.
    ///
    /// # Errors
    /// What is wrong with it: it is one line of printable ASCII, in which `$` stands before the name of a known variable alone.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        // In nginx's configuration these have a backslash.
        let escaped = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        if text.len() + escaped > Self::LONGEST || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err("a value of a header has up to 3000 printable characters of ASCII");
        }
        let value = Self(
            split_parts(text).ok_or("of variables a value of a header has those of a closed list, and no other `$`")?,
        );
        if value.variables().count() > Self::MOST_VARIABLES {
            return Err("a value of a header has up to 16 variables");
        }
        Ok(value)
    }

    /// Its parts.
    pub fn parts(&self) -> &[HeaderPart] {
        &self.0
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its variables.
    pub fn variables(&self) -> impl Iterator<Item = &HeaderVariable> {
        self.0.iter().filter_map(|part| match part {
            HeaderPart::Text(_) => None,
            HeaderPart::Variable(variable) => Some(variable),
        })
    }
}

/// The parts of a text; none if a `$` stands elsewhere than before the name of a known variable.
pub(crate) fn split_parts(text: &str) -> Option<Vec<HeaderPart>> {
    let mut pieces = text.split('$');
    let mut parts = vec![HeaderPart::Text(pieces.next().unwrap_or_default().to_owned())];
    for piece in pieces {
        let (name, rest) = split_name(piece)?;
        parts.push(HeaderPart::Variable(HeaderVariable::new(name)?));
        parts.push(HeaderPart::Text(rest.to_owned()));
    }
    parts.retain(|part| !matches!(part, HeaderPart::Text(text) if text.is_empty()));
    Some(parts)
}

/// The name of a variable with which a text begins, and what follows it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}'),
        None => {
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            Some(text.split_at(text.bytes().take_while(is_name).count()))
        }
    }
}

impl fmt::Display for HeaderValue {
    /// As annotations have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| part.fmt(f))
    }
}

impl fmt::Display for HeaderPart {
    /// As annotations have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Variable(variable) => write!(f, "${{{}}}", variable.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_those_of_a_closed_list() {
        for (text, shown) in [
            ("", ""),
            ("a \"b\" ;", "a \"b\" ;"),
            ("$request_id", "${request_id}"),
            ("t=${msec}0", "t=${msec}0"),
            ("$scheme://$host$request_uri", "${scheme}://${host}${request_uri}"),
            ("$http_x_tenant-$arg_a-$upstream_http_x", "${http_x_tenant}-${arg_a}-${upstream_http_x}"),
        ] {
            assert_eq!(HeaderValue::parse(text).map(|value| value.to_string()).as_deref(), Ok(shown), "{text}");
        }
        for text in [
            "$",
            "100$",
            "$$host",
            "$1",
            "${host",
            "${}",
            "$hosts",
            "$http_",
            "$http_X",
            "$document_root",
            "$sparrow_host",
            "$pid",
            "$sent_http_x",
            "$remote_user",
            "$ssl_client_cert",
            "$geoip2_city",
        ] {
            assert!(HeaderValue::parse(text).is_err(), "{text}");
        }
        assert!(HeaderValue::parse(&"$uri".repeat(16)).is_ok() && HeaderValue::parse(&"$uri".repeat(17)).is_err());
    }

    #[test]
    fn variables_of_answers_and_secrets_are_known_as_such() {
        let variable = |name: &str| HeaderVariable::new(name).unwrap();
        for (name, is_of_answer, is_secret) in [
            ("host", false, false),
            ("upstream_addr", true, false),
            ("upstream_http_x_cache", true, false),
            ("http_cookie", false, true),
            ("http_authorization", false, true),
            ("cookie_session", false, true),
            ("http_origin", false, false),
        ] {
            let variable = variable(name);
            assert_eq!((variable.is_of_answer(), variable.is_secret()), (is_of_answer, is_secret), "{name}");
        }
    }
}
