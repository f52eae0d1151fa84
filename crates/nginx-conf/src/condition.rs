//! What a request must have beside its path, as tests of nginx's `if`.
//!
//! nginx's own comparisons of headers and parameters (`map`, `$arg_`) ignore case, and those of the model do not: so each test is a
//! regular expression in which a value stands for itself, byte by byte. A header that was sent empty is to nginx as one that was not
//! sent; no test asks for an empty one.

use entry_model::{CookieMatch, HeaderMatch, Match, QueryParamMatch, ValueMatch};
use pattern_engine::{BoundedPattern, Groups, Subject};

use crate::match_limit::MATCH_LIMIT;
use crate::token::Pattern;
use crate::writer::Writer;

/// Most bytes of a name, counted twice, and a value: encoded, both fit into one token.
const MAX_BYTES: usize = 700;

/// One thing that a request must have.
#[derive(Debug, Clone, Copy)]
pub enum Condition<'a> {
    /// This method.
    Method(&'a str),
    /// A header.
    Header(&'a HeaderMatch),
    /// A cookie.
    Cookie(&'a CookieMatch),
    /// A parameter of the query.
    Parameter(&'a QueryParamMatch),
}

/// All that a request must have beside its path.
pub fn conditions(matches: &Match) -> Vec<Condition<'_>> {
    let Match { path: _, method, headers, cookies, query } = matches;
    let method = method.iter().map(|method| Condition::Method(method));
    method
        .chain(headers.iter().map(Condition::Header))
        .chain(cookies.iter().map(Condition::Cookie))
        .chain(query.iter().map(Condition::Parameter))
        .collect()
}

impl Condition<'_> {
    /// Whether nginx can be asked for it.
    pub fn is_expressible(&self) -> bool {
        let fits = |name: &str, value: &str| 2 * name.len() + value.len() <= MAX_BYTES;
        match self {
            Self::Method(method) => fits("", method),
            Self::Header(HeaderMatch { name, value }) => {
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                let is_name = !name.is_empty() && name.bytes().all(plain);
                let is_value = match value {
                    ValueMatch::Exact(text) => !text.is_empty() && fits(name, text),
                    ValueMatch::Regex(pattern) => BoundedPattern::parse(pattern.text()).is_ok(),
                };
                is_name && is_value
            }
            Self::Cookie(CookieMatch { name, value }) => {
                let is_name = !name.is_empty() && !name.contains([';', '=', ' ', '\t']);
                is_name && exact(value).is_some_and(|value| !value.contains([';', ' ', '\t']) && fits(name, value))
            }
            Self::Parameter(QueryParamMatch { name, value }) => {
                let is_name = !name.is_empty() && !name.contains(['&', '=']);
                is_name && exact(value).is_some_and(|value| !value.contains('&') && fits(name, value))
            }
        }
    }

    /// Opens the block of an `if` for requests that have it, or for those that have not.
    pub fn open_if(&self, writer: &mut Writer<'_>, has: bool) -> Option<()> {
        let line = writer.line("if");
        let line = match self {
            Self::Method(_) => line.words(["($request_method"]),
            Self::Header(header) => {
                let name = header.name.replace('-', "_");
                line.text(|text| text.own("($http_").plain_of(&name, '_'))
            }
            Self::Cookie(_) => line.words(["($http_cookie"]),
            Self::Parameter(_) => line.words(["($args"]),
        };
        let line = line.words([if has { "~" } else { "!~" }]);
        line.pattern(|pattern| self.pattern(pattern)).words([")"]).open(None)
    }

    fn pattern(&self, pattern: Pattern) -> Pattern {
        match self {
            Self::Method(method) => pattern.own("^").literal(method).own("\\z"),
            Self::Header(header) => match &header.value {
                ValueMatch::Exact(text) => pattern.own("^").literal(text).own("\\z"),
                ValueMatch::Regex(wanted) => match BoundedPattern::parse(wanted.text()) {
                    // It may match nothing, which is no header.
                    Ok(wanted) => {
                        let before = pattern.own(MATCH_LIMIT).own("^(?=.).*?(?:");
                        before.bounded(&wanted, Subject::Value, Groups::Plain).own(")")
                    }
                    // It is out of the bounds, so nobody is asked for it.
                    Err(_) => pattern.own("(?!)"),
                },
            },
            // Of several cookies of one name the first counts; nginx joins headers of them.
            Self::Cookie(CookieMatch { name, value }) => {
                let others = pattern.own("^(?:[ \t]*+(?!").literal(name).own("=)[^;]*+;)*+[ \t]*+");
                others.literal(name).own("=").literal(value.text()).own("[ \t]*(?:;|\\z)")
            }
            // Of several parameters of one name the first counts.
            Self::Parameter(QueryParamMatch { name, value }) => {
                let others = pattern.own("^(?:(?!").literal(name).own("(?:[=&]|\\z))[^&]*+&)*+");
                let equals = if value.text().is_empty() { "=?" } else { "=" };
                others.literal(name).own(equals).literal(value.text()).own("(?:&|\\z)")
            }
        }
    }
}

fn exact(value: &ValueMatch) -> Option<&str> {
    match value {
        ValueMatch::Exact(text) => Some(text),
        ValueMatch::Regex(_) => None,
    }
}
