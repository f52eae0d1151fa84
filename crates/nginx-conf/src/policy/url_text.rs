//! URLs of annotations, in which something of a request may stand, and the servers that they name.

use entry_model::{OutsideServer, UrlPart, UrlText, UrlVariable};

use crate::Settings;
use crate::token::{Text, Token};
use crate::writer::{Directive, Writer, case, directive, entry, map};

/// How often each character may be in a path and its query that is escaped.
const MOST_ESCAPED: usize = 10;

/// What is taken for an escaped one where there are more.
const TOO_MANY: &str = "\"\"";

/// What is at the level of `http`, if there are URLs or headers in which something of a request stands. The module, if it routes, escapes
/// any target; maps know no loop.
pub fn variables(has_module: bool) -> Vec<Directive<'static>> {
    let mut all = vec![
        map(
            "$request_uri",
            "$sparrow_request_path",
            vec![case("default", "$request_uri"), case(r#""~^(?<sparrow_path_sent>[^?]*)\\?""#, "$sparrow_path_sent")],
        ),
        map(
            "$request_uri",
            "$sparrow_request_query",
            vec![case("default", "\"\""), case(r#""~^[^?]*\\?(?<sparrow_query_sent>.+)$""#, "$sparrow_query_sent")],
        ),
        map("$sparrow_request_query", "$sparrow_request_is_args", vec![case("default", "?"), case("\"\"", "\"\"")]),
    ];
    if !has_module {
        all.extend(escaped_target());
    }
    all
}

/// What is at the level of `http`, if servers are asked for by their names.
pub fn resolvers(settings: &Settings) -> Vec<Directive<'static>> {
    let mut all = Vec::new();
    let resolvers = settings.resolvers.iter().filter_map(|address| Text::default().address(*address).token());
    let resolvers: Vec<_> = resolvers.collect();
    if !resolvers.is_empty() {
        let line = resolvers.into_iter().fold(directive("resolver"), Directive::token);
        // Servers move, and nobody says so.
        all.push(line.words(["valid=10s"]));
        all.push(directive("resolver_timeout").words(["5s"]));
    }
    all
}

/// The path and the query as a value of a query.
fn escaped_target() -> [Directive<'static>; 5] {
    [
        // One after the other, first the character that the others are escaped with.
        escape("$request_uri", "$sparrow_escaped_percent", "%", "%25"),
        escape("$sparrow_escaped_percent", "$sparrow_escaped_ampersand", "&", "%26"),
        escape("$sparrow_escaped_ampersand", "$sparrow_escaped_plus", "+", "%2B"),
        map(
            "$sparrow_request_path",
            "$sparrow_escaped_path",
            vec![case("default", "/"), case(r#""~^[^%&+]*$""#, "$sparrow_request_path")],
        ),
        map(
            "$sparrow_escaped_plus",
            "$sparrow_escaped_request_uri",
            vec![case("default", "$sparrow_escaped_plus"), case("\"\"", "$sparrow_escaped_path")],
        ),
    ]
}

/// A variable with a character of another escaped; empty if there are too many, or if that one is empty.
fn escape(
    source: &'static str,
    name: &'static str,
    character: &'static str,
    escaped: &'static str,
) -> Directive<'static> {
    let pieces = |number: usize| {
        let others = || format!("[^{character}]*+");
        let group = |piece: usize| format!("(?<{}_{piece}>{})", name.trim_start_matches('$'), others());
        let pattern = (1..=number).fold(group(0), |text, piece| format!("{text}[{character}]{}", group(piece)));
        let value = (1..=number).fold(format!("${{{}_0}}", name.trim_start_matches('$')), |text, piece| {
            format!("{text}{escaped}${{{}_{piece}}}", name.trim_start_matches('$'))
        });
        Some(entry(Token::literal(&format!("~^{pattern}$"))?).token(Token::literal(&value)?))
    };
    let cases = (0..=MOST_ESCAPED).filter_map(pieces);
    let cases: Vec<_> = [case("default", TOO_MANY)].into_iter().chain(cases).collect();
    map(source, name, cases)
}

/// Whether this nginx can reach a server.
pub fn can_reach(server: &OutsideServer, tls: bool, settings: &Settings) -> bool {
    let is_known = match server {
        OutsideServer::Unknown => false,
        OutsideServer::Address(_) => true,
        OutsideServer::Name { .. } => !settings.resolvers.is_empty(),
    };
    is_known && (!tls || settings.modules.ssl)
}

/// Sends a request to a server, for what is in a variable.
pub fn write_pass(
    writer: &mut Writer<'_>,
    (server, tls): (&OutsideServer, bool),
    target: &'static str,
    settings: &Settings,
) -> Option<()> {
    let url = |text: Text| {
        let text = text.own(if tls { "https://" } else { "http://" });
        let text = match server {
            // It is not asked.
            OutsideServer::Unknown => text,
            OutsideServer::Address(address) => text.address(*address),
            OutsideServer::Name { name, port } => url_text(text, name, settings).own(":").number(*port),
        };
        text.own(target)
    };
    writer.line("proxy_pass").text(url).end()
}

/// Adds a URL.
pub fn url_text(text: Text, url: &UrlText, settings: &Settings) -> Text {
    url.0.iter().fold(text, |text, part| match part {
        UrlPart::Text(part) => text.url(part),
        UrlPart::Variable(variable) => text.own(variable_of(*variable, settings)),
    })
}

/// What nginx knows of the request. Of paths and queries it is what was sent: decoded they could hold an end of a line.
pub fn variable_of(variable: UrlVariable, settings: &Settings) -> &'static str {
    let trusting = settings.trusts_proxies();
    match variable {
        UrlVariable::Host => "${host}",
        UrlVariable::HostAndPort if trusting => "${sparrow_forwarded_host}",
        UrlVariable::HostAndPort => "${sparrow_host}",
        UrlVariable::Scheme if trusting => "${sparrow_scheme}",
        UrlVariable::Scheme => "${scheme}",
        UrlVariable::Method => "${request_method}",
        UrlVariable::Target => "${request_uri}",
        UrlVariable::EscapedTarget => "${sparrow_escaped_request_uri}",
        UrlVariable::Path => "${sparrow_request_path}",
        UrlVariable::QuestionMark => "${sparrow_request_is_args}",
        UrlVariable::Query => "${sparrow_request_query}",
    }
}
