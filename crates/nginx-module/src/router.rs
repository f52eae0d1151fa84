//! What becomes of a request by the table: in which location of nginx's configuration it goes on, with which values of its variables,
//! or which answer it gets.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::str;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use entry_model::{PathRewrite, Protocol, Redirect, Scheme, UrlVariable};
use route_table::{Backend, Class, EndpointChoice, Fault, Found, Request, Route, Step, Table, may_run};

use crate::balancer::{Balancer, Order, Tries};
use crate::forward_target::{AmbiguousTarget, SplitTarget, cut_fragment, has_path, is_ambiguous};
use crate::key_choice::KeyChoice;
use crate::url_value::UrlRequest;

/// What a client is answered that asks for something whose meaning is not certain.
const BAD_REQUEST: u16 = 400;
/// What is answered where no rule matches.
const NOT_FOUND: u16 = 404;
/// What is answered on a connection that was made for another host.
const MISDIRECTED: u16 = 421;
/// What is answered where patterns take too long.
const INTERNAL_SERVER_ERROR: u16 = 500;
/// What is answered while the table cannot be read there.
const UNAVAILABLE: u16 = 503;
/// The answers that locations of nginx's configuration give, `sparrow-answer-STATUS`.
const ANSWERED_BY_LOCATIONS: [u16; 4] = [BAD_REQUEST, NOT_FOUND, MISDIRECTED, UNAVAILABLE];

/// Routes by a table. What it returns is valid until it is asked again.
#[derive(Debug)]
pub struct Router<M> {
    table: Table<M>,
    balancer: Balancer,
    texts: Texts,
}

/// A request: what the table is asked, and what it need not know.
#[derive(Clone, Copy)]
pub struct RoutedRequest<'a> {
    /// What the table is asked.
    pub request: &'a Request<'a>,
    /// The path and the query as they were sent.
    pub target: &'a [u8],
    /// The host with its port, as it was sent. It is asked for where a URL has it alone.
    pub told_host: &'a dyn Fn() -> &'a [u8],
    /// The ports at which clients reach the listeners: in the clear, and over TLS.
    pub public_ports: [u16; 2],
}

impl<'a> RoutedRequest<'a> {
    /// What of it stands for a variable of a URL.
    fn value(&self, variable: UrlVariable) -> Cow<'a, [u8]> {
        let Request { host, scheme, method, .. } = *self.request;
        let told_host = if variable == UrlVariable::HostAndPort { (self.told_host)() } else { b"" };
        UrlRequest { host, told_host, scheme, method, target: self.target }.value(variable)
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It goes on in the location that is named, which says all else.
    Enter,
    /// It goes on in the location that is named, which forwards it to the first of these that can be reached; there is one.
    Forward(Tries),
    /// It is answered: in the location that is named, if there is a name, else with the status and no more.
    Answer(u16),
    /// It is answered with this status and a text: in the location that is named, if there is a name.
    Text(u16),
    /// The client is sent elsewhere, with this status.
    Redirect(u16),
}

/// The texts of a decision; those that it does not need are empty.
#[derive(Debug, Default)]
pub struct Texts {
    /// The name of the location in which the request goes on.
    pub location: String,
    /// Where the client is sent, or what it is told.
    pub text: Vec<u8>,
    /// The type of what it is told.
    pub content_type: String,
    /// Whether the backend is asked for the path and the query as they were sent.
    pub keeps_target: bool,
    /// Else what it is asked for.
    pub target: Vec<u8>,
    /// What was taken off the path, as it was sent.
    pub prefix: Vec<u8>,
    /// The object whose rule it is.
    pub route: String,
    /// The backend, if a key of the request leads to one of its endpoints.
    pub backend: String,
    /// What the error log must say of it.
    pub complaint: String,
}

impl Texts {
    fn clear(&mut self) {
        let Self { location, text, content_type, keeps_target, target, prefix, route, backend, complaint } = self;
        *keeps_target = false;
        for name in [location, content_type, route, backend, complaint] {
            name.clear();
        }
        for bytes in [text, target, prefix] {
            bytes.clear();
        }
    }

    fn complain(&mut self, what: fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.complaint.write_fmt(what);
    }
}

impl From<AmbiguousTarget> for Decision {
    fn from(_: AmbiguousTarget) -> Self {
        Self::Answer(BAD_REQUEST)
    }
}

impl<M: AsRef<[AtomicU64]>> Router<M> {
    /// Routes by this table.
    pub fn new(table: Table<M>) -> Self {
        Self { table, balancer: Balancer::default(), texts: Texts::default() }
    }

