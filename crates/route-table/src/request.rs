//! Requests, as nginx has them: bytes, of which nothing is copied.

use std::borrow::Cow;

use entry_model::{ListenerId, Scheme, find_cookie};

use crate::host_entry::TlsClass;

/// A request, as far as it matters for its route.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The listener at which it came.
    pub listener: ListenerId,
    /// How the client sent it; a proxy in front may have taken TLS off.
    pub scheme: Scheme,
    /// How it came here: a host without certificate is served over no connection of TLS.
    pub connection: Scheme,
    /// The host that the client named when it opened the connection, over TLS; empty if it named none.
    pub server_name: &'a [u8],
    /// What the server asks of clients over TLS to which nginx has given it.
    pub tls_class: TlsClass,
    /// Its method. Case counts.
    pub method: &'a [u8],
    /// Its host, in any case, without port.
    pub host: &'a [u8],
    /// Its path, decoded and normalised.
    pub path: &'a [u8],
    /// Its query as it was sent, without the `?`; empty without one.
    pub query: &'a [u8],
    /// Its headers: asked only by rules that name one.
    pub headers: &'a dyn Headers,
    /// A number that is as likely to be any as any other, by which a share of several is chosen: that of the session that begins with it.
    pub chance: u64,
}

/// The headers of a request.
pub trait Headers {
    /// The value of one of the headers with a name, which is in lower case, by its number among them; none if there is none.
    fn value(&self, name: &str, number: usize) -> Option<&[u8]>;

    /// The value of a header; none if there is none. Of several with one name, their values are joined with `, ` (RFC 9110, 5.3).
    fn get(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let first = self.value(name, 0)?;
        let more = (1..).map_while(|number| self.value(name, number));
        Some(more.fold(Cow::Borrowed(first), |all, value| Cow::Owned([&all[..], b", ", value].concat())))
    }

    /// The value of a cookie; of several of one name the first.
    fn cookie(&self, name: &str) -> Option<&[u8]> {
        find_cookie((0..).map_while(|number| self.value("cookie", number)), name.as_bytes())
    }
}

/// No headers.
#[derive(Debug, Clone, Copy)]
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn value(&self, _: &str, _: usize) -> Option<&[u8]> {
        None
    }
}

impl<'a> Request<'a> {
    /// The value of a parameter of the query, as it was sent; of several the first. Empty for one without `=`.
    pub fn parameter(&self, name: &str) -> Option<&'a [u8]> {
        let pairs = self.query.split(|byte| *byte == b'&').map(|pair| {
            let end = pair.iter().position(|byte| *byte == b'=');
            end.map_or((pair, &b""[..]), |end| (&pair[..end], &pair[end + 1..]))
        });
        pairs.filter(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value).next()
    }
}
