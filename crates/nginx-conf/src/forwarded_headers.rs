//! What backends are told of the client: one rule for every header that says who or where it is.
//!
//! - Those of [`OWN_HEADERS`] are written anew. A proxy that is trusted may say them: the first value of its first line counts, since
//!   that is what the client used, and only if it is well formed.
//! - Those of [`CLIENT_HEADERS`] say the same under other names, or what only a proxy can know. They are dropped, whoever sends
//!   them: proxies that do not know a header pass on what their client wrote. `Settings::trusted_headers` names those that a
//!   trusted proxy does write.

use crate::client_filter::halves;
use crate::client_headers::{CLIENT_HEADERS, OWN_HEADERS};
use crate::header::Header;
use crate::token::{Text, Token};
use crate::writer::{Directive, case, directive, entry, map};
use crate::{HeaderName, Settings};

/// The port of a host, from 1 to 65535.
const PORT_OF_HOST: &str = concat!(
    r#""~:(?<sparrow_port_named>[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|"#,
    r#"6553[0-5])$""#
);

// What a trusted proxy says, after `1:`. Each pattern names what it takes by a name of its own, so that none overwrites
// another's.
const HTTPS: &str = r#""~*^1:[ \t]*https[ \t]*(?:,|$)""#;
const HTTP: &str = r#""~*^1:[ \t]*http[ \t]*(?:,|$)""#;
const FORWARDED_HOST: &str = concat!(
    r#""~^1:[ \t]*(?<sparrow_host_told>(?:[A-Za-z0-9][A-Za-z0-9._-]*|\\[[0-9A-Fa-f:.]+\\])(?::[0-9]{1,5})?)"#,
    r#"[ \t]*(?:,|$)""#
);
const FORWARDED_PORT: &str = concat!(
    r#""~^1:[ \t]*(?<sparrow_port_told>[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|"#,
    r#"6553[0-5])[ \t]*(?:,|$)""#
);
const PROXIED_PORT: &str = concat!(
    r#""~^1:(?<sparrow_port_proxied>[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|"#,
    r#"6553[0-5])$""#
);
/// Addresses, some with their port, and what proxies write that hide them.
const FORWARDED_FOR: &str = concat!(
    r#""~^1:(?:[ \t]*(?:unknown|[0-9]{1,3}(?:\\.[0-9]{1,3}){3}(?::[0-9]{1,5})?|(?=[0-9A-Fa-f.]*:)[0-9A-Fa-f:.]++|"#,
    r#"\\[[0-9A-Fa-f:.]++\\](?::[0-9]{1,5})?)[ \t]*(?:,(?!$)|$))+$""#
);
const FORWARDED_PREFIX: &str =
    r#""~^1:[ \t]*(?<sparrow_prefix_told>(?:/[A-Za-z0-9._~!$&'()*+;=:@%-]++)++)/?[ \t]*(?:,|$)""#;
/// The first element of RFC 7239.
const FORWARDED: &str = concat!(
    r#""~^1:[ \t]*(?<sparrow_forwarded_told>[A-Za-z0-9-]+=(?:[][A-Za-z0-9._~:!#$%&'*+^`|-]+|\"[^\"\\\\]*\")"#,
    r#"(?:[ \t]*;[ \t]*[A-Za-z0-9-]+=(?:[][A-Za-z0-9._~:!#$%&'*+^`|-]+|\"[^\"\\\\]*\"))*)[ \t]*(?:,|$)""#
);

/// What backends are told, header and value. Where no proxy is trusted, what one says is not even looked at.
fn own_headers(settings: &Settings) -> impl Iterator<Item = (&'static str, &'static str)> {
    let trusting = settings.trusts_proxies();
    let value = |with: &'static str, without: &'static str| if trusting { with } else { without };
    OWN_HEADERS.into_iter().zip([
        "$sparrow_host",
        "$remote_addr",
        "$request_id",
        if settings.keeps_forwarded_for { value("$sparrow_forwarded_for", "$remote_addr") } else { "$remote_addr" },
        value("$sparrow_forwarded_host", "$sparrow_host"),
        value("$sparrow_forwarded_port", "$sparrow_port"),
        settings.scheme_variable(),
        value("$sparrow_forwarded_prefix", "$sparrow_prefix"),
        value("$sparrow_forwarded", "\"\""),
    ])
}

/// These headers, with what backends are told in each.
pub fn headers(settings: &Settings) -> Vec<Header> {
    let kept = kept(settings);
    let is_kept = |header: &str| kept.iter().any(|(kept, ..)| kept.eq_ignore_ascii_case(header));
    // What operators set goes over what is dropped, and over what proxies say.
    let is_set = |header: &str| settings.headers.sets_in_requests(header);
    // A constant that is empty costs a request nothing but the look-up that each of its headers has anyway.
    let dropped = CLIENT_HEADERS.into_iter().filter(|header| !is_kept(header) && !is_set(header));
    let dropped = dropped.map(|header| (header, "\"\""));
    let constant =
        own_headers(settings).chain(dropped).map(|(header, value)| (Token::word(header), Token::word(value)));
    let told = kept.iter().filter(|(header, ..)| !is_set(header));
    let told = told.filter_map(|(header, variable, _)| Some((Token::literal(header)?, variable.clone())));
    constant.chain(told).chain(settings.headers.of_requests(settings)).collect()
}

