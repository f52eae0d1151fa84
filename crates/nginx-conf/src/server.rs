//! Hosts become servers.

use entry_model::{Host, HostName, PathMatch, Routes};

use crate::context::Context;
use crate::frame_needs::FrameNeeds;
use crate::host_tls::HostTls;
use crate::inexpressible::Inexpressible;
use crate::listen::{self, HttpsSockets};
use crate::policy::PolicySet;
use crate::policy_class::PolicyClasses;
use crate::tls::{self, Certificates};
use crate::token::{Pattern, Token, is_host_name};
use crate::upstream::Upstreams;
use crate::writer::{Directive, Writer, directive};
use crate::{RenderNote, Settings, error_page, forwarded_headers, location, policy};

/// What the servers are made of.
pub struct Servers<'a> {
    /// The routes.
    pub routes: &'a Routes,
    /// The classes of their policies.
    pub policy_classes: &'a PolicyClasses<'a>,
    /// The settings.
    pub settings: &'a Settings,
    /// The upstreams of the routes.
    pub upstreams: &'a Upstreams<'a>,
    /// The certificates of the routes.
    pub certificates: &'a Certificates<'a>,
    /// Where HTTPS is listened for.
    pub https: HttpsSockets,
    /// Whether nginx has the module.
    pub has_module: bool,
    /// The names of hosts whose clients are asked what all are, below wildcards of which that is not so: nginx would take such a wildcard's
    /// server for them.
    pub below_wildcards: Vec<&'a str>,
}

/// A host without rules.
pub static EMPTY_HOST: Host = Host { certificate: None, rules: Vec::new(), closed: false };

/// The same, without the default.
pub static CLOSED_HOST: Host = Host { certificate: None, rules: Vec::new(), closed: true };

/// What servers have in common.
struct SharedDirectives {
    http: Vec<Directive<'static>>,
    https: Vec<Directive<'static>>,
    all: Vec<Directive<'static>>,
}

impl SharedDirectives {
    fn of(servers: &Servers<'_>, default: bool) -> Self {
        let Servers { routes, settings, https, .. } = *servers;
        Self {
            http: listen::http(routes, settings, default).collect(),
            https: listen::https(routes, settings, https, default).chain(listen::http2(settings)).collect(),
            all: forwarded_headers::check_host(settings)
                .into_iter()
                .chain(settings.filter.check())
                .chain([error_page::location(settings)])
                .collect(),
        }
    }
}

impl<'a> Servers<'a> {
    /// Writes all of them.
    pub fn write(&self, writer: &mut Writer<'a>, notes: &mut Vec<RenderNote>) {
        let any = self.routes.hosts.get(&HostName::Any).map_or(&EMPTY_HOST, |host| host);
        self.write_host(&HostName::Any, any, &SharedDirectives::of(self, true), writer, notes);
        let shared = SharedDirectives::of(self, false);
        for (name, host) in self.routes.hosts.iter().filter(|(name, _)| **name != HostName::Any) {
            self.write_host(name, host, &shared, writer, notes);
        }
        if let Some(server) = self.tls_rejecting_server() {
            writer.write(&server);
        }
    }

