//! URLs of annotations, in which something of a request may stand, and the servers that they name.

use entry_model::{OutsideServer, UrlPart, UrlText, UrlVariable};

use crate::Settings;
use crate::token::Text;
use crate::writer::{Directive, Writer, case, directive, map};

/// What is at the level of `http`, if there are URLs or headers in which something of a request stands.
pub fn variables() -> Vec<Directive<'static>> {
    vec![
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
    ]
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
