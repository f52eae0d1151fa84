//! URLs to which clients are sent.

use std::borrow::Cow;

use entry_model::{HostName, PathRewrite, Redirect, Scheme, UrlPart, UrlText, UrlVariable};
use percent_encoding::percent_decode_str;

use super::url::{parse_authority, parse_url_text};
use crate::host::parse_host;

/// Longest URL, in bytes.
pub const MAX_URL_BYTES: usize = 1000;

/// A URL to which clients are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUrl {
    /// The redirect, to the host of the request where [`RedirectUrl::around_host`] says more.
    redirect: Redirect,
    /// What stands in front of the host of the request and behind it, and is a part of the name.
    around_host: Option<(String, String)>,
}

impl RedirectUrl {
    /// Reads a URL, with variables of a closed list.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str, status: u16) -> Result<Self, &'static str> {
        let schemes = [
            ("http://", Some(Scheme::Http)),
            ("https://", Some(Scheme::Https)),
            ("$scheme://", None),
            ("${scheme}://", None),
        ];
        let found = schemes.into_iter().find_map(|(prefix, scheme)| Some((text.strip_prefix(prefix)?, scheme)));
        let (rest, scheme) = found
            .filter(|_| text.len() <= MAX_URL_BYTES)
            .ok_or("write a URL of at most 1000 bytes that begins with `http://` or `https://`")?;
        let (authority, target) = split_authority(parse_url_text(rest)?.0)?;
        let (host, port, around_host) = read_authority(&authority)?;
        let redirect = Redirect { status, scheme, host, port, path: read_target(target) };
        Ok(Self { redirect, around_host })
    }

    /// The same, or a path of the host of the request.
    ///
    /// # Errors
    /// As [`RedirectUrl::parse`].
    pub fn parse_with_path(text: &str, status: u16) -> Result<Self, &'static str> {
        let is_path = text.starts_with('/') && !text.starts_with("//");
        let whole = if is_path { Cow::Owned(["$scheme://$host", text].concat()) } else { Cow::Borrowed(text) };
        Self::parse(&whole, status)
    }

    /// The redirect of requests for a host; none where a part of its name is not known here.
    pub fn for_host(&self, host: &HostName) -> Option<Redirect> {
        let Some((before, after)) = &self.around_host else { return Some(self.redirect.clone()) };
        let HostName::Exact(name) = host else { return None };
        let Ok(HostName::Exact(host)) = parse_host(&[&**before, name, after].concat()) else { return None };
        Some(Redirect { host: Some(host), ..self.redirect.clone() })
    }

    /// The redirect, if it is the same for requests of all hosts.
    pub fn for_all(self) -> Option<Redirect> {
        self.around_host.is_none().then_some(self.redirect)
    }

    /// The same, if it is known where requests for each of these hosts of an object go.
    ///
    /// # Errors
    /// What to write instead.
    pub fn check_hosts(self, hosts: &[&str]) -> Result<Self, &'static str> {
        let is_known = |host: &&str| parse_host(host).is_ok_and(|host| self.for_host(&host).is_some());
        if self.around_host.is_none() || (!hosts.is_empty() && hosts.iter().all(is_known)) {
            return Ok(self);
        }
        Err(
            "as a part of a longer name `$host` stands for hosts that are named alone; write the host to which clients are sent, or name those \
             of the rules",
        )
    }

    /// Whether it leads elsewhere than to the URL that was asked for.
    pub fn is_elsewhere(&self) -> bool {
        self.redirect.host.is_some() || self.around_host.is_some() || self.redirect.path != PathRewrite::Keep
    }
}

/// What is of the host and its port, and what follows them.
fn split_authority(parts: Vec<UrlPart>) -> Result<(Vec<UrlPart>, Vec<UrlPart>), &'static str> {
    let (mut authority, mut target) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            part if !target.is_empty() => target.push(part),
            UrlPart::Text(text) => {
                let (before, after) = text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()));
                for (part, all) in [(before, &mut authority), (after, &mut target)] {
                    if !part.is_empty() {
                        all.push(UrlPart::Text(part.to_owned()));
                    }
                }
            }
            UrlPart::Variable(UrlVariable::Host | UrlVariable::HostAndPort) => authority.push(part),
            UrlPart::Variable(UrlVariable::Target | UrlVariable::Path | UrlVariable::QuestionMark) => target.push(part),
            UrlPart::Variable(_) => return Err("of variables its host takes `$host` alone"),
        }
    }
    Ok((authority, target))
}

