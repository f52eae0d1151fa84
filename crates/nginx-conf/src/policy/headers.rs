//! What backends and clients are told by a rule.

use entry_model::{
    AddedHeader, AnswerHeaders, HeaderPart, HeaderValue, HeaderVariable, Policy, Replacement, RequestHeaders,
};

use crate::Settings;
use crate::location_headers::LocationHeaders;
use crate::policy::url_text::variable_of;
use crate::proxy_module::ProxyModule;
use crate::token::{Text, Token};
use crate::writer::Writer;

/// Adds the headers that backends and clients are told, or not told. `None` if nginx could not read them.
pub fn add(
    headers: &mut LocationHeaders,
    request: &RequestHeaders,
    answer: &AnswerHeaders,
    settings: &Settings,
) -> Option<()> {
    if let Some(host) = &request.host {
        headers.tell_backend(Token::word("Host"), Token::constant(host.as_str())?);
    }
    for field in &request.set {
        headers.tell_backend(Token::constant(field.name())?, value_token(field.value(), settings)?);
    }
    for name in &answer.hidden {
        headers.hide_of_backend(Token::constant(name)?);
    }
    add_to_answer(headers, &answer.added, settings)
}

/// Adds what clients are told.
fn add_to_answer(headers: &mut LocationHeaders, added: &[AddedHeader], settings: &Settings) -> Option<()> {
    for header in added {
        let (name, value) = (Token::constant(header.field.name())?, value_token(header.field.value(), settings)?);
        if header.always { headers.add_to_answer(name, value) } else { headers.add_to_success(name, value) }
    }
    Some(())
}

/// Writes what clients are told with a text.
pub fn write_of_text(writer: &mut Writer<'_>, added: &[AddedHeader], settings: &Settings) -> Option<()> {
    let mut headers = LocationHeaders::default();
    add_to_answer(&mut headers, added, settings)?;
    headers.write_of_answer(writer, settings)
}

/// Writes what else clients are told. `grpc_pass` changes no cookies and no addresses.
pub fn write(writer: &mut Writer<'_>, headers: &AnswerHeaders, module: ProxyModule) -> Option<()> {
    if module == ProxyModule::Grpc {
        return Some(());
    }
    let AnswerHeaders { hidden: _, added: _, cookie_domain, cookie_path, redirect } = headers;
    for (name, replacement) in
        [("proxy_cookie_domain", cookie_domain), ("proxy_cookie_path", cookie_path), ("proxy_redirect", redirect)]
    {
        if let Some(replacement) = replacement {
            write_replacement(writer, name, replacement)?;
        }
    }
    Some(())
}

/// Whether a value of a policy needs variables that are not there otherwise.
pub fn have_variables(policy: &Policy) -> bool {
    let added = policy.answer_headers.added.iter().map(|header| &header.field);
    policy.request_headers.set.iter().chain(added).any(|field| need_variables(field.value().parts()))
}

/// Whether a text needs variables that are not there otherwise.
pub fn need_variables(parts: &[HeaderPart]) -> bool {
    parts.iter().any(|part| matches!(part, HeaderPart::Variable(variable) if variable.of_url().is_some()))
}

fn value_token(value: &HeaderValue, settings: &Settings) -> Option<Token> {
    parts_token(value.parts(), settings)
}

/// A text as one token. `None` if nginx could not read it.
pub fn parts_token(parts: &[HeaderPart], settings: &Settings) -> Option<Token> {
    let text = parts.iter().try_fold(Text::default(), |text, part| match part {
        HeaderPart::Text(constant) => text.constant(constant),
        HeaderPart::Variable(variable) => Some(add_variable(text, variable, settings)),
    });
    text?.token()
}

fn add_variable(text: Text, variable: &HeaderVariable, settings: &Settings) -> Text {
    match (variable.of_url(), variable.name()) {
        (Some(of_url), _) => text.own(variable_of(of_url, settings)),
        // Words of ingress-nginx.
        (None, "req_id") => text.own("${request_id}"),
        (None, "the_real_ip") => text.own("${remote_addr}"),
        (None, name) => text.variable(name),
    }
}

fn write_replacement(writer: &mut Writer<'_>, name: &'static str, replacement: &Replacement) -> Option<()> {
    let (from, to) = (Token::constant(replacement.from())?, Token::constant(replacement.to())?);
    writer.line(name).token(&from).token(&to).end()
}
