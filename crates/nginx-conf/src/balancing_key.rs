//! By what an upstream chooses among its servers.

use std::net::SocketAddr;

use entry_model::{Affinity, Balancing, HashPart, SessionCookie};

use crate::Settings;
use crate::endpoint_choice::{self, EndpointChoice};
use crate::policy_class::content_name;
use crate::token::{Plain, Text, Token};
use crate::upstream_name::UpstreamName;
use crate::writer::directive;

/// How an upstream chooses among its servers; none if in turn.
pub fn choice(
    name: UpstreamName<'_>,
    balancing: &Balancing,
    servers: &[SocketAddr],
    settings: &Settings,
) -> Option<EndpointChoice> {
    let method = match balancing {
        Balancing::RoundRobin => return None,
        Balancing::LeastConnections => directive("least_conn"),
        Balancing::Hash(parts) => directive("hash").token(hash_key(parts, settings)?).words(["consistent"]),
        Balancing::HashSubset(parts, size) => {
            return endpoint_choice::of_subset(name, (parts, *size), servers, settings);
        }
        Balancing::Session(cookie) if cookie.affinity == Affinity::Balanced => {
            directive("hash").token(session_variable(cookie)?).words(["consistent"])
        }
        Balancing::Session(cookie) => return endpoint_choice::of_persistent(name, cookie, servers),
    };
    Some(EndpointChoice { variables: Vec::new(), method })
}

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

/// Adds the number by which a share of a request is chosen: all requests of a session have the same.
pub fn write_number(text: Text, balancing: &Balancing) -> Text {
    match balancing {
        Balancing::Session(cookie) => text.own("${sparrow_session_").plain_of(&content_name(cookie), '_').own("}"),
        Balancing::RoundRobin | Balancing::LeastConnections | Balancing::Hash(_) | Balancing::HashSubset(..) => {
            text.own("$request_id")
        }
    }
}
