//! Which host a request is for, and whether a page of another site sent it.
//!
//! A browser sends requests for whatever page it shows. Where callers are not known (`--auth none`), a page could so do
//! everything that its reader could: by a name of its own that it lets resolve to this service's address (DNS rebinding),
//! or by a form. Both carry a header that no page can forge: `Host`, and `Origin` or `Sec-Fetch-Site`.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Request, Version, header};

use rbd_api::problem::{Kind, RequestFault};
use rbd_model::fault::{self, Fault};

/// What a request says its host is: name or address, and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// In lower case, without the brackets of an IPv6 address and without a dot at the end.
    name: String,
    port: Option<u16>,
}

impl Host {
    /// From `name`, `name:port`, `[address]:port` (RFC 3986, section 3.2). `None` for anything else.
    fn parse(text: &str) -> Option<Self> {
        // What a URI's authority may hold besides: a user.
        if text.is_empty() || text.contains('@') {
            return None;
        }
        let authority: Authority = text.parse().ok()?;
        let port = match text.rsplit_once(':') {
            Some((_, digits)) if !digits.contains(']') => {
                // `host:` is allowed, and the default port.
                if digits.is_empty() { None } else { Some(authority.port_u16()?) }
            }
            _ => None,
        };
        let name = authority.host().to_ascii_lowercase();
        let name = match name.strip_prefix('[') {
            Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string(),
            None => name.strip_suffix('.').map_or(name.clone(), str::to_owned),
        };
        (!name.is_empty()).then_some(Self { name, port })
    }

    fn is_address(&self) -> bool {
        self.name.parse::<Ipv4Addr>().is_ok() || self.name.parse::<Ipv6Addr>().is_ok()
    }

    /// RFC 6761, section 6.3: `localhost` and what is below it is this machine.
    fn is_localhost(&self) -> bool {
        self.name == "localhost" || self.name.ends_with(".localhost")
    }
}

/// The host that a request is for. An HTTP/1.0 request need not say (RFC 9112, section 3.2), and then there is none.
///
/// # Errors
/// `bad-request` when it says none, more than one, or none that could be.
pub fn of<B>(request: &Request<B>) -> Result<Option<Host>, Fault> {
    let wrong = |what: &str| {
        Fault::new(fault::Kind::BadRequest, format!("The request {what}."))
            .correction("Send one header `Host: NAME[:PORT]` with the name or address that you connect to.")
    };
    let mut values = request.headers().get_all(header::HOST).iter();
    let named = values.next();
    if values.next().is_some() {
        return Err(wrong("has more than one Host header"));
    }
    let parse = |value: &HeaderValue| value.to_str().ok().and_then(Host::parse);
    let named = match named {
        Some(value) => Some(parse(value).ok_or_else(|| wrong("has a Host header that names no host"))?),
        None => None,
    };
    let target = match request.uri().authority() {
        Some(authority) => Some(Host::parse(authority.as_str()).ok_or_else(|| wrong("has a target of no host"))?),
        None => None,
    };
    match (target, named) {
        (Some(target), Some(named)) if target != named => {
            Err(wrong("names one host in its target and another in Host"))
        }
        (Some(target), _) => Ok(Some(target)),
        (None, Some(named)) => Ok(Some(named)),
        (None, None) if request.version() < Version::HTTP_11 => Ok(None),
        (None, None) => Err(wrong("does not say which host it is for")),
    }
}

/// A host that requests may be for: `NAME`, `*.NAME` for all below it, or `*` for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedHost {
    /// This one.
    Host(String),
    /// Those below it.
    Below(String),
    /// All.
    All,
}

impl std::str::FromStr for AllowedHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::All);
        }
        let (name, below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        match Host::parse(name) {
            Some(Host { name, port: None }) if !name.contains('*') => {
                Ok(if below { Self::Below(format!(".{name}")) } else { Self::Host(name) })
            }
            _ => Err("is no host: give a name without a port, *.NAME for all below it, or * for all".to_owned()),
        }
    }
}

