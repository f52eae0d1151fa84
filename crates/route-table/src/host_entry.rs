//! What a table knows of a host, beside its rules.

use std::sync::Arc;

use crate::bytes::{ByteReader, ByteWriter};

/// What a table knows of a host, beside its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// What each request needs.
    pub facts: HostFacts,
    /// The id of its certificate.
    pub certificate: Option<Arc<str>>,
    /// What is asked of its clients over TLS.
    pub tls_class: TlsClass,
}

/// What the clients of a host are asked when they open a connection over TLS: a hash of it, by which the server of the frame is called that
/// asks it. 0 is what all are asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TlsClass(pub u128);

/// What each request needs to know of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own, and all are asked of each request")]
pub struct HostFacts {
    /// The listeners at which any of its rules is, a bit each.
    pub listeners: u64,
    /// Whether it is at all listeners, since it has no rules: its name is kept for its owner.
    pub is_everywhere: bool,
    /// Whether it gets no default.
    pub is_closed: bool,
    /// Whether its rules are in the table: else its requests are answered 503.
    pub is_carried: bool,
    /// Whether it has rules for exact paths.
    pub has_exact: bool,
    /// Whether it has rules for patterns.
    pub has_patterns: bool,
    /// Which numbers of slashes its prefixes have, a bit each, as [`crate::key::depth_bit`] has it.
    pub depths: u64,
    /// Bytes of its longest path.
    pub longest_path: u16,
}

impl HostFacts {
    /// What is known where both are so.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            listeners: self.listeners | other.listeners,
            is_everywhere: self.is_everywhere | other.is_everywhere,
            is_closed: self.is_closed | other.is_closed,
            is_carried: self.is_carried | other.is_carried,
            has_exact: self.has_exact | other.has_exact,
            has_patterns: self.has_patterns | other.has_patterns,
            depths: self.depths | other.depths,
            longest_path: self.longest_path.max(other.longest_path),
        }
    }

    /// Whether it is served at a listener.
    pub fn is_at(self, listener: u8) -> bool {
        self.is_everywhere || listener < 64 && self.listeners >> listener & 1 == 1
    }
}

impl HostEntry {
    /// Its bytes; none if something is too long.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let HostFacts {
            listeners,
            is_everywhere,
            is_closed,
            is_carried,
            has_exact,
            has_patterns,
            depths,
            longest_path,
        } = self.facts;
        let mut writer = ByteWriter::default();
        writer.u64(listeners);
        for flag in [is_everywhere, is_closed, is_carried, has_exact, has_patterns] {
            writer.bool(flag);
        }
        writer.u64(depths);
        writer.u16(longest_path);
        writer.option(self.certificate.as_deref(), ByteWriter::text);
        writer.u128(self.tls_class.0);
        writer.into_bytes()
    }

    /// What was written; none if it is not well-formed.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = ByteReader(bytes);
        let listeners = reader.u64()?;
        let (is_everywhere, is_closed) = (reader.bool()?, reader.bool()?);
        let is_carried = reader.bool()?;
        let (has_exact, has_patterns) = (reader.bool()?, reader.bool()?);
        let (depths, longest_path) = (reader.u64()?, reader.u16()?);
        let certificate = reader.option(|reader| reader.text().map(Arc::from))?;
        let tls_class = TlsClass(reader.u128()?);
        reader.end()?;
        let facts = HostFacts {
            listeners,
            is_everywhere,
            is_closed,
            is_carried,
            has_exact,
            has_patterns,
            depths,
            longest_path,
        };
        Some(Self { facts, certificate, tls_class })
    }
}
