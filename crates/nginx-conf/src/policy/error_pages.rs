//! What is answered instead of an error of a backend.
//!
//! The status is always that of the error, whatever the other backend says: what refuses a request must not become an answer that says
//! that all is well.

use entry_model::{ErrorPages, Policy};

use super::class_name;
use crate::context::Context;
use crate::location_headers::LocationHeaders;
use crate::proxy_module::ProxyModule;
use crate::token::{Text, Token};
use crate::writer::{Directive, Writer, case, map};

/// What is at the level of `http`: of which object the request is.
pub fn http() -> [Directive<'static>; 2] {
    [
        map(
            "$sparrow_route",
            "$sparrow_route_namespace",
            vec![
                case("default", "\"\""),
                case(r#""~^[^ ]+ (?<sparrow_namespace_of_route>[^/]+)/""#, "$sparrow_namespace_of_route"),
            ],
        ),
        map(
            "$sparrow_route",
            "$sparrow_route_name",
            vec![
                case("default", "\"\""),
                case(r#""~^[^ ]+ [^/]+/(?<sparrow_name_of_route>.+)$""#, "$sparrow_name_of_route"),
            ],
        ),
    ]
}

/// Leads errors to the location that asks the other backend.
pub fn write(writer: &mut Writer<'_>, policy: &Policy, pages: &ErrorPages, module: ProxyModule) -> Option<()> {
    if pages.intercepts {
        writer.line(module.intercept_errors()).words(["on"]).end()?;
    }
    let line = writer.line("error_page");
    let line = pages.statuses.iter().fold(line, |line, status| line.token(&Token::number(*status)));
    line.text(|text| location_name(text, policy)).end()
}

/// Writes that location.
pub fn write_location(
    writer: &mut Writer<'_>,
    policy: &Policy,
    pages: &ErrorPages,
    headers: &LocationHeaders,
    context: &Context<'_>,
) -> Option<()> {
    writer.line("location").text(|text| location_name(text, policy)).open(None)?;
    writer.line("proxy_intercept_errors").words(["off"]).end()?;
    // The body may be on its way to the backend that has failed.
    writer.line("proxy_method").words(["GET"]).end()?;
    writer.line("proxy_pass_request_body").words(["off"]).end()?;
    headers.write_of_answer(writer, context.settings)?;
    let mut told = LocationHeaders::default();
    // What the other backend would be told by this entry, a client does not tell this one.
    headers.withhold_in(&mut told);
    for (name, value) in [
        ("X-Code", "$status"),
        ("X-Format", "$http_accept"),
        ("X-Original-URI", "$request_uri"),
        ("X-Namespace", "$sparrow_route_namespace"),
        ("X-Ingress-Name", "$sparrow_route_name"),
        // Nobody but a client could say them.
        ("X-Service-Name", "\"\""),
        ("X-Service-Port", "\"\""),
        ("Content-Length", "\"\""),
        ("Upgrade", "\"\""),
        ("Connection", "\"\""),
        // The page is wanted whole.
        ("Range", "\"\""),
        ("If-None-Match", "\"\""),
        ("If-Modified-Since", "\"\""),
    ] {
        told.tell_backend(Token::word(name), Token::word(value));
    }
    told.write(writer, ProxyModule::Proxy, context)?;
    writer.line("set").words(["$sparrow_error_target", "/"]).end()?;
    writer
        .line("proxy_pass")
        .text(|text| text.own("http://").address(pages.server).own("$sparrow_error_target"))
        .end()?;
    writer.close();
    Some(())
}

fn location_name(text: Text, policy: &Policy) -> Text {
    class_name(text.own("@sparrow_page_"), policy)
}