impl AllowedHost {
    fn holds(&self, host: &Host) -> bool {
        match self {
            Self::Host(name) => host.name == *name,
            Self::Below(suffix) => host.name.ends_with(suffix.as_str()),
            Self::All => true,
        }
    }
}

/// What keeps pages of other sites out where callers are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostGuard {
    allowed: Vec<AllowedHost>,
}

impl HostGuard {
    /// Lets requests through that are for an address, for `localhost`, or for one of these.
    pub fn new(allowed: Vec<AllowedHost>) -> Self {
        Self { allowed }
    }

    /// Whether a request may be for this host. One that names none was sent by no browser.
    ///
    /// # Errors
    /// `host-not-allowed`.
    pub fn check_host(&self, host: Option<&Host>) -> Result<(), RequestFault> {
        let Some(host) = host else { return Ok(()) };
        if host.is_address() || host.is_localhost() || self.allowed.iter().any(|allowed| allowed.holds(host)) {
            return Ok(());
        }
        Err(Fault::new(Kind::HostNotAllowed, format!("The request is for the host {:?}.", host.name))
            .cause(
                "This service does not know its callers (--auth none), so that a web page with a name of its own could act \
                 for the user who opens it.",
            )
            .correction(
                "Use the service's address or localhost; or, if the name is this service's, start it with \
                 --allowed-host NAME.",
            ))
    }

    /// Whether a request that changes something may come from where it does. Only browsers say so.
    ///
    /// # Errors
    /// `cross-site`.
    pub fn check_origin(headers: &HeaderMap, host: Option<&Host>) -> Result<(), RequestFault> {
        let rejected = |what: String| {
            Fault::new(Kind::CrossSite, what)
                .cause("This service does not know its callers (--auth none), and a page of another site may not act for its visitors.")
                .correction("Send the change from a program, or from a page of this very host and port.")
        };
        for value in headers.get_all("sec-fetch-site") {
            if !matches!(value.as_bytes(), b"same-origin" | b"none") {
                return Err(rejected(format!("A browser sent the change for a page of another origin ({value:?}).")));
            }
        }
        for value in headers.get_all(header::ORIGIN) {
            if !value.to_str().is_ok_and(|origin| same_origin(origin, host)) {
                return Err(rejected(format!("A page of the origin {value:?} sent the change.")));
            }
        }
        Ok(())
    }
}

