//! What an nginx is able to do: its version and its modules, as `nginx -V` tells them.

use std::fmt;
use std::str::FromStr;

/// The version of an nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u16,
    /// The second; odd ones are of the mainline.
    pub minor: u16,
    /// The third.
    pub patch: u16,
}

impl Version {
    /// This version.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A text that names no version of nginx.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no version of nginx in what `nginx -v` printed: {0:?}; expected a line such as `nginx version: nginx/1.22.1`")]
pub struct ParseVersionError(String);

impl FromStr for Version {
    type Err = ParseVersionError;

    /// Reads what `nginx -v` and `nginx -V` print: `nginx version: nginx/1.22.1 (Debian)`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (_, rest) = text.split_once("version: ")?;
            let (_, rest) = rest.lines().next()?.split_once('/')?;
            // Derivatives have a fourth number, which is theirs.
            let mut numbers =
                rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?.split('.').map(u16::from_str);
            Some(Self::new(numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
        };
        parse().ok_or_else(|| ParseVersionError(text.chars().take(100).collect()))
    }
}

/// The modules that matter here: compiled in or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a module that is there or not")]
pub struct Modules {
    /// TLS to clients and to backends.
    pub ssl: bool,
    /// HTTP/2 to clients.
    pub http_v2: bool,
    /// HTTP/2 to backends (`grpc_pass`).
    pub grpc: bool,
    /// The client's address from a proxy before this one.
    pub realip: bool,
    /// Asking another location whether a request may pass.
    pub auth_request: bool,
    /// nginx's own counters.
    pub stub_status: bool,
    /// Speaks `FastCGI`; not used, but it wants a directory.
    pub fastcgi: bool,
    /// Speaks uwsgi; not used, but it wants a directory.
    pub uwsgi: bool,
    /// Speaks SCGI; not used, but it wants a directory.
    pub scgi: bool,
}

impl Modules {
    /// Reads what `nginx -V` prints. A module that is not compiled in (also one to be loaded at run time) counts as absent.
    pub fn parse(text: &str) -> Self {
        let arguments: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("configure arguments:"))
            .flat_map(str::split_whitespace)
            .collect();
        let with = |name: &str| arguments.contains(&name);
        let http_v2 = with("--with-http_v2_module");
        Self {
            ssl: with("--with-http_ssl_module"),
            http_v2,
            // Part of every build that has HTTP/2, unless it is left out.
            grpc: http_v2 && !with("--without-http_grpc_module"),
            realip: with("--with-http_realip_module"),
            auth_request: with("--with-http_auth_request_module"),
            stub_status: with("--with-http_stub_status_module"),
            fastcgi: !with("--without-http_fastcgi_module"),
            uwsgi: !with("--without-http_uwsgi_module"),
            scgi: !with("--without-http_scgi_module"),
        }
    }
}

impl Default for Modules {
    /// Those of Debian's package.
    fn default() -> Self {
        Self {
            ssl: true,
            http_v2: true,
            grpc: true,
            realip: true,
            auth_request: true,
            stub_status: true,
            fastcgi: true,
            uwsgi: true,
            scgi: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_what_nginx_prints() {
        for (text, expected) in [
            ("nginx version: nginx/1.22.1\nbuilt with OpenSSL 3.0.22", Some(Version::new(1, 22, 1))),
            ("nginx version: nginx/1.31.3 (Ubuntu)\n", Some(Version::new(1, 31, 3))),
            ("nginx version: openresty/1.27.1.2", Some(Version::new(1, 27, 1))),
            ("nginx version: nginx/1.22", None),
            ("sh: nginx: not found", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text:?}");
        }
        assert!(Version::new(1, 27, 4) > Version::new(1, 22, 10));
    }

    #[test]
    fn modules_are_read_from_the_arguments_only() {
        let modules = Modules::parse(
            "nginx version: nginx/1.31.3\nTLS SNI --with-http_realip_module\n\
             configure arguments: --with-http_ssl_module --with-http_v2_module --without-http_scgi_module --with-cc-opt='-O2'",
        );
        assert!(modules.ssl && modules.http_v2 && modules.grpc && modules.fastcgi && modules.uwsgi);
        assert!(!modules.realip && !modules.stub_status && !modules.scgi);
        assert!(!Modules::parse("configure arguments: --with-http_v2_module --without-http_grpc_module").grpc);
    }
}