    /// The server of a host: plain HTTP, and HTTPS if it has a certificate.
    fn write_host(
        &self,
        name: &HostName,
        host: &'a Host,
        shared: &SharedDirectives,
        writer: &mut Writer<'a>,
        notes: &mut Vec<RenderNote>,
    ) {
        let default = *name == HostName::Any;
        let first = host.rules.first().map(|rule| &rule.origin);
        let certificate = self.certificates.file(host);
        // Without any address, nginx would listen on port 80.
        if shared.http.is_empty() && certificate.is_none() {
            return;
        }
        let server_name = match server_name_of(name) {
            Ok(server_name) => server_name,
            Err(message) => {
                notes.extend(first.map(|object| RenderNote { object: object.clone(), message }));
                return;
            }
        };
        // Of the server for all other hosts nobody is to blame.
        writer.open(&directive("server").origin(first.filter(|_| !default)));
        let write = |writer: &mut Writer<'a>, directives: &[Directive<'static>]| {
            for directive in directives {
                writer.write(directive);
            }
        };
        write(writer, &shared.http);
        if let Some(server_name) = server_name {
            writer.write(&directive("server_name").token(server_name));
        }
        if let Some(file) = certificate {
            write(writer, &shared.https);
            writer.write(&directive("ssl_certificate").token(file.clone()));
            writer.write(&directive("ssl_certificate_key").token(file));
            if let Some(tls) = HostTls::of(name, host, &self.routes.policies) {
                policy::write_server(writer, &tls);
            }
        }
        write(writer, &shared.all);
        self.write_rules(host, default, None, writer, notes);
        writer.close();
    }

    /// Writes the locations of a host's rules, and what their policies and those of a table need. Requests without a host come to that of all others.
    pub fn write_rules(
        &self,
        host: &'a Host,
        nameless: bool,
        needs: Option<&FrameNeeds>,
        writer: &mut Writer<'a>,
        notes: &mut Vec<RenderNote>,
    ) {
        let rules: Vec<_> = host.rules.iter().chain(self.routes.default.iter().filter(|_| !host.closed)).collect();
        let in_order = rules.iter().any(|rule| matches!(rule.matches.path, PathMatch::Regex(_)));
        let context = Context { in_order, ..self.context(nameless) };
        let of_table = self.routes.default.as_ref().filter(|_| needs.is_some());
        location::write(writer, &rules, of_table, &context, notes);
        let policies = PolicySet::of(self.routes, rules.into_iter().chain(of_table), needs);
        policy::write_locations(writer, &policies, &context);
    }

    /// What locations need to know. `nameless`: whether requests may come there that name no host.
    pub fn context(&self, nameless: bool) -> Context<'_> {
        let Self { routes, policy_classes, settings, upstreams, has_module, .. } = *self;
        Context { routes, policy_classes, settings, upstreams, nameless, in_order: false, has_module }
    }

    /// The server of all names that are served over TLS to nobody: it ends the handshake.
    fn tls_rejecting_server(&self) -> Option<Directive<'static>> {
        let Self { routes, settings, certificates, https, .. } = *self;
        if !tls::has_https(routes, settings) {
            return None;
        }
        let has = |name: &HostName| routes.hosts.get(name).is_some_and(|host| certificates.file(host).is_some());
        let any = has(&HostName::Any);
        let mut names = Vec::new();
        for (name, host) in &routes.hosts {
            // Without a server of its own, another one with a certificate would take it.
            let taken = match name {
                HostName::Any => false,
                HostName::OneLabel(_) => any,
                // It has no server.
                HostName::Suffix(_) => false,
                HostName::Exact(_) => any || name.wildcard_above().is_some_and(|wildcard| has(&wildcard)),
            };
            if taken && certificates.file(host).is_none() {
                names.extend(server_name(name));
            }
        }
        if any && names.is_empty() {
            return None;
        }
        let mut block: Vec<_> = listen::https(routes, settings, https, !any).collect();
        for name in names {
            block.push(directive("server_name").token(name));
        }
        block.extend(listen::http2(settings));
        block.push(directive("ssl_reject_handshake").words(["on"]));
        // A connection that was opened for one host may be used for another.
        block.push(directive("return").words(["421", "$sparrow_421"]));
        Some(directive("server").block(block))
    }
}

/// What the workers tell of themselves, and in these locations more.
pub fn control_server(
    settings: &Settings,
    hash: Token,
    more: impl IntoIterator<Item = Directive<'static>>,
) -> Option<Directive<'static>> {
    let path = settings.control.to_str()?;
    let mut block = vec![
        directive("listen").token(Token::constant(&format!("unix:{path}"))?),
        directive("access_log").words(["off"]),
        directive("default_type").words(["text/plain"]),
        directive("keepalive_timeout").words(["0"]),
        directive("location").words(["=", "/generation"]).block(vec![directive("return").words(["200"]).token(hash)]),
        directive("location").words(["/"]).block(vec![directive("return").words(["404"])]),
    ];
    block.extend(more);
    block.extend(settings.filter.exemption());
    if settings.modules.stub_status {
        block.push(directive("location").words(["=", "/status"]).block(vec![directive("stub_status")]));
    }
    Some(directive("server").block(block))
}

fn short(name: &HostName) -> String {
    name.to_string().chars().take(100).collect()
}

/// A name, or a pattern for exactly one label more: nginx's own `*.` takes any number of labels.
fn server_name(name: &HostName) -> Option<Token> {
    match name {
        HostName::Exact(exact) => is_host_name(exact).then(|| Token::literal(exact))?,
        HostName::OneLabel(parent) => {
            is_host_name(parent).then(|| Pattern::default().own("~^[^.]+\\.").literal(parent).own("$").token())?
        }
        HostName::Suffix(_) | HostName::Any => None,
    }
}

/// The name of a host's server; none for that of all others.
///
/// # Errors
/// No server can have it: what the host's owner is told.
pub fn server_name_of(name: &HostName) -> Result<Option<Token>, String> {
    let why = match (server_name(name), name) {
        (Some(server_name), _) => return Ok(Some(server_name)),
        (None, HostName::Any) => return Ok(None),
        (None, HostName::Suffix(_)) => &*Inexpressible::Suffix.to_string(),
        (None, HostName::Exact(_) | HostName::OneLabel(_)) => "no host has such a name",
    };
    Err(format!("the host {:?} is not served: {why}", short(name)))
}