type Authority = (Option<String>, Option<u16>, Option<(String, String)>);

/// The host, its port, and what is around the host of the request.
fn read_authority(parts: &[UrlPart]) -> Result<Authority, &'static str> {
    const HOST: &str = "write a name as its host, and a port if it has one";
    let split_port = |text: &str| match text.split_once(':') {
        None => Ok::<_, &'static str>((text.to_owned(), None)),
        Some((host, port)) => {
            let port = port.parse().ok().filter(|port: &u16| *port > 0).ok_or(HOST)?;
            Ok((host.to_owned(), Some(port)))
        }
    };
    let (before, after) = match parts {
        [UrlPart::Text(text)] => {
            let (host, port) = parse_authority(text)?;
            return Ok((Some(host), port, None));
        }
        [UrlPart::Variable(_)] => ("", ""),
        [UrlPart::Variable(_), UrlPart::Text(after)] => ("", after.as_str()),
        [UrlPart::Text(before), UrlPart::Variable(_)] => (before.as_str(), ""),
        [UrlPart::Text(before), UrlPart::Variable(_), UrlPart::Text(after)] => (before.as_str(), after.as_str()),
        _ => return Err(HOST),
    };
    let (after, port) = split_port(after)?;
    // What stands beside it is of whole labels: else the name would be another one.
    let is_label = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    let is_around = (before.is_empty() || before.ends_with('.')) && (after.is_empty() || after.starts_with('.'));
    if !is_around || !is_label(before) || !is_label(&after) {
        return Err(HOST);
    }
    let around = (!before.is_empty() || !after.is_empty()).then(|| (before.to_owned(), after));
    Ok((None, port, around))
}

