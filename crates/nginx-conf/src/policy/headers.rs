//! What backends and clients are told by a rule.

use entry_model::{AnswerHeaders, Replacement, RequestHeaders};

use crate::location_headers::LocationHeaders;
use crate::proxy_module::ProxyModule;
use crate::token::Token;
use crate::writer::Writer;

/// Adds the headers that backends and clients are told, or not told. `None` if nginx could not read them.
pub fn add(headers: &mut LocationHeaders, request: &RequestHeaders, answer: &AnswerHeaders) -> Option<()> {
    if let Some(host) = &request.host {
        headers.tell_backend(Token::word("Host"), Token::constant(host.as_str())?);
    }
    for field in &request.set {
        headers.tell_backend(Token::constant(field.name())?, Token::constant(field.value())?);
    }
    for name in &answer.hidden {
        headers.hide_of_backend(Token::constant(name)?);
    }
    for header in answer.added.iter().filter(|header| header.always) {
        headers.add_to_answer(Token::constant(header.field.name())?, Token::constant(header.field.value())?);
    }
    Some(())
}

/// Writes what else clients are told. `grpc_pass` changes no cookies and no addresses.
pub fn write(writer: &mut Writer<'_>, headers: &AnswerHeaders, module: ProxyModule) -> Option<()> {
    let AnswerHeaders { hidden: _, added, cookie_domain, cookie_path, redirect } = headers;
    for header in added.iter().filter(|header| !header.always) {
        let (name, value) = (Token::constant(header.field.name())?, Token::constant(header.field.value())?);
        writer.line("add_header").token(&name).token(&value).end()?;
    }
    if module == ProxyModule::Grpc {
        return Some(());
    }
    for (name, replacement) in
        [("proxy_cookie_domain", cookie_domain), ("proxy_cookie_path", cookie_path), ("proxy_redirect", redirect)]
    {
        if let Some(replacement) = replacement {
            write_replacement(writer, name, replacement)?;
        }
    }
    Some(())
}

fn write_replacement(writer: &mut Writer<'_>, name: &'static str, replacement: &Replacement) -> Option<()> {
    let (from, to) = (Token::constant(replacement.from())?, Token::constant(replacement.to())?);
    writer.line(name).token(&from).token(&to).end()
}
