//! The frame: what of nginx.conf does not change with the routes, which the module finds in a table.
//!
//! ```text
//! listener ─► server of all hosts ─► the module finds the route ─► location of its policy ─► upstream of its protocol
//!                                                               └► location of an answer
//!          └► over TLS, servers of hosts whose clients are asked for certificates or speak other ciphers, as that of all hosts
//! ```

use std::collections::{BTreeMap, BTreeSet, HashSet};

use entry_model::{AddedHeader, FixedAnswer, HostName, Listener, Policy, Protocol, Routes, Rule, Scheme};

use crate::backend_protocols::{BackendProtocols, is_http2, missing_module, proxy_module, scheme};
use crate::context::Context;
use crate::error_page::{self, answer_headers, not_found};
use crate::frame_needs::{ForwardLocation, FrameNeeds, TextLocation};
use crate::host_tls::HostTls;
use crate::listen::{self, HttpsSockets};
use crate::policy::{PolicySet, headers};
use crate::policy_class::PolicyClass;
use crate::proxy_module::ProxyModule;
use crate::revision::MAIN;
use crate::server_name::server_name_of;
use crate::token::{Text, Token, is_host_name, path_token};
use crate::writer::{Directive, Writer, directive};
use crate::{RenderNote, Settings, endpoint_choice, policy};

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
    Some(directive("load_module").token(path_token(&settings.module)?))
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

/// What the servers are made of.
pub struct FrameServers<'a> {
    /// The routes, of which the listeners and the names of hosts are here.
    pub routes: &'a Routes,
    /// What they need.
    pub needs: &'a FrameNeeds,
    /// What all locations have in common.
    pub context: Context<'a>,
    /// What is outside of the locations that forward, of their policies.
    pub policies: &'a PolicySet<'a>,
    /// Where HTTPS is listened for.
    pub https: HttpsSockets,
    /// Names for which servers over TLS ask what all do, as [`below_wildcards`] has them.
    pub below_wildcards: Vec<&'a str>,
}

/// The names of hosts whose clients are asked what all are, below wildcards of which that is not so: nginx would take such a wildcard's
/// server for them, which may be of another namespace.
pub fn below_wildcards<'a>(routes: &'a Routes, needs: &FrameNeeds) -> Vec<&'a str> {
    let parent = |name: &HostName| if let HostName::OneLabel(parent) = name { Some(parent.clone()) } else { None };
    let wildcards: HashSet<String> = needs.tls.keys().filter_map(parent).collect();
    if wildcards.is_empty() {
        return Vec::new();
    }
    let exact = routes.hosts.keys().filter(|name| !needs.tls.contains_key(*name)).filter_map(exact_name);
    exact.filter(|name| name.split_once('.').is_some_and(|(_, parent)| wildcards.contains(parent))).collect()
}

fn exact_name(name: &HostName) -> Option<&str> {
    if let HostName::Exact(name) = name { Some(name) } else { None }
}

impl<'a> FrameServers<'a> {
    /// Writes all of them.
    pub fn write(&self, writer: &mut Writer<'a>, notes: &mut Vec<RenderNote>) {
        for (number, listener) in self.routes.listeners.iter().enumerate() {
            self.write_server((listener, true), None, Vec::new(), writer);
            // What cannot be written is the same at each listener, and told once.
            let mut told = Vec::new();
            self.write_tls_servers(listener, writer, &mut told);
            if number == 0 {
                notes.append(&mut told);
            }
        }
    }

    /// The names that servers have, but for wildcards.
    pub fn exact_names(&self) -> impl Iterator<Item = &str> {
        self.needs.tls.keys().filter_map(exact_name).chain(self.below_wildcards.iter().copied())
    }

    /// Writes the servers over TLS of hosts whose clients are asked something else than all are, one for all that ask the same. Each has
    /// what every server has, and of locations those that its hosts need.
    fn write_tls_servers(&self, listener: &Listener, writer: &mut Writer<'a>, notes: &mut Vec<RenderNote>) {
        if listener.protocol != Scheme::Https {
            return;
        }
        let mut by_class: BTreeMap<u128, (&HostTls, Vec<Token>)> = BTreeMap::new();
        for (name, tls) in &self.needs.tls {
            match server_name_of(name) {
                Ok(server_name) => by_class.entry(tls.class()).or_insert((tls, Vec::new())).1.push(server_name),
                Err(message) => notes.push(RenderNote { object: tls.origin.clone(), message }),
            }
        }
        for (tls, names) in by_class.into_values() {
            self.write_server((listener, false), Some(tls), names, writer);
        }
        let names = self.below_wildcards.iter().filter(|name| is_host_name(name));
        let names: Vec<_> = names.filter_map(|name| Token::literal(name)).collect();
        if !names.is_empty() {
            self.write_server((listener, false), None, names, writer);
        }
    }

    /// Writes a server of a listener: what finds a request's route in the table, and where requests go from there. One that listens nowhere
    /// is left out: nginx would listen by itself, at port 80.
    fn write_server(
        &self,
        (listener, is_default): (&Listener, bool),
        tls: Option<&'a HostTls>,
        names: Vec<Token>,
        writer: &mut Writer<'a>,
    ) {
        let settings = self.context.settings;
        let listens = self.listens(listener, is_default);
        if listens.is_empty() {
            return;
        }
        writer.open(&directive("server").origin(tls.map(|tls| &tls.origin)));
        for listen in &listens {
            writer.write(listen);
        }
        for name in names {
            writer.write(&directive("server_name").token(name));
        }
        if listener.protocol == Scheme::Https {
            let class = tls.map(|tls| format!("{:032x}", tls.class()));
            let class = class.and_then(|class| Text::default().plain_of(&class, '_').token());
            writer.write(&class.into_iter().fold(directive("sparrow_certificates"), Directive::token));
            if let Some(tls) = tls {
                policy::write_server(writer, tls);
            }
        }
        writer.write(&directive("sparrow_route").token(Token::number(listener.id.0)));
        // The module itself refuses a host that is none.
        for shared in settings.filter.check().into_iter().chain([error_page::location(settings)]) {
            writer.write(&shared);
        }
        self.write_locations(tls, writer);
        writer.close();
    }

