//! How a location sends requests on.

use entry_model::{Backend, PathRewrite, Policy, PolicyId, Protocol, Rule};

use crate::Settings;
use crate::context::Context;
use crate::location_kind::LocationKind;
use crate::policy;
use crate::proxy_module::ProxyModule;
use crate::token::is_unreserved;
use crate::upstream::{forward_of, is_http2, uses_grpc};
use crate::upstream_name::{UpstreamName, is_tls};
use crate::writer::Writer;

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
    /// Its number.
    pub policy_id: PolicyId,
    /// Its upstream.
    pub upstream: UpstreamName<'a>,
    /// How the path is checked.
    pub check: PathCheck,
    /// Whether the path of the rule is taken off.
    pub strips: bool,
    /// What becomes of the path.
    pub rewrite: &'a PathRewrite,
}

impl<'a> ProxyTarget<'a> {
    /// The target of a rule; `None` where requests are not forwarded.
    pub fn of(place: &LocationKind<'_>, rule: &'a Rule, context: &'a Context<'_>) -> Option<Self> {
        let (forward, backend) = forward_of(rule)?;
        let policy = context.routes.policy(rule);
        let upstream = context.upstreams.name(backend, policy)?;
        // A root has nothing to strip.
        let path = place.path();
        let strips =
            forward.path == PathRewrite::StripPrefix && !matches!(place, LocationKind::Path("/")) && !path.is_empty();
        let check = match uses_grpc(backend.protocol, context.settings) {
            true if strips => PathCheck::Rewritten,
            // `proxy_pass` can take off no less than the whole path of the location.
            _ if strips && (context.in_order || matches!(place, LocationKind::Within { .. })) => PathCheck::Compared,
            false if path.bytes().all(is_unreserved) => PathCheck::Plain,
            _ => PathCheck::Compared,
        };
        Some(Self { backend, policy, policy_id: rule.policy, upstream, check, strips, rewrite: &forward.path })
    }

    /// Whether the path is made anew of parts of what was sent.
    pub fn is_rewritten(&self, place: &LocationKind<'_>) -> bool {
        matches!(place, LocationKind::Pattern(_))
            || !matches!(self.rewrite, PathRewrite::Keep | PathRewrite::StripPrefix)
    }
}

/// What is asked of the backend, when a prefix was taken off the path as it was sent.
pub const fn rest_variable(below: bool) -> &'static str {
    if below { "$sparrow_rest" } else { "/$sparrow_rest" }
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

/// The module that forwards what is spoken in this protocol.
pub fn proxy_module(protocol: Protocol, settings: &Settings) -> ProxyModule {
    if uses_grpc(protocol, settings) { ProxyModule::Grpc } else { ProxyModule::Proxy }
}

/// Writes what `proxy_pass` needs to speak a protocol, and what the policy asks for.
pub fn write_treatment(
    writer: &mut Writer<'_>,
    protocol: Protocol,
    policy: &Policy,
    module: ProxyModule,
    context: &Context<'_>,
) -> Option<()> {
    if is_http2(protocol) && module == ProxyModule::Proxy {
        writer.line("proxy_http_version").words(["2"]).end()?;
        writer.line("proxy_pass_trailers").words(["on"]).end()?;
        writer.line("set").words(["$sparrow_te", "$sparrow_trailers"]).end()?;
    }
    if policy.speaks_http_1_0 && !is_http2(protocol) {
        writer.line("proxy_http_version").words(["1.0"]).end()?;
    }
    policy::write(writer, policy, protocol, module, context)
}
