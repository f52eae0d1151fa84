//! What annotations say of where clients are sent.

use entry_model::Redirect;

/// Where clients are sent, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redirects {
    /// All requests of the object are sent there.
    pub all: Option<RequestRedirect>,
    /// Requests for `/` are sent there: a path with its query, and the annotation that says so.
    pub root: Option<(String, &'static str)>,
    /// Whether requests for the same host with `www.` or without are sent to the host: the annotation that says so.
    pub www: Option<&'static str>,
}

/// What becomes of requests that are not forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestRedirect {
    /// Their clients are sent elsewhere.
    To(Redirect),
    /// It cannot be used where they should go, so they may go nowhere.
    Unusable,
}

/// Whether HTTP is redirected to HTTPS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpsRedirect {
    /// Where the host has a certificate that is for it.
    #[default]
    WithCertificate,
    /// The same, and the object asks for it, so it is told where that is not so.
    Wanted,
    /// Always.
    Always,
    /// Never.
    Never,
}
