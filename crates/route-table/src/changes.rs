//! Records of what changes in a table: what the generator writes, and the supervisor of nginx applies.
//!
//! ```text
//! magic (8 bytes)  version (4)  bytes of the body (4)  checksum of the body (4)
//! body: whether there is a base (1), base (8), revision (8), then for each change:
//!       bytes of the key (2), key, whether there is a value (1), bytes of the value (4), value
//! ```
//!
//! Records may stand one behind the other in a file: a whole table, and what changed since. One that was cut off is told from
//! one that is damaged, so that a reader can wait for the rest.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use pattern_engine::CompiledPatterns;
use thiserror::Error;

use crate::backend::Backend;
use crate::bytes::{ByteReader, ByteWriter};
use crate::certificate::Certificate;
use crate::host_entry::HostEntry;
use crate::key::{Key, Path};
use crate::layout::{MOST_BLOB_BYTES, VERSION};
use crate::path_rules::PathRules;
use crate::pattern_order::PatternOrder;
use crate::root::Revision;

const MAGIC: u64 = u64::from_le_bytes(*b"SPARROWC");
const HEAD_BYTES: usize = 20;
/// The value of a default that is not carried.
pub const DEFAULT_NOT_CARRIED: &[u8] = &[2];

/// What changes from one revision of a table to the next, or all of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The revision that is changed. Without one these are all of the table: whatever else was there goes.
    pub base: Option<Revision>,
    /// The revision that it becomes.
    pub revision: Revision,
    /// The changes, in any order; of several of one key the last counts.
    pub changes: Vec<Change>,
}

/// A key, and the value that it gets.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    pub(crate) key: Box<[u8]>,
    /// None if the key goes.
    pub(crate) value: Option<Box<[u8]>>,
}

impl fmt::Debug for Change {
    /// Without the value, which may have the key of a certificate.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.value.as_ref().map(|value| value.len());
        f.debug_struct("Change").field("key", &Key::decode(&self.key)).field("value_bytes", &bytes).finish()
    }
}

/// A value that fits its key, for readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Host(HostEntry),
    Rules(Arc<PathRules>),
    PatternOrder(PatternOrder),
    /// The default is not carried.
    DefaultNotCarried,
    Backend(Backend),
    Certificate(Certificate),
}

impl Value {
    /// The value of a key; none if it is not well-formed.
    pub fn decode(key: Key, bytes: &[u8], patterns: &mut CompiledPatterns) -> Option<Self> {
        match key {
            Key::Host(_) => HostEntry::decode(bytes).map(Self::Host),
            Key::Rules(_, path) => PathRules::decode(path, bytes, patterns).map(Arc::new).map(Self::Rules),
            Key::PatternOrder(_) => PatternOrder::decode(bytes, patterns).map(Self::PatternOrder),
            Key::Default if bytes == DEFAULT_NOT_CARRIED => Some(Self::DefaultNotCarried),
            Key::Default => PathRules::decode_default(bytes, patterns).map(Arc::new).map(Self::Rules),
            Key::Backend(name) => Backend::decode(name, bytes).map(Self::Backend),
            Key::Certificate(_) => Certificate::decode(bytes).map(Self::Certificate),
        }
    }
}

impl PathRules {
    /// Decodes the default: its path, then as the others.
    fn decode_default(bytes: &[u8], patterns: &mut CompiledPatterns) -> Option<Self> {
        let mut reader = ByteReader(bytes);
        let (kind, text) = (reader.u8()?, reader.text()?.as_bytes());
        Self::decode(Path::new(text, kind)?, reader.0, patterns)
    }
}

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Its end is missing.
    #[error("the record of a route table is not complete")]
    Incomplete,
    /// It is of a program of another version.
    #[error("the record of a route table has the version {0}, and this program reads {VERSION}")]
    OtherVersion(u32),
    /// It is none, or damaged.
    #[error("the record of a route table is damaged")]
    Damaged,
}

impl Change {
    /// A key gets a value.
    pub(crate) fn put(key: &Key, value: Vec<u8>) -> Self {
        Self { key: key.encode().into(), value: Some(value.into()) }
    }

    /// A key goes.
    pub(crate) fn remove(key: &Key) -> Self {
        Self { key: key.encode().into(), value: None }
    }

    fn decode(reader: &mut ByteReader<'_>, patterns: &mut CompiledPatterns) -> Option<Self> {
        let key_len = reader.u16()?;
        let key = reader.raw(usize::from(key_len))?;
        let known = Key::decode(key)?;
        let value = reader.option(|reader| {
            let len = usize::try_from(reader.u32()?).ok()?;
            reader.raw(len)
        })?;
        if let Some(value) = value {
            Value::decode(known, value, patterns)?;
            (2 + key.len() + value.len() <= MOST_BLOB_BYTES).then_some(())?;
        }
        Some(Self { key: key.into(), value: value.map(Box::from) })
    }

    /// What the blob of a key and its value has.
    pub(crate) fn blob(key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut writer = ByteWriter::default();
        writer.len16(key.len());
        writer.raw(key);
        writer.raw(value);
        writer.into_bytes().unwrap_or_default()
    }

