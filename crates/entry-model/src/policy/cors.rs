//! Which pages of other origins may ask.

/// What browsers are told that ask for pages of other origins (the Fetch standard, "CORS protocol"). Preflight requests are answered
/// here, and what the backend says of this is not passed on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cors {
    /// The origins that may ask.
    pub origins: CorsOrigins,
    /// With which methods: tokens, separated by commas.
    pub methods: String,
    /// With which headers: tokens, separated by commas.
    pub headers: String,
    /// Which headers of the answer pages may read: tokens, separated by commas, or `*`; empty are those that they may always read.
    pub exposed_headers: String,
    /// Whether cookies and other credentials may be sent. Browsers ask for a named origin then.
    pub credentials: bool,
    /// How long a browser may remember the answer to a preflight request, in seconds.
    pub max_age_seconds: u32,
}

/// The origins that may ask.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CorsOrigins {
    /// All.
    Any,
    /// These. Others are told nothing.
    Listed(Vec<CorsOrigin>),
}

/// An origin (RFC 6454), in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CorsOrigin {
    /// That of a page that has none, such as a file: `null`.
    Null,
    /// Scheme, host and port.
    Named {
        /// Letters.
        scheme: String,
        /// Whether it stands for all hosts that have one label more.
        any_label: bool,
        /// Letters, digits, `-` and `.`.
        host: String,
        /// The port, if it is named.
        port: Option<u16>,
    },
}

impl std::fmt::Display for CorsOrigin {
    /// As annotations have it: `https://*.example.com:8443`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Named { scheme, any_label, host, port } => {
                write!(f, "{scheme}://{}{host}", if *any_label { "*." } else { "" })?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}
