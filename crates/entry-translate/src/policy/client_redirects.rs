//! What annotations say of where clients are sent.

use std::sync::Arc;

use entry_model::{Action, HostName, PathMatch, Policy, Redirect};

use super::redirect_url::RedirectUrl;

/// Where clients are sent, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redirects {
    /// All requests of the object are sent there.
    pub all: Option<RequestRedirect>,
    /// Requests for `/` are sent there: a path with its query, or nowhere if it cannot be used; and the annotation that says so.
    pub root: Option<(Option<String>, &'static str)>,
    /// Whether requests for the same host with `www.` or without are sent to the host: the annotation that says so.
    pub www: Option<&'static str>,
}

/// What becomes of requests that are not forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestRedirect {
    /// Their clients are sent elsewhere.
    To(RedirectUrl),
    /// It cannot be used where they should go, so they may go nowhere.
    Unusable,
}

/// A redirect of requests for one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRedirect {
    /// The path, which has one form only.
    pub path: String,
    /// Where clients are sent.
    pub redirect: Redirect,
    /// Whether it is for the path also where no path of the Ingress matches it.
    pub is_of_host: bool,
}

/// What requests for a path are answered, by a location of a snippet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredPath {
    /// The path, or all that begins like it.
    pub path: PathMatch,
    /// What they are answered.
    pub action: Action,
    /// What clients are told beside it.
    pub policy: Arc<Policy>,
}

impl AnsweredPath {
    /// Requests for it are refused with this status.
    pub fn refused(path: PathMatch, status: u16) -> Self {
        Self { path, action: Action::Respond(status), policy: Arc::default() }
    }
}

/// What is done with requests for a host, or for all hosts but that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionOfHost {
    /// The host.
    pub host: String,
    /// Whether it is for all hosts but that.
    pub is_for_others: bool,
    /// What is done.
    pub action: Action,
}

impl ActionOfHost {
    /// What is done with requests for a host, if it is for that.
    pub fn action_for(&self, host: &HostName) -> Option<Action> {
        let HostName::Exact(name) = host else { return None };
        ((*name == self.host) != self.is_for_others).then(|| self.action.clone())
    }

    /// The same for the same hosts, whose requests are answered 503.
    pub fn unavailable(&self) -> Self {
        Self { action: Action::UNAVAILABLE, ..self.clone() }
    }
}

/// Whether HTTP is redirected to HTTPS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpsRedirect {
    /// Where the host has a certificate that is for it.
    #[default]
    WithCertificate,
    /// Where TLS is declared for the host, whether its certificate can be had or not: who asks for it by name would rather be redirected to
    /// where no connection is made than send a password in the clear.
    WithTls,
    /// The same, and the object is told where no TLS is declared.
    Wanted,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl HttpsRedirect {
    /// Whether a host is redirected for which TLS is declared, without a certificate that is for it.
    pub fn needs_no_certificate(self) -> bool {
        matches!(self, Self::WithTls | Self::Wanted | Self::Always)
    }
}
