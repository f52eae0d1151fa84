//! Locations that send clients elsewhere, or answer themselves.

use entry_model::{Action, AddedHeader, FixedAnswer, PathRewrite, Redirect, Rule, Scheme};

use crate::Settings;
use crate::context::Context;
use crate::error_page::{BAD_REQUEST, REJECT, answer_headers};
use crate::location_kind::LocationKind;
use crate::policy::headers;
use crate::policy::url_text::url_text;
use crate::proxy_module::ProxyModule;
use crate::rewritten_path::{check_sent, set_rewritten};
use crate::token::{Text, Token};
use crate::writer::Writer;

/// Sends clients elsewhere.
pub fn redirect(
    writer: &mut Writer<'_>,
    place: &LocationKind<'_>,
    redirect: &Redirect,
    context: &Context<'_>,
) -> Option<()> {
    let Redirect { status, scheme, host, port, path } = redirect;
    check_sent(writer, place)?;
    let target = match path {
        PathRewrite::ReplaceTarget(target) => Some(target),
        path => {
            set_rewritten(writer, place, path, ProxyModule::Proxy)?;
            None
        }
    };
    if context.nameless && host.is_none() {
        writer.line("if").words(["($host", "=", "\"\")"]).open(None)?;
        writer.write(&BAD_REQUEST);
        writer.close();
    }
    set_port(writer, *scheme, *port, context.settings)?;
    let url = |text: Text| {
        let text = match scheme {
            Some(Scheme::Http) => text.own("http://"),
            Some(Scheme::Https) => text.own("https://"),
            None => text.own(context.settings.scheme_variable()).own("://"),
        };
        let text = match host {
            Some(host) => text.plain_of(host, '_'),
            None => text.own("$host"),
        };
        let text = text.own("$sparrow_redirect_port");
        match target {
            Some(target) => url_text(text, target, context.settings),
            None => text.own("$sparrow_rewritten"),
        }
    };
    writer.line("return").token(&Token::number(*status)).text(url).end()
}

/// Whether the URL to which a rule sends clients, or the text that it answers, needs variables that are not there otherwise.
pub fn has_variables(rule: &Rule) -> bool {
    match &rule.action {
        Action::Redirect(Redirect { path: PathRewrite::ReplaceTarget(target), .. }) => target.has_variables(),
        Action::Answer(answer) => headers::need_variables(answer.parts()),
        Action::Redirect(_) | Action::Forward(_) | Action::Respond(_) => false,
    }
}

/// Makes `$sparrow_redirect_port` what follows the host: nothing, where a URL of the scheme need not name its port.
fn set_port(writer: &mut Writer<'_>, scheme: Option<Scheme>, port: Option<u16>, settings: &Settings) -> Option<()> {
    let variable = "$sparrow_redirect_port";
    let shown = |port: u16| move |text: Text| text.own(":").number(port);
    let none = |writer: &mut Writer<'_>| writer.line("set").words([variable, "\"\""]).end();
    match (scheme, port) {
        (Some(_), None) => none(writer),
        (Some(scheme), Some(port)) if port == scheme.default_port() => none(writer),
        (Some(_), Some(port)) => writer.line("set").words([variable]).text(shown(port)).end(),
        (None, None) if settings.public_https_port == 443 => none(writer),
        (None, None) => {
            none(writer)?;
            open_if_scheme(writer, "https", settings)?;
            writer.line("set").words([variable]).text(shown(settings.public_https_port)).end()?;
            writer.close();
            Some(())
        }
        (None, Some(port)) => {
            writer.line("set").words([variable]).text(shown(port)).end()?;
            let by_default = [(80, "http"), (443, "https")].into_iter().find(|(default, _)| *default == port);
            let Some((_, scheme)) = by_default else { return Some(()) };
            open_if_scheme(writer, scheme, settings)?;
            none(writer)?;
            writer.close();
            Some(())
        }
    }
}

fn open_if_scheme(writer: &mut Writer<'_>, scheme: &'static str, settings: &Settings) -> Option<()> {
    let variable = if settings.trusts_proxies() { "($sparrow_scheme" } else { "($scheme" };
    let wanted = if scheme == "https" { "https)" } else { "http)" };
    writer.line("if").words([variable, "=", wanted]).open(None)
}

/// Answers with a status. Of one that says that something is wrong there is a page, so that it is not nginx's own.
pub fn respond(writer: &mut Writer<'_>, status: u16, settings: &Settings) -> Option<()> {
    writer.write(&REJECT);
    for directive in &answer_headers(settings) {
        writer.write(directive);
    }
    let line = writer.line("return").token(&Token::number(status));
    match status {
        400 => line.words(["$sparrow_400"]),
        404 => line.words(["$sparrow_404"]),
        421 => line.words(["$sparrow_421"]),
        503 => line.words(["$sparrow_503"]),
        // They have a page where nginx fails.
        413 | 500 | 502 | 504 => line,
        ..400 => line.words(["\"\""]),
        _ => line.words(["\"\\n\""]),
    }
    .end()
}

/// Answers with a text, and with these headers.
pub fn answer(writer: &mut Writer<'_>, answer: &FixedAnswer, added: &[AddedHeader], settings: &Settings) -> Option<()> {
    writer.write(&REJECT);
    // Else what a path ends with would say what the text is.
    writer.line("types").open(None)?;
    writer.close();
    writer.line("default_type").token(&Token::constant(answer.content_type())?).end()?;
    headers::write_of_text(writer, added, settings)?;
    let text = headers::parts_token(answer.parts(), settings)?;
    writer.line("return").token(&Token::number(answer.status())).token(&text).end()
}
