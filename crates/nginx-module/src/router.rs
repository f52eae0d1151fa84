//! What becomes of a request by the table: which backend gets it and what that is asked for, or which answer it gets.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::str;
use std::sync::atomic::AtomicU64;

use entry_model::{Match, PathMatch, PathRewrite, Protocol, Scheme};
use route_table::{Backend, Fault, Found, Path, Request, Route, Step, Table};

use crate::forward_target::{Ambiguous, Cut};

/// What a client is answered that asks for something whose meaning is not certain.
const BAD_REQUEST: u16 = 400;
/// What is answered for what the table has and this module cannot do.
const NOT_IMPLEMENTED: u16 = 501;
/// What is answered while the table cannot be read there.
const UNAVAILABLE: u16 = 503;

/// Routes by a table. What it returns is valid until it is asked again.
#[derive(Debug)]
pub struct Router<M> {
    table: Table<M>,
    target: Vec<u8>,
    location: String,
    complaint: String,
}

/// A request: what the table is asked, and what it need not know.
#[derive(Clone, Copy)]
pub struct RoutedRequest<'a> {
    /// What the table is asked.
    pub request: &'a Request<'a>,
    /// The path and the query as they were sent.
    pub target: &'a [u8],
    /// The ports at which clients reach the listeners: in the clear, and over TLS.
    pub public_ports: [u16; 2],
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// It is forwarded.
    Forward {
        /// To this address.
        address: SocketAddr,
        /// Through this upstream of nginx's configuration.
        upstream: &'static str,
        /// The path and the query that are asked for.
        target: &'a [u8],
    },
    /// It is answered with a status and no more.
    Answer(u16),
    /// The client is sent elsewhere.
    Redirect {
        /// The status, from 301 to 308.
        status: u16,
        /// Where to.
        location: &'a str,
    },
}

/// The same while the texts are being made.
enum Draft {
    Forward(SocketAddr, &'static str),
    Answer(u16),
    Redirect(u16),
}

impl From<Ambiguous> for Draft {
    fn from(_: Ambiguous) -> Self {
        Self::Answer(BAD_REQUEST)
    }
}

impl<M: AsRef<[AtomicU64]>> Router<M> {
    /// Routes by this table.
    pub fn new(table: Table<M>) -> Self {
        Self { table, target: Vec::new(), location: String::new(), complaint: String::new() }
    }

    /// The revision by which the next request is routed, and why that is not the newest, if it is not.
    pub fn revision(&mut self) -> (u64, Option<Fault>) {
        let fault = self.table.refresh().err();
        (self.table.revision().0, fault)
    }

    /// What becomes of a request, and what the error log must say of it; mostly nothing.
    pub fn decide(&mut self, request: RoutedRequest<'_>) -> (Decision<'_>, &str) {
        self.target.clear();
        self.location.clear();
        self.complaint.clear();
        let decision = match self.draft(request) {
            Draft::Forward(address, upstream) => Decision::Forward { address, upstream, target: &self.target },
            Draft::Answer(status) => Decision::Answer(status),
            Draft::Redirect(status) => Decision::Redirect { status, location: &self.location },
        };
        (decision, &self.complaint)
    }

    fn draft(&mut self, request: RoutedRequest<'_>) -> Draft {
        match self.table.find(request.request) {
            Ok(Found::Route(route)) => self.follow(&route, request),
            Ok(Found::ToHttps(route)) => self.redirect_to_https(&route, request).unwrap_or_else(Draft::from),
            Ok(Found::NotFound) => Draft::Answer(404),
            // The connection was made for a host that has a certificate.
            Ok(Found::NoCertificate) => Draft::Answer(421),
            Ok(Found::Frame) => self.reject("the table leaves it to nginx's configuration, which has no place for it"),
            Err(fault) => {
                self.complain(format_args!("the request is answered 503, other routes are served: {fault}"));
                Draft::Answer(UNAVAILABLE)
            }
        }
    }

