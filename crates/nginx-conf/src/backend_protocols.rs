//! What is spoken to backends, and with what of nginx.

use std::collections::BTreeSet;

use entry_model::Protocol;

use crate::proxy_module::ProxyModule;
use crate::{Settings, Version};

/// From here on `proxy_pass` speaks HTTP/2.
const PROXY_HTTP2: Version = Version::new(1, 29, 4);

/// What backends speak.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackendProtocols(pub BTreeSet<Protocol>);

impl BackendProtocols {
    /// Whether one is spoken with `grpc_pass`.
    pub fn have_grpc(&self, settings: &Settings) -> bool {
        self.0.iter().any(|protocol| proxy_module(*protocol, settings) == ProxyModule::Grpc)
    }

    /// Whether HTTP/2 is spoken with `proxy_pass`.
    pub fn have_proxy_http2(&self, settings: &Settings) -> bool {
        let is_proxy = |protocol: Protocol| proxy_module(protocol, settings) == ProxyModule::Proxy;
        self.0.iter().any(|protocol| is_http2(*protocol) && is_proxy(*protocol))
    }

    /// Whether one is spoken over TLS.
    pub fn have_tls(&self) -> bool {
        self.0.iter().any(|protocol| is_tls(*protocol))
    }
}

/// Whether HTTP/2 is spoken.
pub fn is_http2(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Http2 | Protocol::Http2Tls)
}

/// Whether TLS is spoken.
pub fn is_tls(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Https | Protocol::Http2Tls)
}

/// The module that forwards what is spoken in this protocol: for want of better, `grpc_pass` speaks HTTP/2. Never beside `proxy_pass`:
/// neither can use a connection to an upstream that the other has kept, and the request fails.
pub fn proxy_module(protocol: Protocol, settings: &Settings) -> ProxyModule {
    if is_http2(protocol) && settings.version < PROXY_HTTP2 { ProxyModule::Grpc } else { ProxyModule::Proxy }
}

/// How `proxy_pass` and `grpc_pass` name what they speak.
pub fn scheme(protocol: Protocol, module: ProxyModule) -> &'static str {
    match (module, is_tls(protocol)) {
        (ProxyModule::Grpc, true) => "grpcs://",
        (ProxyModule::Grpc, false) => "grpc://",
        (ProxyModule::Proxy, true) => "https://",
        (ProxyModule::Proxy, false) => "http://",
    }
}

/// Why a protocol cannot be spoken by this nginx.
pub fn missing_module(protocol: Protocol, settings: &Settings) -> Option<&'static str> {
    if proxy_module(protocol, settings) == ProxyModule::Grpc && !settings.modules.grpc {
        Some("for this nginx is built without http_grpc_module")
    } else if is_http2(protocol) && !settings.modules.http_v2 {
        Some("for this nginx is built without http_v2_module")
    } else if is_tls(protocol) && !settings.modules.ssl {
        Some("for this nginx is built without http_ssl_module")
    } else {
        None
    }
}
