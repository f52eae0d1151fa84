//! URLs in annotations, in which something of the request may stand.

use entry_model::{HostName, UrlPart, UrlText, UrlVariable};

use crate::host::parse_host;

/// Longest URL, in bytes.
const LONGEST: usize = 2048;

/// A URL of HTTP, by its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Whether it is of HTTPS.
    pub tls: bool,
    /// The host, without brackets if it is an IPv6 address.
    pub host: UrlText,
    /// The port, that of the scheme if it is not named.
    pub port: u16,
    /// The path and the query; `/` if there is none.
    pub target: UrlText,
}

/// A text of characters that URLs have, with variables of a closed list.
///
/// # Errors
/// What to write instead.
pub fn parse_url_text(text: &str) -> Result<UrlText, &'static str> {
    const CHARACTERS: &str = "a URL has letters, digits and -._~:/?#[]@!&'()*+,;=% alone";
    const VARIABLES: &str = "of variables it takes $host, $http_host, $best_http_host, $scheme, $pass_access_scheme, $request_method, \
                             $request_uri, $escaped_request_uri, $uri, $is_args and $args";
    if text.len() > LONGEST {
        return Err("it is a URL of at most 2048 bytes");
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('$') {
            let (variable, after) = split_variable(after).ok_or(VARIABLES)?;
            parts.push(UrlPart::Variable(variable));
            rest = after;
            continue;
        }
        let (plain, after) = rest.split_at(rest.find('$').unwrap_or(rest.len()));
        if !plain.bytes().all(is_of_url) {
            return Err(CHARACTERS);
        }
        parts.push(UrlPart::Text(plain.to_owned()));
        rest = after;
    }
    Ok(UrlText(parts))
}

/// The variable whose name begins a text, in braces or not, and what follows it.
fn split_variable(text: &str) -> Option<(UrlVariable, &str)> {
    let (name, after) = match text.strip_prefix('{') {
        Some(text) => text.split_once('}')?,
        None => text.split_at(text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())),
    };
    let (_, variable) = UrlVariable::NAMES.iter().find(|(known, _)| *known == name)?;
    Some((*variable, after))
}

fn is_of_url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!&'()*+,;=%".contains(&byte)
}

/// Reads a host, with its port if there is one.
pub fn parse_authority(text: &str) -> Result<(String, Option<u16>), &'static str> {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port > 0))),
        None => (text, None),
    };
    match (parse_host(host), port) {
        (Ok(HostName::Exact(host)), None) => Ok((host, None)),
        (Ok(HostName::Exact(host)), Some(Some(port))) => Ok((host, Some(port))),
        _ => Err("write a name as its host, and a port if it has one, without variables"),
    }
}

/// A URL of HTTP or HTTPS to which the entry sends requests: a client chooses no port there.
///
/// # Errors
/// What to write instead.
pub fn parse_http_url(text: &str) -> Result<HttpUrl, &'static str> {
    let url = parse_parts(text)?;
    let is_taken = |part: &UrlPart| !matches!(part, UrlPart::Variable(variable) if *variable != UrlVariable::Host);
    if url.host.0.iter().all(is_taken) { Ok(url) } else { Err("of variables the host takes $host alone") }
}

/// Checks a URL of HTTP or HTTPS to which clients are sent.
///
/// # Errors
/// What to write instead.
pub fn check_client_url(text: &str) -> Result<(), &'static str> {
    let is_taken = |part: &UrlPart| match part {
        UrlPart::Text(_) => true,
        UrlPart::Variable(variable) => matches!(variable, UrlVariable::Host | UrlVariable::HostAndPort),
    };
    let is_url = parse_parts(text)?.host.0.iter().all(is_taken);
    if is_url { Ok(()) } else { Err("of variables the host takes $host, $http_host and $best_http_host alone") }
}

fn parse_parts(text: &str) -> Result<HttpUrl, &'static str> {
    const HINT: &str = "it is a URL such as `http://auth.example.com/verify`";
    const PORT: &str = "a port is a number from 1 to 65535";
    let (tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err(HINT),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let (host, port) = match authority.strip_prefix('[') {
        Some(authority) => {
            let (host, port) = authority.split_once(']').ok_or(HINT)?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(HINT)?) })
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:${}".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) || target.contains('#') {
        return Err(HINT);
    }
    let digits = |port: &&str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port {
        Some(port) => {
            Some(port).filter(digits).and_then(|port| port.parse().ok()).filter(|port| *port != 0).ok_or(PORT)?
        }
        None if tls => 443,
        None => 80,
    };
    let host = parse_url_text(host)?;
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Ok(HttpUrl { tls, host, port, target: parse_url_text(&target)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_those_of_a_closed_list() {
        for text in
            ["https://$host/oauth2/start?rd=$escaped_request_uri", "${uri}x$is_args$args", "/?rm=$request_method"]
        {
            let parsed = parse_url_text(text).unwrap();
            assert_eq!(parsed.to_string().replace(['{', '}'], ""), text.replace(['{', '}'], ""));
            assert!(parsed.has_variables());
        }
        let long = "x".repeat(LONGEST + 1);
        for text in ["$pid", "$", "$1", "${host", "${}", "$hosts", "a b", "a\"b", "a\nb", "a;b{}\\", "ä", &long] {
            assert!(parse_url_text(text).is_err() != (text == "a;b"), "{text}");
        }
    }

    #[test]
    fn http_urls_have_a_host_and_a_port() {
        let parts = |text: &str| {
            let url = parse_http_url(text).ok()?;
            Some((url.tls, url.host.to_string(), url.port, url.target.to_string()))
        };
        let expected = |tls, host: &str, port, target: &str| Some((tls, host.to_owned(), port, target.to_owned()));
        assert_eq!(parts("http://a.b"), expected(false, "a.b", 80, "/"));
        assert_eq!(parts("https://$host/x?y=$uri"), expected(true, "$host", 443, "/x?y=$uri"));
        assert_eq!(parts("http://10.0.0.1:9091/x"), expected(false, "10.0.0.1", 9091, "/x"));
        assert_eq!(parts("http://[fd00::1]:80?x"), expected(false, "fd00::1", 80, "/?x"));
        for text in [
            "auth-url",
            "ftp://a",
            "http://",
            "http:///x",
            "http://user@a",
            "http://a:0",
            "http://a:99999",
            "http://a:+1",
            "http://a:$host",
            "http://$request_uri/",
            "http://[::1",
            "http://a#b",
            "http://a b/",
            "//a",
            "unix:/x",
            "http://unix:/x",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
        for text in ["https://$host/x", "https://$http_host/oauth2/start", "https://${best_http_host}?rd=$uri"] {
            assert_eq!(check_client_url(text), Ok(()), "{text}");
        }
        for text in ["https://$request_uri/", "https://$uri", "https://a$args/", "$scheme://a/", "/oauth2/start"] {
            assert!(check_client_url(text).is_err(), "{text}");
        }
    }
}