/// Whether an `Origin` is that of the host. A proxy may have ended TLS, so the scheme only says which port is meant.
fn same_origin(origin: &str, host: Option<&Host>) -> bool {
    let (Some((scheme, rest)), Some(host)) = (origin.split_once("://"), host) else { return false };
    let default = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    Host::parse(rest).is_some_and(|origin| {
        origin.name == host.name && origin.port.unwrap_or(default) == host.port.unwrap_or(default)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap_or_else(|| panic!("{text} is a host"))
    }

    #[test]
    fn hosts_are_compared_in_one_form() {
        for (text, name, port) in [
            ("Example.ORG", "example.org", None),
            ("example.org.:80", "example.org", Some(80)),
            ("example.org:", "example.org", None),
            ("127.0.0.1:8080", "127.0.0.1", Some(8080)),
            ("[0:0::1]:80", "::1", Some(80)),
            ("[::FFFF]", "::ffff", None),
        ] {
            assert_eq!(host(text), Host { name: name.into(), port }, "{text}");
        }
        for wrong in
            ["", ".", ":80", "a b", "a/b", "user@a", "a:b", "a:99999", "[::1", "[x]", "::1", "a,b c", "http://a"]
        {
            assert_eq!(Host::parse(wrong), None, "{wrong:?}");
        }
    }

    fn asked(version: Version, uri: &str, hosts: &[&'static str]) -> Result<Option<Host>, Kind> {
        let mut request = Request::builder().version(version).uri(uri).body(()).unwrap();
        for value in hosts {
            request.headers_mut().append(header::HOST, HeaderValue::from_static(value));
        }
        of(&request).map_err(|fault| fault.kind().into())
    }

    #[test]
    fn request_names_exactly_one_host() {
        let h1 = Version::HTTP_11;
        assert_eq!(asked(h1, "/", &["a"]), Ok(Some(host("a"))));
        assert_eq!(asked(h1, "http://a:80/", &["A:80"]), Ok(Some(host("a:80"))));
        assert_eq!(asked(Version::HTTP_2, "http://a/", &[]), Ok(Some(host("a"))));
        assert_eq!(asked(Version::HTTP_10, "/", &[]), Ok(None));
        for (version, uri, hosts) in [
            (h1, "/", &[][..]),
            (h1, "/", &["a", "a"]),
            (h1, "/", &[""]),
            (h1, "/", &["a b"]),
            (h1, "http://a/", &["b"]),
            (h1, "http://a:1/", &["a:2"]),
            (Version::HTTP_2, "/", &[]),
            (Version::HTTP_2, "http://a/", &["b"]),
            (Version::HTTP_10, "/", &["a", "b"]),
        ] {
            assert_eq!(
                asked(version, uri, hosts),
                Err(Kind::Fault(fault::Kind::BadRequest)),
                "{version:?} {uri} {hosts:?}"
            );
        }
    }

    #[test]
    fn foreign_hosts_are_rejected_unless_allowed() {
        let guard = HostGuard::new(["api.example.org", "*.svc"].map(|text| text.parse().unwrap()).to_vec());
        for text in [
            "127.0.0.1",
            "10.1.2.3:30080",
            "[::1]:80",
            "[2001:db8::1]",
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "a.localhost",
            "api.example.org",
            "API.example.org.:8080",
            "rbd.kube-system.svc",
        ] {
            guard.check_host(Some(&host(text))).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        }
        for text in [
            "example.org",
            "evil.api.example.org",
            "svc",
            "xsvc",
            "localhost.example.org",
            "127.0.0.1.example.org",
            "127.1",
            "0x7f000001",
            "2130706433",
            "notlocalhost",
        ] {
            assert_eq!(guard.check_host(Some(&host(text))).unwrap_err().kind(), Kind::HostNotAllowed, "{text}");
        }
        guard.check_host(None).unwrap();
        HostGuard::new(vec![AllowedHost::All]).check_host(Some(&host("example.org"))).unwrap();
        for wrong in ["", "a:80", "*.", "a.*", "**", "http://a", "*.*.a"] {
            wrong.parse::<AllowedHost>().unwrap_err();
        }
    }

    fn sent(headers: &[(&'static str, &'static str)], to: &str) -> bool {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
        HostGuard::check_origin(&headers, Some(&host(to))).is_ok()
    }

    #[test]
    fn changes_come_from_programs_and_from_pages_of_the_same_origin() {
        assert!(sent(&[], "127.0.0.1:8080"));
        for (headers, to) in [
            (&[("sec-fetch-site", "same-origin")][..], "a"),
            (&[("sec-fetch-site", "none")], "a"),
            (&[("origin", "http://127.0.0.1:8080")], "127.0.0.1:8080"),
            (&[("origin", "https://A")], "a"),
            (&[("origin", "https://a")], "a:443"),
            (&[("origin", "http://[::1]:8080"), ("sec-fetch-site", "same-origin")], "[0::1]:8080"),
        ] {
            assert!(sent(headers, to), "{headers:?} to {to}");
        }
        for (headers, to) in [
            (&[("sec-fetch-site", "cross-site")][..], "a"),
            (&[("sec-fetch-site", "same-site")], "a"),
            (&[("sec-fetch-site", "")], "a"),
            (&[("origin", "null")], "a"),
            (&[("origin", "http://b")], "a"),
            (&[("origin", "http://a:3000")], "a:8080"),
            (&[("origin", "http://localhost:3000")], "localhost:8080"),
            (&[("origin", "https://a")], "a:80"),
            (&[("origin", "http://a"), ("sec-fetch-site", "cross-site")], "a"),
            (&[("origin", "http://b"), ("sec-fetch-site", "same-origin")], "a"),
            (&[("origin", "ftp://a")], "a"),
            (&[("origin", "")], "a"),
        ] {
            assert!(!sent(headers, to), "{headers:?} to {to}");
        }
    }
}
