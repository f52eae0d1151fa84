//! Which endpoint a request gets, and the cookies of sessions.
//!
//! A session is named by the id of its first request, which the client gets as a cookie and sends with the next ones. So nothing is
//! remembered here; and a cookie says nothing of endpoints, but for [`persistent_sessions`].

use std::collections::BTreeSet;

use entry_model::{Affinity, Balancing, SameSite, SessionCookie};

use super::persistent_sessions;
use super::policy_set::PolicySet;
use crate::Settings;
use crate::balancing_key::{of_cookie, session_variable, variable};
use crate::location_headers::LocationHeaders;
use crate::policy_class::content_name;
use crate::token::{Text, Token};
use crate::writer::{Directive, Writer, case, directive, entry, map};

/// Writes what a location needs for sessions.
pub fn write(writer: &mut Writer<'_>, balancing: &Balancing, session_path: &str) -> Option<()> {
    let Balancing::Session(_) = balancing else { return Some(()) };
    writer.line("set").words(["$sparrow_session_path"]).text(|text| text.url_path(session_path)).end()
}

/// Gives a client a session that has none.
pub fn add_headers(balancing: &Balancing, headers: &mut LocationHeaders) {
    if let Balancing::Session(cookie) = balancing
        && let Some(value) = variable("$sparrow_new_session_", cookie)
    {
        headers.add_to_answer(Token::word("Set-Cookie"), value);
    }
}

/// The variables of all sessions.
pub fn variables(policies: &PolicySet<'_>, settings: &Settings) -> Vec<Directive<'static>> {
    let sessions = policies.iter().filter_map(|policy| match &policy.balancing {
        Balancing::Session(cookie) => Some(&**cookie),
        _ => None,
    });
    let sessions: BTreeSet<&SessionCookie> = sessions.collect();
    if sessions.is_empty() {
        return Vec::new();
    }
    let over_tls = vec![case("default", "\"\""), case("https", "\"; Secure\"")];
    let mut all = vec![
        map("\"\"", "$sparrow_session_path", vec![case("default", "\"/\"")]),
        map(settings.scheme_variable(), "$sparrow_session_secure", over_tls),
    ];
    if sessions.iter().any(|cookie| cookie.same_site == Some(SameSite::NoneIfUnderstood)) {
        all.push(same_site_none());
    }
    for cookie in sessions {
        all.extend(match cookie.affinity {
            Affinity::Balanced => maps(cookie).or_else(|| without_cookie(cookie)).into_iter().flatten().collect(),
            Affinity::Persistent | Affinity::PersistentUntilFailure => {
                let all = set_cookie(cookie).and_then(|new| persistent_sessions::variables(cookie, new));
                let without =
                    || without_cookie(cookie).into_iter().flatten().chain(persistent_sessions::without_cookie(cookie));
                all.unwrap_or_else(|| without().collect())
            }
        });
    }
    all
}

/// The session of a request, and the cookie that one gets which has none.
fn maps(cookie: &SessionCookie) -> Option<[Directive<'static>; 2]> {
    let sent = || of_cookie(cookie, "=(?<sparrow_session>[^; \t]++)");
    let of = |name: Token, sent_is: &'static str, new: Token| {
        let cases = vec![directive("default").token(new), entry(sent()?).words([sent_is])];
        Some(directive("map").words(["$http_cookie"]).token(name).block(cases))
    };
    Some([
        of(session_variable(cookie)?, "$sparrow_session", Token::word("$request_id"))?,
        of(variable("$sparrow_new_session_", cookie)?, "\"\"", set_cookie(cookie)?)?,
    ])
}

/// The same of a cookie that nginx cannot read: each request is a session of its own.
fn without_cookie(cookie: &SessionCookie) -> Option<[Directive<'static>; 2]> {
    let of = |name: Token, is: &'static str| {
        directive("map").words(["\"\""]).token(name).block(vec![directive("default").words([is])])
    };
    let new = variable("$sparrow_new_session_", cookie)?;
    Some([of(session_variable(cookie)?, "$request_id"), of(new, "\"\"")])
}

/// What a client is told of a cookie that is for requests of all other sites: nothing, if it is known to take that for another word. Which
/// these are, Chromium's page "SameSite=None: Known Incompatible Clients" says: Chrome from 51 to 66 and browsers made of it, UC Browser before
/// 12.13.2, all of iOS 12, and on macOS 10.14 Safari and what is embedded.
fn same_site_none() -> Directive<'static> {
    const TOLD: &str = "\"; SameSite=None\"";
    const NOT_TOLD: &str = "\"\"";
    const MACOS: &str = concat!(
        r#""~\(Macintosh;[^()]*Mac OS X 10_14(?:[^0-9()][^()]*)?\) AppleWebKit/[0-9.]+ "#,
        r#"\(KHTML, like Gecko\)(?: Version/[0-9.]+ Safari/[0-9.]+)?$""#
    );
    let cases = [
        ("default", TOLD),
        (r#""~UCBrowser/(?:[0-9]|1[01]|12\.(?:[0-9]|1[0-2])|12\.13\.[01])(?:\.|[^0-9.]|$)""#, NOT_TOLD),
        // What else it says is of the Chrome that it is made of.
        ("~UCBrowser/", TOLD),
        (r#""~Chrom(?:e|ium)/(?:5[1-9]|6[0-6])\.""#, NOT_TOLD),
        (r#""~\(iP(?:hone|ad|od)[^()]*OS 12_[^()]*\) AppleWebKit/""#, NOT_TOLD),
        (MACOS, NOT_TOLD),
    ];
    let cases = cases.map(|(agent, text)| case(agent, text));
    map("$http_user_agent", "$sparrow_same_site_none", cases.into())
}

/// The value of `Set-Cookie` (RFC 6265, section 4.1).
fn set_cookie(cookie: &SessionCookie) -> Option<Token> {
    let SessionCookie { name, domain, max_age_seconds, same_site, secure, affinity, changes_share: _ } = cookie;
    let text = Text::default().plain_of(name, '_').own("=");
    let mut text = match affinity {
        Affinity::Balanced => text.own("$request_id"),
        Affinity::Persistent | Affinity::PersistentUntilFailure => {
            text.own("${sparrow_session_").plain_of(&content_name(cookie), '_').own("}-$sparrow_endpoint")
        }
    };
    text = text.own("; Path=$sparrow_session_path");
    if let Some(domain) = domain {
        text = text.own("; Domain=").plain_of(domain, '_');
    }
    if let Some(seconds) = max_age_seconds {
        text = text.own("; Max-Age=").number(*seconds);
    }
    text = text.own("; HttpOnly");
    text = match secure {
        Some(true) => text.own("; Secure"),
        Some(false) => text,
        None => text.own("$sparrow_session_secure"),
    };
    text = match same_site {
        Some(SameSite::None) => text.own("; SameSite=None"),
        Some(SameSite::Lax) => text.own("; SameSite=Lax"),
        Some(SameSite::Strict) => text.own("; SameSite=Strict"),
        Some(SameSite::NoneIfUnderstood) => text.own("$sparrow_same_site_none"),
        None => text,
    };
    text.token()
}
