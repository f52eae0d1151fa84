//! What policies ask for, in nginx's directives: a file for each topic.
//!
//! A policy is carried out in the location through which requests are forwarded: that of the rule, one for raw paths, or, where a module
//! finds the route, that of the policy's class. All of them are written by [`write`].

mod body;
mod buffers;
mod timeouts;

use entry_model::Policy;

use crate::location_headers::LocationHeaders;
use crate::proxy_target::Context;
use crate::writer::Writer;

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

/// Writes what a policy asks for where it is not as for all others; `None` if nginx could not read it.
pub fn write(writer: &mut Writer<'_>, policy: &Policy, module: ProxyModule, context: &Context<'_>) -> Option<()> {
    // Every field is named, so that a new one does not compile until it is said who carries it out: redirects to HTTPS come before.
    // The version of HTTP is written where the protocol is known.
    let Policy { timeouts, max_body_bytes, buffers, speaks_http_1_0: _, redirect_to_https: _ } = policy;
    timeouts::write(writer, timeouts, module)?;
    body::write(writer, *max_body_bytes)?;
    buffers::write(writer, buffers, module)?;
    // Each topic that sets headers adds them here.
    let headers = LocationHeaders::default();
    headers.write(writer, module, context)
}
