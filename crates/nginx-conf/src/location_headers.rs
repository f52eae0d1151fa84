//! The headers that a location sets by itself.
//!
//! nginx puts `proxy_set_header` and `grpc_set_header` of an outer level in force only in a location that has none of its own; so a
//! location that has one repeats all others, and so it is with `add_header` and what is hidden. This is the only place that does so.

use crate::backend_protocols::BackendProtocols;
use crate::context::Context;
use crate::header::Header;
use crate::proxy_module::ProxyModule;
use crate::token::Token;
use crate::writer::Writer;
use crate::{Settings, forwarded_headers};

/// Longest name of a header that `proxy_set_header` can set or `proxy_hide_header` hide: what goes into a bucket of
/// `proxy_headers_hash_bucket_size`.
const LONGEST_OF_PROXY: usize = 110;

/// The same of `grpc_set_header`: nginx has buckets of 64 bytes for them, which no directive changes.
const LONGEST_OF_GRPC: usize = 46;

/// None for a name that is too long.
fn check_length(name: &Token, module: ProxyModule) -> Option<()> {
    let longest = match module {
        ProxyModule::Proxy => LONGEST_OF_PROXY,
        ProxyModule::Grpc => LONGEST_OF_GRPC,
    };
    (name.as_str().trim_matches('"').len() <= longest).then_some(())
}

/// The headers that a location sets by itself.
#[derive(Debug, Default)]
pub struct LocationHeaders {
    to_backend: Vec<Header>,
    /// Each with whether answers have it that say that something is wrong.
    of_answer: Vec<(Header, bool)>,
    hidden: Vec<Token>,
}

impl LocationHeaders {
    /// The backend is told this, whatever clients say, and whatever it is told elsewhere. An empty value takes the header out.
    /// The last of several for one header is in force.
    pub fn tell_backend(&mut self, name: Token, value: Token) {
        self.to_backend.retain(|(told, _)| !told.is_same_header(&name));
        self.to_backend.push((name, value));
    }

    /// Has another backend not told what these tell theirs: it would get what clients say in them.
    pub fn withhold_in(&self, other: &mut Self) {
        for (name, _) in &self.to_backend {
            other.tell_backend(name.clone(), Token::word("\"\""));
        }
    }

    /// The client is told this in each answer, beside what the backend says; not if the value is empty.
    pub fn add_to_answer(&mut self, name: Token, value: Token) {
        self.of_answer.push(((name, value), true));
    }

    /// The same, but not in answers that say that something is wrong.
    pub fn add_to_success(&mut self, name: Token, value: Token) {
        self.of_answer.push(((name, value), false));
    }

    /// The client is not told what the backend says in this header.
    pub fn hide_of_backend(&mut self, name: Token) {
        self.hidden.push(name);
    }

    /// Whether the client is told something in answers that say that something is wrong.
    pub fn are_in_failures(&self) -> bool {
        self.of_answer.iter().any(|(_, always)| *always)
    }

    /// Writes those of answers alone, with those of all answers: nginx inherits them only where a location has none of its own.
    pub fn write_of_answer(&self, writer: &mut Writer<'_>, settings: &Settings) -> Option<()> {
        let shared = if self.of_answer.is_empty() { Vec::new() } else { settings.headers.of_answers(settings) };
        let is_own = |name: &Token| self.of_answer.iter().any(|((own, _), _)| own.is_same_header(name));
        let shared: Vec<_> =
            shared.into_iter().filter(|(name, _)| !is_own(name)).map(|header| (header, true)).collect();
        self.of_answer.iter().chain(&shared).try_for_each(|((name, value), always)| {
            let line = writer.line("add_header").token(name).token(value);
            if *always { line.words(["always"]) } else { line }.end()
        })
    }

    /// Writes them into the location.
    pub fn write(&self, writer: &mut Writer<'_>, module: ProxyModule, context: &Context<'_>) -> Option<()> {
        self.write_hidden(writer, module, context.settings)?;
        self.write_of_answer(writer, context.settings)?;
        if self.to_backend.is_empty() {
            return Some(());
        }
        let is_own = |name: &Token| self.to_backend.iter().any(|(own, _)| own.is_same_header(name));
        let shared = of_all(module, context.settings, context.protocols);
        let repeated = shared.iter().filter(|(name, _)| !is_own(name));
        for (name, value) in repeated.chain(&self.to_backend) {
            check_length(name, module)?;
            writer.line(module.set_header()).token(name).token(value).end()?;
        }
        Some(())
    }
}

impl LocationHeaders {
    /// With those that are hidden for all: nginx inherits them only where a location hides none of its own.
    fn write_hidden(&self, writer: &mut Writer<'_>, module: ProxyModule, settings: &Settings) -> Option<()> {
        let shared = if self.hidden.is_empty() { Vec::new() } else { settings.headers.hidden() };
        let is_own = |name: &Token| self.hidden.iter().any(|own| own.is_same_header(name));
        for name in self.hidden.iter().chain(shared.iter().filter(|name| !is_own(name))) {
            check_length(name, module)?;
            writer.line(module.hide_header()).token(name).end()?;
        }
        Some(())
    }
}

/// What all backends are told where no location says otherwise.
fn of_all(module: ProxyModule, settings: &Settings, protocols: &BackendProtocols) -> Vec<Header> {
    let mut all = connection_headers(module, settings, protocols);
    all.extend(forwarded_headers::headers(settings));
    all
}

/// What backends are told of the connection. `grpc_pass` says it by itself.
pub fn connection_headers(module: ProxyModule, settings: &Settings, protocols: &BackendProtocols) -> Vec<Header> {
    if module == ProxyModule::Grpc {
        return Vec::new();
    }
    let mut all =
        vec![("Upgrade", "$sparrow_upgrade"), ("HTTP2-Settings", "\"\""), ("Connection", "$sparrow_connection")];
    if protocols.have_proxy_http2(settings) {
        // Over HTTP/2, where locations set it, a backend is told that the client reads trailers, as `grpc_pass` does by itself:
        // servers of gRPC ask for that.
        all.push(("TE", "$sparrow_te"));
    }
    all.into_iter().map(|(name, value)| (Token::word(name), Token::word(value))).collect()
}
