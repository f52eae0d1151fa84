//! Another server is asked whether a request may pass.

use super::{OutsideServer, UrlText};

/// A server is asked before each request: 2xx lets it pass, 401 sends the client to where it signs in or is the answer, so is 403,
/// and anything else, or no answer, is 500.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalAuth {
    /// Where the server is reached.
    pub server: OutsideServer,
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
    /// Those that it is told by another name, likewise.
    pub renamed_headers: Vec<RenamedHeader>,
    /// What else it is told, header and value.
    pub request_headers: Vec<(String, String)>,
    /// What it is told of where the client wants to go; the path and the query where there is none.
    pub request_redirect: Option<UrlText>,
    /// Whether the client gets the cookies of its answer with answers that say that something is wrong, too.
    pub always_set_cookie: bool,
}

/// A header of the server's answer that the backend is told by another name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RenamedHeader {
    /// The name by which the backend is told.
    pub name: String,
    /// What is in front of its value, such as `Bearer `.
    pub prefix: String,
    /// The name in the answer, with `_` where it has `-`.
    pub of: String,
}

impl ExternalAuth {
    /// One that lets nothing pass, since nobody can be asked.
    pub fn closed() -> Self {
        Self {
            server: OutsideServer::Unknown,
            tls: false,
            host: UrlText::default(),
            target: UrlText::default(),
            method: None,
            sign_in: None,
            response_headers: Vec::new(),
            renamed_headers: Vec::new(),
            request_headers: Vec::new(),
            request_redirect: None,
            always_set_cookie: false,
        }
    }
}
