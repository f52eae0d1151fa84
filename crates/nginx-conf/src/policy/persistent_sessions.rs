//! Sessions whose cookie names their endpoint.
//!
//! A session is named by the id of its first request, as others are, and after a hyphen follows what its endpoint is called: a hash of its
//! address.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use entry_model::{Affinity, EndpointName, SessionCookie};

use crate::balancing_key::{of_cookie, session_variable, variable};
use crate::endpoint_choice::way_variable;
use crate::policy_class::content_name;
use crate::token::{Text, Token};
use crate::writer::{Directive, case, directive, entry, map};

/// The last server that was asked for a request, of those that were tried, and of those that were before the request went elsewhere.
const LAST_SERVER: &str = r#""~(?<sparrow_last_server>[^ ]+)$""#;

/// An endpoint, and the same behind it.
const SAME: &str = r#""~^(?<sparrow_same>[0-9a-f]+):\\k<sparrow_same>$""#;

/// From so many endpoints on, nginx is told that the tables of its maps are large; else it warns.
const MANY: usize = 100;

/// The endpoints that there are for cookies to name.
pub struct KnownEndpoints<'a> {
    /// Those of upstreams with servers.
    pub endpoints: &'a BTreeSet<SocketAddr>,
    /// The variable that says of the others, which are those of a table, if a request's is one of them.
    pub of_table: Option<&'static str>,
}

/// What all of them need: what the endpoint is called that answered.
pub fn shared_variables(endpoints: &BTreeSet<SocketAddr>) -> Vec<Directive<'static>> {
    let servers = endpoints.iter().filter_map(|address| {
        let server = Text::default().address(*address).token()?;
        Some(entry(server).token(named(*address)?))
    });
    let servers = [case("default", "\"\"")].into_iter().chain(servers).collect();
    let last = vec![case("default", "\"\""), case(LAST_SERVER, "$sparrow_last_server")];
    let mut all = Vec::new();
    if endpoints.len() > MANY {
        all.push(directive("map_hash_max_size").words(["131072"]));
    }
    all.extend([map("$upstream_addr", "$sparrow_server", last), map("$sparrow_server", "$sparrow_endpoint", servers)]);
    all
}

/// What the upstreams of a cookie need that nginx cannot read: no client names an endpoint.
pub fn without_cookie(cookie: &SessionCookie) -> impl Iterator<Item = Directive<'static>> {
    let nothing = || vec![case("default", "\"\"")];
    let named = variable("$sparrow_named_", cookie);
    let named = named.map(|name| directive("map").words(["\"\""]).token(name).block(nothing()));
    named.into_iter().chain(way_variable(cookie))
}

/// The session of a request, the endpoint that its cookie names, and the cookie that is given: to a client that names no endpoint of these, or,
/// if it is to stay where it was served when that fails, to one that names another.
pub fn variables(cookie: &SessionCookie, known: &KnownEndpoints<'_>, new: Token) -> Option<Vec<Directive<'static>>> {
    let session = of_cookie(cookie, "=(?<sparrow_session>[0-9a-f]{32})(?:-[0-9a-f]{16})?(?:[; \t]|$)");
    let endpoint = of_cookie(cookie, "=[0-9a-f]{32}-(?<sparrow_named>[0-9a-f]{16})(?:[; \t]|$)");
    let sent = |name: Token, none: &'static str, pattern: Option<Token>, is: &'static str| {
        let cases =
            [directive("default").words([none])].into_iter().chain(pattern.map(|pattern| entry(pattern).words([is])));
        directive("map").words(["$http_cookie"]).token(name).block(cases.collect::<Vec<_>>())
    };
    let mut all = vec![
        sent(session_variable(cookie)?, "$request_id", session, "$sparrow_session"),
        sent(variable("$sparrow_named_", cookie)?, "\"\"", endpoint, "$sparrow_named"),
        way_variable(cookie)?,
    ];
    let of = content_name(cookie);
    let name = variable("$sparrow_new_session_", cookie)?;
    if cookie.affinity == Affinity::PersistentUntilFailure {
        let source = Text::default().own("${sparrow_named_").plain_of(&of, '_').own("}:$sparrow_endpoint").token()?;
        let cases = vec![directive("default").token(new), case("\"~:$\"", "\"\""), case(SAME, "\"\"")];
        all.push(directive("map").token(source).token(name).block(cases));
        return Some(all);
    }
    let others = directive("default").words([known.of_table.unwrap_or("\"\"")]);
    let known = known.endpoints.iter().filter_map(|address| Some(entry(named(*address)?).words(["-"])));
    let known: Vec<_> = [others].into_iter().chain(known).collect();
    all.push(
        directive("map")
            .token(variable("$sparrow_named_", cookie)?)
            .token(variable("$sparrow_known_", cookie)?)
            .block(known),
    );
    let source = Text::default().own("${sparrow_known_").plain_of(&of, '_').own("}$sparrow_endpoint").token()?;
    let cases = vec![case("default", "\"\""), entry(Token::word("\"~^[0-9a-f]\"")).token(new)];
    all.push(directive("map").token(source).token(name).block(cases));
    Some(all)
}

fn named(address: SocketAddr) -> Option<Token> {
    Text::default().plain_of(EndpointName::of(address).as_str(), '_').token()
}
