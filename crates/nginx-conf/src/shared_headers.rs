//! Headers of all requests and all answers, which operators set.

use std::borrow::Cow;

use crate::Settings;
use crate::client_headers::{OF_CONNECTION, is_own_header};
use crate::header::Header;
use crate::proxy_module::ProxyModule;
use crate::token::{Text, Token};
use crate::value_template::ValueTemplate;
use crate::writer::{Directive, case, directive, entry, map};

/// Longest name of a header, in bytes: what fits into nginx's table of headers.
const MAX_NAME_BYTES: usize = 80;

/// The header by which browsers keep to HTTPS (RFC 6797).
const HSTS: &str = "Strict-Transport-Security";

/// Headers of an answer that are of the connection, or that nginx itself writes.
const NOT_IN_ANSWERS: [&str; 14] = [
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Date",
    "Keep-Alive",
    "Server",
    "Status",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Vary",
];

/// Headers of all requests and all answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedHeaders {
    /// What browsers are told about HTTPS.
    pub hsts: Option<Hsts>,
    /// Headers of answers, in place of those of backends.
    pub answers: Vec<(HeaderName, ValueTemplate)>,
    /// Headers of requests, in place of those of clients.
    pub requests: Vec<(HeaderName, ValueTemplate)>,
    /// Headers of backends that clients do not get.
    pub hidden: Vec<HeaderName>,
    /// Whether clients get the `Server` of backends rather than nginx's.
    pub passes_server: bool,
    /// Whether nginx tells its version.
    pub server_tokens: bool,
}

/// What browsers are told: to come by HTTPS only, for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    /// For how many seconds from each answer on.
    pub max_age_seconds: u64,
    /// Whether for all hosts below this one too.
    pub include_subdomains: bool,
    /// Whether browsers may have it built in.
    pub preload: bool,
}

impl Default for Hsts {
    /// As ingress-nginx has it where it is on.
    fn default() -> Self {
        Self { max_age_seconds: 31_536_000, include_subdomains: true, preload: false }
    }
}

/// The name of a header: letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderName(Cow<'static, str>);

impl HeaderName {
    /// The header in which proxies name the client.
    pub const X_FORWARDED_FOR: Self = Self(Cow::Borrowed("X-Forwarded-For"));

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        ((1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(legal)).then(|| Self(text.to_owned().into()))
    }

    /// Whether all answers can have it.
    pub fn can_be_in_answers(&self) -> bool {
        !self.is_one_of(&NOT_IN_ANSWERS)
    }

    /// Whether all requests can have it: it is none with which this entry says who or where the client is.
    pub fn can_be_in_requests(&self) -> bool {
        !self.is_one_of(&OF_CONNECTION) && !self.is_one_of(&["Content-Type"]) && !is_own_header(&self.0)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_one_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.eq_ignore_ascii_case(name))
    }

    pub(crate) fn token(&self) -> Option<Token> {
        Token::constant(&self.0)
    }
}

impl SharedHeaders {
    /// Whether a header of clients, which is dropped otherwise, is one of those.
    pub(crate) fn sets_in_requests(&self, header: &str) -> bool {
        self.requests.iter().any(|(name, _)| name.0.eq_ignore_ascii_case(header))
    }

    fn hsts(&self) -> Option<Hsts> {
        // One that is set by its name counts.
        self.hsts.filter(|_| self.answers.iter().all(|(name, _)| !name.0.eq_ignore_ascii_case(HSTS)))
    }

    /// What is at the level of `http`.
    pub(crate) fn directives(&self, settings: &Settings, grpc: bool) -> Vec<Directive<'static>> {
        let mut all = Vec::new();
        if let Some(hsts) = self.hsts() {
            let cases = vec![case("default", "\"\""), entry(Token::word("https")).token(hsts.token())];
            all.push(map(settings.scheme_variable(), "$sparrow_hsts", cases));
        }
        for module in [ProxyModule::Proxy].into_iter().chain(grpc.then_some(ProxyModule::Grpc)) {
            all.extend(self.hidden().into_iter().map(|name| directive(module.hide_header()).token(name)));
            let pass = if module == ProxyModule::Grpc { "grpc_pass_header" } else { "proxy_pass_header" };
            all.extend(self.passes_server.then(|| directive(pass).words(["Server"])));
        }
        all.extend(self.of_answers(settings).into_iter().map(answer_header));
        all
    }

    /// The headers of backends that clients do not get.
    pub(crate) fn hidden(&self) -> Vec<Token> {
        let hsts = self.hsts().and_then(|_| HeaderName::parse(HSTS));
        let replaced = self.answers.iter().map(|(name, _)| name).chain(&hsts);
        self.hidden.iter().chain(replaced).filter_map(HeaderName::token).collect()
    }

    /// The headers of answers. nginx inherits them only where a location has none of its own.
    pub(crate) fn of_answers(&self, settings: &Settings) -> Vec<Header> {
        let set = self.answers.iter();
        let set = set.filter_map(|(name, value)| Some((name.token()?, value.token(settings, |_| None)?)));
        let hsts = self.hsts().map(|_| (Token::word(HSTS), Token::word("$sparrow_hsts")));
        set.chain(hsts).collect()
    }

    /// The headers of requests.
    pub(crate) fn of_requests(&self, settings: &Settings) -> Vec<Header> {
        let set = self.requests.iter().filter(|(name, _)| name.can_be_in_requests());
        set.filter_map(|(name, value)| Some((name.token()?, value.token(settings, |_| None)?))).collect()
    }
}

/// A header that is added to whatever is answered.
pub fn answer_header((name, value): Header) -> Directive<'static> {
    directive("add_header").token(name).token(value).words(["always"])
}

impl Hsts {
    fn token(self) -> Token {
        let text = Text::default().own("max-age=").number(self.max_age_seconds);
        let text = if self.include_subdomains { text.own("; includeSubDomains") } else { text };
        let text = if self.preload { text.own("; preload") } else { text };
        // Of words of this program and a number, far shorter than any that nginx does not take.
        text.token().unwrap_or(Token::word("\"\""))
    }
}
