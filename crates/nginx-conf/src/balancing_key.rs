//! By what of a request an upstream chooses among its servers.

use entry_model::{HashPart, SessionCookie};

use crate::Settings;
use crate::policy_class::content_name;
use crate::token::{Pattern, Plain, Text, Token};

/// What requests are told apart by.
pub fn hash_key(parts: &[HashPart], settings: &Settings) -> Option<Token> {
    let text = parts.iter().fold(Text::default(), |text, part| match part {
        // Whatever else there is tells no requests apart.
        HashPart::Text(other) => text.plain(&Plain::from(other, '_')),
        HashPart::RequestUri => text.own("${request_uri}"),
        HashPart::Host => text.own("${host}"),
        HashPart::ClientAddress => text.own("${remote_addr}"),
        HashPart::PeerAddress if settings.trusts_proxies() => text.own("${realip_remote_addr}"),
        // No proxy is believed: the client is who connects.
        HashPart::PeerAddress => text.own("${remote_addr}"),
        HashPart::Method => text.own("${request_method}"),
        HashPart::Query => text.own("${args}"),
        HashPart::Header(name) => text.own("${http_").plain_of(&variable_name(name), '_').own("}"),
        HashPart::Cookie(name) => text.own("${cookie_").plain_of(&variable_name(name), '_').own("}"),
        HashPart::Parameter(name) => text.own("${arg_").plain_of(&variable_name(name), '_').own("}"),
    });
    text.token()
}

/// A name without what no variable has.
fn variable_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// A variable of a cookie.
pub fn variable(prefix: &'static str, cookie: &SessionCookie) -> Option<Token> {
    Text::default().own(prefix).plain_of(&content_name(cookie), '_').token()
}

/// What names the session of a request.
pub fn session_variable(cookie: &SessionCookie) -> Option<Token> {
    variable("$sparrow_session_", cookie)
}

/// The value of a cookie that was sent, by what the pattern has of it.
pub fn of_cookie(cookie: &SessionCookie, value: &'static str) -> Option<Token> {
    // Of several cookies of one name the first counts.
    let others = Pattern::default().own("~^(?:[ \t]*+(?!").literal(&cookie.name).own("=)[^;]*+;)*+[ \t]*+");
    others.literal(&cookie.name).own(value).token()
}
