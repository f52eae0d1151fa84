//! Answers that snippets write themselves: `return`, alone or in a location of a path.

use entry_model::{Action, FixedAnswer, Policy};

use super::redirect_url::RedirectUrl;
use super::snippet_text::Statement;
use super::snippet_treatment::{Outcome, read_treatment};

/// What `return` says, beside refusals without a text.
pub enum Returned {
    /// Clients are sent there.
    Redirect(RedirectUrl),
    /// Clients are told this.
    Answer(FixedAnswer),
}

/// Reads a `return`; none where it cannot be followed, or refuses and has no text that can be told.
pub fn read_return(statement: &Statement, content_type: Option<&str>) -> Option<Returned> {
    if statement.name != "return" || statement.block.is_some() {
        return None;
    }
    let arguments: Vec<&str> = statement.arguments.iter().map(String::as_str).collect();
    let is_url = |text: &str| ["http://", "https://", "$scheme://"].iter().any(|scheme| text.starts_with(scheme));
    let (status, text) = match arguments.as_slice() {
        [url] if is_url(url) => ("302", *url),
        [status] => (*status, ""),
        [status, text] => (*status, *text),
        _ => return None,
    };
    let status = status.parse().ok()?;
    match status {
        301 | 302 | 303 | 307 | 308 => {
            let url = RedirectUrl::parse_with_path(text, status).ok()?;
            url.is_elsewhere().then_some(Returned::Redirect(url))
        }
        200..=204 => FixedAnswer::new(status, content_type, text).map(Returned::Answer),
        _ => {
            refusal(statement).filter(|refused| *refused == status && !text.is_empty())?;
            FixedAnswer::new(status, content_type, text).map(Returned::Answer)
        }
    }
}

/// What statements say of the type of a text that `return` tells: `default_type`, and a header, which counts more.
pub fn content_type(statements: &[Statement]) -> Option<&str> {
    let said = |name: &str| statements.iter().filter(move |one| one.name == name).find_map(said_type);
    said("more_set_headers").or_else(|| said("add_header")).or_else(|| said("default_type"))
}

/// Whether a statement says it.
pub fn says_content_type(statement: &Statement) -> bool {
    said_type(statement).is_some()
}

fn said_type(statement: &Statement) -> Option<&str> {
    let arguments: Vec<&str> = statement.arguments.iter().map(String::as_str).collect();
    let is_header = |name: &str| name.trim().eq_ignore_ascii_case("Content-Type");
    match (statement.name.as_str(), arguments.as_slice()) {
        ("default_type", [value]) => Some(value.trim()),
        ("add_header", [name, value] | [name, value, "always"]) if is_header(name) => Some(value.trim()),
        ("more_set_headers", [line]) => {
            line.split_once(':').filter(|(name, _)| is_header(name)).map(|(_, value)| value.trim())
        }
        _ => None,
    }
}

/// Reads what a location answers all requests with, if it has a text or sends clients elsewhere: what it does, what clients are told beside
/// it, and how much of it is followed. `return` comes before all that would keep someone out there.
pub fn read_answer(block: &[Statement]) -> Option<(Action, Policy, Outcome)> {
    let content_type = content_type(block);
    let (mut action, mut policy, mut outcome) = (None, Policy::default(), Outcome::Served);
    for one in block {
        let arguments: Vec<&str> = one.arguments.iter().map(String::as_str).collect();
        match one.name.as_str() {
            _ if one.block.is_some() => return None,
            "return" if action.is_none() => {
                action = Some(match read_return(one, content_type)? {
                    Returned::Redirect(url) => Action::Redirect(url.for_all()?),
                    Returned::Answer(answer) => Action::Answer(answer),
                });
            }
            "add_header" | "more_set_headers" if !says_content_type(one) => {
                outcome = outcome.max(read_treatment(&one.name, &arguments, &mut policy));
            }
            "add_header"
            | "more_set_headers"
            | "default_type"
            | "charset"
            | "expires"
            | "etag"
            | "access_log"
            | "log_not_found"
            | "server_tokens"
            | "allow"
            | "deny"
            | "satisfy"
            | "auth_basic"
            | "auth_basic_user_file"
            | "auth_request"
            | "return" => {}
            // What it does is not known, and may come first.
            _ => return None,
        }
    }
    Some((action?, policy, outcome))
}

