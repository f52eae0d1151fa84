//! Another server is asked whether a request may pass.
//!
//! ```text
//! location of the rule ──auth_request──► sparrow-auth-CLASS ──► the server
//!        │ 2xx: on to the backend, with headers of its answer
//!        │ 401: @sparrow_signin_CLASS, or the answer
//!        └ 403: the answer; anything else, or none: 500
//! ```
//!
//! The location that asks has a page of errors of its own, so that none of another level makes an answer of what the server says.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use entry_model::{AuthServer, BackendAddress, ExternalAuth, Policy, UrlPart, UrlText, UrlVariable};

use super::{PolicySet, class_name, timeouts};
use crate::Settings;
use crate::context::Context;
use crate::location_headers::LocationHeaders;
use crate::proxy_module::ProxyModule;
use crate::token::{Text, Token};
use crate::writer::{Directive, Writer, case, directive, entry, map};

/// Most connections to a server that a worker keeps.
const KEPT_CONNECTIONS: usize = 32;

/// How often each character may be in a path and its query that is escaped.
const MOST_ESCAPED: usize = 10;

/// What is taken for an escaped one where there are more.
const TOO_MANY: &str = "\"\"";

/// Who is asked; nobody if this nginx cannot.
pub fn asked<'a>(policy: &'a Policy, settings: &Settings) -> Option<&'a ExternalAuth> {
    let auth = policy.external_auth.as_ref()?;
    let is_reached = match auth.server {
        AuthServer::Unknown => false,
        AuthServer::Address(_) => true,
        AuthServer::Name { .. } => !settings.resolvers.is_empty(),
    };
    (is_reached && settings.modules.auth_request && (!auth.tls || settings.modules.ssl)).then_some(auth)
}

/// What is at the level of `http`, if there is somebody to ask.
pub fn http(settings: &Settings) -> Vec<Directive<'static>> {
    let mut all = vec![
        // What locations set that ask; empty where all of them answer by themselves, since their backends are missing.
        map("\"\"", "$sparrow_auth_cookie", vec![case("default", "\"\"")]),
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
    ];
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

/// Where a server is whose connections are kept: at an address, in the clear. Over TLS a connection is for one host, and not for all that
/// are asked for at its address.
fn kept_address(auth: &ExternalAuth) -> Option<SocketAddr> {
    match auth.server {
        AuthServer::Address(address) if !auth.tls => Some(address),
        _ => None,
    }
}

/// Writes the upstreams of servers whose connections are kept. They stand before those of backends: nginx looks for them in this order, at
/// each request.
pub fn write_upstreams(writer: &mut Writer<'_>, policies: &PolicySet<'_>, settings: &Settings) {
    let asked = policies.iter().filter_map(|policy| asked(policy, settings));
    for address in asked.filter_map(kept_address).collect::<BTreeSet<_>>() {
        // Of words of this program and addresses: nginx can read them.
        let _ = writer.line("upstream").text(|text| upstream_name(text, address)).open(None);
        let _ = writer.line("server").text(|text| text.address(address)).end();
        let count = settings.kept_connections.count(KEPT_CONNECTIONS);
        settings.kept_connections.write(writer, count, settings.version);
        writer.close();
    }
}

fn upstream_name(text: Text, address: SocketAddr) -> Text {
    text.own("sparrow-auth-").stream_upstream(&BackendAddress::ClusterIp(address))
}

/// Adds the headers of requests and answers.
pub fn add_headers(auth: &ExternalAuth, headers: &mut LocationHeaders) {
    let cookie = (Token::word("Set-Cookie"), Token::word("$sparrow_auth_cookie"));
    if auth.always_set_cookie {
        headers.add_to_answer(cookie.0, cookie.1);
    } else {
        headers.add_to_success(cookie.0, cookie.1);
    }
    for (name, number) in auth.response_headers.iter().zip(0_u64..) {
        if let (Some(name), Some(value)) = (Token::constant(name), answer_variable(number)) {
            headers.tell_backend(name, value);
        }
    }
}

fn answer_variable(number: u64) -> Option<Token> {
    Text::default().own("$sparrow_auth_").number(number).token()
}

/// Has the location ask.
pub fn write(writer: &mut Writer<'_>, policy: &Policy, auth: &ExternalAuth) -> Option<()> {
    writer.line("auth_request").text(|text| location_name(text, policy)).end()?;
    writer.line("auth_request_set").words(["$sparrow_auth_cookie", "$upstream_http_set_cookie"]).end()?;
    for (name, number) in auth.response_headers.iter().zip(0_u64..) {
        let variable = name.to_ascii_lowercase().replace('-', "_");
        writer
            .line("auth_request_set")
            .token(&answer_variable(number)?)
            .text(|text| text.own("$upstream_http_").plain_of(&variable, '_'))
            .end()?;
    }
    if auth.sign_in.is_some() {
        // Its own status is the answer's.
        writer.line("error_page").words(["401", "="]).text(|text| sign_in_name(text, policy)).end()?;
    }
    Some(())
}