/// Reads what follows the host.
fn read_target(mut parts: Vec<UrlPart>) -> PathRewrite {
    use UrlVariable::{Path, Query, QuestionMark, Target};
    let variables = |parts: &[UrlPart]| {
        let variable = |part: &UrlPart| match part {
            UrlPart::Variable(variable) => Some(*variable),
            UrlPart::Text(_) => None,
        };
        parts.iter().map(variable).collect::<Option<Vec<_>>>()
    };
    if matches!(variables(&parts).as_deref(), Some([Target] | [Path, QuestionMark, Query])) {
        return PathRewrite::Keep;
    }
    // A path begins with a slash, be it left out.
    let begins = match parts.first() {
        Some(UrlPart::Text(text)) => text.starts_with('/'),
        Some(UrlPart::Variable(variable)) => matches!(variable, Target | Path),
        None => false,
    };
    if !begins {
        parts.insert(0, UrlPart::Text("/".to_owned()));
    }
    if let [UrlPart::Text(fixed), rest @ ..] = parts.as_slice()
        && variables(rest).as_deref() == Some(&[QuestionMark, Query])
        && !fixed.contains(['?', '#'])
        && let Ok(path) = percent_decode_str(fixed).decode_utf8()
    {
        return PathRewrite::ReplaceFull(path.into_owned());
    }
    // What was sent begins with a slash itself.
    for index in 1..parts.len() {
        if let [UrlPart::Text(text), UrlPart::Variable(Target | Path)] = &mut parts[index - 1..=index]
            && !text.contains(['?', '#'])
        {
            text.truncate(text.trim_end_matches('/').len());
        }
    }
    parts.retain(|part| !matches!(part, UrlPart::Text(text) if text.is_empty()));
    PathRewrite::ReplaceTarget(UrlText(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> PathRewrite {
        PathRewrite::ReplaceTarget(UrlText::from_text(text))
    }

    fn parsed(text: &str) -> Result<Redirect, &'static str> {
        let host = HostName::Exact("a.example".to_owned());
        RedirectUrl::parse(text, 301).map(|url| url.for_host(&host).unwrap())
    }

    #[test]
    fn url_is_read_as_parts() {
        let redirect = |scheme, host: Option<&str>, port, path| {
            Ok(Redirect { status: 301, scheme, host: host.map(str::to_owned), port, path })
        };
        let https = Some(Scheme::Https);
        for (text, expected) in [
            ("https://b.example", redirect(https, Some("b.example"), None, target("/"))),
            ("https://b.example/", redirect(https, Some("b.example"), None, target("/"))),
            (
                "http://b.example:81/a%20b?c=d#e",
                redirect(Some(Scheme::Http), Some("b.example"), Some(81), target("/a%20b?c=d#e")),
            ),
            ("https://b.example?x", redirect(https, Some("b.example"), None, target("/?x")).map(joined)),
            ("https://b.example$request_uri", redirect(https, Some("b.example"), None, PathRewrite::Keep)),
            ("https://$host$request_uri", redirect(https, None, None, PathRewrite::Keep)),
            ("https://${http_host}${uri}$is_args$args", redirect(https, None, None, PathRewrite::Keep)),
            ("https://$host:8443$request_uri", redirect(https, None, Some(8443), PathRewrite::Keep)),
            ("https://www.$host$request_uri", redirect(https, Some("www.a.example"), None, PathRewrite::Keep)),
            ("$scheme://$host.b.example:81", redirect(None, Some("a.example.b.example"), Some(81), target("/"))),
            (
                "$scheme://b.example/x$is_args$args",
                redirect(None, Some("b.example"), None, PathRewrite::ReplaceFull("/x".to_owned())),
            ),
        ] {
            assert_eq!(parsed(text).map(joined), expected, "{text}");
        }
    }

    /// The same, with the texts of its path in one.
    fn joined(redirect: Redirect) -> Redirect {
        let path = match redirect.path {
            PathRewrite::ReplaceTarget(text) if !text.has_variables() => target(&text.to_string()),
            path => path,
        };
        Redirect { path, ..redirect }
    }

    #[test]
    fn parts_of_the_request_stand_anywhere_in_the_path_and_the_query() {
        for (text, expected) in [
            ("https://b.example/base/$request_uri", "/base$request_uri"),
            ("https://b.example$uri", "$uri"),
            ("https://b.example/x${uri}y", "/x$uriy"),
            ("https://b.example/?rd=$scheme://$host$request_uri", "/?rd=$scheme://$host$request_uri"),
            ("https://b.example?next=$escaped_request_uri", "/?next=$escaped_request_uri"),
            ("https://b.example$is_args$args", "/"),
            ("https://b.example/a?b=/$uri", "/a?b=/$uri"),
        ] {
            let path = parsed(text).map(|redirect| redirect.path);
            match path {
                Ok(PathRewrite::ReplaceTarget(target)) => assert_eq!(target.to_string(), expected, "{text}"),
                path => assert_eq!(path, Ok(PathRewrite::ReplaceFull(expected.to_owned())), "{text}"),
            }
        }
    }

    #[test]
    fn what_is_no_url_or_has_other_variables_is_rejected() {
        let long = format!("https://b.example/{}", "x".repeat(MAX_URL_BYTES));
        for text in [
            "b.example",
            "//b.example",
            "/x",
            "ftp://b.example",
            "javascript:alert(1)",
            "https://",
            "https://a b/",
            "https://b.example/\"; return 200 x;",
            "https://b.example/\r\nX: y",
            "https://b.example/$http_cookie",
            "https://b.example/$1",
            "https://b.example/$",
            "https://$http_x_forwarded_host/",
            "https://$args/",
            "https://$request_uri.example/$scheme$",
            "https://www$host/",
            "https://$hostevil.example/",
            "https://$host-evil.example/",
            "https://$host$host/",
            "https://user@$host/",
            "https://user@b.example/",
            "https://$host:0/",
            "https://$host:8443x/",
            "https://b.example/é",
            &long,
        ] {
            assert!(RedirectUrl::parse(text, 301).is_err(), "{text}");
        }
    }

    #[test]
    fn part_of_a_name_stands_for_hosts_that_are_named() {
        let url = || RedirectUrl::parse("https://www.$host/", 301).unwrap();
        assert!(url().check_hosts(&["a.example", "B.example"]).is_ok());
        for hosts in [&[][..], &["a.example", ""], &["*.example"], &[&*"a".repeat(300)]] {
            assert!(url().check_hosts(hosts).is_err(), "{hosts:?}");
        }
        let fixed = RedirectUrl::parse("https://$host/x", 301).unwrap();
        assert!(fixed.check_hosts(&[""]).is_ok() && url().for_all().is_none());
    }
}