/// The status of a statement that lets no request pass, without the text that may go with it. 444, to which nginx answers nothing, is 403
/// here.
pub fn refusal(statement: &Statement) -> Option<u16> {
    let arguments: Vec<&str> = statement.arguments.iter().map(String::as_str).collect();
    match (statement.name.as_str(), arguments.as_slice()) {
        _ if statement.block.is_some() => None,
        ("deny", ["all"]) | ("return", ["444"]) => Some(403),
        ("return", [status] | [status, _]) => {
            let status = status.parse().ok()?;
            let is_known = matches!(status, 400..=406 | 409..=418 | 422..=429 | 451 | 500..=504);
            is_known.then_some(status)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::snippet_text::read_statements;
    use super::*;

    fn answer(text: &str) -> Option<Action> {
        let statements = read_statements(text).unwrap();
        match read_return(statements.iter().find(|one| one.name == "return")?, content_type(&statements))? {
            Returned::Redirect(url) => url.for_all().map(Action::Redirect),
            Returned::Answer(answer) => Some(Action::Answer(answer)),
        }
    }

    fn told(text: &str) -> Option<String> {
        match answer(text)? {
            Action::Answer(answer) => {
                Some(format!("{} {}: {}", answer.status(), answer.content_type(), answer.written_text()))
            }
            _ => None,
        }
    }

    #[test]
    fn text_is_told_with_its_type() {
        for (text, expected) in [
            ("return 200 ok;", "200 text/plain: ok"),
            ("return 200 \"a b\\n\";", "200 text/plain: a b\n"),
            ("return 200;", "200 text/plain: "),
            ("return 204;", "204 text/plain: "),
            ("return 200 '<h1>x</h1>';", "200 text/html: <h1>x</h1>"),
            ("default_type application/json; return 200 '{\"a\": 1}';", "200 application/json: {\"a\": 1}"),
            (
                "add_header Content-Type 'text/x; charset=utf-8'; default_type a/b; return 200 x;",
                "200 text/x; charset=utf-8: x",
            ),
            ("more_set_headers \"Content-Type: text/css\"; return 201 x;", "201 text/css: x"),
            ("return 403 'Not for you';", "403 text/plain: Not for you"),
            ("return 200 $host;", "200 text/plain: ${host}"),
            ("return 200 \"$remote_addr\\n\";", "200 text/plain: ${remote_addr}\n"),
            ("return 403 'No, ${remote_addr}, not at $host';", "403 text/plain: No, ${remote_addr}, not at ${host}"),
        ] {
            assert_eq!(told(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "return 200 $http_cookie;",
            "return 200 \"$document_root\";",
            "return 200 \"$\";",
            "return 403;",
            "return 444 x;",
            "return 100 x;",
            "return 305 x;",
            "return 205 x;",
            "return x;",
            "return;",
            "return 200 a b;",
            "default_type \"a b\"; return 200 x;",
            "default_type \"text/$x\"; return 200 x;",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
        let long = format!("return 200 {};", "x".repeat(3001));
        assert_eq!(told(&long), None);
    }

    #[test]
    fn location_that_only_returns_is_an_answer() {
        let read = |text: &str| read_answer(&read_statements(text).unwrap());
        for text in [
            "access_log off; return 200 ok;",
            "add_header X-A b; deny all; return 301 https://b.example/y;",
            "return 301 $scheme://$host/y; return 403;",
        ] {
            let (_, _, outcome) = read(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(outcome, Outcome::Served, "{text}");
        }
        for text in [
            "",
            "deny all;",
            "return 403;",
            "if ($a) { return 403; } return 200 x;",
            "rewrite ^ /y last; return 200 x;",
            "set $a b; return 200 x;",
            "proxy_pass http://a;",
            "return 301 https://www.$host/;",
            "return 301 https://$host$request_uri;",
        ] {
            assert!(read(text).is_none(), "{text}");
        }
        let (_, _, outcome) = read("add_header Location y; return 200 x;").unwrap();
        assert!(matches!(outcome, Outcome::Lost(_)));
    }
}