/// Writes the locations that ask, and that send clients to where they sign in.
pub fn write_locations(
    writer: &mut Writer<'_>,
    policy: &Policy,
    auth: &ExternalAuth,
    headers: &LocationHeaders,
    context: &Context<'_>,
) -> Option<()> {
    write_question(writer, policy, auth, context)?;
    let Some(sign_in) = &auth.sign_in else { return Some(()) };
    writer.line("location").text(|text| sign_in_name(text, policy)).open(None)?;
    headers.write_of_answer(writer, context.settings)?;
    writer.line("return").words(["302"]).text(|text| url_text(text, sign_in, context.settings)).end()?;
    writer.close();
    Some(())
}

fn write_question(writer: &mut Writer<'_>, policy: &Policy, auth: &ExternalAuth, context: &Context<'_>) -> Option<()> {
    let settings = context.settings;
    writer.line("location").words(["="]).text(|text| location_name(text, policy)).open(None)?;
    writer.line("internal").end()?;
    // Else those of all others would be in force: a page of an error must not be what the server has said.
    writer.line("error_page").words(["418", "@sparrow_error_page"]).end()?;
    writer.line("proxy_intercept_errors").words(["off"]).end()?;
    writer.line("proxy_pass_request_body").words(["off"]).end()?;
    writer.line("client_max_body_size").words(["0"]).end()?;
    if let Some(method) = &auth.method {
        // nginx knows variables here.
        writer.line("proxy_method").token(&Token::constant(method)?).end()?;
    }
    timeouts::write(writer, &policy.timeouts, ProxyModule::Proxy)?;
    if auth.tls {
        writer.line("proxy_ssl_server_name").words(["on"]).end()?;
        writer.line("proxy_ssl_name").text(|text| url_text(text, &auth.host, settings)).end()?;
        writer.line("proxy_ssl_session_reuse").words(["off"]).end()?;
    }
    question_headers(auth, settings)?.write(writer, ProxyModule::Proxy, context)?;
    writer.line("set").words(["$sparrow_auth_target"]).text(|text| url_text(text, &auth.target, settings)).end()?;
    let url = |text: Text| {
        let text = text.own(if auth.tls { "https://" } else { "http://" });
        let text = match &auth.server {
            // It is not asked.
            AuthServer::Unknown => text,
            AuthServer::Address(address) => match kept_address(auth) {
                Some(address) => upstream_name(text, address),
                None => text.address(*address),
            },
            AuthServer::Name { name, port } => url_text(text, name, settings).own(":").number(*port),
        };
        text.own("$sparrow_auth_target")
    };
    writer.line("proxy_pass").text(url).end()?;
    writer.close();
    Some(())
}

/// What the server is told of the request, beside what the client has sent.
fn question_headers(auth: &ExternalAuth, settings: &Settings) -> Option<LocationHeaders> {
    let mut headers = LocationHeaders::default();
    let own = |variable| UrlText(vec![UrlPart::Variable(variable)]);
    let redirect = auth.request_redirect.clone().unwrap_or_else(|| own(UrlVariable::Target));
    let asked = UrlText(vec![
        UrlPart::Variable(UrlVariable::Scheme),
        UrlPart::Text("://".to_owned()),
        UrlPart::Variable(UrlVariable::HostAndPort),
        UrlPart::Variable(UrlVariable::Target),
    ]);
    for (name, value) in [
        ("Host", auth.host.clone()),
        ("X-Original-URL", asked),
        ("X-Original-URI", own(UrlVariable::Target)),
        ("X-Original-Method", own(UrlVariable::Method)),
        ("X-Scheme", own(UrlVariable::Scheme)),
        ("X-Auth-Request-Redirect", redirect),
        // By this name servers know what asks.
        ("X-Sent-From", UrlText::from_text("nginx-ingress-controller")),
    ] {
        headers.tell_backend(Token::word(name), url_text(Text::default(), &value, settings).token()?);
    }
    // It has no body, and is no tunnel.
    for name in ["Content-Length", "Upgrade", "Connection"] {
        headers.tell_backend(Token::word(name), Token::word("\"\""));
    }
    for (name, value) in &auth.request_headers {
        headers.tell_backend(Token::constant(name)?, Token::constant(value)?);
    }
    Some(headers)
}

/// Adds a URL.
fn url_text(text: Text, url: &UrlText, settings: &Settings) -> Text {
    url.0.iter().fold(text, |text, part| match part {
        UrlPart::Text(part) => text.url(part),
        UrlPart::Variable(variable) => text.own(variable_of(*variable, settings)),
    })
}

/// What nginx knows of the request. Of paths and queries it is what was sent: decoded they could hold an end of a line.
fn variable_of(variable: UrlVariable, settings: &Settings) -> &'static str {
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

fn location_name(text: Text, policy: &Policy) -> Text {
    class_name(text.own("sparrow-auth-"), policy)
}

fn sign_in_name(text: Text, policy: &Policy) -> Text {
    class_name(text.own("@sparrow_signin_"), policy)
}
