//! Hosts become servers.

use entry_routes::{Host, HostName, ObjectRef, Routes};

use crate::tls::{self, Certificates};
use crate::token::{Pattern, Token};
use crate::upstream::Upstreams;
use crate::writer::{Directive, directive};
use crate::{Note, Settings, error_page, listen, location};

/// The server of a host: plain HTTP, and HTTPS if it has a certificate. `None` if no request can name the host.
pub fn of_host(
    name: &HostName,
    host: &Host,
    routes: &Routes,
    settings: &Settings,
    upstreams: &Upstreams<'_>,
    certificates: &Certificates<'_>,
    notes: &mut Vec<Note>,
) -> Option<Directive> {
    let default = *name == HostName::Any;
    let mut block: Vec<_> = listen::http(settings, default).collect();
    if !default {
        let Some(name) = server_name(name) else {
            notes.extend(first_origin(host).map(|object| Note {
                object: object.clone(),
                message: format!("the host {:?} is not served: no host has such a name", short(name)),
            }));
            return None;
        };
        block.push(directive("server_name").token(name));
    }
    if let Some(file) = certificates.file(host) {
        block.extend(listen::https(settings, default));
        block.extend(listen::http2(settings));
        block.push(directive("ssl_certificate").token(file.clone()));
        block.push(directive("ssl_certificate_key").token(file));
    }
    // Without any, nginx would listen on port 80.
    if settings.http.is_empty() && certificates.file(host).is_none() {
        return None;
    }
    block.push(refuse_dot_segments());
    block.extend(location::locations(host.rules.iter().chain(&routes.default), settings, upstreams, notes));
    block.push(error_page::location());
    let server = directive("server").block(block);
    Some(match first_origin(host).filter(|_| !default) {
        Some(origin) => server.origin(origin),
        None => server,
    })
}

/// The server of all names that are served over TLS to nobody: it ends the handshake.
pub fn rejecting(routes: &Routes, settings: &Settings, certificates: &Certificates<'_>) -> Option<Directive> {
    if !tls::has_https(settings) {
        return None;
    }
    let has = |name: &HostName| routes.hosts.get(name).is_some_and(|host| certificates.file(host).is_some());
    let any = has(&HostName::Any);
    let mut names = Vec::new();
    for (name, host) in &routes.hosts {
        // Without a server of its own, another one with a certificate would take it.
        let taken = match name {
            HostName::Any => false,
            HostName::Wildcard(_) => any,
            HostName::Exact(exact) => {
                any || exact.split_once('.').is_some_and(|(_, parent)| has(&HostName::Wildcard(parent.to_owned())))
            }
        };
        if taken && certificates.file(host).is_none() {
            names.extend(server_name(name));
        }
    }
    if any && names.is_empty() {
        return None;
    }
    let mut block: Vec<_> = listen::https(settings, !any).collect();
    for name in names {
        block.push(directive("server_name").token(name));
    }
    block.extend(listen::http2(settings));
    block.push(directive("ssl_reject_handshake").words(["on"]));
    // A connection that was opened for one host may be used for another.
    block.push(directive("return").words(["421", "$sparrow_421"]));
    Some(directive("server").block(block))
}

/// What the workers tell of themselves.
pub fn control(settings: &Settings, hash: Token) -> Option<Directive> {
    let path = settings.control.to_str()?;
    let mut block = vec![
        directive("listen").token(Token::constant(&format!("unix:{path}"))?),
        directive("access_log").words(["off"]),
        directive("default_type").words(["text/plain"]),
        directive("keepalive_timeout").words(["0"]),
        directive("location").words(["=", "/generation"]).block(vec![directive("return").words(["200"]).token(hash)]),
        directive("location").words(["/"]).block(vec![directive("return").words(["404"])]),
    ];
    if settings.modules.stub_status {
        block.push(directive("location").words(["=", "/status"]).block(vec![directive("stub_status")]));
    }
    Some(directive("server").block(block))
}

fn refuse_dot_segments() -> Directive {
    directive("if").words(["($sparrow_dots)"]).block(vec![directive("return").words(["400", "$sparrow_400"])])
}

fn first_origin(host: &Host) -> Option<&ObjectRef> {
    host.rules.first().map(|rule| &rule.origin)
}

fn short(name: &HostName) -> String {
    name.to_string().chars().take(100).collect()
}

/// A name, or a pattern for exactly one label more: nginx's own `*.` takes any number of labels.
fn server_name(name: &HostName) -> Option<Token> {
    match name {
        HostName::Exact(exact) => is_name(exact).then(|| Token::literal(exact))?,
        HostName::Wildcard(parent) => {
            is_name(parent).then(|| Pattern::default().own("~^[^.]+\\.").literal(parent).own("$").token())?
        }
        HostName::Any => None,
    }
}

/// Whether nginx takes it for a name and nothing else. Longer ones than 253 bytes are in no DNS.
pub fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=253).contains(&name.len()) && name.split('.').all(|label| !label.is_empty() && label.bytes().all(plain))
}
