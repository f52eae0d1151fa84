//! How requests of a rule are treated, beside where they go: a file for each topic.

mod access;
mod backend_tls;
mod balancing;
mod buffers;
mod client_certificates;
mod client_tls;
mod cors;
mod error_pages;
mod external_auth;
mod header_value;
mod headers;
mod limits;
mod mirror;
mod outside_server;
mod policies;
mod retries;
mod timeouts;
mod url_text;

pub use access::{Access, BasicAuth, PasswordFile};
pub use backend_tls::{BackendTls, Pem, TlsVersion, Verification};
pub use balancing::{Affinity, Balancing, HashPart, SameSite, SessionCookie};
pub use buffers::{Buffers, ResponseBuffers};
pub use client_certificates::{ClientCertificateRule, ClientCertificates, ClientVerification, VerificationMode};
pub use client_tls::{Cipher, ClientTls, Encryption};
pub use cors::{Cors, CorsOrigin, CorsOrigins};
pub use error_pages::ErrorPages;
pub use external_auth::{ExternalAuth, RenamedHeader};
pub(crate) use header_value::split_parts;
pub use header_value::{HeaderPart, HeaderValue, HeaderVariable};
pub use headers::{
    AddedHeader, AnswerHeaders, CONNECTION_HEADERS, ConnectionHeader, HeaderField, Replacement, RequestHeaders,
    UpstreamHost,
};
pub use limits::{Limits, RequestLimit};
pub use mirror::Mirror;
pub use outside_server::OutsideServer;
pub use policies::{Policies, PolicyId};
pub use retries::{Retries, RetryCondition};
pub use timeouts::Timeouts;
pub use url_text::{UrlPart, UrlText, UrlVariable};

/// How requests of a rule are treated, beside where they go: limits, times, what is added or asked for.
///
/// Rules that are treated alike share one, by value ([`Policies`]). An annotation, a filter of a route and a class of locations
/// are all one field here.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Policy {
    /// Times; the listener's where there is none.
    pub timeouts: Timeouts,
    /// Largest request body, in bytes; 0 is without limit; the listener's when there is none.
    pub max_body_bytes: Option<u64>,
    /// How much of a request and of its answer is held.
    pub buffers: Buffers,
    /// Which of its endpoints a backend's request gets.
    pub balancing: Balancing,
    /// For which paths clients send the cookie of their session; it says nothing without one. Sessions of several paths are one.
    pub session_path: String,
    /// Whether the backend is spoken to with HTTP/1.0 where others are with HTTP/1.1.
    pub speaks_http_1_0: bool,
    /// Which pages of other origins may ask; where there is none, that is left to the backend.
    pub cors: Option<Cors>,
    /// Who may ask.
    pub access: Access,
    /// Who may ask, by certificate.
    pub client_certificates: Option<ClientCertificates>,
    /// How TLS is spoken with clients.
    pub client_tls: ClientTls,
    /// How much a client may ask for.
    pub limits: Limits,
    /// How the backend is known, where it is spoken to over TLS.
    pub backend_tls: BackendTls,
    /// What the backend is told.
    pub request_headers: RequestHeaders,
    /// What the client is told.
    pub answer_headers: AnswerHeaders,
    /// When a request is sent to another endpoint.
    pub retries: Retries,
    /// Whether requests that are forwarded are left out of the access log.
    pub without_access_log: bool,
    /// Who is asked whether a request may pass.
    pub external_auth: Option<ExternalAuth>,
    /// Who gets a copy of each request.
    pub mirror: Option<Mirror>,
    /// What is answered instead of errors.
    pub error_pages: Option<ErrorPages>,
    /// Whether a request over plain HTTP is sent to HTTPS instead, but for one below [`crate::ACME_CHALLENGE`].
    pub redirect_to_https: bool,
}

impl Policy {
    /// Whether there is anyone who may not ask.
    pub fn is_restricted(&self) -> bool {
        self.access.is_restricted() || self.client_certificates.is_some() || self.external_auth.is_some()
    }

    /// Whether clients are asked something when they open a connection over TLS, before it is known which rule their requests get.
    pub fn asks_in_handshake(&self) -> bool {
        self.client_certificates.is_some() || !self.client_tls.is_default()
    }
}