    fn follow(&mut self, route: &Route, request: RoutedRequest<'_>) -> Draft {
        match route.step() {
            Step::Forward { backend, rewrite } => {
                self.forward(route, backend, rewrite, request.target).unwrap_or_else(Draft::from)
            }
            Step::Redirect(redirect) => self.redirect(route, redirect, request),
            Step::Respond(status) => Draft::Answer(status),
            Step::Frame => self.reject("the table leaves it to nginx's configuration, which has no place for it"),
        }
    }

    fn forward(
        &mut self,
        route: &Route,
        backend: &Backend,
        rewrite: &PathRewrite,
        target: &[u8],
    ) -> Result<Draft, Ambiguous> {
        let cut = Cut::new(target, text(route.path()))?;
        match rewrite {
            PathRewrite::Keep => cut.keep(&mut self.target),
            PathRewrite::StripPrefix => cut.replace("", &mut self.target),
            _ => return Ok(self.reject("its path would have to be rewritten")),
        }
        let Some(upstream) = upstream(backend) else {
            return Ok(self.reject("its backend does not speak HTTP/1.1 in the clear"));
        };
        Ok(match backend.endpoints.first() {
            Some(endpoint) => Draft::Forward(endpoint.address, upstream),
            None => Draft::Answer(UNAVAILABLE),
        })
    }

    fn redirect_to_https(&mut self, route: &Route, request: RoutedRequest<'_>) -> Result<Draft, Ambiguous> {
        Cut::new(request.target, text(route.path()))?.keep(&mut self.target);
        let host = str::from_utf8(request.request.host).map_err(|_| Ambiguous)?;
        let target = str::from_utf8(&self.target).map_err(|_| Ambiguous)?;
        // Only HTTP/1.0 comes without a host, and cannot be told where to go.
        if host.is_empty() {
            return Err(Ambiguous);
        }
        // Writing to a String does not fail.
        let _ = match request.public_ports[1] {
            443 => write!(self.location, "https://{host}{target}"),
            port => write!(self.location, "https://{host}:{port}{target}"),
        };
        Ok(Draft::Redirect(308))
    }

    fn redirect(&mut self, route: &Route, redirect: &entry_model::Redirect, request: RoutedRequest<'_>) -> Draft {
        let asked = request.request;
        let texts = [asked.host, asked.path, asked.query].map(str::from_utf8);
        let [Ok(host), Ok(path), Ok(query)] = texts else { return Draft::Answer(BAD_REQUEST) };
        let port = request.public_ports[usize::from(asked.scheme == Scheme::Https)];
        let asked = entry_model::Request {
            listener: asked.listener,
            scheme: asked.scheme,
            host,
            path,
            query,
            ..entry_model::Request::default()
        };
        self.location = redirect.location(&Match::path(path_match(route.path())), &asked, port);
        Draft::Redirect(redirect.status)
    }

    /// For what the table has and this module cannot do.
    fn reject(&mut self, why: &str) -> Draft {
        self.complain(format_args!("the request is answered 501, since this module cannot serve its route: {why}"));
        Draft::Answer(NOT_IMPLEMENTED)
    }

    fn complain(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.complaint.write_fmt(what);
    }
}

/// The upstream of nginx's configuration through which a backend is reached, if there is one.
fn upstream(backend: &Backend) -> Option<&'static str> {
    match (backend.protocol, backend.keep_alive) {
        (Protocol::Http, true) => Some("sparrow_http"),
        (Protocol::Http, false) => Some("sparrow_http_once"),
        (Protocol::Https | Protocol::Http2 | Protocol::Http2Tls, _) => None,
    }
}

fn text(path: &Path) -> &str {
    match path {
        Path::Exact(text) | Path::Prefix(text) => text,
    }
}

fn path_match(path: &Path) -> PathMatch {
    match path {
        Path::Exact(text) => PathMatch::Exact(text.to_string()),
        Path::Prefix(text) => PathMatch::Prefix(text.to_string()),
    }
}
