//! What of a request stands in the URLs to which clients are sent, as it was sent.

use std::borrow::Cow;

use entry_model::{Scheme, UrlVariable};

use crate::forward_target::path_and_query;

/// A request, as far as URLs have something of it.
#[derive(Clone, Copy)]
pub struct UrlRequest<'a> {
    /// Its host, without port.
    pub host: &'a [u8],
    /// The host with its port, as it was sent.
    pub told_host: &'a [u8],
    /// How the client sent it.
    pub scheme: Scheme,
    /// Its method.
    pub method: &'a [u8],
    /// The path and the query as they were sent.
    pub target: &'a [u8],
}

impl<'a> UrlRequest<'a> {
    /// What stands for a variable.
    pub fn value(&self, variable: UrlVariable) -> Cow<'a, [u8]> {
        let (path, query) = path_and_query(self.target);
        let query = query.strip_prefix(b"?").unwrap_or_default();
        match variable {
            UrlVariable::Host => self.host.into(),
            UrlVariable::HostAndPort => self.told_host.into(),
            UrlVariable::Scheme => self.scheme.to_string().into_bytes().into(),
            UrlVariable::Method => self.method.into(),
            UrlVariable::Target if self.target.starts_with(path) => self.target.into(),
            // One without a path asks for the root.
            UrlVariable::Target => [path, self.target].concat().into(),
            UrlVariable::EscapedTarget => escape(&self.value(UrlVariable::Target)).into(),
            UrlVariable::Path => path.into(),
            UrlVariable::QuestionMark => if query.is_empty() { &b""[..] } else { b"?" }.into(),
            UrlVariable::Query => query.into(),
        }
    }
}

/// A target as a value of a query. `$sparrow_escaped_request_uri` of the module says the same.
fn escape(target: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(target.len());
    for byte in target {
        match byte {
            b'%' => escaped.extend_from_slice(b"%25"),
            b'&' => escaped.extend_from_slice(b"%26"),
            b'+' => escaped.extend_from_slice(b"%2B"),
            other => escaped.push(*other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_say_what_was_sent() {
        let texts = |target: &'static str| {
            let request = UrlRequest {
                host: b"a.example",
                told_host: b"A.example:81",
                scheme: Scheme::Https,
                method: b"PUT",
                target: target.as_bytes(),
            };
            let names = [
                "host",
                "http_host",
                "scheme",
                "request_method",
                "request_uri",
                "escaped_request_uri",
                "uri",
                "is_args",
                "args",
            ];
            names.map(|name| {
                let (_, variable) = UrlVariable::NAMES.into_iter().find(|(known, _)| *known == name).expect(name);
                String::from_utf8(request.value(variable).into_owned()).expect("text")
            })
        };
        let [host, told_host, scheme, method, rest @ ..] = texts("/a%20b/+?c&d=%2F");
        assert_eq!([host, told_host, scheme, method], ["a.example", "A.example:81", "https", "PUT"]);
        assert_eq!(rest, ["/a%20b/+?c&d=%2F", "/a%2520b/%2B?c%26d=%252F", "/a%20b/+", "?", "c&d=%2F"]);
        for (target, expected) in [
            ("/a", ["/a", "/a", "/a", "", ""]),
            ("/a?", ["/a?", "/a?", "/a", "", ""]),
            ("?b", ["/?b", "/?b", "/", "?", "b"]),
            ("", ["/", "/", "/", "", ""]),
        ] {
            assert_eq!(texts(target)[4..], expected, "{target}");
        }
    }
}
