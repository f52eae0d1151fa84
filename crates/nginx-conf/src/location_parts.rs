//! What several kinds of locations begin with.

use entry_model::{Kind, ObjectRef, Rule};

use crate::context::Context;
use crate::token::{Pattern, Text, Token};
use crate::writer::{Directive, Writer, constant, constant_block};

static NAMELESS_ARGUMENTS: [Token; 1] = [Token::word("($sparrow_is_plain_http_without_host)")];
static NO_HOST_ARGUMENTS: [Token; 1] = [Token::word("400")];
static NO_HOST: [Directive<'static>; 1] = [constant("return", &NO_HOST_ARGUMENTS)];
/// A request that names no host cannot be sent to another address of it.
static NAMELESS: Directive<'static> = constant_block("if", &NAMELESS_ARGUMENTS, &NO_HOST);

/// Sends requests in the clear to HTTPS.
pub fn redirect_to_https(writer: &mut Writer<'_>, context: &Context<'_>) -> Option<()> {
    if context.nameless {
        writer.write(&NAMELESS);
    }
    writer.line("if").words(["($sparrow_is_plain_http)"]).open(None)?;
    let target = |text: Text| match context.settings.public_https_port {
        443 => text.own("https://$host$request_uri"),
        port => text.own("https://$host:").number(port).own("$request_uri"),
    };
    writer.line("return").words(["308"]).text(target).end()?;
    writer.close();
    Some(())
}

/// Names the object of a rule, for the access log.
pub fn write_route_name(writer: &mut Writer<'_>, rule: &Rule) -> Option<()> {
    writer.line("set").words(["$sparrow_route"]).text(|text| route_name(text, &rule.origin)).end()
}

/// The same where nginx does not write the path anew. Of a prefix that is stripped, what was sent becomes `$sparrow_prefix`.
pub fn sent_path(pattern: Pattern, path: &str, is_below: bool, strips: bool) -> Pattern {
    let rest = match (is_below, strips) {
        (false, false) => "(?:\\?|$)",
        (false, true) => ")(?<sparrow_rest>(?:\\?.*)?)$",
        (true, false) => "/",
        (true, true) => ")(?<sparrow_rest>/.*)$",
    };
    pattern.own(if strips { "^(?<sparrow_prefix>" } else { "^" }).path(path).own(rest)
}

/// The object of a rule, as `$sparrow_route` names it. Names of Kubernetes are plain; others, from a file, are made so.
pub fn route_name(text: Text, origin: &ObjectRef) -> Text {
    let key = &origin.key;
    let text = match origin.kind {
        Kind::Service => text.own("Service "),
        Kind::Ingress => text.own("Ingress "),
        _ => text,
    };
    text.plain_of(&key.namespace, '_').own("/").plain_of(&key.name, '_')
}