    /// The table.
    pub fn table(&mut self) -> &mut Table<M> {
        &mut self.table
    }

    /// The revision by which the next request is routed, and why that is not the newest, if it is not.
    pub fn revision(&mut self) -> (u64, Option<Fault>) {
        let fault = self.table.refresh().err();
        (self.table.revision().0, fault)
    }

    /// Whether nginx is about to end.
    pub fn is_draining(&self) -> bool {
        self.table.is_draining()
    }

    /// What becomes of a request, and the texts of that.
    pub fn decide(&mut self, request: RoutedRequest<'_>) -> (Decision, &Texts) {
        self.texts.clear();
        let found = self.table.find(request.request);
        let decision = self.texts.decide(found, request, &mut self.balancer).unwrap_or_else(Decision::from);
        if let Decision::Answer(status) = decision
            && ANSWERED_BY_LOCATIONS.contains(&status)
        {
            // Writing to a String does not fail.
            let _ = write!(self.texts.location, "sparrow-answer-{status}");
        }
        (decision, &self.texts)
    }

    /// The endpoints for a request that a key leads to one of, of the backend of this name as the newest table has it, and whether one of them is
    /// the one that its client names. None if there is no such backend, or none of it.
    pub fn choose_by_key(&mut self, backend: &str, choice: &KeyChoice<'_>) -> Option<(Tries, bool)> {
        let backend = self.table.find_backend(backend).ok()??;
        let chosen = self.balancer.choose_by_key(&backend, choice, Instant::now);
        (chosen.0 != Tries::default()).then_some(chosen)
    }

    /// An endpoint has a request more.
    pub fn begin(&mut self, address: SocketAddr) {
        self.balancer.begin(address);
    }

    /// It has one less.
    pub fn end(&mut self, address: SocketAddr) {
        self.balancer.end(address);
    }

    /// What came of a try. Whether the endpoint gets no requests from now on.
    pub fn note(&mut self, address: SocketAddr, has_failed: bool) -> bool {
        if has_failed {
            return self.balancer.note_failure(address, Instant::now());
        }
        self.balancer.note_success(address);
        false
    }
}

impl Texts {
    fn decide(
        &mut self,
        found: Result<Found, Fault>,
        request: RoutedRequest<'_>,
        balancer: &mut Balancer,
    ) -> Result<Decision, AmbiguousTarget> {
        let is_sound = if is_ambiguous(request.target) { Err(AmbiguousTarget) } else { Ok(()) };
        match found {
            Ok(Found::NoCertificate | Found::OtherConnection) => Ok(Decision::Answer(MISDIRECTED)),
            Ok(Found::NotFound) => is_sound.map(|()| Decision::Answer(NOT_FOUND)),
            Ok(Found::Route(route)) => {
                self.route.push_str(route.origin_name());
                is_sound.and_then(|()| self.follow(&route, request, balancer))
            }
            Ok(Found::ToHttps(route)) => {
                self.route.push_str(route.origin_name());
                is_sound.and_then(|()| self.redirect_to_https(request))
            }
            Err(fault @ Fault::LongMatch) => {
                self.complain(format_args!("the request is answered 500: {fault}"));
                Ok(Decision::Answer(INTERNAL_SERVER_ERROR))
            }
            Err(fault) => {
                self.complain(format_args!("the request is answered 503, other routes are served: {fault}"));
                Ok(Decision::Answer(UNAVAILABLE))
            }
        }
    }

    fn follow(
        &mut self,
        route: &Route,
        request: RoutedRequest<'_>,
        balancer: &mut Balancer,
    ) -> Result<Decision, AmbiguousTarget> {
        let step = route.step();
        if takes_long(route, &step, request.target) {
            return self.decide(Err(Fault::LongMatch), request, balancer);
        }
        match step {
            Step::Forward { backend, rewrite } => {
                let order = match route.rule().endpoint_choice {
                    EndpointChoice::InTurn => Order::InTurn,
                    EndpointChoice::FewestRequests => Order::FewestFirst,
                    EndpointChoice::ByKey => {
                        self.backend.push_str(&backend.name);
                        Order::InTurn
                    }
                };
                let tries = balancer.choose(backend, order, request.request.chance, Instant::now);
                self.forward(route, backend, tries, rewrite, request)
            }
            Step::Redirect(redirect) => self.redirect(route, redirect, request),
            Step::Respond(status) => Ok(Decision::Answer(status)),
            Step::Answer(answer) => {
                // Most are told no more than with any answer.
                if route.rule().class != Class::default() || answer.fixed_text().is_none() {
                    self.location.push_str("sparrow-text-");
                    route.rule().class.push_digits(&mut self.location);
                }
                let Some(text) = answer.fixed_text() else { return Ok(Decision::Enter) };
                self.text.extend_from_slice(text.as_bytes());
                self.content_type.push_str(answer.content_type());
                Ok(Decision::Text(answer.status()))
            }
        }
    }

