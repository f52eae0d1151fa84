//! Values that say who is asked whether a request may pass, of annotations and of settings for all.

use entry_model::UrlText;

use super::url::{check_client_url, parse_url_text};

/// Most headers of an answer that the backend is told, and of a `ConfigMap` that the server is told.
pub const MOST_HEADERS: usize = 32;

/// The method with which somebody is asked.
pub fn parse_method(text: &str) -> Result<String, &'static str> {
    const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    let hint = "it is a method such as `GET` or `POST`, in upper case";
    METHODS.contains(&text).then(|| text.to_owned()).ok_or(hint)
}

/// The names of headers of an answer, with commas between them.
pub fn parse_header_names(text: &str) -> Result<Vec<String>, &'static str> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    names.sort_by_key(|name| name.to_ascii_lowercase());
    names.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
    let hint = "it is a list of at most 32 names of headers of letters, digits, `-` and `_`, and none by which a connection is ruled";
    let are_names = names.len() <= MOST_HEADERS && names.iter().all(|name| can_be_told(name));
    are_names.then_some(names).ok_or(hint)
}

/// Whether a header may be set by who is asked, or told to it: none by which a connection or a message is ruled.
pub fn can_be_told(name: &str) -> bool {
    const RULING: [&str; 9] = [
        "Host",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Upgrade",
        "TE",
        "Trailer",
        "Keep-Alive",
        "HTTP2-Settings",
    ];
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&name.len())
        && name.bytes().all(is_name)
        && !RULING.iter().any(|ruling| ruling.eq_ignore_ascii_case(name))
}

/// Where clients sign in, with where they want to go in this parameter, unless the URL has one of the name.
pub fn parse_sign_in(text: &str, parameter: &str) -> Result<UrlText, &'static str> {
    check_client_url(text)?;
    let query = text.split_once('?').map(|(_, query)| query);
    let names = |part: &str| part.split_once('=').is_some_and(|(name, value)| name == parameter && !value.is_empty());
    let separator = match query {
        Some(query) if query.split('&').any(names) => return parse_url_text(text),
        Some(query) if !query.is_empty() => "&",
        Some(_) => "",
        None => "?",
    };
    parse_url_text(&format!("{text}{separator}{parameter}=$pass_access_scheme://$http_host$escaped_request_uri"))
}

/// The name of a parameter of a URL.
pub fn parse_parameter(text: &str) -> Result<String, &'static str> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_parameter = (1..=64).contains(&text.len()) && text.bytes().all(is_part);
    if is_parameter { Ok(text.to_owned()) } else { Err("it is the name of a parameter") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_by_which_a_connection_is_ruled_cannot_be_told() {
        assert_eq!(parse_header_names("X-B, x-a ,X-A").unwrap(), ["x-a", "X-B"]);
        for text in ["Host", "content-length", "a b", "a:b", "$x", "é", "Transfer-Encoding"] {
            assert!(parse_header_names(text).is_err(), "{text}");
        }
        let many: Vec<_> = (0..=MOST_HEADERS).map(|number| format!("x-{number}")).collect();
        assert!(parse_header_names(&many.join(",")).is_err());
    }
}
