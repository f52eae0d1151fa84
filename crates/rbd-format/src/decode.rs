//! Ceph's primitive encodings (`src/include/encoding.h`): little-endian integers, `u32` length prefixes, and versioned
//! structures.

use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::Name;
use crate::id::id;

/// Why bytes could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The value ends too early, or a length in it points past its end.
    #[error("{what}: needs {needed_bytes} more bytes, {left_bytes} are left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes that reading it takes at least.
        needed_bytes: u64,
        /// Bytes that are left of the value or of the structure around it.
        left_bytes: usize,
    },
    /// The structure was written by a Ceph release newer than what is understood here, and says that an older reader
    /// must not guess.
    #[error("{what}: written for readers of version {compat} or newer, this one knows version {known}")]
    Unsupported {
        /// The structure's name.
        what: &'static str,
        /// The oldest version whose readers understand it.
        compat: u8,
        /// The newest version known here.
        known: u8,
    },
    /// A key is not there without which an image cannot be described, for example because its removal was begun.
    #[error("the image header has no key {0:?}; the image may be partly removed")]
    Missing(&'static str),
    /// The bytes decode to a value that cannot be.
    #[error("{what}: {reason}")]
    Invalid {
        /// What was being read.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Any of the above, with the omap key or attribute whose value it concerns.
    #[error("key {key}: {source}")]
    AtKey {
        /// The key, for people (not reversible when it is not UTF-8).
        key: Name,
        /// What is wrong with its value.
        source: Box<DecodeError>,
    },
}

impl DecodeError {
    /// Names the key in whose value the error lies.
    pub(crate) fn at_key(self, key: &[u8]) -> Self {
        Self::AtKey { key: Name::from(key), source: Box::new(self) }
    }
}

pub(crate) type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// A moment as Ceph's `utime_t` keeps it: since 1970-01-01 UTC, to 2106.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds.
    pub seconds: u32,
    /// Nanoseconds on top; a value of 1,000,000,000 or more is not rejected and carries over in [`Timestamp::to_system_time`].
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The same moment as the standard library has it.
    pub fn to_system_time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::new(u64::from(self.seconds), self.nanoseconds)
    }

    /// `None` for zero, which is how Ceph says that no time was recorded.
    pub(crate) fn recorded(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

/// The version bytes of a structure (`ENCODE_START` in Ceph).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Version {
    /// The version it was written in.
    pub written: u8,
    /// The oldest version whose readers understand it.
    pub compat: u8,
}

/// A position in a value. Reading past the end is an error; the position never passes it.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    left: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(value: &'a [u8]) -> Self {
        Self { left: value }
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8]> {
        let Some((taken, left)) = self.left.split_at_checked(len) else {
            return Err(DecodeError::Truncated { what, needed_bytes: len as u64, left_bytes: self.left.len() });
        };
        self.left = left;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let Some((taken, left)) = self.left.split_first_chunk::<N>() else {
            return Err(DecodeError::Truncated { what, needed_bytes: N as u64, left_bytes: self.left.len() });
        };
        self.left = left;
        Ok(*taken)
    }

    pub fn u8(&mut self, what: &'static str) -> Result<u8> {
        self.array(what).map(|[byte]| byte)
    }

    pub fn u16(&mut self, what: &'static str) -> Result<u16> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub fn u32(&mut self, what: &'static str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, what: &'static str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    pub fn i64(&mut self, what: &'static str) -> Result<i64> {
        self.array(what).map(i64::from_le_bytes)
    }

    /// Any byte but zero is true, as in Ceph.
    pub fn bool(&mut self, what: &'static str) -> Result<bool> {
        self.u8(what).map(|byte| byte != 0)
    }

    pub fn optional_u64(&mut self, what: &'static str) -> Result<Option<u64>> {
        if self.bool(what)? { self.u64(what).map(Some) } else { Ok(None) }
    }

    /// A string, borrowed: nothing is allocated for its length prefix.
    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let len = self.u32(what)?;
        let too_long = DecodeError::Truncated { what, needed_bytes: u64::from(len), left_bytes: self.left.len() };
        let Ok(len) = usize::try_from(len) else { return Err(too_long) };
        self.take(len, what)
    }

    pub fn name(&mut self, what: &'static str) -> Result<Name> {
        self.bytes(what).map(Name::from)
    }

    /// A string that Ceph itself generates, so that it is ASCII unless the record is damaged.
    pub fn text(&mut self, what: &'static str) -> Result<String> {
        text(self.bytes(what)?, what)
    }

    /// The id of an image or a group.
    pub fn id(&mut self, what: &'static str) -> Result<String> {
        id(self.bytes(what)?, what)
    }

    /// The same where none is written as an empty one.
    pub fn optional_id(&mut self, what: &'static str) -> Result<String> {
        let bytes = self.bytes(what)?;
        if bytes.is_empty() { Ok(String::new()) } else { id(bytes, what) }
    }

    pub fn timestamp(&mut self, what: &'static str) -> Result<Timestamp> {
        Ok(Timestamp { seconds: self.u32(what)?, nanoseconds: self.u32(what)? })
    }

    /// A list, set or map: a `u32` count, then the items, read by `item`. `min_item_bytes` is what an item takes at
    /// least: a count that cannot fit into what is left is rejected before anything is allocated.
    pub fn list<T>(
        &mut self,
        what: &'static str,
        min_item_bytes: usize,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.u32(what)?;
        let needed_bytes = u64::from(count).saturating_mul(min_item_bytes as u64);
        if needed_bytes > self.left.len() as u64 {
            return Err(DecodeError::Truncated { what, needed_bytes, left_bytes: self.left.len() });
        }
        (0..count).map(|_| item(self)).collect()
    }

    /// Enters a versioned structure: its version and a cursor over its content alone. This cursor is then behind it,
    /// so content that a newer version added is skipped.
    ///
    /// # Errors
    /// `Unsupported` when the structure demands readers newer than `known`.
    pub fn structure(&mut self, what: &'static str, known: u8) -> Result<(Version, Cursor<'a>)> {
        let written = self.u8(what)?;
        let compat = self.u8(what)?;
        if compat > known {
            return Err(DecodeError::Unsupported { what, compat, known });
        }
        let content = self.bytes(what)?;
        Ok((Version { written, compat }, Cursor::new(content)))
    }
}

/// Bytes that Ceph generates as ASCII.
pub(crate) fn text(bytes: &[u8], what: &'static str) -> Result<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(DecodeError::Invalid { what, reason: "is not UTF-8" }),
    }
}

/// The number in a key such as `snapshot_000000000000001f`: 16 lower-case hexadecimal digits, which is how Ceph writes
/// them so that keys sort by number.
pub(crate) fn hex_id(digits: &[u8], what: &'static str) -> Result<u64> {
    let invalid = DecodeError::Invalid { what, reason: "is not 16 hexadecimal digits" };
    if digits.len() != 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(invalid);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| invalid.clone())?;
    u64::from_str_radix(digits, 16).map_err(|_| invalid)
}
