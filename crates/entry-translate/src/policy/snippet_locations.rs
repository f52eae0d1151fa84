//! Locations of snippets: of some it is known that nothing is served in them, of others which paths they are for.

use std::sync::Arc;

use entry_model::PathMatch;
use pattern_engine::compile;

use super::client_redirects::AnsweredPath;
use super::snippet_answers::{read_answer, refusal};
use super::snippet_text::Statement;
use super::snippet_treatment::Outcome;
use crate::path::parse_path;

/// What a location is.
#[derive(Debug, PartialEq, Eq)]
pub enum Location {
    /// No request comes to it by its path.
    Named,
    /// Requests for these paths are answered so, and how much of it is followed.
    Answered(AnsweredPath, Outcome),
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
        ["~", pattern] => expression(pattern, ""),
        ["~*", pattern] => expression(pattern, "(?i)"),
        _ => None,
    };
    let Some(path) = path else { return Location::Other };
    if let Some((action, policy, outcome)) = read_answer(block) {
        return Location::Answered(AnsweredPath { path, action, policy: Arc::new(policy) }, outcome);
    }
    match refusal_of_all(block) {
        Some(status) => Location::Answered(AnsweredPath::refused(path, status), Outcome::Served),
        None => Location::OfPath(path),
    }
}

fn fixed_path(text: &str) -> Option<String> {
    text.starts_with('/').then(|| parse_path(text).ok())?
}

/// All paths that an expression matches. Such a location comes before those of paths that are no patterns, and here before all.
fn expression(pattern: &str, flags: &str) -> Option<PathMatch> {
    let compiled = compile(&[flags, pattern].concat()).ok()?;
    Some(PathMatch::Regex(compiled.written_as(&["~ ", pattern].concat()).placed_first()))
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

#[cfg(test)]
mod tests {
    use entry_model::Action;

    use super::super::snippet_text::read_statements;
    use super::*;

    fn read(text: &str) -> Location {
        let statements = read_statements(text).unwrap();
        let arguments: Vec<&str> = statements[0].arguments.iter().map(String::as_str).collect();
        read_location(&arguments, statements[0].block.as_deref().unwrap())
    }

    #[test]
    fn location_is_for_all_that_begins_like_it() {
        let refused = |path, status| Location::Answered(AnsweredPath::refused(path, status), Outcome::Served);
        let Location::Answered(answered, _) = read("location /.ht { deny all; }") else { panic!() };
        assert_eq!(answered.action, Action::Respond(403));
        let PathMatch::Regex(pattern) = answered.path else { panic!() };
        assert_eq!((pattern.text(), pattern.written()), (r"^/\.ht", "/.ht"));
        for (path, is_match) in [("/.htaccess", true), ("/.ht", true), ("/a/.ht", false), ("/xht", false)] {
            assert_eq!(pattern.is_match(path), is_match, "{path}");
        }
        let path = |text: &str| PathMatch::Prefix(text.to_owned());
        assert_eq!(read("location / { deny all; }"), refused(path("/"), 403));
        let exact = PathMatch::Exact("/a".to_owned());
        assert_eq!(read("location = /a { access_log off; return 410; deny all; }"), refused(exact, 410));
        let Location::Answered(answered, _) = read("location ^~ / { deny all; }") else { panic!() };
        assert!(matches!(answered.path, PathMatch::Regex(_)));
        let Location::Answered(answered, _) = read("location = /a { return 200 ok; }") else { panic!() };
        assert!(matches!(answered, AnsweredPath { path: PathMatch::Exact(_), action: Action::Answer(_), .. }));
    }

    #[test]
    fn location_that_does_something_else_is_for_its_path() {
        for text in ["location /a { return 302 $http_x; }", "location = /a { allow all; deny all; }", "location /a { }"]
        {
            assert!(matches!(read(text), Location::OfPath(_)), "{text}");
        }
        for text in
            ["location ~ /(?=a) { deny all; }", "location ~ ( { }", "location a { deny all; }", "location =/a { }"]
        {
            assert_eq!(read(text), Location::Other, "{text}");
        }
        assert_eq!(read("location @a { return 403; }"), Location::Named);
        assert!(matches!(read("location ~* x { }"), Location::OfPath(PathMatch::Regex(_))));
    }

    #[test]
    fn location_of_an_expression_comes_before_all_else() {
        for (text, denied, open) in [
            (r"location ~ /\.(git|ht) { deny all; }", "/a/.git/x", "/a.git"),
            (r"location ~* \.PHP$ { return 404; }", "/a.php", "/a.php/x"),
            (r"location ~ ^/admin { return 200 no; }", "/admin.x", "/x/admin"),
        ] {
            let Location::Answered(AnsweredPath { path: PathMatch::Regex(pattern), .. }, _) = read(text) else {
                panic!("{text}")
            };
            assert!(pattern.is_first() && pattern.is_match(denied) && !pattern.is_match(open), "{text}");
        }
    }
}
