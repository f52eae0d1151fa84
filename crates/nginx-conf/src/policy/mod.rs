//! What policies ask for, in nginx's directives: a file for each topic.
//!
//! A policy is carried out in the location through which requests are forwarded: that of the rule, one for raw paths, or, where a module
//! finds the route, that of the policy's class. All of them are written by [`write`].

mod access;
mod body;
mod buffers;
pub mod client_certificates;
mod cors;
mod headers;
mod limits;
mod policy_set;
mod retries;
mod timeouts;

use std::collections::{BTreeMap, BTreeSet};

use entry_model::{Policy, Protocol};
pub use policy_set::PolicySet;

use crate::error_page;
use crate::location_headers::{LocationHeaders, write_answer_headers};
use crate::policy_class::PolicyClass;
use crate::proxy_target::Context;
use crate::revision::LineOrigin;
use crate::token::{Text, Token};
use crate::upstream::is_http2;
use crate::writer::{Directive, Writer};

/// Which module of nginx forwards the requests of a location, and with that how its directives begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyModule {
    /// `proxy_pass`.
    Proxy,
    /// `grpc_pass`.
    Grpc,
}

impl ProxyModule {
    /// The directive that forwards.
    pub fn pass(self) -> &'static str {
        match self {
            Self::Proxy => "proxy_pass",
            Self::Grpc => "grpc_pass",
        }
    }

    /// The directive that tells the backend a header.
    pub fn set_header(self) -> &'static str {
        match self {
            Self::Proxy => "proxy_set_header",
            Self::Grpc => "grpc_set_header",
        }
    }

    /// The directive that keeps a header of the backend from the client.
    pub fn hide_header(self) -> &'static str {
        match self {
            Self::Proxy => "proxy_hide_header",
            Self::Grpc => "grpc_hide_header",
        }
    }
}

/// Writes what a policy asks for where it is not as for all others; `None` if nginx could not read it.
pub fn write(
    writer: &mut Writer<'_>,
    policy: &Policy,
    protocol: Protocol,
    module: ProxyModule,
    context: &Context<'_>,
) -> Option<()> {
    // Every field is named, so that a new one does not compile until it is said who carries it out: redirects to HTTPS come before.
    // The version of HTTP is written where the protocol is known, and what CORS asks for is among the headers.
    let Policy {
        timeouts,
        max_body_bytes,
        buffers,
        speaks_http_1_0: _,
        access,
        client_certificates,
        limits,
        request_headers,
        answer_headers,
        retries,
        without_access_log,
        cors: _,
        redirect_to_https: _,
    } = policy;
    timeouts::write(writer, timeouts, module)?;
    body::write(writer, *max_body_bytes)?;
    buffers::write(writer, buffers, module)?;
    access::write(writer, access)?;
    client_certificates::write(writer, client_certificates.as_ref())?;
    limits::write(writer, limits)?;
    retries::write(writer, retries, module)?;
    if *without_access_log {
        writer.line("access_log").words(["off"]).end()?;
    }
    headers::write(writer, answer_headers, module)?;
    let mut headers = headers(policy)?;
    // HTTP/2 has no such header.
    if let Some(connection) = request_headers.connection.filter(|_| !is_http2(protocol)) {
        headers.tell_backend(Token::word("Connection"), Token::word(connection.as_str()));
    }
    if !headers.of_answer().is_empty() {
        error_page::write_own(writer, |text| failure_location(text, policy))?;
    }
    headers.write(writer, module, context)
}

/// The headers of requests and answers that a policy asks for: each topic that sets some adds them here.
fn headers(policy: &Policy) -> Option<LocationHeaders> {
    let mut headers = LocationHeaders::default();
    headers::add(&mut headers, &policy.request_headers, &policy.answer_headers)?;
    if let Some(cors) = &policy.cors {
        cors::add_headers(cors, &mut headers);
    }
    if let Some(asked) = &policy.client_certificates {
        client_certificates::add_headers(asked, &mut headers);
    }
    Some(headers)
}

/// Writes what is answered before anything else is asked, and before the path is looked at: in the location to which requests come first.
pub fn write_answers(writer: &mut Writer<'_>, policy: &Policy) -> Option<()> {
    policy.cors.as_ref().map_or(Some(()), |cors| cors::write_preflight(writer, cors))
}

/// What policies need at the level of `http`.
pub fn http(policies: &PolicySet<'_>) -> Vec<Directive<'static>> {
    let cors: BTreeSet<_> = policies.iter().filter_map(|policy| policy.cors.as_ref()).collect();
    cors.into_iter().flat_map(cors::variables).collect()
}

/// Adds the files that policies name, by their paths, and whose they are.
pub fn write_files(policies: &PolicySet<'_>, files: &mut BTreeMap<String, Vec<u8>>, origins: &mut Vec<LineOrigin>) {
    files.extend(access::files(policies));
    client_certificates::write_files(policies, files, origins);
}

/// Writes what policies share at the level of `http`.
pub fn write_shared(writer: &mut Writer<'_>, policies: &PolicySet<'_>) {
    limits::write_shared(writer, policies);
}

/// Writes what policies need in each server beside the locations of its rules.
pub fn write_locations(writer: &mut Writer<'_>, policies: &PolicySet<'_>) {
    for policy in policies.iter() {
        let mark = writer.mark();
        // Their texts were written in the locations of the rules before.
        if write_failure_location(writer, policy).is_none() {
            writer.take_back(&mark);
        }
    }
}

/// The location of the answers to requests that nginx cannot forward: the headers of the location where they came are not in force
/// there.
fn write_failure_location(writer: &mut Writer<'_>, policy: &Policy) -> Option<()> {
    let headers = headers(policy)?;
    if headers.of_answer().is_empty() {
        return Some(());
    }
    writer.line("location").text(|text| failure_location(text, policy)).open(None)?;
    write_answer_headers(writer, headers.of_answer())?;
    error_page::write_answer(writer);
    writer.close();
    Some(())
}

fn failure_location(text: Text, policy: &Policy) -> Text {
    text.own("@sparrow_failure_").plain_of(&PolicyClass::of(policy).to_string(), '_')
}
