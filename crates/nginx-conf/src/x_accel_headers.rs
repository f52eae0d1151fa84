//! Headers of answers by which a backend would steer nginx.
//!
//! nginx takes orders from backends in headers that begin with `X-Accel-`: to answer with another address (any route, and
//! so any tenant's backend, with the headers of this client), to store an answer, to slow it down, to change its charset.
//! Backends here are of people who do not trust each other, so nginx takes none of these orders. It does not pass them on
//! to clients either, by itself: a proxy in front could be an nginx that takes them.

use crate::token::Token;
use crate::writer::{Directive, constant};
use crate::{Modules, Settings};

/// Every `X-Accel-*` that nginx knows, in all versions.
static X_ACCEL_HEADERS: [Token; 5] = [
    Token::word("X-Accel-Redirect"),
    Token::word("X-Accel-Expires"),
    Token::word("X-Accel-Limit-Rate"),
    Token::word("X-Accel-Buffering"),
    Token::word("X-Accel-Charset"),
];

const PROXY: &str = "proxy_ignore_headers";
const GRPC: &str = "grpc_ignore_headers";

/// What is at the level of `http`. No location has such a directive of its own, so this is in force in all.
pub fn ignore_headers(settings: &Settings) -> impl Iterator<Item = Directive<'static>> {
    let Modules { grpc, .. } = settings.modules;
    [PROXY].into_iter().chain(grpc.then_some(GRPC)).map(|name| constant(name, &X_ACCEL_HEADERS))
}

/// Whether a template says itself which headers of answers mean nothing: a second directive of the same level would be an
/// error. Words in comments say nothing.
pub fn template_ignores_headers(template: &str) -> bool {
    let says = |line: &str| [PROXY, GRPC].iter().any(|name| line.contains(name));
    template.lines().any(|line| says(line.split('#').next().unwrap_or_default()))
}
