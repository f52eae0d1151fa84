//! A copy of each request for another server.
//!
//! ```text
//! location of the rule ──mirror──► sparrow-mirror-CLASS ──► the server, whose answer nobody gets
//!        └► on to the backend
//! ```
//!
//! nginx makes the copy after all that may refuse the request, and asks the backend without waiting for an answer to it. But a request has
//! ended for nginx only when its copy has: until then, it reads no further one of the same connection of HTTP/1.1. So the server has
//! little time.

use entry_model::{Mirror, Policy};

use super::class_name;
use super::url_text::{can_reach, url_text, write_pass};
use crate::Settings;
use crate::context::Context;
use crate::location_headers::LocationHeaders;
use crate::proxy_module::ProxyModule;
use crate::token::{Text, Token};
use crate::writer::Writer;

/// Who gets copies; nobody if this nginx cannot send any.
pub fn copied<'a>(policy: &'a Policy, settings: &Settings) -> Option<&'a Mirror> {
    let mirror = policy.mirror.as_ref()?;
    (settings.modules.mirror && can_reach(&mirror.server, mirror.tls, settings)).then_some(mirror)
}

/// Has the location copy.
pub fn write(writer: &mut Writer<'_>, policy: &Policy, mirror: &Mirror) -> Option<()> {
    writer.line("mirror").text(|text| location_name(text, policy)).end()?;
    if mirror.with_body { Some(()) } else { writer.line("mirror_request_body").words(["off"]).end() }
}

/// Writes the location that sends the copies.
pub fn write_location(writer: &mut Writer<'_>, policy: &Policy, mirror: &Mirror, context: &Context<'_>) -> Option<()> {
    let settings = context.settings;
    writer.line("location").words(["="]).text(|text| location_name(text, policy)).open(None)?;
    writer.line("internal").end()?;
    // Of a WebSocket there is nothing to copy, and an answer that makes one would end the request. And where a copy leads back to here, it
    // ends.
    for header in ["($http_upgrade)", "($http_x_sparrow_copy)"] {
        writer.line("if").words([header]).open(None)?;
        writer.line("return").words(["204"]).end()?;
        writer.close();
    }
    // Else those of all others would be in force: nobody gets a page.
    writer.line("error_page").words(["418", "@sparrow_error_page"]).end()?;
    for (name, value) in [
        ("proxy_intercept_errors", "off"),
        ("proxy_next_upstream", "off"),
        ("proxy_connect_timeout", "1s"),
        ("proxy_send_timeout", "5s"),
        ("proxy_read_timeout", "5s"),
        // The location that it is a copy of has looked at its size.
        ("client_max_body_size", "0"),
    ] {
        writer.line(name).words([value]).end()?;
    }
    if !mirror.with_body {
        writer.line("proxy_pass_request_body").words(["off"]).end()?;
    }
    if mirror.tls {
        writer.line("proxy_ssl_server_name").words(["on"]).end()?;
        writer.line("proxy_ssl_name").text(|text| url_text(text, &mirror.host, settings)).end()?;
        writer.line("proxy_ssl_session_reuse").words(["off"]).end()?;
    }
    headers(mirror, settings)?.write(writer, ProxyModule::Proxy, context)?;
    writer.line("set").words(["$sparrow_mirror_target"]).text(|text| url_text(text, &mirror.target, settings)).end()?;
    write_pass(writer, (&mirror.server, mirror.tls), "$sparrow_mirror_target", settings)?;
    writer.close();
    Some(())
}

/// What the server is told beside what the client has sent, and what backends are told.
fn headers(mirror: &Mirror, settings: &Settings) -> Option<LocationHeaders> {
    let mut headers = LocationHeaders::default();
    headers.tell_backend(Token::word("Host"), url_text(Text::default(), &mirror.host, settings).token()?);
    headers.tell_backend(Token::word("Connection"), Token::word("\"\""));
    headers.tell_backend(Token::word("X-Sparrow-Copy"), Token::word("1"));
    if !mirror.with_body {
        headers.tell_backend(Token::word("Content-Length"), Token::word("\"\""));
    }
    Some(headers)
}

fn location_name(text: Text, policy: &Policy) -> Text {
    class_name(text.own("sparrow-mirror-"), policy)
}