    /// Key and value of such a blob; none if it is not one.
    pub(crate) fn split_blob(blob: &[u8]) -> Option<(&[u8], &[u8])> {
        let mut reader = ByteReader(blob);
        let len = reader.u16()?;
        let key = reader.raw(usize::from(len))?;
        Some((key, reader.0))
    }
}

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.base.is_some() && self.changes.is_empty()
    }

    /// Adds changes that come later: of each key the last one stays.
    pub fn merge(&mut self, later: Vec<Change>) {
        let mut places: HashMap<Box<[u8]>, usize> =
            self.changes.iter().enumerate().map(|(place, change)| (change.key.clone(), place)).collect();
        for change in later {
            match places.get(&change.key) {
                Some(place) => self.changes[*place] = change,
                None => {
                    places.insert(change.key.clone(), self.changes.len());
                    self.changes.push(change);
                }
            }
        }
    }

    /// How many bytes the record has.
    pub fn encoded_bytes(&self) -> usize {
        let of_change =
            |change: &Change| 3 + change.key.len() + change.value.as_ref().map_or(0, |value| 4 + value.len());
        HEAD_BYTES + 17 + self.changes.iter().map(of_change).sum::<usize>()
    }

    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = ByteWriter::default();
        body.bool(self.base.is_some());
        body.u64(self.base.unwrap_or_default().0);
        body.u64(self.revision.0);
        for Change { key, value } in &self.changes {
            body.len16(key.len());
            body.raw(key);
            body.option(value.as_deref(), |body, value| {
                body.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
                body.raw(value);
            });
        }
        Self::seal(&body.into_bytes().unwrap_or_default())
    }

    /// A record with this body, whatever is in it.
    pub fn seal(body: &[u8]) -> Vec<u8> {
        let mut record = ByteWriter::default();
        record.u64(MAGIC);
        record.u32(VERSION);
        record.u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
        record.u32(crc32fast::hash(body));
        record.raw(body);
        record.into_bytes().unwrap_or_default()
    }

    /// Reads the record with which the bytes begin, and says how many it takes. Every key and every value in it is well-formed.
    ///
    /// # Errors
    /// It is not complete, of another version, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), RecordError> {
        let mut head = ByteReader(bytes);
        let magic = head.u64().ok_or(RecordError::Incomplete)?;
        let version = head.u32().ok_or(RecordError::Incomplete)?;
        if magic != MAGIC {
            return Err(RecordError::Damaged);
        }
        if version != VERSION {
            return Err(RecordError::OtherVersion(version));
        }
        let (Some(len), Some(checksum)) = (head.u32(), head.u32()) else { return Err(RecordError::Incomplete) };
        let len = usize::try_from(len).map_err(|_| RecordError::Damaged)?;
        let body = head.raw(len).ok_or(RecordError::Incomplete)?;
        if crc32fast::hash(body) != checksum {
            return Err(RecordError::Damaged);
        }
        let changes = Self::decode_body(body).ok_or(RecordError::Damaged)?;
        Ok((changes, HEAD_BYTES + len))
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        let mut reader = ByteReader(body);
        let base = (reader.bool()?, Revision(reader.u64()?));
        // Of each record there is one form.
        (base.0 || base.1 == Revision::default()).then_some(())?;
        let revision = Revision(reader.u64()?);
        let (mut changes, mut patterns) = (Vec::new(), CompiledPatterns::default());
        while reader.end().is_none() {
            changes.push(Change::decode(&mut reader, &mut patterns)?);
        }
        Some(Self { base: base.0.then_some(base.1), revision, changes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::PREFIX;

    fn changes() -> Changes {
        let default = Change::put(&Key::Default, vec![PREFIX, 0, 0, 0, 0]);
        let changes = vec![default, Change::remove(&Key::Backend("http://10.0.0.1:80".into()))];
        Changes { base: Some(Revision(6)), revision: Revision(7), changes }
    }

    #[test]
    fn record_is_read_as_it_was_written_with_what_is_behind_it() {
        let record = changes().encode();
        let two = [record.clone(), record.clone()].concat();
        assert_eq!(Changes::decode(&two), Ok((changes(), record.len())));
    }

    #[test]
    fn record_has_the_bytes_that_are_counted() {
        assert_eq!(changes().encoded_bytes(), changes().encode().len());
    }

    #[test]
    fn last_change_of_a_key_stays() {
        let mut merged = changes();
        let removed = Change::remove(&Key::Default);
        merged.merge(vec![Change::put(&Key::Default, vec![1]), removed.clone()]);
        assert_eq!(merged.changes, [removed, changes().changes[1].clone()]);
    }

    #[test]
    fn record_without_its_end_is_incomplete() {
        let record = changes().encode();
        for len in 0..record.len() {
            assert_eq!(Changes::decode(&record[..len]), Err(RecordError::Incomplete), "{len}");
        }
    }

    #[test]
    fn record_with_one_bit_flipped_is_never_read() {
        let record = changes().encode();
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Changes::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn value_that_does_not_fit_its_key_is_damaged() {
        let put = |key: &Key, value: &[u8]| {
            let changes = vec![Change::put(key, value.to_vec())];
            Changes::decode(&Changes { base: None, revision: Revision(1), changes }.encode())
        };
        assert!(put(&Key::Default, &[PREFIX, 0, 0, 0, 0]).is_ok());
        for value in [&b""[..], &[PREFIX, 0, 0, 1, 0], &[PREFIX, 0, 0, 0, 0, 0], &[2, 0, 0, 0, 0], &[3]] {
            assert_eq!(put(&Key::Default, value), Err(RecordError::Damaged), "{value:?}");
            assert_eq!(put(&Key::Backend("a".into()), value), Err(RecordError::Damaged), "{value:?}");
        }
    }
}
