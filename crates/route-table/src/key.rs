//! What blobs are found by.
//!
//! A key is a text, or two, each with a byte behind it that is in no UTF-8 and says what it is. So no two keys are the same
//! bytes, and the hash of a host's name serves all keys of its paths.

use std::sync::Arc;

use entry_model::HostName;
use pattern_engine::MAX_PATTERN_BYTES;

use crate::certificate::is_id;
use crate::key_hash::KeyHasher;

/// Ends the key of the order in which a host's patterns are tried.
pub const PATTERN_ORDER: u8 = 0xf5;
/// Ends the text of a pattern.
pub const PATTERN: u8 = 0xf6;
/// Ends the id of a certificate.
pub const CERTIFICATE: u8 = 0xf7;
pub const EXACT_HOST: u8 = 0xf8;
pub const ONE_LABEL: u8 = 0xf9;
pub const SUFFIX: u8 = 0xfa;
pub const ANY_HOST: u8 = 0xfb;
pub const EXACT_PATH: u8 = 0xfc;
pub const PREFIX: u8 = 0xfd;
/// Ends the key of what is known of a host.
pub const HOST: u8 = 0xfe;
/// Ends the name of a backend; alone it is the key of the default rule, since no backend is without a name.
pub const BACKEND: u8 = 0xff;

/// The longest host that has a key, in bytes: there is none longer in DNS.
pub const MOST_HOST_BYTES: usize = 253;
/// The longest path that has a key, in bytes.
pub const MOST_PATH_BYTES: usize = 4096;
/// The longest name of a backend, in bytes.
const MOST_NAME_BYTES: usize = 1024;

/// Which paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// This path.
    Exact(Box<str>),
    /// This path and those below it. Without final slash: the prefix of all paths is empty.
    Prefix(Box<str>),
    /// Those that the pattern of this text matches.
    Pattern(Box<str>),
}

impl Path {
    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Pattern(text) => text,
        }
    }

    /// The byte that ends its key.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Exact(_) => EXACT_PATH,
            Self::Prefix(_) => PREFIX,
            Self::Pattern(_) => PATTERN,
        }
    }

    /// The path of a text and the byte that says its kind; none if it can have no key.
    pub fn new(text: &[u8], kind: u8) -> Option<Self> {
        let text: Box<str> = std::str::from_utf8(text).ok()?.into();
        let path = match kind {
            EXACT_PATH => Self::Exact(text),
            PREFIX => Self::Prefix(text),
            PATTERN => Self::Pattern(text),
            _ => return None,
        };
        path.has_key().then_some(path)
    }

    /// Whether it can be in a table: it begins with a slash, and a prefix does not end with one. Of a pattern there is more to say,
    /// which whoever compiles it does.
    fn has_key(&self) -> bool {
        match self {
            Self::Exact(text) => text.starts_with('/') && text.len() <= MOST_PATH_BYTES,
            Self::Prefix(text) => {
                (text.is_empty() || text.starts_with('/') && !text.ends_with('/')) && text.len() <= MOST_PATH_BYTES
            }
            Self::Pattern(text) => text.len() <= MAX_PATTERN_BYTES,
        }
    }
}

/// Slashes in a path.
pub fn depth(path: &str) -> usize {
    path.bytes().filter(|byte| *byte == b'/').count()
}

/// The bit of a number of slashes: the last one is for all that are larger, too.
pub fn depth_bit(depth: usize) -> u64 {
    1 << depth.min(63)
}

/// What a blob is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// What is known of a host.
    Host(HostName),
    /// The rules of a path of a host.
    Rules(HostName, Path),
    /// In which order the patterns of a host are tried.
    PatternOrder(HostName),
    /// The rule for what no other matches.
    Default,
    /// A backend, by its name.
    Backend(Arc<str>),
    /// A certificate, by its id.
    Certificate(Arc<str>),
}

/// The text of a host's key, and the byte behind it.
pub fn host_parts(host: &HostName) -> (&str, u8) {
    match host {
        HostName::Exact(name) => (name, EXACT_HOST),
        HostName::OneLabel(parent) => (parent, ONE_LABEL),
        HostName::Suffix(parent) => (parent, SUFFIX),
        HostName::Any => ("", ANY_HOST),
    }
}

