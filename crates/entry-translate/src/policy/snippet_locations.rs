//! Locations of snippets: of some it is known that nothing is served in them, of others which paths they are for.

use entry_model::PathMatch;
use pattern_engine::compile;

use super::snippet_text::Statement;
use crate::path::parse_path;

/// What a location is.
#[derive(Debug, PartialEq, Eq)]
pub enum Location {
    /// No request comes to it by its path.
    Named,
    /// Requests for these paths are refused with this status.
    Refused(PathMatch, u16),
    /// What it does with requests for these paths is not known.
    OfPath(PathMatch),
    /// Its paths are not known.
    Other,
}

/// Reads one.
pub fn read_location(arguments: &[&str], block: &[Statement]) -> Location {
    let path = match arguments {
        [name] if name.starts_with('@') => return Location::Named,
        ["=", path] => fixed_path(path).map(PathMatch::Exact),
        ["^~", path] => fixed_path(path).and_then(|path| beginning(&path)),
        // It is where there are no others; in front of patterns it would leave nothing of them.
        ["/"] => Some(PathMatch::Prefix("/".to_owned())),
        [path] => fixed_path(path).and_then(|path| beginning(&path)),
        _ => None,
    };
    match (path, refusal_of_all(block)) {
        (None, _) => Location::Other,
        (Some(path), Some(status)) => Location::Refused(path, status),
        (Some(path), None) => Location::OfPath(path),
    }
}

fn fixed_path(text: &str) -> Option<String> {
    text.starts_with('/').then(|| parse_path(text).ok())?
}

/// All paths that begin so, be it within a segment.
fn beginning(path: &str) -> Option<PathMatch> {
    let mut pattern = "^".to_owned();
    for char in path.chars() {
        if r"\.+*?()|[]{}^$".contains(char) {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    Some(PathMatch::Regex(compile(&pattern).ok()?.written_as(path)))
}

/// With what all requests are refused, if they are and nothing else is done. `return` comes before `deny`, wherever it stands.
fn refusal_of_all(block: &[Statement]) -> Option<u16> {
    let is_quiet = |one: &Statement| matches!(one.name.as_str(), "access_log" | "log_not_found" | "server_tokens");
    let rest: Vec<_> = block.iter().filter(|one| !is_quiet(one)).collect();
    let all: Vec<u16> = rest.iter().map_while(|one| refusal(one)).collect();
    let status = rest.iter().find(|one| one.name == "return").and_then(|one| refusal(one));
    status.or_else(|| all.first().copied()).filter(|_| all.len() == rest.len())
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

    fn read(text: &str) -> Location {
        let statements = read_statements(text).unwrap();
        let arguments: Vec<&str> = statements[0].arguments.iter().map(String::as_str).collect();
        read_location(&arguments, statements[0].block.as_deref().unwrap())
    }

    #[test]
    fn location_is_for_all_that_begins_like_it() {
        let Location::Refused(PathMatch::Regex(pattern), 403) = read("location /.ht { deny all; }") else { panic!() };
        assert_eq!((pattern.text(), pattern.written()), (r"^/\.ht", "/.ht"));
        for (path, is_match) in [("/.htaccess", true), ("/.ht", true), ("/a/.ht", false), ("/xht", false)] {
            assert_eq!(pattern.is_match(path), is_match, "{path}");
        }
        let path = |text: &str| PathMatch::Prefix(text.to_owned());
        assert_eq!(read("location / { deny all; }"), Location::Refused(path("/"), 403));
        let exact = PathMatch::Exact("/a".to_owned());
        assert_eq!(read("location = /a { access_log off; return 410; deny all; }"), Location::Refused(exact, 410));
        assert!(matches!(read("location ^~ / { deny all; }"), Location::Refused(PathMatch::Regex(_), 403)));
    }

    #[test]
    fn location_that_does_something_else_is_for_its_path() {
        for text in ["location /a { return 302 /b; }", "location = /a { allow all; deny all; }", "location /a { }"] {
            assert!(matches!(read(text), Location::OfPath(_)), "{text}");
        }
        for text in ["location ~ /a { deny all; }", "location ~* x { }", "location a { deny all; }", "location =/a { }"]
        {
            assert_eq!(read(text), Location::Other, "{text}");
        }
        assert_eq!(read("location @a { return 403; }"), Location::Named);
    }
}
