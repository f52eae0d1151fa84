//! Sessions whose cookie names their endpoint.
//!
//! A session is named by the id of its first request, as others are, and after a hyphen follows what its endpoint is called: a hash of its
//! address.

use entry_model::{Affinity, SessionCookie};

use crate::balancing_key::{of_cookie, session_variable, variable};
use crate::policy_class::content_name;
use crate::token::{Text, Token};
use crate::writer::{Directive, case, directive, entry};

/// An endpoint, and the same behind it.
const SAME: &str = r#""~^(?<sparrow_same>[0-9a-f]+):\\k<sparrow_same>$""#;

/// What the location of a cookie needs that nginx cannot read: no client names an endpoint.
pub fn without_cookie(cookie: &SessionCookie) -> Option<Directive<'static>> {
    let nothing = vec![case("default", "\"\"")];
    Some(directive("map").words(["\"\""]).token(variable("$sparrow_named_", cookie)?).block(nothing))
}

/// The session of a request, the endpoint that its cookie names, and the cookie that is given: to a client that names no endpoint of these, or,
/// if it is to stay where it was served when that fails, to one that names another. The module says which endpoint has answered, and whether
/// the backend has the one that is named.
pub fn variables(cookie: &SessionCookie, new: Token) -> Option<Vec<Directive<'static>>> {
    let session = of_cookie(cookie, "=(?<sparrow_session>[0-9a-f]{32})(?:-[0-9a-f]{16})?(?:[; \t]|$)");
    let endpoint = of_cookie(cookie, "=[0-9a-f]{32}-(?<sparrow_named>[0-9a-f]{16})(?:[; \t]|$)");
    let sent = |name: Token, none: &'static str, pattern: Option<Token>, is: &'static str| {
        let cases =
            [directive("default").words([none])].into_iter().chain(pattern.map(|pattern| entry(pattern).words([is])));
        directive("map").words(["$http_cookie"]).token(name).block(cases.collect::<Vec<_>>())
    };
    let named = variable("$sparrow_named_", cookie)?;
    let (source, cases) = if cookie.affinity == Affinity::PersistentUntilFailure {
        let of = content_name(cookie);
        let source = Text::default().own("${sparrow_named_").plain_of(&of, '_').own("}:$sparrow_endpoint").token()?;
        (source, vec![directive("default").token(new), case("\"~:$\"", "\"\""), case(SAME, "\"\"")])
    } else {
        let source = Token::word("\"$sparrow_endpoint_is_known$sparrow_endpoint\"");
        (source, vec![case("default", "\"\""), entry(Token::word("\"~^[0-9a-f]\"")).token(new)])
    };
    Some(vec![
        sent(session_variable(cookie)?, "$request_id", session, "$sparrow_session"),
        sent(named, "\"\"", endpoint, "$sparrow_named"),
        directive("map").token(source).token(variable("$sparrow_new_session_", cookie)?).block(cases),
    ])
}
