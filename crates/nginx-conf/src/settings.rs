//! What the operator decides.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use entry_model::{Listener, Scheme};
use ipnet::IpNet;

use crate::client_headers::can_be_kept;
use crate::token::path_token;
use crate::{
    Brotli, Buffering, ClientFilter, Gzip, HeaderName, KeptConnections, LogFormat, Modules, SharedHeaders, TlsSettings,
    Version,
};

/// What the operator decides, and what the nginx at hand is able to do. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The version of nginx.
    pub version: Version,
    /// Its modules.
    pub modules: Modules,
    /// The port of HTTPS as clients see it, to which they are redirected.
    pub public_https_port: u16,
    /// Whether clients that come by TLS may speak HTTP/2.
    pub http2: bool,
    /// The proxies in front of this one whose `X-Forwarded-*` and PROXY protocol are believed.
    pub trusted: Vec<IpNet>,
    /// Headers that trusted proxies write about the client. From anybody else they are dropped.
    pub trusted_headers: Vec<String>,
    /// Whether connections begin with the PROXY protocol. Then `trusted` are those who are believed in it.
    pub proxy_protocol: bool,
    /// The header in which trusted proxies name the client, if it is not the PROXY protocol.
    pub forwarded_for_header: HeaderName,
    /// Whether backends get the whole `X-Forwarded-For` of a trusted proxy, with its address added; else the client's address alone.
    pub keeps_forwarded_for: bool,
    /// The socket on which the workers tell their revision (`/generation`) and nginx its counters (`/status`).
    pub control: PathBuf,
    /// Directory of the pid file and of temporary files; it must exist.
    pub runtime: PathBuf,
    /// Number of workers; one per core if not given.
    pub worker_processes: Option<u16>,
    /// Connections of one worker, those to backends included.
    pub worker_connections: u32,
    /// How long the workers of an earlier revision may go on with what they have, such as tunnels.
    pub worker_shutdown_timeout: Duration,
    /// How long an idle connection of a client is kept; it is closed after each answer if 0.
    pub keepalive_timeout: Duration,
    /// What else a client is allowed.
    pub client: ClientLimits,
    /// Which clients are answered 403.
    pub filter: ClientFilter,
    /// What is answered to requests over a limit that an object sets.
    pub limit_statuses: LimitStatuses,
    /// Times of forwarding.
    pub timeouts: Timeouts,
    /// Largest request body, in bytes; 0 is without limit, and the default: bodies stream through and are never stored.
    pub max_body_bytes: u64,
    /// Longest request line and longest line of a header, in bytes.
    pub max_header_bytes: u32,
    /// The DNS servers that are asked for names that annotations have. Without one such names are not reached.
    pub resolvers: Vec<SocketAddr>,
    /// How many such lines a head can have.
    pub max_header_lines: u32,
    /// Where bodies and heads are kept while they pass through.
    pub buffering: Buffering,
    /// Connections to backends that are kept.
    pub kept_connections: KeptConnections,
    /// Headers of all requests and all answers.
    pub headers: SharedHeaders,
    /// How answers are compressed, if they are.
    pub gzip: Option<Gzip>,
    /// How answers are compressed with Brotli, if they are; only where nginx has a module for it.
    pub brotli: Option<Brotli>,
    /// How TLS is spoken with clients.
    pub tls: TlsSettings,
    /// Where requests are logged.
    pub access_log: Option<PathBuf>,
    /// What a line of that log has.
    pub log_format: LogFormat,
    /// Where errors are logged.
    pub error_log: PathBuf,
    /// The user that the workers run as, if nginx is started by root.
    pub user: Option<String>,
    /// The file of the stream module, where nginx has it as one.
    pub stream_module: Option<PathBuf>,
    /// The file of the module for Brotli, where nginx has it as one.
    pub brotli_module: Option<PathBuf>,
    /// The module that routes by a table, where nginx has it.
    pub module: PathBuf,
}

