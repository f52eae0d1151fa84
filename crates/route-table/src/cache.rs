//! What was decoded of blobs, so that each is checked and decoded once.

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::backend::Backend;
use crate::certificate::Certificate;
use crate::changes::Value;
use crate::host_entry::{HostEntry, HostFacts, TlsClass};
use crate::layout::Place;
use crate::path_rules::PathRules;
use crate::pattern_order::PatternOrder;

/// What connections over TLS to a host are opened with that has a certificate.
#[derive(Debug, PartialEq, Eq)]
pub struct HostHandshake {
    /// The id of its certificate.
    pub certificate: Arc<str>,
    pub tls_class: TlsClass,
}

/// What was decoded of a blob. It is small: a worker may keep tens of thousands.
#[derive(Debug, Clone)]
pub enum Decoded {
    Host(HostFacts, Option<Arc<HostHandshake>>),
    Rules(Arc<PathRules>),
    PatternOrder(Arc<PatternOrder>),
    /// The default is not carried.
    DefaultNotCarried,
    Backend(Arc<Backend>),
    Certificate(Arc<Certificate>),
}

impl From<Value> for Decoded {
    fn from(value: Value) -> Self {
        match value {
            Value::Host(HostEntry { facts, certificate, tls_class }) => {
                Self::Host(facts, certificate.map(|certificate| Arc::new(HostHandshake { certificate, tls_class })))
            }
            Value::Rules(rules) => Self::Rules(rules),
            Value::PatternOrder(order) => Self::PatternOrder(Arc::new(order)),
            Value::DefaultNotCarried => Self::DefaultNotCarried,
            Value::Backend(backend) => Self::Backend(Arc::new(backend)),
            Value::Certificate(certificate) => Self::Certificate(Arc::new(certificate)),
        }
    }
}

/// The bytes of a key: of most there is room for all beside what they lead to, so that looking at both costs one look into memory.
pub type KeyBytes = SmallVec<[u8; 32]>;

/// A blob that was decoded.
#[derive(Debug)]
pub struct Entry {
    /// The table of which it is known that it has this: how many were published until then.
    pub publications: u32,
    pub place: Place,
    /// Word 0 of the blob: with the place it names one blob, that of no other time.
    pub head: u64,
    pub key: KeyBytes,
    pub decoded: Decoded,
}

/// Entries are kept in chunks of so many, so that none is moved when there are more.
const CHUNK: usize = 64;

/// Where an entry is: its number, counted from one, and bits of the hash of its key, on which its slot does not depend. All zero where there
/// is none.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    tag: u32,
    number: u32,
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// An entry of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryNumber(u32);

/// Slots for entries, in pairs, each in that where the hash of its key says: of three that fall on one, the later stay. What is never asked for
/// takes no more than its slot, and looking for it costs one look into memory.
#[derive(Debug)]
pub struct Cache {
    slots: Box<[Slot]>,
    chunks: Vec<Vec<Entry>>,
}

impl Cache {
    /// At least so many slots.
    pub fn new(slots: usize) -> Self {
        let slots = slots.clamp(2, 1 << 24).next_power_of_two();
        Self { slots: vec![Slot::default(); slots].into(), chunks: Vec::new() }
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The slots of keys with this hash.
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are enough for a slot")]
    fn pair(&self, hash: u64) -> Range<usize> {
        let first = hash as usize & (self.slots.len() - 2);
        first..first + 2
    }

    /// The number of a slot's entry, if there is one.
    fn number(slot: Slot) -> Option<EntryNumber> {
        slot.number.checked_sub(1).map(EntryNumber)
    }

    /// The entry where this hash leads for which it holds.
    pub fn find(&self, hash: u64, holds: impl Fn(&Entry) -> bool) -> Option<EntryNumber> {
        let slots = self.slots[self.pair(hash)].iter().filter(|slot| slot.tag == tag(hash));
        slots.filter_map(|slot| Self::number(*slot)).find(|number| holds(self.entry(*number)))
    }

    /// An entry.
    pub fn entry(&self, EntryNumber(number): EntryNumber) -> &Entry {
        &self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }

    /// The same, to change it.
    pub fn entry_mut(&mut self, EntryNumber(number): EntryNumber) -> &mut Entry {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }

    /// Keeps an entry there, in place of the one that has its key, or of none, or of the older one.
    pub fn put(&mut self, hash: u64, entry: Entry) -> EntryNumber {
        let age = |at: &usize| match Self::number(self.slots[*at]).map(|number| self.entry(number)) {
            Some(other) if other.key == entry.key => (0, 0),
            None => (1, 0),
            Some(other) => (2, other.publications),
        };
        let pair = self.pair(hash);
        let at = pair.clone().min_by_key(age).unwrap_or(pair.start);
        let number = match Self::number(self.slots[at]) {
            Some(number) => {
                *self.entry_mut(number) = entry;
                number
            }
            None => self.push(entry),
        };
        self.slots[at] = Slot { tag: tag(hash), number: number.0 + 1 };
        number
    }

    fn push(&mut self, entry: Entry) -> EntryNumber {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = self.chunks.len() - 1;
        let chunk = &mut self.chunks[full];
        chunk.push(entry);
        // There are no more entries than slots.
        EntryNumber(u32::try_from(full * CHUNK + chunk.len() - 1).unwrap_or(u32::MAX))
    }
}
