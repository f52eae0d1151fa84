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

use entry_model::{BackendAddress, ExternalAuth, OutsideServer, Policy, UrlPart, UrlText, UrlVariable};

use super::url_text::{can_reach, url_text, write_pass};
use super::{PolicySet, buffers, class_name, client_certificates, timeouts};
use crate::Settings;
use crate::context::Context;
use crate::location_headers::LocationHeaders;
use crate::proxy_module::ProxyModule;
use crate::token::{Text, Token};
use crate::writer::{Directive, Writer, case, directive};

/// Most connections to a server that a worker keeps.
const KEPT_CONNECTIONS: usize = 32;

/// Most cookies of an answer that its client gets: a session that is too long for one is in several.
const MOST_COOKIES: u64 = 8;

/// Who is asked; nobody if this nginx cannot.
pub fn asked<'a>(policy: &'a Policy, settings: &Settings) -> Option<&'a ExternalAuth> {
    let auth = policy.external_auth.as_ref()?;
    (settings.modules.auth_request && can_reach(&auth.server, auth.tls, settings)).then_some(auth)
}

/// What is at the level of `http`, if there is somebody to ask. The cookies of an answer the module has.
pub fn http() -> Vec<Directive<'static>> {
    // What locations set that ask; empty where all of them answer by themselves, since their backends are missing.
    let set = (1..=MOST_COOKIES).filter_map(|number| {
        Some(directive("map").words(["\"\""]).token(set_cookie(number)?).block(vec![case("default", "\"\"")]))
    });
    set.collect()
}

/// What a location adds to its answer.
fn set_cookie(number: u64) -> Option<Token> {
    Text::default().own("$sparrow_auth_cookie_").number(number).token()
}

/// What an answer has.
fn sent_cookie(number: u64) -> Option<Token> {
    Text::default().own("$sparrow_set_cookie_").number(number).token()
}

/// Where a server is whose connections are kept: at an address, in the clear. Over TLS a connection is for one host, and not for all that
/// are asked for at its address.
fn kept_address(auth: &ExternalAuth) -> Option<SocketAddr> {
    match auth.server {
        OutsideServer::Address(address) if !auth.tls => Some(address),
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
    for cookie in (1..=MOST_COOKIES).filter_map(set_cookie) {
        if auth.always_set_cookie {
            headers.add_to_answer(Token::word("Set-Cookie"), cookie);
        } else {
            headers.add_to_success(Token::word("Set-Cookie"), cookie);
        }
    }
    for (name, number) in auth.response_headers.iter().zip(0_u64..) {
        if let (Some(name), Some(value)) = (Token::constant(name), answer_variable(number)) {
            headers.tell_backend(name, value);
        }
    }
    for (renamed, number) in auth.renamed_headers.iter().zip(auth.response_headers.len() as u64..) {
        let value = Text::default()
            .constant(&renamed.prefix)
            .and_then(|text| text.own("${sparrow_auth_").number(number).own("}").token());
        if let (Some(name), Some(value)) = (Token::constant(&renamed.name), value) {
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
    for number in 1..=MOST_COOKIES {
        writer.line("auth_request_set").token(&set_cookie(number)?).token(&sent_cookie(number)?).end()?;
    }
    let variables = auth.response_headers.iter().map(|name| name.to_ascii_lowercase().replace('-', "_"));
    let renamed = auth.renamed_headers.iter().map(|renamed| renamed.of.clone());
    for (variable, number) in variables.chain(renamed).zip(0_u64..) {
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
    // The head of its answer has tokens and cookies, which are what buffers are made larger for.
    buffers::write_response(writer, &policy.buffers)?;
    if auth.tls {
        writer.line("proxy_ssl_server_name").words(["on"]).end()?;
        writer.line("proxy_ssl_name").text(|text| url_text(text, &auth.host, settings)).end()?;
        writer.line("proxy_ssl_session_reuse").words(["off"]).end()?;
    }
    question_headers(policy, auth, settings)?.write(writer, ProxyModule::Proxy, context)?;
    writer.line("set").words(["$sparrow_auth_target"]).text(|text| url_text(text, &auth.target, settings)).end()?;
    match kept_address(auth) {
        Some(address) => {
            let url = |text: Text| upstream_name(text.own("http://"), address).own("$sparrow_auth_target");
            writer.line("proxy_pass").text(url).end()?;
        }
        None => write_pass(writer, (&auth.server, auth.tls), "$sparrow_auth_target", settings)?,
    }
    writer.close();
    Some(())
}

/// What the server is told of the request, beside what the client has sent.
fn question_headers(policy: &Policy, auth: &ExternalAuth, settings: &Settings) -> Option<LocationHeaders> {
    let mut headers = LocationHeaders::default();
    if let Some(asked) = &policy.client_certificates {
        client_certificates::add_headers(asked, &mut headers);
    }
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

fn location_name(text: Text, policy: &Policy) -> Text {
    class_name(text.own("sparrow-auth-"), policy)
}

fn sign_in_name(text: Text, policy: &Policy) -> Text {
    class_name(text.own("@sparrow_signin_"), policy)
}
