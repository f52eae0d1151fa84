//! What was decoded of blobs, so that each is checked and decoded once.

use std::sync::Arc;

use crate::backend::Backend;
use crate::certificate::Certificate;
use crate::changes::Value;
use crate::host_entry::HostEntry;
use crate::layout::Place;
use crate::path_rules::PathRules;
use crate::pattern_order::PatternOrder;

/// What was decoded of a blob.
#[derive(Debug, Clone)]
pub enum Decoded {
    Host(HostEntry),
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
            Value::Host(host) => Self::Host(host),
            Value::Rules(rules) => Self::Rules(Arc::new(rules)),
            Value::PatternOrder(order) => Self::PatternOrder(Arc::new(order)),
            Value::DefaultNotCarried => Self::DefaultNotCarried,
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

/// Slots for them, each where its place says: of two that fall on one, the later stays. What is never asked for takes no more than
/// its slot.
#[derive(Debug)]
pub struct Cache {
    slots: Box<[Option<Box<Entry>>]>,
}

impl Cache {
    /// At least so many slots.
    pub fn new(slots: usize) -> Self {
        let slots = slots.clamp(1, 1 << 24).next_power_of_two();
        Self { slots: (0..slots).map(|_| None).collect() }
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The slot of a blob.
    fn slot(&self, place: Place) -> usize {
        // Places of blobs are powers of two apart: their low bits alone would fall together.
        let mixed = u64::from(place.0).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        usize::try_from(mixed).unwrap_or(0) & (self.slots.len() - 1)
    }

    /// Where the entry of a blob is, if it is kept.
    pub fn find(&self, place: Place, head: u64) -> Option<Kept> {
        let slot = self.slot(place);
        let entry = self.slots[slot].as_ref()?;
        (entry.place == place && entry.head == head).then_some(Kept(slot))
    }

    /// The entry that was found, or put.
    pub fn entry(&self, Kept(slot): Kept) -> Option<&Entry> {
        self.slots[slot].as_deref()
    }

    /// Keeps an entry.
    pub fn put(&mut self, entry: Entry) -> Kept {
        let slot = self.slot(entry.place);
        self.slots[slot] = Some(Box::new(entry));
        Kept(slot)
    }
}

/// Where an entry is kept, until another is put.
#[derive(Debug, Clone, Copy)]
pub struct Kept(usize);