/// The headers that trusted proxies write, each with the variable of what is passed on and that of what was sent.
fn kept(settings: &Settings) -> Vec<(&str, Token, Token)> {
    let names = settings.trusted_headers.iter().filter(|_| settings.trusts_proxies()).enumerate();
    let all = names.filter_map(|(index, name)| {
        let kept = Text::default().own("$sparrow_kept_").number(index as u64).token()?;
        let sent = Text::default().own("$http_").plain_of(&name.to_ascii_lowercase().replace('-', "_"), '_').token()?;
        Some((name.as_str(), kept, sent))
    });
    all.collect()
}

/// The variables that they need, but for those that the module has: what it says is what the client said, and not what a trusted proxy
/// says.
pub fn variables(settings: &Settings) -> Vec<Directive<'static>> {
    if !settings.trusts_proxies() {
        return Vec::new();
    }
    let mut all = believed(settings);
    all.push(map(
        settings.scheme_variable(),
        "$sparrow_scheme_port",
        vec![case("default", "80"), case("https", "443")],
    ));
    let by_scheme = case("default", "$sparrow_scheme_port");
    let cases = vec![by_scheme, case(PORT_OF_HOST, "$sparrow_port_named")];
    all.push(map("$sparrow_forwarded_host", "$sparrow_port", cases));
    all
}

/// What trusted proxies say of the client.
fn believed(settings: &Settings) -> Vec<Directive<'static>> {
    let mut all = trust(settings);
    let told = |header: &'static str, name: &'static str, default: &'static str, cases: Vec<Directive<'static>>| {
        map(header, name, [vec![case("default", default)], cases].concat())
    };
    // The address before the real one was found is that of the last hop.
    let hops = if settings.proxy_protocol {
        "\"$http_x_forwarded_for, $remote_addr\""
    } else {
        "\"$http_x_forwarded_for, $realip_remote_addr\""
    };
    let port = if settings.proxy_protocol { "$sparrow_port_of_listener" } else { "$sparrow_port" };
    let prefixed = "\"$sparrow_prefix_told$sparrow_prefix\"";
    all.extend([
        told(
            "\"$sparrow_trusted:$http_x_forwarded_proto\"",
            "$sparrow_scheme",
            "$scheme",
            vec![case(HTTPS, "https"), case(HTTP, "http")],
        ),
        told(
            "\"$sparrow_trusted:$http_x_forwarded_host\"",
            "$sparrow_forwarded_host",
            "$sparrow_host",
            vec![case(FORWARDED_HOST, "$sparrow_host_told")],
        ),
        told(
            "\"$sparrow_trusted:$http_x_forwarded_port\"",
            "$sparrow_forwarded_port",
            port,
            vec![case(FORWARDED_PORT, "$sparrow_port_told")],
        ),
        told(
            "\"$sparrow_trusted:$http_x_forwarded_for\"",
            "$sparrow_forwarded_for",
            "$remote_addr",
            vec![case(FORWARDED_FOR, hops)],
        ),
        told(
            "\"$sparrow_trusted:$http_x_forwarded_prefix\"",
            "$sparrow_forwarded_prefix",
            "$sparrow_prefix",
            vec![case(FORWARDED_PREFIX, prefixed)],
        ),
        told(
            "\"$sparrow_trusted:$http_forwarded\"",
            "$sparrow_forwarded",
            "\"\"",
            vec![case(FORWARDED, "$sparrow_forwarded_told")],
        ),
    ]);
    for (_, kept, sent) in kept(settings) {
        let cases = vec![case("default", "\"\""), entry(Token::word("1")).token(sent)];
        all.push(directive("map").words(["$sparrow_trusted"]).token(kept).block(cases));
    }
    all
}

/// Who is believed: `$sparrow_trusted` is 1 for a request that a trusted proxy has sent.
fn trust(settings: &Settings) -> Vec<Directive<'static>> {
    let mut all: Vec<_> =
        settings.trusted.iter().map(|net| directive("set_real_ip_from").token(Token::net(*net))).collect();
    // The header's name is unquoted, as the one that is usual always was.
    all.push(match settings.forwarded_for_header.token() {
        _ if settings.proxy_protocol => directive("real_ip_header").words(["proxy_protocol"]),
        Some(name) if settings.forwarded_for_header != HeaderName::X_FORWARDED_FOR => {
            directive("real_ip_header").token(name)
        }
        _ => directive("real_ip_header").words(["X-Forwarded-For"]),
    });
    all.push(directive("real_ip_recursive").words(["on"]));
    let among_trusted = |address: &'static str, name: &'static str| {
        let nets = settings.trusted.iter().flat_map(halves).map(|net| entry(Token::net(net)).words(["1"]));
        directive("geo")
            .words([address, name])
            .block([case("default", "0")].into_iter().chain(nets).collect::<Vec<_>>())
    };
    if !settings.proxy_protocol {
        all.push(among_trusted("$realip_remote_addr", "$sparrow_trusted"));
        return all;
    }
    // The PROXY protocol is of a proxy that does not read requests: its client wrote the headers. Where it names none
    // (`UNKNOWN`, `LOCAL`), nobody is known who could be believed.
    let both = "\"$sparrow_trusted_peer$sparrow_trusted_client:$proxy_protocol_addr\"";
    all.extend([
        among_trusted("$realip_remote_addr", "$sparrow_trusted_peer"),
        among_trusted("$proxy_protocol_addr", "$sparrow_trusted_client"),
        map(both, "$sparrow_trusted", vec![case("default", "0"), case("\"~^11:.\"", "1")]),
        map(
            "\"$sparrow_trusted_peer:$proxy_protocol_server_port\"",
            "$sparrow_port_of_listener",
            vec![case("default", "$sparrow_port"), case(PROXIED_PORT, "$sparrow_port_proxied")],
        ),
    ]);
    all
}
