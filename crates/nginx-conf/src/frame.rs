//! The frame: what of nginx.conf does not change with the routes, where a module finds these in a table.
//!
//! ```text
//! listener ─► server of all hosts ─► the module finds the route ─► location of its policy ─► upstream of its protocol
//!                                                               └► location of an answer
//!          ├► servers of hosts that the table does not carry, each with the same, and locations of its own
//!          └► over TLS, servers of hosts whose clients are asked for certificates or speak other ciphers, as that of all hosts
//! ```

use std::collections::BTreeMap;

use entry_model::{Host, HostName, Listener, Scheme};

use crate::context::Context;
use crate::error_page::{self, answer_headers};
use crate::frame_needs::{ForwardLocation, FrameNeeds, TextLocation};
use crate::host_tls::HostTls;
use crate::listen;
use crate::policy::headers;
use crate::policy_class::PolicyClass;
use crate::proxy_target::{proxy_module, scheme, write_treatment};
use crate::server::{CLOSED_HOST, EMPTY_HOST, Servers, server_name_of};
use crate::token::{Text, Token, is_host_name, path_token};
use crate::upstream;
use crate::writer::{Directive, Writer, directive};
use crate::{RenderNote, Settings, endpoint_choice, policy, redirect};

/// How many idle connections to backends a worker keeps, of all of one protocol.
const KEPT_CONNECTIONS: usize = 2048;

/// The answers of the module that the frame writes: status and page.
const ANSWERS: [(&str, &str); 4] =
    [("400", "$sparrow_400"), ("404", "$sparrow_404"), ("421", "$sparrow_421"), ("503", "$sparrow_503")];

/// The file, below the directory of the pid file, that leads to the memory of the table.
const TABLE: &str = "table";

/// The file there that leads to the memory of what is counted.
const COUNTS: &str = "counts";

/// What is at the level of `http`.
pub fn http(settings: &Settings, own_address: &'static str) -> Vec<Directive<'static>> {
    let mut all = Vec::new();
    if let Some(path) = path_token(&settings.runtime.join(TABLE)) {
        all.push(directive("sparrow_table").token(path));
    }
    if let Some(path) = path_token(&settings.runtime.join(COUNTS)) {
        all.push(directive("sparrow_counts").token(path));
    }
    let https = Token::number(settings.public_https_port);
    all.push(directive("sparrow_public_ports").words(["80"]).token(https));
    if settings.trusts_proxies() {
        all.push(directive("sparrow_scheme").words([settings.scheme_variable()]));
        all.push(directive("sparrow_told_host").words(["$sparrow_forwarded_host"]));
    }
    if own_address != "$server_addr" {
        all.push(directive("sparrow_own_address").words([own_address]));
    }
    all
}

/// The module.
pub fn load_module(settings: &Settings) -> Option<Directive<'static>> {
    Some(directive("load_module").token(path_token(settings.module.as_deref()?)?))
}

/// What a worker tells of the table by which it routes.
pub fn table_location() -> Directive<'static> {
    let answer = directive("return").words(["200", "\"$pid $sparrow_table_revision $sparrow_table_fault\""]);
    directive("location").words(["=", "/table"]).block(vec![answer])
}

/// Writes the upstreams through which the module reaches backends.
pub fn write_upstreams(writer: &mut Writer<'_>, needs: &FrameNeeds, settings: &Settings) {
    for wanted in &needs.upstreams {
        // Of words of this program: nginx can read them.
        let _ = writer.line("upstream").text(|text| wanted.name(text)).open(None);
        writer.write(&directive("sparrow_backends"));
        let kept = settings.kept_connections.most.map_or(KEPT_CONNECTIONS, |most| most as usize);
        settings.kept_connections.write_of_module(writer, if wanted.keep_alive { kept } else { 0 }, settings.version);
        writer.close();
    }
}

