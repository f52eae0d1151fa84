//! What was decoded of blobs, so that each is checked and decoded once.

use std::sync::Arc;

use crate::backend::Backend;
use crate::certificate::Certificate;
use crate::changes::Value;
use crate::host_entry::HostEntry;
use crate::layout::Place;
use crate::path_rules::PathRules;

/// What was decoded of a blob.
#[derive(Debug, Clone)]
pub enum Decoded {
    Host(HostEntry),
    Rules(Arc<PathRules>),
    /// The default is left to the frame.
    DefaultInFrame,
    Backend(Arc<Backend>),
    Certificate(Arc<Certificate>),
}

impl From<Value> for Decoded {
    fn from(value: Value) -> Self {
        match value {
            Value::Host(host) => Self::Host(host),
            Value::Rules(rules) => Self::Rules(Arc::new(rules)),
            Value::DefaultInFrame => Self::DefaultInFrame,
            Value::Backend(backend) => Self::Backend(Arc::new(backend)),
            Value::Certificate(certificate) => Self::Certificate(Arc::new(certificate)),
        }
    }
}

/// A blob that was decoded.
#[derive(Debug)]
pub struct Entry {
    pub place: Place,
    /// Word 0 of the blob: with the place it names one blob, that of no other time.
    pub head: u64,
    /// The bytes of its key.
    pub key: Box<[u8]>,
    pub decoded: Decoded,
}

/// A fixed number of them, each where its place says: of two that fall on one, the later stays.
#[derive(Debug)]
pub struct Cache {
    entries: Box<[Option<Entry>]>,
}

impl Cache {
    /// Room for at least so many.
    pub fn new(entries: usize) -> Self {
        let entries = entries.clamp(1, 1 << 24).next_power_of_two();
        Self { entries: (0..entries).map(|_| None).collect() }
    }

    fn index(&self, place: Place) -> usize {
        // Places of blobs are powers of two apart: their low bits alone would fall together.
        let mixed = u64::from(place.0).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        usize::try_from(mixed).unwrap_or(0) & (self.entries.len() - 1)
    }

    /// The entry of a blob.
    pub fn get(&self, place: Place, head: u64) -> Option<&Entry> {
        self.entries[self.index(place)].as_ref().filter(|entry| (entry.place, entry.head) == (place, head))
    }

    /// Keeps an entry.
    pub fn put(&mut self, entry: Entry) -> &Entry {
        let index = self.index(entry.place);
        self.entries[index].insert(entry)
    }
}
