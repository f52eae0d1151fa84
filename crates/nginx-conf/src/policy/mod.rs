//! What policies ask for, in nginx's directives: a file for each topic.
//!
//! A policy is carried out in the location through which requests are forwarded: that of its class.

mod access;
mod backend_tls;
pub mod balancing;
mod body;
mod buffers;
mod client_certificates;
mod client_tls;
mod content_file;
mod cors;
mod error_pages;
mod external_auth;
pub mod headers;
mod limits;
mod mirror;
mod persistent_sessions;
mod policy_set;
mod retries;
mod timeouts;
pub mod url_text;

use std::collections::{BTreeMap, BTreeSet};

use entry_model::{Policy, Protocol};
pub use policy_set::PolicySet;

use crate::backend_protocols::is_http2;
use crate::context::Context;
use crate::host_tls::HostTls;
use crate::location_headers::LocationHeaders;
use crate::policy_class::PolicyClass;
use crate::proxy_module::ProxyModule;
use crate::revision::LineOrigin;
use crate::token::{Text, Token};
use crate::writer::{Directive, Writer};
use crate::{Settings, error_page};

/// Writes what a policy asks for where it is not as for all others; `None` if nginx could not read it.
pub fn write(
    writer: &mut Writer<'_>,
    policy: &Policy,
    protocol: Protocol,
    module: ProxyModule,
    context: &Context<'_>,
) -> Option<()> {
    // Every field is named, so that a new one does not compile until it is said who carries it out: redirects to HTTPS come before.
    // The version of HTTP is written where the protocol is known, and what CORS asks for is among the headers. How TLS is spoken is
    // the server's part.
    let Policy {
        timeouts,
        max_body_bytes,
        buffers,
        balancing,
        session_path,
        speaks_http_1_0: _,
        access,
        client_certificates,
        client_tls: _,
        limits,
        backend_tls,
        request_headers,
        answer_headers,
        retries,
        without_access_log,
        mirror: _,
        cors: _,
        external_auth: _,
        error_pages,
        redirect_to_https: _,
    } = policy;
    timeouts::write(writer, timeouts, module)?;
    body::write(writer, *max_body_bytes)?;
    buffers::write(writer, buffers, module)?;
    balancing::write(writer, balancing, session_path)?;
    access::write(writer, access)?;
    client_certificates::write(writer, client_certificates.as_ref())?;
    limits::write(writer, limits)?;
    backend_tls::write(writer, backend_tls, module)?;
    retries::write(writer, retries, module)?;
    if *without_access_log {
        writer.line("access_log").words(["off"]).end()?;
    }
    headers::write(writer, answer_headers, module)?;
    let mut headers = headers(policy, context.settings)?;
    // HTTP/2 has no such header.
    if let Some(connection) = request_headers.connection.filter(|_| !is_http2(protocol)) {
        headers.tell_backend(Token::word("Connection"), Token::word(connection.as_str()));
    }
    // Of several pages for a status nginx takes the first.
    let asked = external_auth::asked(policy, context.settings);
    asked.map_or(Some(()), |auth| external_auth::write(writer, policy, auth))?;
    mirror::copied(policy, context.settings).map_or(Some(()), |mirror| mirror::write(writer, policy, mirror))?;
    error_pages.as_ref().map_or(Some(()), |pages| error_pages::write(writer, policy, pages, module))?;
    let signs_in = asked.is_some_and(|auth| auth.sign_in.is_some());
    if error_pages.as_ref().is_some_and(|pages| pages.intercepts) {
        // Any page more would stand for an error of the backend, too. For others there are nginx's own, with the headers from here.
    } else if headers.are_in_failures() {
        error_page::write_own(writer, |text| failure_location(text, policy))?;
    } else if signs_in || error_pages.is_some() {
        // With one of its own, a location has none of those of all.
        error_page::write_own(writer, |text| text.own("@sparrow_error_page"))?;
    }
    headers.write(writer, module, context)
}

/// The headers of requests and answers that a policy asks for: each topic that sets some adds them here.
fn headers(policy: &Policy, settings: &Settings) -> Option<LocationHeaders> {
    let mut headers = LocationHeaders::default();
    headers::add(&mut headers, &policy.request_headers, &policy.answer_headers, settings)?;
    if let Some(cors) = &policy.cors {
        cors::add_headers(cors, &mut headers);
    }
    if let Some(asked) = &policy.client_certificates {
        client_certificates::add_headers(asked, &mut headers);
    }
    if let Some(auth) = external_auth::asked(policy, settings) {
        external_auth::add_headers(auth, &mut headers);
    }
    balancing::add_headers(&policy.balancing, &mut headers);
    Some(headers)
}