/// Writes the servers.
pub fn write_servers<'a>(
    servers: &Servers<'a>,
    needs: &'a FrameNeeds,
    writer: &mut Writer<'a>,
    notes: &mut Vec<RenderNote>,
) {
    let hosts = &servers.routes.hosts;
    let any = hosts.get(&HostName::Any).map_or(&EMPTY_HOST, |host| host);
    for (listener, is_first) in servers.routes.listeners.iter().zip([true].into_iter().chain(std::iter::repeat(false)))
    {
        let frame = FrameServer { servers, needs, listener };
        // What cannot be written is the same at each listener, and told once.
        let mut told = Vec::new();
        frame.write(&HostName::Any, any, writer, &mut told);
        for (name, host) in hosts.iter().filter(|(name, _)| **name != HostName::Any) {
            frame.write(name, host, writer, &mut told);
        }
        frame.write_tls_servers(writer, &mut told);
        if is_first {
            notes.append(&mut told);
        }
    }
}

/// The servers of one listener.
struct FrameServer<'s, 'a> {
    servers: &'s Servers<'a>,
    needs: &'a FrameNeeds,
    listener: &'s Listener,
}

impl<'a> FrameServer<'_, 'a> {
    /// Writes the server of a host that the table does not carry, or of all others.
    fn write(&self, name: &HostName, host: &'a Host, writer: &mut Writer<'a>, notes: &mut Vec<RenderNote>) {
        let is_any = *name == HostName::Any;
        let is_tls = self.listener.protocol == Scheme::Https;
        let first = host.rules.first().map(|rule| &rule.origin);
        // The module ends the handshake of a host without certificate.
        if is_tls && host.certificate.is_none() && !is_any {
            return;
        }
        let server_name = match server_name_of(name) {
            Ok(server_name) => server_name,
            Err(message) => {
                notes.extend(first.map(|object| RenderNote { object: object.clone(), message }));
                return;
            }
        };
        let server = directive("server").origin(first.filter(|_| !is_any));
        if self.open(&server, server_name, is_any, self.needs.tls.get(name), writer) {
            self.write_routing(host, is_any, writer, notes);
            writer.close();
        }
    }

    /// Writes the servers over TLS of hosts that the table carries and whose clients are asked something else than all are, one for all that
    /// ask the same. Each has what every server has, and nothing of any host.
    fn write_tls_servers(&self, writer: &mut Writer<'a>, notes: &mut Vec<RenderNote>) {
        if self.listener.protocol != Scheme::Https {
            return;
        }
        let mut by_class: BTreeMap<u128, (&HostTls, Vec<Token>)> = BTreeMap::new();
        let carried = self.needs.tls.iter().filter(|(name, _)| !self.servers.routes.hosts.contains_key(name));
        for (name, tls) in carried {
            match server_name_of(name) {
                Ok(server_name) => by_class.entry(tls.class()).or_insert((tls, Vec::new())).1.extend(server_name),
                Err(message) => notes.push(RenderNote { object: tls.origin.clone(), message }),
            }
        }
        for (tls, names) in by_class.into_values() {
            self.write_server_of_table(Some(tls), names, writer, notes);
        }
        // Else a handshake for them would be asked what is asked for the wildcard, which may be of another namespace.
        let names = self.servers.below_wildcards.iter().filter(|name| is_host_name(name));
        let names: Vec<_> = names.filter_map(|name| Token::literal(name)).collect();
        if !names.is_empty() {
            self.write_server_of_table(None, names, writer, notes);
        }
    }

    fn write_server_of_table(
        &self,
        tls: Option<&'a HostTls>,
        names: Vec<Token>,
        writer: &mut Writer<'a>,
        notes: &mut Vec<RenderNote>,
    ) {
        if self.open(&directive("server").origin(tls.map(|tls| &tls.origin)), names, false, tls, writer) {
            self.write_routing(&CLOSED_HOST, false, writer, notes);
            writer.close();
        }
    }

    /// Begins a server, with what it is called and what it asks of clients over TLS; false if it listens nowhere.
    fn open(
        &self,
        server: &Directive<'a>,
        names: impl IntoIterator<Item = Token>,
        is_any: bool,
        tls: Option<&HostTls>,
        writer: &mut Writer<'a>,
    ) -> bool {
        let listens = self.listens(is_any);
        if listens.is_empty() {
            return false;
        }
        writer.open(server);
        for listen in &listens {
            writer.write(listen);
        }
        for name in names {
            writer.write(&directive("server_name").token(name));
        }
        if self.listener.protocol == Scheme::Https {
            let class = tls.map(|tls| format!("{:032x}", tls.class()));
            let class = class.and_then(|class| Text::default().plain_of(&class, '_').token());
            writer.write(&class.into_iter().fold(directive("sparrow_certificates"), Directive::token));
            if let Some(tls) = tls {
                policy::write_server(writer, tls);
            }
        }
        true
    }

    /// Where the listener listens.
    fn listens(&self, is_any: bool) -> Vec<Directive<'static>> {
        let Servers { settings, routes, https, .. } = *self.servers;
        match self.listener.protocol {
            Scheme::Https => listen::https(routes, settings, https, is_any).chain(listen::http2(settings)).collect(),
            Scheme::Http => listen::http(routes, settings, is_any).collect(),
        }
    }

    /// Writes what finds a request's route in the table, and where requests go from there.
    fn write_routing(&self, host: &'a Host, is_any: bool, writer: &mut Writer<'a>, notes: &mut Vec<RenderNote>) {
        writer.write(&directive("sparrow_route").token(Token::number(self.listener.id.0)));
        let settings = self.servers.settings;
        // The module itself refuses a host that is none.
        for shared in settings.filter.check().into_iter().chain([error_page::location(settings)]) {
            writer.write(&shared);
        }
        self.write_table_locations(writer);
        self.servers.write_rules(host, is_any, Some(self.needs), writer, notes);
    }

    /// The locations to which the module leads requests.
    fn write_table_locations(&self, writer: &mut Writer<'_>) {
        for (status, page) in ANSWERS {
            // Of words of this program: nginx can read them.
            let _ =
                writer.line("location").words(["="]).text(|text| text.own("sparrow-answer-").own(status)).open(None);
            for directive in &answer_headers(self.servers.settings) {
                writer.write(directive);
            }
            writer.write(&directive("return").words([status, page]));
            writer.close();
        }
        for location in &self.needs.locations {
            let mark = writer.mark();
            // Without it nothing is forwarded there, so a policy that cannot be written opens nothing.
            if write_forward_location(writer, location, &self.servers.context(false)).is_none() {
                writer.take_back(&mark);
            }
        }
        for (class, location) in &self.needs.texts {
            let mark = writer.mark();
            if write_text_location(writer, *class, location, self.servers.settings).is_none() {
                writer.take_back(&mark);
            }
        }
    }
}

