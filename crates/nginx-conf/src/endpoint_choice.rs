//! Which of its servers an upstream takes. Where nginx has no method of its own, variables make a key of the request with which `hash` leads to
//! the server that is wanted.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use entry_model::{Affinity, Balancing, EndpointName, HashPart, SessionCookie};

use crate::Settings;
use crate::balancing_key::{hash_key, session_variable, variable};
use crate::endpoint_keys::endpoint_keys;
use crate::policy_class::content_name;
use crate::token::{Text, Token};
use crate::upstream_name::UpstreamName;
use crate::writer::{Directive, Writer, directive, entry};

/// Among how many others the sessions of a server are spread while it fails.
const WAYS_ON: u8 = 8;

/// Most parts of a `split_clients`, which knows hundredths of percents.
const MOST_PARTS: usize = 10_000;

/// What chooses a server: variables, and the directive of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointChoice {
    pub variables: Vec<Directive<'static>>,
    pub method: Directive<'static>,
}

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
            return of_subset(name, (parts, *size), servers, settings);
        }
        Balancing::Session(cookie) if cookie.affinity == Affinity::Balanced => {
            directive("hash").token(session_variable(cookie)?).words(["consistent"])
        }
        Balancing::Session(cookie) => return of_persistent(name, cookie, servers),
    };
    Some(EndpointChoice { variables: Vec::new(), method })
}

/// Writes by what the module chooses an endpoint, among those that the table has then; nothing where it needs no key for that.
pub fn write_of_module(writer: &mut Writer<'_>, balancing: &Balancing, settings: &Settings) -> Option<()> {
    let key = match balancing {
        Balancing::RoundRobin | Balancing::LeastConnections => return Some(()),
        Balancing::Hash(parts) | Balancing::HashSubset(parts, _) => hash_key(parts, settings)?,
        Balancing::Session(cookie) => session_variable(cookie)?,
    };
    writer.write(&directive("sparrow_balancing_key").token(key));
    match balancing {
        Balancing::HashSubset(_, size) => {
            writer.write(&directive("sparrow_balancing_subset").token(Token::number(size.get())));
        }
        Balancing::Session(cookie) if cookie.affinity != Affinity::Balanced => {
            writer.write(&directive("sparrow_balancing_endpoint").token(variable("$sparrow_named_", cookie)?));
        }
        _ => {}
    }
    Some(())
}

/// The server that the cookie of a session names, and for a session that names none of these any, by its hash.
fn of_persistent(name: UpstreamName<'_>, cookie: &SessionCookie, servers: &[SocketAddr]) -> Option<EndpointChoice> {
    let mut cases = vec![directive("default").token(session_variable(cookie)?)];
    for ((server, way), key) in endpoint_keys(servers.len(), WAYS_ON.into()) {
        let place = Text::default().plain_of(EndpointName::of(*servers.get(server)?).as_str(), '_').own("-");
        cases.push(entry(place.number(way as u64).token()?).token(Token::number(key)));
    }
    let of_cookie = content_name(cookie);
    let place = Text::default().own("${sparrow_named_").plain_of(&of_cookie, '_').own("}-");
    let place = place.own("${sparrow_way_").plain_of(&of_cookie, '_').own("}").token()?;
    hash_by(place, cases, Vec::new(), &name)
}

/// Which of the ways a session goes on while its server fails.
pub fn way_variable(cookie: &SessionCookie) -> Option<Directive<'static>> {
    split(session_variable(cookie)?, variable("$sparrow_way_", cookie)?, WAYS_ON.into())
}

/// Any of the servers of a subset, which is that of all requests with the same parts. The last subset is filled up with the first servers.
fn of_subset(
    name: UpstreamName<'_>,
    (parts, size): (&[HashPart], NonZeroU16),
    servers: &[SocketAddr],
    settings: &Settings,
) -> Option<EndpointChoice> {
    let size = usize::from(size.get()).min(servers.len()).max(1);
    let subsets = servers.len().div_ceil(size).min(MOST_PARTS);
    let keys = endpoint_keys(servers.len(), 1);
    let mut cases = Vec::new();
    for (subset, member) in (0..subsets).flat_map(|subset| (0..size).map(move |member| (subset, member))) {
        let Some(key) = keys.get(&((subset * size + member) % servers.len().max(1), 0)) else { continue };
        let place = Text::default().number(subset as u64).own("-").number(member as u64).token()?;
        cases.push(entry(place).token(Token::number(*key)));
    }
    let upstream = content_name(&name.to_string());
    let named = |prefix: &'static str| Text::default().own(prefix).plain_of(&upstream, '_');
    let variables = vec![
        split(hash_key(parts, settings)?, named("$sparrow_subset_").token()?, subsets)?,
        split(Token::word("$request_id"), named("$sparrow_member_").token()?, size)?,
    ];
    let place = named("${sparrow_subset_").own("}-${sparrow_member_").plain_of(&upstream, '_').own("}").token()?;
    hash_by(place, cases, variables, &name)
}

fn hash_by(
    place: Token,
    keys: Vec<Directive<'static>>,
    mut variables: Vec<Directive<'static>>,
    name: &UpstreamName<'_>,
) -> Option<EndpointChoice> {
    let key = Text::default().own("$sparrow_key_").plain_of(&content_name(&name.to_string()), '_').token()?;
    variables.push(directive("map").token(place).token(key.clone()).block(keys));
    Some(EndpointChoice { variables, method: directive("hash").token(key) })
}

/// A variable that has one of so many numbers, each for as many values of another.
fn split(source: Token, name: Token, parts: usize) -> Option<Directive<'static>> {
    let bound = |part: usize| (MOST_PARTS * part / parts.max(1)) as u64;
    let mut cases = Vec::new();
    for part in 0..parts {
        let share = if part + 1 == parts {
            Token::word("*")
        } else {
            let hundredths = bound(part + 1) - bound(part);
            let text = Text::default().number(hundredths / 100).own(".").number(hundredths / 10 % 10);
            text.number(hundredths % 10).own("%").token()?
        };
        cases.push(entry(share).token(Token::number(part as u64)));
    }
    Some(directive("split_clients").token(source).token(name).block(cases))
}