/// What a client is allowed, beside what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLimits {
    /// How long it may take to send the head of a request; as nginx has it, 60 s, without it.
    pub head_timeout: Option<Duration>,
    /// How long may be between two pieces of a body that it sends; as nginx has it, 60 s, without it.
    pub body_timeout: Option<Duration>,
    /// How many requests come by one connection.
    pub requests: u32,
    /// How many requests may be under way at once on a connection of HTTP/2; as nginx has it, 128, without it.
    pub http2_streams: Option<u32>,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self { head_timeout: None, body_timeout: None, requests: 10_000, http2_streams: None }
    }
}

/// What is answered to requests over a limit, where the limit's object says nothing: from 400 to 599, 503 without it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitStatuses {
    /// Over a limit of requests in a time.
    pub requests: Option<u16>,
    /// Over a limit of connections.
    pub connections: Option<u16>,
}

/// Times of forwarding, where a route says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect to the backend.
    pub connect: Duration,
    /// Between two reads of its answer.
    pub read: Duration,
    /// Between two writes of the request.
    pub send: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), read: Duration::from_secs(60), send: Duration::from_secs(60) }
    }
}

/// Where images have the module that routes by a table.
pub const MODULE: &str = "/usr/lib/nginx/modules/ngx_http_sparrow_module.so";

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: Version::new(1, 22, 1),
            modules: Modules::default(),
            public_https_port: 443,
            http2: true,
            trusted: Vec::new(),
            trusted_headers: Vec::new(),
            proxy_protocol: false,
            forwarded_for_header: HeaderName::X_FORWARDED_FOR,
            keeps_forwarded_for: true,
            control: PathBuf::from("/run/sparrow/nginx.sock"),
            runtime: PathBuf::from("/run/sparrow"),
            worker_processes: None,
            worker_connections: 8192,
            worker_shutdown_timeout: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(75),
            client: ClientLimits::default(),
            filter: ClientFilter::default(),
            limit_statuses: LimitStatuses::default(),
            timeouts: Timeouts::default(),
            max_body_bytes: 0,
            max_header_bytes: 8192,
            resolvers: Vec::new(),
            max_header_lines: 4,
            buffering: Buffering::default(),
            kept_connections: KeptConnections::default(),
            headers: SharedHeaders::default(),
            gzip: None,
            brotli: None,
            tls: TlsSettings::default(),
            access_log: Some(PathBuf::from("/dev/stdout")),
            log_format: LogFormat::default(),
            error_log: PathBuf::from("/dev/stderr"),
            user: None,
            stream_module: None,
            brotli_module: None,
            module: PathBuf::from(MODULE),
        }
    }
}

/// Settings that nginx could not follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A path that cannot be written.
    #[error(
        "{path:?} cannot be written in an nginx configuration: take an absolute path of UTF-8 without `$` and \
         control characters, below 1000 bytes"
    )]
    Path {
        /// The field.
        name: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A user that cannot be.
    #[error("{0:?} is not the name of a user")]
    User(String),
    /// What only a trusted proxy may say, and no proxy is trusted.
    #[error("it needs trusted proxies, which may tell who the client is")]
    Untrusted {
        /// The field.
        name: &'static str,
    },
    /// A header that cannot be left to trusted proxies.
    #[error(
        "the header {0:?} cannot be left to trusted proxies: it is no name of up to 40 letters, digits and `-`, or one that \
         is always written anew"
    )]
    Header(String),
    /// A module is missing.
    #[error("this nginx is built without {module}")]
    Module {
        /// The field.
        name: &'static str,
        /// The module.
        module: &'static str,
    },
}

impl SettingsError {
    /// The field of [`Settings`] that it is about. Its text does not have it: users know fields by other names.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Path { name, .. } | Self::Module { name, .. } | Self::Untrusted { name } => name,
            Self::User(_) => "user",
            Self::Header(_) => "trusted_headers",
        }
    }
}

