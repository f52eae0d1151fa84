//! How a location sends requests on.

use entry_model::{Backend, PathRewrite, Policy, Protocol, Routes, Rule, Timeouts};

use crate::Settings;
use crate::location_kind::LocationKind;
use crate::token::{duration, is_unreserved, size};
use crate::upstream::{Upstreams, forward_of, is_http2, is_tls, uses_grpc};
use crate::upstream_name::UpstreamName;
use crate::writer::Writer;

/// What the locations of a server have in common.
pub struct Context<'a> {
    /// All routes.
    pub routes: &'a Routes,
    /// The settings.
    pub settings: &'a Settings,
    /// The upstreams of all routes.
    pub upstreams: &'a Upstreams<'a>,
    /// Whether requests may come here that name no host, as HTTP/1.0 allows.
    pub nameless: bool,
}

/// How a location sees to it that what was matched is what is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathCheck {
    /// Plain requests go on, others are compared first.
    Plain,
    /// Every request is compared: the path may be sent in several forms.
    Compared,
    /// nginx writes the path anew, so it must be one that is the same in all its forms: `grpc_pass` takes no path.
    Rewritten,
}

/// How a location sends requests on.
pub struct ProxyTarget<'a> {
    /// The backend.
    pub backend: &'a Backend,
    /// The policy of the rule.
    pub policy: &'a Policy,
    /// Its upstream.
    pub upstream: UpstreamName<'a>,
    /// How the path is checked.
    pub check: PathCheck,
    /// Whether the path of the rule is taken off.
    pub strips: bool,
}

impl<'a> ProxyTarget<'a> {
    /// The target of a rule; `None` where requests are not forwarded.
    pub fn of(place: &LocationKind<'_>, rule: &'a Rule, context: &'a Context<'_>) -> Option<Self> {
        let (forward, backend) = forward_of(rule)?;
        let (upstream, policy) = (context.upstreams.name(backend)?, context.routes.policy(rule));
        // A root has nothing to strip.
        let path = place.path();
        let strips =
            forward.path == PathRewrite::StripPrefix && !matches!(place, LocationKind::Path("/")) && !path.is_empty();
        let check = match uses_grpc(backend.protocol, context.settings) {
            true if strips => PathCheck::Rewritten,
            // `proxy_pass` can take off no less than the whole path of the location.
            _ if strips && matches!(place, LocationKind::Within { .. }) => PathCheck::Compared,
            false if path.bytes().all(is_unreserved) => PathCheck::Plain,
            _ => PathCheck::Compared,
        };
        Some(Self { backend, policy, upstream, check, strips })
    }
}

/// What is asked of the backend, when a prefix was taken off the path as it was sent.
pub const fn rest_variable(below: bool) -> &'static str {
    if below { "$sparrow_rest" } else { "/$sparrow_rest" }
}

/// How `proxy_pass` and `grpc_pass` name what they speak.
pub fn scheme(protocol: Protocol, grpc: bool) -> &'static str {
    match (grpc, is_tls(protocol)) {
        (true, true) => "grpcs://",
        (true, false) => "grpc://",
        (false, true) => "https://",
        (false, false) => "http://",
    }
}

/// How it is sent, how long it may take and how large it may be, as far as that is not as for all others.
pub fn write_limits(
    writer: &mut Writer<'_>,
    protocol: Protocol,
    times: Timeouts,
    max_body_bytes: Option<u64>,
    grpc: bool,
) -> Option<()> {
    if is_http2(protocol) && !grpc {
        writer.line("proxy_http_version").words(["2"]).end()?;
        writer.line("proxy_pass_trailers").words(["on"]).end()?;
        writer.line("set").words(["$sparrow_te", "$sparrow_trailers"]).end()?;
    }
    for (time, proxy_name, grpc_name) in [
        (times.connect, "proxy_connect_timeout", "grpc_connect_timeout"),
        (times.read, "proxy_read_timeout", "grpc_read_timeout"),
        (times.send, "proxy_send_timeout", "grpc_send_timeout"),
    ] {
        if let Some(time) = time {
            writer.line(if grpc { grpc_name } else { proxy_name }).token(&duration(time)).end()?;
        }
    }
    if let Some(bytes) = max_body_bytes {
        writer.line("client_max_body_size").token(&size(bytes)).end()?;
    }
    Some(())
}