/// Writes what is answered before anything else is asked, and before the path is looked at: in the location to which requests come first.
pub fn write_answers(writer: &mut Writer<'_>, policy: &Policy, settings: &Settings) -> Option<()> {
    policy.cors.as_ref().map_or(Some(()), |cors| cors::write_preflight(writer, cors))?;
    if policy.external_auth.is_some() && external_auth::asked(policy, settings).is_none() {
        // Nobody can be asked, so nothing passes.
        writer.line("return").words(["503", "$sparrow_503"]).end()?;
    }
    Some(())
}

/// What policies need at the level of `http`, beside what the module has. `has_variables`: whether something of a request stands in a text
/// or in a header of one.
pub fn http(policies: &PolicySet<'_>, has_variables: bool, settings: &Settings) -> Vec<Directive<'static>> {
    let cors: BTreeSet<_> = policies.iter().filter_map(|policy| policy.cors.as_ref()).collect();
    let mut all: Vec<_> = cors.into_iter().flat_map(cors::variables).collect();
    let asks = policies.iter().any(|policy| policy.external_auth.is_some());
    let names_servers = asks || policies.iter().any(|policy| policy.mirror.is_some());
    all.extend(asks.then(external_auth::http).into_iter().flatten());
    if names_servers || has_variables || policies.iter().any(headers::have_variables) {
        all.extend(url_text::variables());
    }
    if names_servers {
        all.extend(url_text::resolvers(settings));
    }
    if policies.iter().any(|policy| policy.error_pages.is_some()) {
        all.extend(error_pages::http());
    }
    all
}

/// Adds the files that policies name, by their paths, and whose they are.
pub fn write_files(policies: &PolicySet<'_>, files: &mut BTreeMap<String, Vec<u8>>, origins: &mut Vec<LineOrigin>) {
    access::write_files(policies, files, origins);
    backend_tls::write_files(policies, files, origins);
}

/// Writes what the clients of a host are asked into its server over TLS.
pub fn write_server(writer: &mut Writer<'_>, tls: &HostTls) {
    if let Some(verification) = &tls.verification {
        client_certificates::write_server(writer, verification);
    }
    client_tls::write_server(writer, &tls.client_tls);
}

/// Adds the files that such a server names, and whose they are.
pub fn write_server_files(tls: &HostTls, files: &mut BTreeMap<String, Vec<u8>>, origins: &mut Vec<LineOrigin>) {
    if let Some(verification) = &tls.verification {
        client_certificates::write_files(verification, files, origins);
    }
}

/// Writes what policies share at the level of `http`.
pub fn write_shared(writer: &mut Writer<'_>, policies: &PolicySet<'_>, settings: &Settings) {
    limits::write_shared(writer, policies, settings.limit_statuses);
    external_auth::write_upstreams(writer, policies, settings);
}

/// Writes what policies need in a server beside the locations that carry them out.
pub fn write_locations<'a>(writer: &mut Writer<'_>, policies: impl Iterator<Item = &'a Policy>, context: &Context<'_>) {
    for policy in policies {
        let mark = writer.mark();
        // Where nginx cannot read them, the locations of the rules are not there either.
        if write_locations_of(writer, policy, context).is_none() {
            writer.take_back(&mark);
        }
    }
}

fn write_locations_of(writer: &mut Writer<'_>, policy: &Policy, context: &Context<'_>) -> Option<()> {
    let headers = headers(policy, context.settings)?;
    if headers.are_in_failures() {
        // The headers of the location where a request came are not in force there.
        writer.line("location").text(|text| failure_location(text, policy)).open(None)?;
        headers.write_of_answer(writer, context.settings)?;
        error_page::write_answer(writer);
        writer.close();
    }
    if let Some(pages) = &policy.error_pages {
        error_pages::write_location(writer, policy, pages, &headers, context)?;
    }
    if let Some(mirror) = mirror::copied(policy, context.settings) {
        mirror::write_location(writer, policy, mirror, context)?;
    }
    let asked = external_auth::asked(policy, context.settings);
    asked.map_or(Some(()), |auth| external_auth::write_locations(writer, policy, auth, &headers, context))
}

/// The location of the answers to requests that nginx cannot forward.
fn failure_location(text: Text, policy: &Policy) -> Text {
    class_name(text.own("@sparrow_failure_"), policy)
}

/// Adds what a location is called of those that carry a policy out.
fn class_name(text: Text, policy: &Policy) -> Text {
    text.plain_of(&PolicyClass::of(policy).to_string(), '_')
}
