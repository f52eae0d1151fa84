//! Where is listened.

use std::net::SocketAddr;

use entry_model::{Routes, Scheme};

use crate::token::Token;
use crate::writer::{Directive, directive};
use crate::{Settings, Version};

/// From here on HTTP/2 is a directive of its own.
const HTTP2_DIRECTIVE: Version = Version::new(1, 25, 1);

/// The addresses at which listeners of a protocol listen.
pub fn sockets(routes: &Routes, protocol: Scheme) -> impl Iterator<Item = SocketAddr> {
    let listeners = routes.listeners.iter().filter(move |listener| listener.protocol == protocol);
    listeners.flat_map(|listener| listener.sockets.iter().copied())
}

/// The `listen` directives for HTTP.
pub fn http(routes: &Routes, settings: &Settings, default: bool) -> impl Iterator<Item = Directive<'static>> {
    sockets(routes, Scheme::Http).filter_map(move |address| listen(address, settings, default))
}

/// The `listen` directives for HTTPS.
pub fn https(routes: &Routes, settings: &Settings, default: bool) -> impl Iterator<Item = Directive<'static>> {
    let http2 = settings.http2 && settings.modules.http_v2 && settings.version < HTTP2_DIRECTIVE;
    sockets(routes, Scheme::Https).filter_map(move |address| {
        let listen = listen(address, settings, default)?.words(["ssl"]);
        Some(if http2 { listen.words(["http2"]) } else { listen })
    })
}

/// HTTP/2 for clients, where it is a directive. Without TLS nobody speaks it: browsers do not, and to guess it from the first
/// bytes is a way around what a proxy in front has checked.
pub fn http2(settings: &Settings) -> Option<Directive<'static>> {
    (settings.http2 && settings.modules.http_v2 && settings.version >= HTTP2_DIRECTIVE)
        .then(|| directive("http2").words(["on"]))
}

fn listen(address: SocketAddr, settings: &Settings, default: bool) -> Option<Directive<'static>> {
    let address = SocketAddr::new(address.ip(), address.port());
    let mut listen = directive("listen").token(Token::literal(&address.to_string())?);
    if default {
        listen = listen.words(["default_server"]);
    }
    if settings.proxy_protocol {
        listen = listen.words(["proxy_protocol"]);
    }
    Some(listen)
}
