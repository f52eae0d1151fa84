//! The server at which it is asked what nginx serves.

use crate::Settings;
use crate::token::Token;
use crate::writer::{Directive, directive};

/// What the workers tell of themselves, and in these locations more.
pub fn control_server(
    settings: &Settings,
    hash: Token,
    more: impl IntoIterator<Item = Directive<'static>>,
) -> Option<Directive<'static>> {
    let path = settings.control.to_str()?;
    let mut block = vec![
        directive("listen").token(Token::constant(&format!("unix:{path}"))?),
        directive("access_log").words(["off"]),
        directive("default_type").words(["text/plain"]),
        directive("keepalive_timeout").words(["0"]),
        directive("location").words(["=", "/generation"]).block(vec![directive("return").words(["200"]).token(hash)]),
        directive("location").words(["/"]).block(vec![directive("return").words(["404"])]),
    ];
    block.extend(more);
    block.extend(settings.filter.exemption());
    if settings.modules.stub_status {
        block.push(directive("location").words(["=", "/status"]).block(vec![directive("stub_status")]));
    }
    Some(directive("server").block(block))
}
