//! Another server is asked whether a request may pass.

use std::fmt;
use std::net::SocketAddr;

/// A server is asked before each request: 2xx lets it pass, 401 sends the client to where it signs in or is the answer, so is 403,
/// and anything else, or no answer, is 500.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalAuth {
    /// Where the server is reached.
    pub server: AuthServer,
    /// Whether it speaks TLS. Its certificate is not verified.
    pub tls: bool,
    /// The host that it is asked for.
    pub host: UrlText,
    /// The path and the query that it is asked for.
    pub target: UrlText,
    /// The method; `GET` where there is none.
    pub method: Option<String>,
    /// Where clients sign in.
    pub sign_in: Option<UrlText>,
    /// The headers of its answer that the backend is told. A client's own are dropped.
    pub response_headers: Vec<String>,
    /// What else it is told, header and value.
    pub request_headers: Vec<(String, String)>,
    /// What it is told of where the client wants to go; the path and the query where there is none.
    pub request_redirect: Option<UrlText>,
    /// Whether the client gets the cookies of its answer with answers that say that something is wrong, too.
    pub always_set_cookie: bool,
}

/// Where a server is reached that is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthServer {
    /// Nobody can be asked: what says who is cannot be followed. Nothing passes, and requests are answered 503.
    Unknown,
    /// At this address.
    Address(SocketAddr),
    /// At the addresses of its name, which are looked up for each request.
    Name {
        /// The name.
        name: UrlText,
        /// The port.
        port: u16,
    },
}

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

impl ExternalAuth {
    /// One that lets nothing pass, since nobody can be asked.
    pub fn closed() -> Self {
        Self {
            server: AuthServer::Unknown,
            tls: false,
            host: UrlText::default(),
            target: UrlText::default(),
            method: None,
            sign_in: None,
            response_headers: Vec::new(),
            request_headers: Vec::new(),
            request_redirect: None,
            always_set_cookie: false,
        }
    }
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

impl fmt::Display for AuthServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Name { name, port } => write!(f, "{name}:{port}"),
        }
    }
}
