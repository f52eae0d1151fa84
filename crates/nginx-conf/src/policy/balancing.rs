//! Which endpoint a request gets, and the cookies of sessions.
//!
//! A session is named by the id of its first request, which the client gets as a cookie and sends with the next ones. So nothing is
//! remembered here, and a cookie says nothing of endpoints.

use std::collections::BTreeSet;

use entry_model::{Balancing, HashPart, Policies, SameSite, SessionCookie};

use crate::Settings;
use crate::location_headers::LocationHeaders;
use crate::policy_class::content_hash;
use crate::token::{Pattern, Plain, Text, Token};
use crate::writer::{Directive, Writer, case, directive, entry, map};

/// How an upstream chooses among its servers; none if in turn.
pub fn method(balancing: &Balancing) -> Option<Directive<'static>> {
    match balancing {
        Balancing::RoundRobin => None,
        Balancing::LeastConnections => Some(directive("least_conn")),
        Balancing::Hash(parts) => Some(directive("hash").token(hash_key(parts)?).words(["consistent"])),
        Balancing::Session(cookie) => Some(directive("hash").token(session_variable(cookie)?).words(["consistent"])),
    }
}

/// What an upstream's name ends with, so that backends with several ways to choose have one for each.
pub fn write_suffix(out: &mut String, balancing: &Balancing) {
    use std::fmt::Write as _;
    match balancing {
        Balancing::RoundRobin => {}
        Balancing::LeastConnections => out.push_str("_least"),
        Balancing::Hash(parts) => {
            let _ = write!(out, "_hash-{:016x}", content_hash(parts));
        }
        Balancing::Session(cookie) => {
            let _ = write!(out, "_session-{:016x}", session_hash(cookie));
        }
    }
}

fn hash_key(parts: &[HashPart]) -> Option<Token> {
    let text = parts.iter().fold(Text::default(), |text, part| match part {
        // Whatever else there is tells no requests apart.
        HashPart::Text(other) => text.plain(&Plain::from(other, '_')),
        HashPart::RequestUri => text.own("${request_uri}"),
        HashPart::Host => text.own("${host}"),
        HashPart::ClientAddress => text.own("${remote_addr}"),
        HashPart::Header(name) => text.own("${http_").plain_of(&name.replace('-', "_"), '_').own("}"),
        HashPart::Cookie(name) => text.own("${cookie_").plain_of(&variable_name(name), '_').own("}"),
        HashPart::Parameter(name) => text.own("${arg_").plain_of(&variable_name(name), '_').own("}"),
    });
    text.token()
}

/// A name without what no variable has.
fn variable_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The path is told by the location, so that sessions of several paths are one.
fn session_hash(cookie: &SessionCookie) -> u64 {
    content_hash(&SessionCookie { path: String::new(), ..cookie.clone() })
}

fn variable(prefix: &'static str, cookie: &SessionCookie) -> Option<Token> {
    Text::default().own(prefix).plain_of(&format!("{:016x}", session_hash(cookie)), '_').token()
}

/// What names the session of a request.
pub fn session_variable(cookie: &SessionCookie) -> Option<Token> {
    variable("$sparrow_session_", cookie)
}

/// Adds the number by which a share of a request is chosen: all requests of a session have the same.
pub fn write_number(text: Text, balancing: &Balancing) -> Text {
    match balancing {
        Balancing::Session(cookie) => {
            text.own("${sparrow_session_").plain_of(&format!("{:016x}", session_hash(cookie)), '_').own("}")
        }
        Balancing::RoundRobin | Balancing::LeastConnections | Balancing::Hash(_) => text.own("$request_id"),
    }
}

/// Writes what a location needs for sessions.
pub fn write(writer: &mut Writer<'_>, balancing: &Balancing) -> Option<()> {
    let Balancing::Session(cookie) = balancing else { return Some(()) };
    writer.line("set").words(["$sparrow_session_path"]).text(|text| text.url_path(&cookie.path)).end()
}

/// Gives a client a session that has none.
pub fn add_headers(balancing: &Balancing, headers: &mut LocationHeaders) {
    if let Balancing::Session(cookie) = balancing
        && let Some(value) = variable("$sparrow_new_session_", cookie)
    {
        headers.add_to_answer(Token::word("Set-Cookie"), value);
    }
}

/// The variables of all sessions.
pub fn variables(policies: &Policies, settings: &Settings) -> Vec<Directive<'static>> {
    let sessions = policies.iter().filter_map(|(_, policy)| match &policy.balancing {
        Balancing::Session(cookie) => Some(SessionCookie { path: String::new(), ..(**cookie).clone() }),
        _ => None,
    });
    let sessions: BTreeSet<SessionCookie> = sessions.collect();
    if sessions.is_empty() {
        return Vec::new();
    }
    let over_tls = vec![case("default", "\"\""), case("https", "\"; Secure\"")];
    let mut all = vec![
        map("\"\"", "$sparrow_session_path", vec![case("default", "\"/\"")]),
        map(settings.scheme_variable(), "$sparrow_session_secure", over_tls),
    ];
    for cookie in &sessions {
        all.extend(maps(cookie).into_iter().flatten());
    }
    all
}

/// The session of a request, and the cookie that one gets which has none.
fn maps(cookie: &SessionCookie) -> Option<[Directive<'static>; 2]> {
    let sent = || {
        // Of several cookies of one name the first counts.
        let others = Pattern::default().own("~^(?:[ \t]*+(?!").literal(&cookie.name).own("=)[^;]*+;)*+[ \t]*+");
        others.literal(&cookie.name).own("=(?<sparrow_session>[^; \t]++)").token()
    };
    let of = |name: Token, sent_is: &'static str, new: Token| {
        let cases = vec![directive("default").token(new), entry(sent()?).words([sent_is])];
        Some(directive("map").words(["$http_cookie"]).token(name).block(cases))
    };
    Some([
        of(session_variable(cookie)?, "$sparrow_session", Token::word("$request_id"))?,
        of(variable("$sparrow_new_session_", cookie)?, "\"\"", set_cookie(cookie)?)?,
    ])
}

/// The value of `Set-Cookie` (RFC 6265, section 4.1).
fn set_cookie(cookie: &SessionCookie) -> Option<Token> {
    let SessionCookie { name, path: _, domain, max_age_seconds, same_site, secure } = cookie;
    let mut text = Text::default().plain_of(name, '_').own("=$request_id; Path=$sparrow_session_path");
    if let Some(domain) = domain {
        text = text.own("; Domain=").plain_of(domain, '_');
    }
    if let Some(seconds) = max_age_seconds {
        text = text.own("; Max-Age=").number(*seconds);
    }
    text = text.own("; HttpOnly");
    text = match secure {
        Some(true) => text.own("; Secure"),
        Some(false) => text,
        None => text.own("$sparrow_session_secure"),
    };
    text = match same_site {
        Some(SameSite::None) => text.own("; SameSite=None"),
        Some(SameSite::Lax) => text.own("; SameSite=Lax"),
        Some(SameSite::Strict) => text.own("; SameSite=Strict"),
        None => text,
    };
    text.token()
}
