//! Where is listened.

use std::net::SocketAddr;

use entry_model::{Routes, Scheme};

use crate::token::Token;
use crate::writer::{Directive, directive};
use crate::{Settings, Version};

/// The socket, in the directory of the pid file, at which HTTPS is listened for behind the stream module.
pub const HTTPS_SOCKET: &str = "https.sock";

/// From here on HTTP/2 is a directive of its own.
const HTTP2_DIRECTIVE: Version = Version::new(1, 25, 1);

/// Where HTTPS is listened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpsSockets {
    /// At the addresses of the listeners.
    Listeners,
    /// At a unix socket: the stream module listens at those addresses, and hands connections over as they are.
    HandedOver,
    /// At a unix socket: the stream module listens at those addresses, and sends connections on, each with the address of its
    /// client.
    SentOn,
}

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
pub fn https(
    routes: &Routes,
    settings: &Settings,
    at: HttpsSockets,
    default: bool,
) -> impl Iterator<Item = Directive<'static>> {
    let http2 = settings.http2 && settings.modules.http_v2 && settings.version < HTTP2_DIRECTIVE;
    let listens: Vec<_> = match at {
        HttpsSockets::Listeners => {
            sockets(routes, Scheme::Https).filter_map(|address| listen(address, settings, default)).collect()
        }
        HttpsSockets::HandedOver => listen_unix(settings, default).into_iter().collect(),
        HttpsSockets::SentOn => {
            listen_unix(settings, default).into_iter().map(|listen| listen.words(["proxy_protocol"])).collect()
        }
    };
    let with_tls = move |listen: Directive<'static>| {
        let listen = listen.words(["ssl"]);
        if http2 { listen.words(["http2"]) } else { listen }
    };
    listens.into_iter().map(with_tls)
}

/// The unix socket of this name, as `listen` and `proxy_pass` take it.
pub fn unix_socket(settings: &Settings, name: &str) -> Option<Token> {
    Token::constant(&format!("unix:{}", settings.runtime.join(name).to_str()?))
}

fn listen_unix(settings: &Settings, default: bool) -> Option<Directive<'static>> {
    let listen = directive("listen").token(unix_socket(settings, HTTPS_SOCKET)?);
    Some(if default { listen.words(["default_server"]) } else { listen })
}

/// HTTP/2 for clients, where it is a directive. Without TLS nobody speaks it: browsers do not, and to guess it from the first
/// bytes is a way around what a proxy in front has checked.
pub fn http2(settings: &Settings) -> Option<Directive<'static>> {
    (settings.http2 && settings.modules.http_v2 && settings.version >= HTTP2_DIRECTIVE)
        .then(|| directive("http2").words(["on"]))
}

/// The directive for an address.
pub fn listen(address: SocketAddr, settings: &Settings, default: bool) -> Option<Directive<'static>> {
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