impl Settings {
    /// Whether nginx can follow these settings. [`render`](crate::render()) leaves out what it cannot write, so whoever takes
    /// settings from outside asks here first.
    ///
    /// # Errors
    ///
    /// The first field that nginx cannot follow.
    pub fn check(&self) -> Result<(), SettingsError> {
        for (name, path) in [
            ("control", Some(&self.control)),
            ("runtime", Some(&self.runtime)),
            ("access_log", self.access_log.as_ref()),
            ("error_log", Some(&self.error_log)),
            ("nginx_module", Some(&self.module)),
            ("stream_module", self.stream_module.as_ref()),
            ("brotli_module", self.brotli_module.as_ref()),
        ] {
            if let Some(path) = path
                && (!path.is_absolute() || path_token(path).is_none())
            {
                return Err(SettingsError::Path { name, path: path.clone() });
            }
        }
        if let Some(user) = &self.user
            && (user.is_empty() || !user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)))
        {
            return Err(SettingsError::User(user.clone()));
        }
        if !self.trusted.is_empty() && !self.modules.realip {
            return Err(SettingsError::Module { name: "trusted", module: "http_realip_module" });
        }
        if !self.trusted_headers.is_empty() && self.trusted.is_empty() {
            return Err(SettingsError::Untrusted { name: "trusted_headers" });
        }
        if let Some(name) = self.trusted_headers.iter().find(|name| !can_be_kept(name)) {
            return Err(SettingsError::Header(name.clone()));
        }
        Ok(())
    }
}

impl Settings {
    /// Whether somebody is known who may say in the PROXY protocol who the client is. Connections begin with it all the same, and
    /// nobody is believed.
    ///
    /// # Errors
    ///
    /// Nobody is.
    pub fn check_proxy_protocol(&self) -> Result<(), SettingsError> {
        let nobody = self.proxy_protocol && self.trusted.is_empty();
        if nobody { Err(SettingsError::Untrusted { name: "proxy_protocol" }) } else { Ok(()) }
    }

    /// Whether there are proxies in front that are believed.
    pub(crate) fn trusts_proxies(&self) -> bool {
        !self.trusted.is_empty() && self.modules.realip
    }

    /// The variable with the scheme by which the client came.
    pub(crate) fn scheme_variable(&self) -> &'static str {
        if self.trusts_proxies() { "$sparrow_scheme" } else { "$scheme" }
    }

    /// Whether nginx can listen as these listeners ask for.
    ///
    /// # Errors
    ///
    /// The module that is missing.
    pub fn check_listeners(&self, listeners: &[Listener]) -> Result<(), SettingsError> {
        if !self.modules.ssl && listeners.iter().any(|listener| listener.protocol == Scheme::Https) {
            return Err(SettingsError::Module { name: "https", module: "http_ssl_module" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_settings_are_rejected_by_field() {
        assert_eq!(Settings::default().check(), Ok(()));
        for (settings, expected) in [
            (Settings { control: "/run/$host".into(), ..Settings::default() }, "control"),
            (Settings { runtime: "run".into(), ..Settings::default() }, "runtime"),
            (Settings { access_log: Some("/a\nb".into()), ..Settings::default() }, "access_log"),
            (Settings { error_log: "/\0".into(), ..Settings::default() }, "error_log"),
            (Settings { user: Some("root; load_module x".to_owned()), ..Settings::default() }, "user"),
            (Settings { trusted_headers: vec!["X-User".to_owned()], ..Settings::default() }, "trusted_headers"),
            (
                Settings {
                    trusted: vec!["::/0".parse().unwrap()],
                    trusted_headers: vec!["x; y".to_owned()],
                    ..Settings::default()
                },
                "trusted_headers",
            ),
        ] {
            let error = settings.check().unwrap_err();
            assert_eq!(error.field(), expected, "{error}");
        }
    }
}
