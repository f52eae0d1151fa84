//! The modules of nginx that forward requests.

/// Which module of nginx forwards the requests of a location, and with that how its directives begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyModule {
    /// `proxy_pass`.
    Proxy,
    /// `grpc_pass`.
    Grpc,
}

impl ProxyModule {
    /// The directive that forwards.
    pub fn pass(self) -> &'static str {
        match self {
            Self::Proxy => "proxy_pass",
            Self::Grpc => "grpc_pass",
        }
    }

    /// The directive that says whether errors of the backend are replaced.
    pub fn intercept_errors(self) -> &'static str {
        match self {
            Self::Proxy => "proxy_intercept_errors",
            Self::Grpc => "grpc_intercept_errors",
        }
    }

    /// The directive that tells the backend a header.
    pub fn set_header(self) -> &'static str {
        match self {
            Self::Proxy => "proxy_set_header",
            Self::Grpc => "grpc_set_header",
        }
    }

    /// The directive that keeps a header of the backend from the client.
    pub fn hide_header(self) -> &'static str {
        match self {
            Self::Proxy => "proxy_hide_header",
            Self::Grpc => "grpc_hide_header",
        }
    }
}
