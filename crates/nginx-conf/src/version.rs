//! What an nginx is able to do: its version and its modules, as `nginx -V` tells them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The stream module is made as a file of its own.
const DYNAMIC_STREAM: &str = "--with-stream=dynamic";

/// From here on a stream server can hand a connection to another listener.
const STREAM_PASS: Version = Version::new(1, 25, 5);

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
    /// Copying requests.
    pub mirror: bool,
    /// nginx's own counters.
    pub stub_status: bool,
    /// Connections that are no HTTP; built in, or a file to be loaded ([`Modules::stream_file`]).
    pub stream: bool,
    /// The name that a client of TLS asks for, of a connection that goes on as it comes.
    pub stream_ssl_preread: bool,
    /// The client's address from a proxy before this one, of what is no HTTP.
    pub stream_realip: bool,
    /// A connection is handed to another listener of the same nginx.
    pub stream_pass: bool,
    /// Compresses answers with Brotli. It is none of nginx's own: compiled in, or a file to be loaded ([`Modules::brotli_file`]).
    pub brotli: bool,
    /// Speaks `FastCGI`; not used, but it wants a directory.
    pub fastcgi: bool,
    /// Speaks uwsgi; not used, but it wants a directory.
    pub uwsgi: bool,
    /// Speaks SCGI; not used, but it wants a directory.
    pub scgi: bool,
}

impl Modules {
    /// Reads what `nginx -V` prints. A module that is not compiled in counts as absent, also one to be loaded at run time, but for
    /// the stream module.
    pub fn parse(text: &str) -> Self {
        let arguments: Vec<&str> = arguments(text).collect();
        let with = |name: &str| arguments.contains(&name);
        let http_v2 = with("--with-http_v2_module");
        let stream = with("--with-stream") || with(DYNAMIC_STREAM);
        let has_pass = text.parse::<Version>().is_ok_and(|version| version >= STREAM_PASS);
        Self {
            ssl: with("--with-http_ssl_module"),
            http_v2,
            // Part of every build that has HTTP/2, unless it is left out.
            grpc: http_v2 && !with("--without-http_grpc_module"),
            realip: with("--with-http_realip_module"),
            auth_request: with("--with-http_auth_request_module"),
            mirror: !with("--without-http_mirror_module"),
            stub_status: with("--with-http_stub_status_module"),
            stream,
            stream_ssl_preread: stream && with("--with-stream_ssl_preread_module"),
            stream_realip: stream && with("--with-stream_realip_module"),
            stream_pass: stream && has_pass && !with("--without-stream_pass_module"),
            brotli: arguments
                .iter()
                .any(|argument| argument.starts_with("--add-module=") && argument.contains("brotli")),
            fastcgi: !with("--without-http_fastcgi_module"),
            uwsgi: !with("--without-http_uwsgi_module"),
            scgi: !with("--without-http_scgi_module"),
        }
    }

    /// The file of the stream module, by what `nginx -V` prints; none where it is compiled in, or not made at all.
    pub fn stream_file(text: &str) -> Option<PathBuf> {
        if !arguments(text).any(|argument| argument == DYNAMIC_STREAM) {
            return None;
        }
        Some(directory(text).join("ngx_stream_module.so"))
    }

    /// Where the module for Brotli is, if it is a file: no module of others that is a file is named by `nginx -V`.
    pub fn brotli_file(text: &str) -> PathBuf {
        directory(text).join("ngx_http_brotli_filter_module.so")
    }
}

/// Where nginx looks for modules that are files.
fn directory(text: &str) -> PathBuf {
    let value = |name: &str| arguments(text).find_map(|argument| argument.strip_prefix(name)).map(Path::new);
    value("--modules-path=")
        .map_or_else(|| value("--prefix=").unwrap_or(Path::new("/usr/local/nginx")).join("modules"), Path::to_owned)
}

/// What `nginx -V` says of how it was configured.
fn arguments(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("configure arguments:")).flat_map(str::split_whitespace)
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
            mirror: true,
            stub_status: true,
            stream: true,
            stream_ssl_preread: true,
            stream_realip: true,
            stream_pass: false,
            brotli: false,
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

    #[test]
    fn module_for_brotli_is_built_in_or_a_file() {
        let of = |arguments: &str| format!("nginx version: nginx/1.26.3\nconfigure arguments: {arguments}");
        assert!(Modules::parse(&of("--add-module=/src/ngx_brotli")).brotli);
        let dynamic = of("--modules-path=/usr/lib/nginx/modules --add-dynamic-module=/src/ngx_brotli");
        assert!(!Modules::parse(&dynamic).brotli);
        let file = Modules::brotli_file(&dynamic).display().to_string();
        assert_eq!(file, "/usr/lib/nginx/modules/ngx_http_brotli_filter_module.so");
    }

    #[test]
    fn stream_module_is_built_in_or_a_file() {
        let of = |arguments: &str| format!("nginx version: nginx/1.26.3\nconfigure arguments: {arguments}");
        let built_in = of("--with-stream --with-stream_ssl_preread_module");
        let modules = Modules::parse(&built_in);
        assert!(modules.stream && modules.stream_ssl_preread && modules.stream_pass);
        assert_eq!(Modules::stream_file(&built_in), None);
        let file = |arguments: &str| Modules::stream_file(&of(arguments)).map(|path| path.display().to_string());
        let dynamic = "--prefix=/usr/share/nginx --with-stream=dynamic";
        assert_eq!(file(dynamic).as_deref(), Some("/usr/share/nginx/modules/ngx_stream_module.so"));
        let with_path = format!("--modules-path=/usr/lib/nginx/modules {dynamic}");
        assert_eq!(file(&with_path).as_deref(), Some("/usr/lib/nginx/modules/ngx_stream_module.so"));
        assert!(!Modules::parse(&of("--with-stream_ssl_preread_module")).stream_ssl_preread);
        assert!(!Modules::parse(&of("--with-stream --without-stream_pass_module")).stream_pass);
        assert!(!Modules::parse(&built_in.replace("1.26.3", "1.22.1")).stream_pass);
    }
}
