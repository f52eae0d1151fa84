//! The layout that is tested: a location for each rule, which any nginx can serve.

use std::path::PathBuf;

use entry_model::Routes;
use nginx_conf::{Revision, Settings};

/// What there must be beside the files while nginx runs: nothing.
#[derive(Debug, Default)]
pub struct Beside;

/// Whether rules are tried in the order that they have, whatever their precedence is.
pub const TRIES_RULES_IN_ANY_ORDER: bool = true;

/// What a request is answered for a host with another certificate than the one for which its connection was opened.
pub const OTHER_CERTIFICATE: &str = "HTTP/1.1 200";

/// Whether a prefix is taken off the path of a request over HTTP/2 by Debian's nginx, though a client has sent it in another form.
pub const STRIPS_ANY_FORM_FOR_GRPC: bool = false;

/// Whether a password that was right is remembered, and its hash not computed again.
pub const REMEMBERS_PASSWORDS: bool = false;

/// Whether a target is escaped for a URL whatever is in it, and not only if little is.
pub const ESCAPES_ANY_TARGET: bool = false;

/// Whether Debian's nginx, too, finds each of several cookies of an answer.
pub const FINDS_EACH_COOKIE: bool = false;

/// Whether a header that was sent empty is one that was sent.
pub const KNOWS_EMPTY_HEADERS: bool = false;

/// Whether patterns are run by an engine that goes back and tries again, and gives up when that takes too long.
pub const TRIES_PATTERNS_AGAIN: bool = true;

/// Whether an endpoint may be in several subsets.
pub const SUBSETS_OVERLAP: bool = false;

/// Whether a session of TLS is taken up at its own host, and at no other, whatever the nginx is.
pub const KEEPS_SESSIONS_BY_HOST: bool = false;

/// The nginx that can serve it.
pub fn programs() -> Vec<PathBuf> {
    testbed::nginx::both().into()
}

/// The files of these routes.
pub fn render(routes: &Routes, settings: &Settings) -> (Revision, Beside) {
    (nginx_conf::render(routes, settings), Beside)
}