    /// Where the listener listens.
    fn listens(&self, listener: &Listener, is_default: bool) -> Vec<Directive<'static>> {
        let (routes, settings) = (self.routes, self.context.settings);
        match listener.protocol {
            Scheme::Https => {
                listen::https(routes, settings, self.https, is_default).chain(listen::http2(settings)).collect()
            }
            Scheme::Http => listen::http(routes, settings, is_default).collect(),
        }
    }

    /// The locations to which the module leads requests, what these need beside them, and one for what it would lead nowhere.
    fn write_locations(&self, tls: Option<&HostTls>, writer: &mut Writer<'_>) {
        let settings = self.context.settings;
        for (status, page) in ANSWERS {
            // Of words of this program: nginx can read them.
            let _ =
                writer.line("location").words(["="]).text(|text| text.own("sparrow-answer-").own(status)).open(None);
            for directive in &answer_headers(settings) {
                writer.write(directive);
            }
            writer.write(&directive("return").words([status, page]));
            writer.close();
        }
        writer.write(&directive("location").words(["/"]).block(not_found(settings)));
        let mut classes = BTreeSet::new();
        for location in self.needs.locations_of(tls) {
            classes.insert(location.class);
            let mark = writer.mark();
            if write_forward_location(writer, location, &self.context).is_none() {
                writer.take_back(&mark);
                close_location(writer, |text| location.name(text), settings);
            }
        }
        for (class, location) in self.needs.texts_of(tls) {
            let mark = writer.mark();
            if write_text_location(writer, class, location, settings).is_none() {
                writer.take_back(&mark);
                close_location(writer, |text| text_location_name(text, class), settings);
            }
        }
        policy::write_locations(writer, self.policies.of_classes(&classes), &self.context);
    }
}

/// What is told of a rule of which nginx could not read what is asked for there.
pub fn unwritten_note(rule: &Rule, policy: &Policy, settings: &Settings) -> Option<RenderNote> {
    let needs = FrameNeeds::of_rule(rule, policy);
    let protocols = BackendProtocols(needs.protocols());
    let context = Context { settings, protocols: &protocols };
    let mut writer = Writer::new(MAIN, 0);
    let is_forwarded = |location| write_forward_location(&mut writer, location, &context).is_some();
    let is_written = needs.locations_of(None).all(is_forwarded)
        && needs.texts_of(None).all(|(class, text)| write_text_location(&mut writer, class, text, settings).is_some());
    let path: String = rule.matches.path.text().chars().take(100).collect();
    let message =
        format!("the path {path:?}: nginx cannot read what is asked for there, so requests for it are answered 503");
    (!is_written).then(|| RenderNote { object: rule.origin.clone(), message })
}

/// Writes what stands in the place of a location that cannot be written: it opens nothing.
fn close_location(writer: &mut Writer<'_>, name: impl FnOnce(Text) -> Text, settings: &Settings) {
    // Of words of this program: nginx can read them.
    let _ = writer.line("location").words(["="]).text(name).open(None);
    for directive in &answer_headers(settings) {
        writer.write(directive);
    }
    let _ = writer.line("return").words(["503", "$sparrow_503"]).end();
    writer.close();
}

fn text_location_name(text: Text, class: PolicyClass) -> Text {
    text.own("sparrow-text-").plain_of(&class.to_string(), '_')
}

/// The location of all requests that are forwarded in one way.
fn write_forward_location(writer: &mut Writer<'_>, location: &ForwardLocation, context: &Context<'_>) -> Option<()> {
    let settings = context.settings;
    let protocol = location.upstream.protocol;
    if missing_module(protocol, settings).is_some() {
        close_location(writer, |text| location.name(text), settings);
        return Some(());
    }
    writer.line("location").words(["="]).text(|text| location.name(text)).open(None)?;
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
    writer.line("location").words(["="]).text(|text| text_location_name(text, class)).open(None)?;
    match &location.answer {
        Some(answer) => write_text(writer, answer, &location.headers, settings)?,
        None => {
            headers::write_of_text(writer, &location.headers, settings)?;
            writer.line("return").words(["503", "$sparrow_503"]).end()?;
        }
    }
    writer.close();
    Some(())
}

/// Answers with a text in which something of the request stands, and with these headers.
fn write_text(writer: &mut Writer<'_>, answer: &FixedAnswer, added: &[AddedHeader], settings: &Settings) -> Option<()> {
    // Else what a path ends with would say what the text is.
    writer.line("types").open(None)?;
    writer.close();
    writer.line("default_type").token(&Token::constant(answer.content_type())?).end()?;
    headers::write_of_text(writer, added, settings)?;
    let text = headers::parts_token(answer.parts(), settings)?;
    writer.line("return").token(&Token::number(answer.status())).token(&text).end()
}

/// Writes what `proxy_pass` needs to speak a protocol, and what the policy asks for.
fn write_treatment(
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
