//! URLs in which something of a request may stand.

use std::fmt;

/// A part of a URL: texts, and what stands for something of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UrlText(pub Vec<UrlPart>);

/// A part of a [`UrlText`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UrlPart {
    /// This text, of characters that URLs have.
    Text(String),
    /// Something of the request.
    Variable(UrlVariable),
}

/// Something of a request that may stand in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UrlVariable {
    /// The host, without a port.
    Host,
    /// The host with its port, as the client has sent it.
    HostAndPort,
    /// `http` or `https`, by which the client came.
    Scheme,
    /// The method.
    Method,
    /// The path and the query, as they were sent.
    Target,
    /// The same for a value of a query.
    EscapedTarget,
    /// The path, as it was sent.
    Path,
    /// A question mark if there is a query.
    QuestionMark,
    /// The query, as it was sent.
    Query,
}

impl UrlVariable {
    /// Each by the name that nginx has for it.
    pub const NAMES: [(&str, Self); 11] = [
        ("host", Self::Host),
        ("http_host", Self::HostAndPort),
        ("best_http_host", Self::HostAndPort),
        ("scheme", Self::Scheme),
        ("pass_access_scheme", Self::Scheme),
        ("request_method", Self::Method),
        ("request_uri", Self::Target),
        ("escaped_request_uri", Self::EscapedTarget),
        ("uri", Self::Path),
        ("is_args", Self::QuestionMark),
        ("args", Self::Query),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, variable)| *variable == self).map_or("", |(name, _)| name)
    }
}

impl UrlText {
    /// A text without variables.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(vec![UrlPart::Text(text.into())])
    }

    /// Whether something of the request stands in it.
    pub fn has_variables(&self) -> bool {
        self.0.iter().any(|part| matches!(part, UrlPart::Variable(_)))
    }
}

impl fmt::Display for UrlText {
    /// As annotations have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            UrlPart::Text(text) => f.write_str(text),
            UrlPart::Variable(variable) => write!(f, "${}", variable.name()),
        })
    }
}
