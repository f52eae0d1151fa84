//! Backends: an `upstream` each, for only such keep connections.

use std::collections::BTreeMap;

use entry_routes::{Action, Backend, ObjectRef, Protocol, Routes, Rule};

use crate::token::{Plain, Token};
use crate::writer::{Writer, directive};
use crate::{Note, Settings, Version};

/// From here on `proxy_pass` speaks HTTP/2, which can send a path as it came, less its prefix. `grpc_pass` cannot.
const PROXY_HTTP2: Version = Version::new(1, 29, 4);

/// The upstreams, by backend.
#[derive(Debug)]
pub struct Upstreams<'a> {
    by_backend: BTreeMap<&'a Backend, Upstream<'a>>,
}

#[derive(Debug)]
struct Upstream<'a> {
    name: Plain,
    /// The first that asked for it.
    origin: &'a ObjectRef,
}

impl<'a> Upstreams<'a> {
    /// Those that the routes lead to. What this nginx is not able to speak is left out, and its routes answer 503.
    pub fn of(routes: &'a Routes, settings: &Settings, notes: &mut Vec<Note>) -> Self {
        let mut by_backend = BTreeMap::new();
        for rule in rules(routes) {
            let Action::Forward(forward) = &rule.action else { continue };
            let backend = &forward.backend;
            if let Some(missing) = missing(backend, settings) {
                let message = format!(
                    "requests for {} are answered 503: the backend {} cannot be reached, {missing}",
                    rule.path.path(),
                    backend.address
                );
                notes.push(Note { object: rule.origin.clone(), message });
            } else {
                by_backend.entry(backend).or_insert_with(|| Upstream { name: name(backend), origin: &rule.origin });
            }
        }
        Self { by_backend }
    }

    /// The name of the upstream of a backend.
    pub fn name(&self, backend: &Backend) -> Option<&Plain> {
        self.by_backend.get(backend).map(|upstream| &upstream.name)
    }

    /// Whether there is one that is spoken to with `grpc_pass`.
    pub fn any_grpc(&self, settings: &Settings) -> bool {
        self.by_backend.keys().any(|backend| by_grpc(backend.protocol, settings))
    }

    /// Whether there is one that is spoken to with HTTP/2 by `proxy_pass`.
    pub fn any_proxy_http2(&self, settings: &Settings) -> bool {
        self.by_backend.keys().any(|backend| is_http2(backend.protocol) && !by_grpc(backend.protocol, settings))
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.by_backend.len()
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
        for (backend, upstream) in &self.by_backend {
            // Addresses and names of them are of characters that nginx can read.
            let _ = writer.line("upstream").text(|text| text.plain(&upstream.name)).open(Some(upstream.origin));
            let _ = writer.line("server").text(|text| text.address(backend.address)).end();
            for directive in &shared {
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
pub fn by_grpc(protocol: Protocol, settings: &Settings) -> bool {
    is_http2(protocol) && settings.version < PROXY_HTTP2
}

/// Whether TLS is spoken.
pub fn is_tls(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Https | Protocol::Http2Tls)
}

/// All rules.
pub fn rules(routes: &Routes) -> impl Iterator<Item = &Rule> {
    routes.hosts.values().flat_map(|host| &host.rules).chain(&routes.default)
}

/// Why a backend cannot be reached by this nginx.
fn missing(backend: &Backend, settings: &Settings) -> Option<&'static str> {
    if backend.address.port() == 0 {
        Some("for 0 is no port")
    } else if by_grpc(backend.protocol, settings) && !settings.modules.grpc {
        Some("for this nginx is built without http_grpc_module")
    } else if is_http2(backend.protocol) && !settings.modules.http_v2 {
        Some("for this nginx is built without http_v2_module")
    } else if is_tls(backend.protocol) && !settings.modules.ssl {
        Some("for this nginx is built without http_ssl_module")
    } else {
        None
    }
}

/// A name made of the address and the protocol only: connections are kept by name, and must not be shared between protocols.
fn name(backend: &Backend) -> Plain {
    let protocol = match backend.protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
        Protocol::Http2 => "http2",
        Protocol::Http2Tls => "http2-tls",
    };
    let address = backend.address;
    Plain::from(&format!("{}_{}_{protocol}", address.ip(), address.port()), '-')
}