/// The location of all requests that are forwarded in one way.
fn write_forward_location(writer: &mut Writer<'_>, location: &ForwardLocation, context: &Context<'_>) -> Option<()> {
    let settings = context.settings;
    let protocol = location.upstream.protocol;
    writer.line("location").words(["="]).text(|text| location.name(text)).open(None)?;
    if upstream::missing_module(protocol, settings).is_some() {
        for directive in &answer_headers(settings) {
            writer.write(directive);
        }
        writer.line("return").words(["503", "$sparrow_503"]).end()?;
        writer.close();
        return Some(());
    }
    let module = proxy_module(protocol, settings);
    // Without a path: our module puts it where nginx looks for the one that was sent.
    let url = |text: Text| location.upstream.name(text.own(scheme(protocol, module)));
    policy::write_answers(writer, &location.policy, settings)?;
    writer.line(module.pass()).text(url).end()?;
    write_treatment(writer, protocol, &location.policy, module, context)?;
    endpoint_choice::write_of_module(writer, &location.policy.balancing, settings)?;
    writer.close();
    Some(())
}

/// The location of texts of a class. The module tells those that are fixed, before anything is done there.
fn write_text_location(
    writer: &mut Writer<'_>,
    class: PolicyClass,
    location: &TextLocation,
    settings: &Settings,
) -> Option<()> {
    let name = |text: Text| text.own("sparrow-text-").plain_of(&class.to_string(), '_');
    writer.line("location").words(["="]).text(name).open(None)?;
    match &location.answer {
        Some(answer) => redirect::answer(writer, answer, &location.headers, settings)?,
        None => {
            headers::write_of_text(writer, &location.headers, settings)?;
            writer.line("return").words(["503", "$sparrow_503"]).end()?;
        }
    }
    writer.close();
    Some(())
}
