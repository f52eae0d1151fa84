//! Backends: an `upstream` each, for only such keep connections.

use entry_model::{Action, Backend, Forward, ObjectRef, Protocol, Routes, Rule};

use crate::token::Token;
use crate::upstream_name::UpstreamName;
use crate::writer::{Writer, directive};
use crate::{RenderNote, Settings, Version, inexpressible};

/// From here on `proxy_pass` speaks HTTP/2, which can send a path as it came, less its prefix. `grpc_pass` cannot.
const PROXY_HTTP2: Version = Version::new(1, 29, 4);

/// From here on connections to backends are kept where nothing says otherwise.
const KEPT_BY_DEFAULT: Version = Version::new(1, 29, 7);

/// The upstreams.
#[derive(Debug)]
pub struct Upstreams<'a> {
    settings: &'a Settings,
    /// The backends in order, each with the first that asked for it.
    backends: Vec<(&'a Backend, &'a ObjectRef)>,
}

impl<'a> Upstreams<'a> {
    /// Those that the routes lead to. What this nginx is not able to speak is left out, and its routes answer 503.
    pub fn of(routes: &'a Routes, settings: &'a Settings, notes: &mut Vec<RenderNote>) -> Self {
        let mut backends = Vec::new();
        for rule in routes.rules() {
            let Some((_, backend)) = forward_of(rule) else { continue };
            if let Some(missing) = missing(backend, settings) {
                let message = format!(
                    "requests for {} are answered 503: the backend {} cannot be reached, {missing}",
                    rule.matches.path.text(),
                    backend.address
                );
                notes.push(RenderNote { object: rule.origin.clone(), message });
            } else {
                backends.push((backend, &rule.origin));
            }
        }
        backends.sort_by_key(|(backend, _)| *backend);
        backends.dedup_by_key(|(backend, _)| *backend);
        Self { settings, backends }
    }

    /// The name of the upstream of a backend, which is one of the routes'.
    pub fn name<'b>(&self, backend: &'b Backend) -> Option<UpstreamName<'b>> {
        missing(backend, self.settings).is_none().then_some(UpstreamName::of(backend))
    }

    /// Whether there is one that is spoken to with `grpc_pass`.
    pub fn has_grpc(&self, settings: &Settings) -> bool {
        self.backends.iter().any(|(backend, _)| uses_grpc(backend.protocol, settings))
    }

    /// Whether there is one that is spoken to with HTTP/2 by `proxy_pass`.
    pub fn has_proxy_http2(&self, settings: &Settings) -> bool {
        self.backends.iter().any(|(backend, _)| is_http2(backend.protocol) && !uses_grpc(backend.protocol, settings))
    }

    /// Whether there is one that is spoken to with TLS.
    pub fn has_tls(&self) -> bool {
        self.backends.iter().any(|(backend, _)| is_tls(backend.protocol))
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.backends.len()
    }

    /// Writes them.
    pub fn write(&self, writer: &mut Writer<'a>) {
        // nginx sets aside memory for each connection that may be kept: many upstreams get fewer each.
        let kept: u16 = match self.len() {
            0..=512 => 32,
            513..=2048 => 16,
            _ => 8,
        };
        let shared = [
            directive("keepalive").token(Token::number(kept)),
            // Many servers close an idle connection after 5 s; a request that is sent in that moment is lost.
            directive("keepalive_timeout").words(["4s"]),
            directive("keepalive_requests").words(["10000"]),
        ];
        for (backend, origin) in &self.backends {
            // Addresses and names of them are of characters that nginx can read.
            let _ = writer.line("upstream").text(|text| text.upstream(UpstreamName::of(backend))).open(Some(origin));
            let _ = writer.line("server").text(|text| text.address(backend.address)).end();
            let once = (self.settings.version >= KEPT_BY_DEFAULT).then(|| directive("keepalive").words(["0"]));
            let directives = if backend.keep_alive { &shared[..] } else { once.as_slice() };
            for directive in directives {
                writer.write(directive);
            }
            writer.close();
        }
    }
}

/// Whether HTTP/2 is spoken.
pub fn is_http2(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Http2 | Protocol::Http2Tls)
}

/// Whether `grpc_pass` speaks it, for want of better. Never beside `proxy_pass`: neither can use a connection to an upstream
/// that the other has kept, and the request fails.
pub fn uses_grpc(protocol: Protocol, settings: &Settings) -> bool {
    is_http2(protocol) && settings.version < PROXY_HTTP2
}

/// Whether TLS is spoken.
pub fn is_tls(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Https | Protocol::Http2Tls)
}

/// How and where a rule forwards requests, if it does and nginx can be told so.
pub fn forward_of(rule: &Rule) -> Option<(&Forward, &Backend)> {
    match &rule.action {
        Action::Forward(forward) if inexpressible::of_rule(rule).is_none() => Some((forward, forward.only_backend()?)),
        _ => None,
    }
}

/// Why a backend cannot be reached by this nginx.
fn missing(backend: &Backend, settings: &Settings) -> Option<&'static str> {
    if backend.address.port() == 0 {
        Some("for 0 is no port")
    } else if uses_grpc(backend.protocol, settings) && !settings.modules.grpc {
        Some("for this nginx is built without http_grpc_module")
    } else if is_http2(backend.protocol) && !settings.modules.http_v2 {
        Some("for this nginx is built without http_v2_module")
    } else if is_tls(backend.protocol) && !settings.modules.ssl {
        Some("for this nginx is built without http_ssl_module")
    } else {
        None
    }
}