    fn forward(
        &mut self,
        route: &Route,
        backend: &Backend,
        tries: Tries,
        rewrite: &PathRewrite,
        request: RoutedRequest<'_>,
    ) -> Result<Decision, AmbiguousTarget> {
        let split = split(request.target, route)?;
        if *rewrite == PathRewrite::Keep && has_path(request.target) {
            self.keeps_target = true;
        } else {
            split.rewrite(rewrite, |variable| request.value(variable), &mut self.target)?;
            cut_fragment(&mut self.target);
        }
        if *rewrite == PathRewrite::StripPrefix {
            // Of the root there is nothing to take off.
            self.prefix.extend_from_slice(if split.matched == b"/" { b"" } else { split.matched });
        }
        if tries == Tries::default() {
            return Ok(Decision::Answer(UNAVAILABLE));
        }
        self.location.push_str(location_of(backend));
        route.rule().class.push_digits(&mut self.location);
        Ok(Decision::Forward(tries))
    }

    fn redirect_to_https(&mut self, request: RoutedRequest<'_>) -> Result<Decision, AmbiguousTarget> {
        let (host, [_, port]) = (request.request.host, request.public_ports);
        // Only HTTP/1.0 comes without a host, and cannot be told where to go.
        if host.is_empty() {
            return Err(AmbiguousTarget);
        }
        self.text = [b"https://", host].concat();
        if port != Scheme::Https.default_port() {
            self.text.extend_from_slice(format!(":{port}").as_bytes());
        }
        self.text.extend_from_slice(request.target);
        Ok(Decision::Redirect(308))
    }

    fn redirect(
        &mut self,
        route: &Route,
        redirect: &Redirect,
        request: RoutedRequest<'_>,
    ) -> Result<Decision, AmbiguousTarget> {
        let asked = request.request;
        let Ok(host) = str::from_utf8(asked.host) else { return Err(AmbiguousTarget) };
        // Only HTTP/1.0 comes without a host, and cannot be told where to go.
        if host.is_empty() && redirect.host.is_none() {
            return Err(AmbiguousTarget);
        }
        // What stays of the path is told as it was sent.
        let mut target = Vec::new();
        split(request.target, route)?.rewrite(&redirect.path, |variable| request.value(variable), &mut target)?;
        let port = request.public_ports[usize::from(asked.scheme == Scheme::Https)];
        let asked = entry_model::Request { scheme: asked.scheme, host, ..entry_model::Request::default() };
        self.text = redirect.origin(&asked, port).into_bytes();
        self.text.append(&mut target);
        Ok(Decision::Redirect(redirect.status))
    }
}

/// Whether it takes too long to look in a target for what the route's pattern, and that of what becomes of the path, match.
fn takes_long(route: &Route, step: &Step<'_>, target: &[u8]) -> bool {
    let of_rewrite = match step {
        Step::Forward { rewrite: PathRewrite::Regex { pattern, .. }, .. }
        | Step::Redirect(Redirect { path: PathRewrite::Regex { pattern, .. }, .. }) => Some(pattern),
        _ => None,
    };
    route.pattern().into_iter().chain(of_rewrite).any(|pattern| !may_run(pattern, target))
}

/// Splits a target where the path of its route ends.
fn split<'a>(target: &'a [u8], route: &Route) -> Result<SplitTarget<'a>, AmbiguousTarget> {
    match route.pattern() {
        Some(pattern) => SplitTarget::of_pattern(target, pattern),
        None => SplitTarget::new(target, route.path().text()),
    }
}

/// What the names of the locations begin with in which requests for a backend go on: they say what is spoken to it, and whether
/// connections are kept.
fn location_of(backend: &Backend) -> &'static str {
    match (backend.protocol, backend.keep_alive) {
        (Protocol::Http, true) => "sparrow-http-",
        (Protocol::Http, false) => "sparrow-http-once-",
        (Protocol::Https, true) => "sparrow-https-",
        (Protocol::Https, false) => "sparrow-https-once-",
        (Protocol::Http2, true) => "sparrow-h2c-",
        (Protocol::Http2, false) => "sparrow-h2c-once-",
        (Protocol::Http2Tls, true) => "sparrow-h2-",
        (Protocol::Http2Tls, false) => "sparrow-h2-once-",
    }
}
