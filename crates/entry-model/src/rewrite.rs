//! What becomes of a path, and where clients are sent.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::{Match, PathMatch, Pattern, Request, Scheme, UrlPart, UrlText, UrlVariable};

/// What becomes of the path of a request that is forwarded, or of a redirect's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathRewrite {
    /// It stays as it is.
    Keep,
    /// The prefix that matched is taken off; what is left begins with `/`.
    StripPrefix,
    /// The prefix that matched is replaced by this, which begins with `/` and does not end with one. Use
    /// [`PathRewrite::replace_prefix`], which makes it so.
    ReplacePrefix(String),
    /// The whole path is replaced.
    ReplaceFull(String),
    /// The whole path and the query are replaced by this, as it stands in a URL: it begins with `/`, and may have a query and a
    /// fragment, and parts of the request. For redirects alone.
    ReplaceTarget(UrlText),
    /// What the pattern matches of it is replaced; a path that the pattern does not match stays as it is.
    Regex {
        /// The pattern.
        pattern: Pattern,
        /// What replaces it, as [`crate::PatternEngine::replace`] has it.
        template: String,
    },
}

impl PathRewrite {
    /// Replaces a prefix, as the Gateway API's `ReplacePrefixMatch` does: a final slash of the replacement means nothing.
    pub fn replace_prefix(replacement: &str) -> Self {
        match replacement.trim_end_matches('/') {
            "" => Self::StripPrefix,
            replacement => Self::ReplacePrefix(replacement.to_owned()),
        }
    }

    /// What becomes of a path that the match has matched.
    pub fn apply<'a>(&self, matched: &PathMatch, path: &'a str) -> Cow<'a, str> {
        let rest = || match matched {
            PathMatch::Exact(_) => "",
            PathMatch::Prefix(prefix) => path.strip_prefix(prefix.trim_end_matches('/')).unwrap_or(path),
            // Of a pattern there is no prefix, so all of the path is the rest.
            PathMatch::Regex(_) => path,
        };
        match self {
            Self::Keep => Cow::Borrowed(path),
            Self::StripPrefix => match rest() {
                "" => Cow::Borrowed("/"),
                rest => Cow::Borrowed(rest),
            },
            Self::ReplacePrefix(replacement) => match rest() {
                "" => Cow::Owned(replacement.clone()),
                rest => Cow::Owned([replacement, rest].concat()),
            },
            Self::ReplaceFull(replacement) => Cow::Owned(replacement.clone()),
            Self::ReplaceTarget(target) => {
                Cow::Owned(target.to_string().split(['?', '#']).next().unwrap_or("/").to_owned())
            }
            // A byte at which a group ends may be within a character.
            Self::Regex { pattern, template } => {
                Cow::Owned(String::from_utf8_lossy(&pattern.replace(path, template)).into_owned())
            }
        }
    }
}

/// Where clients are sent. What is not given is as in the request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The scheme.
    pub scheme: Option<Scheme>,
    /// The host.
    pub host: Option<String>,
    /// The port; without one that of the scheme if a scheme is given, else the listener's.
    pub port: Option<u16>,
    /// The path.
    pub path: PathRewrite,
}

impl Redirect {
    /// The value of `Location` for a request that the match has matched, which came at a port, where the path is known as nginx understands
    /// it only. The query stays. The path is percent-encoded as far as a URL needs it.
    pub fn location(&self, matched: &Match, request: &Request<'_>, port: u16) -> String {
        let mut location = self.origin(request, port);
        if let PathRewrite::ReplaceTarget(target) = &self.path {
            target.0.iter().for_each(|part| add_part(part, request, &mut location));
            return location;
        }
        encode_path(&self.path.apply(&matched.path, request.path), &mut location);
        if !request.query.is_empty() {
            location.push('?');
            location.push_str(request.query);
        }
        location
    }

    /// The same up to its path: the scheme, the host and, where it is not that of the scheme, the port.
    pub fn origin(&self, request: &Request<'_>, port: u16) -> String {
        let scheme = self.scheme.unwrap_or(request.scheme);
        let host = self.host.as_deref().unwrap_or(request.host);
        let port = self.port.unwrap_or(if self.scheme.is_some() { scheme.default_port() } else { port });
        let mut origin = format!("{scheme}://{host}");
        if port != scheme.default_port() {
            // Writing to a String does not fail.
            let _ = write!(origin, ":{port}");
        }
        origin
    }
}

/// Adds a part of a URL. What was sent is taken for what is known of it.
fn add_part(part: &UrlPart, request: &Request<'_>, out: &mut String) {
    let add_target = |out: &mut String| {
        encode_path(request.path, out);
        if !request.query.is_empty() {
            out.push('?');
            out.push_str(request.query);
        }
    };
    match part {
        UrlPart::Text(text) => out.push_str(text),
        UrlPart::Variable(variable) => match variable {
            UrlVariable::Host | UrlVariable::HostAndPort => out.push_str(request.host),
            UrlVariable::Scheme => out.push_str(&request.scheme.to_string()),
            UrlVariable::Method => out.push_str(request.method),
            UrlVariable::Target => add_target(out),
            UrlVariable::EscapedTarget => {
                let mut target = String::new();
                add_target(&mut target);
                out.push_str(&target.replace('%', "%25").replace('&', "%26").replace('+', "%2B"));
            }
            UrlVariable::Path => encode_path(request.path, out),
            UrlVariable::QuestionMark => out.push_str(if request.query.is_empty() { "" } else { "?" }),
            UrlVariable::Query => out.push_str(request.query),
        },
    }
}

/// Adds a path, with what must not stand in a path of a URL percent-encoded (RFC 3986, 3.3).
pub fn encode_path(path: &str, out: &mut String) {
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
