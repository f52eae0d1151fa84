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
            Value::Rules(rules) => Self::Rules(Arc::new(rules)),
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

/// Bits of a hash, of which its slot depends on none.
fn tag(hash: u64) -> u8 {
    hash.to_be_bytes()[0]
}

/// Slots for them, in pairs, each in that where the hash of its key says: of three that fall on one, the later stay. What is never asked for
/// takes no more than its slot.
#[derive(Debug)]
pub struct Cache {
    slots: Box<[Option<Box<Entry>>]>,
    /// Of each slot some bits of the hash of its key. There are few of them, so that looking for what is not there costs little.
    tags: Box<[u8]>,
}

impl Cache {
    /// At least so many slots.
    pub fn new(slots: usize) -> Self {
        let slots = slots.clamp(2, 1 << 24).next_power_of_two();
        Self { slots: (0..slots).map(|_| None).collect(), tags: vec![0; slots].into() }
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

    /// The entry where this hash leads for which it holds.
    pub fn find(&self, hash: u64, holds: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        let at =
            self.pair(hash).find(|at| self.tags[*at] == tag(hash) && self.slots[*at].as_deref().is_some_and(&holds))?;
        self.slots[at].as_deref()
    }

    /// The same, to change it.
    pub fn find_mut(&mut self, hash: u64, holds: impl Fn(&Entry) -> bool) -> Option<&mut Entry> {
        let pair = self.pair(hash);
        self.slots[pair].iter_mut().flatten().find(|entry| holds(entry)).map(Box::as_mut)
    }

    /// Keeps an entry there, in place of the one that has its key, or of none, or of the older one.
    pub fn put(&mut self, hash: u64, entry: Entry) {
        let age = |at: &usize| match &self.slots[*at] {
            Some(other) if other.key == entry.key => (0, 0),
            None => (1, 0),
            Some(other) => (2, other.publications),
        };
        if let Some(at) = self.pair(hash).min_by_key(age) {
            self.tags[at] = tag(hash);
            self.slots[at] = Some(Box::new(entry));
        }
    }
}