impl Key {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let with_host = |host: &HostName, rest: &[u8], end: u8| {
            let (name, kind) = host_parts(host);
            [name.as_bytes(), &[kind], rest, &[end]].concat()
        };
        match self {
            Self::Host(host) => with_host(host, b"", HOST),
            Self::Rules(host, path) => with_host(host, path.text().as_bytes(), path.kind()),
            Self::PatternOrder(host) => with_host(host, b"", PATTERN_ORDER),
            Self::Default => vec![BACKEND],
            Self::Backend(name) => [name.as_bytes(), &[BACKEND]].concat(),
            Self::Certificate(id) => [id.as_bytes(), &[CERTIFICATE]].concat(),
        }
    }

    /// The key of these bytes; none if there is no such key.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (end, rest) = bytes.split_last()?;
        if *end == BACKEND {
            return match std::str::from_utf8(rest).ok()? {
                "" => Some(Self::Default),
                name => (name.len() <= MOST_NAME_BYTES).then(|| Self::Backend(name.into())),
            };
        }
        if *end == CERTIFICATE {
            let id = std::str::from_utf8(rest).ok()?;
            return is_id(id).then(|| Self::Certificate(id.into()));
        }
        let at = rest.iter().position(|byte| *byte >= EXACT_HOST)?;
        let host = decode_host(&rest[..at], rest[at])?;
        let path = &rest[at + 1..];
        match *end {
            HOST => path.is_empty().then_some(Self::Host(host)),
            PATTERN_ORDER => path.is_empty().then_some(Self::PatternOrder(host)),
            kind => Some(Self::Rules(host, Path::new(path, kind)?)),
        }
    }
}

fn decode_host(name: &[u8], kind: u8) -> Option<HostName> {
    let name = std::str::from_utf8(name).ok()?.to_owned();
    if name.len() > MOST_HOST_BYTES || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    match kind {
        EXACT_HOST => Some(HostName::Exact(name)),
        ONE_LABEL => Some(HostName::OneLabel(name)),
        SUFFIX => Some(HostName::Suffix(name)),
        ANY_HOST => name.is_empty().then_some(HostName::Any),
        _ => None,
    }
}

/// The hash of a key's bytes.
pub fn hash(hash_key: [u64; 2], key: &[u8]) -> u64 {
    let (end, rest) = key.split_last().unwrap_or((&0, b""));
    let mut hasher = KeyHasher::new(hash_key);
    hasher.write(rest);
    hasher.finish_with(*end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::MOST_ID_BYTES;

    #[test]
    fn key_is_read_as_it_was_written() {
        let hosts = [
            HostName::Exact("a.example".to_owned()),
            HostName::OneLabel("example".to_owned()),
            HostName::Suffix("example".to_owned()),
            HostName::Any,
        ];
        let paths = [
            Path::Exact("/".into()),
            Path::Exact("/a/".into()),
            Path::Prefix("".into()),
            Path::Prefix("/a".into()),
            Path::Pattern("".into()),
            Path::Pattern("(?i)^/a".into()),
        ];
        let rules = hosts.iter().flat_map(|host| paths.iter().map(|path| Key::Rules(host.clone(), path.clone())));
        let orders = hosts.iter().cloned().map(Key::PatternOrder);
        let keys: Vec<_> = hosts.iter().cloned().map(Key::Host).chain(rules).chain(orders).collect();
        let others = [Key::Default, Key::Backend("http://10.0.0.1:80".into()), Key::Certificate("0123abcd".into())];
        for key in keys.into_iter().chain(others) {
            assert_eq!(Key::decode(&key.encode()), Some(key));
        }
    }

    #[test]
    fn key_that_no_request_leads_to_is_none() {
        let host = |name: &str| Key::Host(HostName::Exact(name.to_owned()));
        let path = |path: Path| Key::Rules(HostName::Any, path);
        for key in [
            host("A.example"),
            host(&"a".repeat(MOST_HOST_BYTES + 1)),
            path(Path::Exact("a".into())),
            path(Path::Prefix("/".into())),
            path(Path::Prefix("/a/".into())),
            path(Path::Exact("/".repeat(MOST_PATH_BYTES + 1).into())),
            path(Path::Pattern("a".repeat(MAX_PATTERN_BYTES + 1).into())),
            Key::Certificate("".into()),
            Key::Certificate("a".repeat(MOST_ID_BYTES + 1).into()),
        ] {
            assert_eq!(Key::decode(&key.encode()), None, "{key:?}");
        }
        for bytes in [
            &b""[..],
            b"a",
            b"\xf8",
            b"a\xfb\xfe",
            b"a\xf8/\xfe",
            b"a\xf8/\xf5",
            b"\xfb/\xfc\xfc",
            b"\xc0\xff",
            b"\xfd",
        ] {
            assert_eq!(Key::decode(bytes), None, "{bytes:?}");
        }
    }
}
