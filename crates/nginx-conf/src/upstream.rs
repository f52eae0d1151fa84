//! Backends: an `upstream` each, for only such keep connections.

use std::collections::BTreeSet;

use entry_model::{Action, Backend, Forward, ObjectRef, Protocol, Routes, Rule};

use crate::token::Token;
use crate::upstream_name::UpstreamName;
use crate::writer::{Directive, Writer, directive};
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
    /// What they and those of a table speak.
    protocols: BTreeSet<Protocol>,
}

impl<'a> Upstreams<'a> {
    /// Those that the routes lead to, beside the backends of a table, which speak these protocols. What this nginx is not able to
    /// speak is left out, and its routes answer 503.
    pub fn of(
        routes: &'a Routes,
        of_table: BTreeSet<Protocol>,
        settings: &'a Settings,
        notes: &mut Vec<RenderNote>,
    ) -> Self {
        let mut backends = Vec::new();
        for rule in routes.rules() {
            let Some((_, backend)) = forward_of(rule) else { continue };
            match unreachable_note(rule, backend, settings) {
                Some(note) => notes.push(note),
                None => backends.push((backend, &rule.origin)),
            }
        }
        backends.sort_by_key(|(backend, _)| *backend);
        backends.dedup_by_key(|(backend, _)| *backend);
        let spoken = backends.iter().map(|(backend, _)| backend.protocol);
        let protocols = spoken.chain(of_table).collect();
        Self { settings, backends, protocols }
    }

    /// The name of the upstream of a backend, which is one of the routes'.
    pub fn name<'b>(&self, backend: &'b Backend) -> Option<UpstreamName<'b>> {
        missing(backend, self.settings).is_none().then_some(UpstreamName::of(backend))
    }

    /// Whether there is one that is spoken to with `grpc_pass`.
    pub fn has_grpc(&self, settings: &Settings) -> bool {
        self.protocols.iter().any(|protocol| uses_grpc(*protocol, settings))
    }

    /// Whether there is one that is spoken to with HTTP/2 by `proxy_pass`.
    pub fn has_proxy_http2(&self, settings: &Settings) -> bool {
        self.protocols.iter().any(|protocol| is_http2(*protocol) && !uses_grpc(*protocol, settings))
    }

    /// Whether there is one that is spoken to with TLS.
    pub fn has_tls(&self) -> bool {
        self.protocols.iter().any(|protocol| is_tls(*protocol))
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
        let [timeout, requests] = keep_alive_limits();
        let shared = [directive("keepalive").token(Token::number(kept)), timeout, requests];
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

/// How long a connection to a backend is kept, and for how many requests.
pub fn keep_alive_limits() -> [Directive<'static>; 2] {
    [
        // Many servers close an idle connection after 5 s; a request that is sent in that moment is lost.
        directive("keepalive_timeout").words(["4s"]),
        directive("keepalive_requests").words(["10000"]),
    ]
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

/// What is told of a rule whose backend cannot be reached by this nginx.
pub fn unreachable_note(rule: &Rule, backend: &Backend, settings: &Settings) -> Option<RenderNote> {
    let message = format!(
        "requests for {} are answered 503: the backend {} cannot be reached, {}",
        rule.matches.path.text(),
        backend.address,
        missing(backend, settings)?
    );
    Some(RenderNote { object: rule.origin.clone(), message })
}

/// Why a backend cannot be reached by this nginx.
fn missing(backend: &Backend, settings: &Settings) -> Option<&'static str> {
    if backend.address.port() == 0 { Some("for 0 is no port") } else { missing_module(backend.protocol, settings) }
}

/// Why a protocol cannot be spoken by this nginx.
pub fn missing_module(protocol: Protocol, settings: &Settings) -> Option<&'static str> {
    if uses_grpc(protocol, settings) && !settings.modules.grpc {
        Some("for this nginx is built without http_grpc_module")
    } else if is_http2(protocol) && !settings.modules.http_v2 {
        Some("for this nginx is built without http_v2_module")
    } else if is_tls(protocol) && !settings.modules.ssl {
        Some("for this nginx is built without http_ssl_module")
    } else {
        None
    }
}
