//! Requests, as far as they matter for routing.

use std::borrow::Cow;
use std::fmt;

use crate::{ListenerId, find_cookie};

/// How a request came, or where it is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// In the clear.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The port that a URL need not name.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// A request, as far as it matters for its route.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The listener at which it came.
    pub listener: ListenerId,
    /// How the client sent it; a proxy in front may have taken TLS off.
    pub scheme: Scheme,
    /// Its method. Case counts.
    pub method: &'a str,
    /// Its host, in any case, without port.
    pub host: &'a str,
    /// Its path, decoded and normalised.
    pub path: &'a str,
    /// Its query as it was sent, without the `?`; empty without one.
    pub query: &'a str,
    /// Its headers, in any case. Of several with one name, their values are joined with `, ` (RFC 9110, 5.3).
    pub headers: &'a [(&'a str, &'a str)],
}

impl Default for Request<'_> {
    /// `GET http://localhost/` at the first listener.
    fn default() -> Self {
        Self {
            listener: ListenerId::default(),
            scheme: Scheme::Http,
            method: "GET",
            host: "localhost",
            path: "/",
            query: "",
            headers: &[],
        }
    }
}

impl<'a> Request<'a> {
    /// The value of a header; none if it has none of this name.
    pub fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut values =
            self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        let first = values.next()?;
        Some(values.fold(Cow::Borrowed(first), |all, value| Cow::Owned(format!("{all}, {value}"))))
    }

    /// The value of a cookie; of several of one name the first. None of one that is not UTF-8.
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        let headers = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case("cookie"));
        let value = find_cookie(headers.map(|(_, value)| value.as_bytes()), name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }

    /// The value of a parameter of the query, as it was sent; of several the first, as the Gateway API recommends. Empty for
    /// one without `=`.
    pub fn query_parameter(&self, name: &str) -> Option<&'a str> {
        let pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.filter(|(other, _)| *other == name).map(|(_, value)| value).next()
    }
}
