//! What was counted of the requests of each route, in memory beside the table: workers write it, and the supervisor reads it.
//!
//! ```text
//! 0 MAGIC   1 version   2 slots   3 most routes   4, 5 key of the hash   6 checksum of 0 to 5   8 routes that have a slot
//! 16… a hash for each slot (0 free, 1 buried): first those of all other routes and of none, then one for each route, near where its hash says
//! … slots of 72 words: 0 bytes of the name, from when it stands there   1… counts   30… name
//! ```
//!
//! Each count is one addition to one word. A worker that ends anywhere leaves counts that are right, less a part of its last request; if
//! it ends while it takes a slot, whoever comes next for the route goes on with that.

use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::key_hash::KeyHasher;
use crate::layout::load;
use crate::route_totals::{BUCKETS, CountedRequest, RouteTotals, STATUS_CLASSES};

/// `SPARROWC`.
const MAGIC: u64 = u64::from_le_bytes(*b"SPARROWC");
/// Readers take no other.
const VERSION: u64 = 2;

const AT_SLOTS: usize = 2;
const AT_MOST: usize = 3;
const AT_KEY: usize = 4;
const AT_CHECKSUM: usize = 6;
/// Changes, in a cache line of its own.
const AT_USED: usize = 8;
const AT_HASHES: usize = 16;

const SLOT_WORDS: usize = 72;
const AT_NAME_BYTES: usize = 0;
const AT_COUNTS: usize = 1;
const AT_NAME: usize = 30;
/// The longest name of a route that has a slot of its own: an Ingress's namespace and name are shorter.
const MOST_NAME_BYTES: usize = (SLOT_WORDS - AT_NAME) * 8;

/// What is counted of a route, in this order, by status class and by bucket.
const ABORTED: usize = STATUS_CLASSES.len();
const SENT: usize = ABORTED + 1;
const RECEIVED: usize = SENT + 1;
const RETRIES: usize = RECEIVED + 1;
const MILLISECONDS: usize = RETRIES + 1;
const FIRST_BUCKET: usize = MILLISECONDS + 1;
const _: () = assert!(AT_COUNTS + FIRST_BUCKET + BUCKETS <= AT_NAME);

/// A slot that nobody has.
const FREE: u64 = 0;
/// One that was taken from its route, and to which a worker may still add.
const BURIED: u64 = 1;

/// The slot of all routes that have none, and that of requests without a route.
const OTHER: usize = 0;
const NONE: usize = 1;
const RESERVED: [(usize, &str); 2] = [(OTHER, "other"), (NONE, "none")];

/// So many slots are looked at for a route.
const WINDOW: usize = 16;
/// So many slots are there for each route, so that few are looked at.
const SLOTS_A_ROUTE: usize = 4;
/// The most routes that can have one.
pub const MOST_COUNTED_ROUTES: u32 = 100_000;

/// Counts of routes in a memory.
#[derive(Debug)]
pub struct RouteCounts<M> {
    memory: M,
    slots: usize,
    most: u64,
    key: [u64; 2],
}

/// A slot that a route has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsedSlot {
    pub index: usize,
    pub hash: u64,
    /// Empty while it does not stand there.
    pub name: String,
}

/// Why a memory has no counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CountsError {
    /// They do not begin there, or are of another version.
    #[error("the memory holds no counts of this version")]
    NoCounts,
    /// The memory is too short.
    #[error("the counts do not fit into the memory")]
    Short,
}

impl<M: AsRef<[AtomicU64]>> RouteCounts<M> {
    /// Bytes of the memory for so many routes.
    pub fn bytes(most: u32) -> u64 {
        (words_for(slots_for(most)) * 8) as u64
    }

    /// Counts nothing so far, in a memory of zeros, of so many routes each for itself. The key is random.
    ///
    /// # Errors
    /// The memory is too short.
    pub fn create(memory: M, most: u32, key: [u64; 2]) -> Result<Self, CountsError> {
        let slots = slots_for(most);
        let header = [MAGIC, VERSION, slots as u64, most.into(), key[0], key[1]];
        let words = memory.as_ref();
        if words.len() < words_for(slots) {
            return Err(CountsError::Short);
        }
        for (word, value) in words.iter().zip(header.into_iter().chain([checksum(header)])) {
            word.store(value, Ordering::Relaxed);
        }
        Ok(Self { memory, slots, most: most.into(), key })
    }

    /// The counts that are in a memory.
    ///
    /// # Errors
    /// There are none.
    pub fn open(memory: M) -> Result<Self, CountsError> {
        let words = memory.as_ref();
        let mut header = [0; AT_CHECKSUM];
        for (index, value) in header.iter_mut().enumerate() {
            *value = load(words, index).ok_or(CountsError::NoCounts)?;
        }
        let is_whole = load(words, AT_CHECKSUM) == Some(checksum(header));
        if !is_whole || header[..AT_SLOTS] != [MAGIC, VERSION] {
            return Err(CountsError::NoCounts);
        }
        let slots = usize::try_from(header[AT_SLOTS]).map_err(|_| CountsError::Short)?;
        if slots > words.len() || words_for(slots) > words.len() {
            return Err(CountsError::Short);
        }
        Ok(Self { memory, slots, most: header[AT_MOST], key: [header[AT_KEY], header[AT_KEY + 1]] })
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Adds a request to what was counted of its route; without a name, of no route.
    pub fn add(&self, route: &[u8], request: CountedRequest) {
        let slot = if route.is_empty() { NONE } else { self.slot_of(route).unwrap_or(OTHER) };
        let CountedRequest { status, duration_ms, sent_bytes, received_bytes, retries } = request;
        let add = |count: usize, number: u64| {
            if number > 0
                && let Some(word) = self.word(slot, AT_COUNTS + count)
            {
                word.fetch_add(number, Ordering::Relaxed);
            }
        };
        add(RouteTotals::class(status), 1);
        add(ABORTED, RouteTotals::is_aborted(status).into());
        add(SENT, sent_bytes);
        add(RECEIVED, received_bytes);
        add(RETRIES, retries);
        add(MILLISECONDS, duration_ms);
        add(FIRST_BUCKET + RouteTotals::bucket(duration_ms), 1);
    }

    /// What was counted, by route, the reserved names among them.
    pub fn read(&self) -> Vec<RouteTotals> {
        let reserved = RESERVED.map(|(slot, name)| self.totals(slot, name.to_owned()));
        let used = self.used().into_iter().filter(|slot| is_name(&slot.name));
        let mut all: Vec<RouteTotals> =
            reserved.into_iter().chain(used.map(|slot| self.totals(slot.index, slot.name))).collect();
        all.sort_by(|one, other| one.route.cmp(&other.route));
        // One that was taken from its route while another worker looked for it may have two.
        all.dedup_by(|other, one| {
            let is_same = one.route == other.route;
            if is_same {
                one.add(other);
            }
            is_same
        });
        all
    }

    fn word(&self, slot: usize, index: usize) -> Option<&AtomicU64> {
        self.memory.as_ref().get(first_slot(self.slots) + slot * SLOT_WORDS + index)
    }

    /// The hash of the route that has a slot.
    fn hash_of(&self, slot: usize) -> Option<&AtomicU64> {
        self.memory.as_ref().get(AT_HASHES + slot)
    }

    fn load(&self, slot: usize, index: usize) -> u64 {
        self.word(slot, index).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// The slot of a route, which gets one if there is room.
    fn slot_of(&self, route: &[u8]) -> Option<usize> {
        if self.slots == 0 || route.len() > MOST_NAME_BYTES {
            return None;
        }
        let hash = self.hash(route);
        let home = usize::try_from(hash % self.slots as u64).ok()?;
        let window = || (0..WINDOW.min(self.slots)).map(|step| RESERVED.len() + (home + step) % self.slots);
        // Another worker may take the one that was free, for the same route or another.
        for _ in 0..WINDOW {
            let mut free = None;
            for slot in window() {
                match self.hash_of(slot)?.load(Ordering::Acquire) {
                    word if word == hash => {
                        self.name(slot, route);
                        return Some(slot);
                    }
                    FREE if free.is_none() => free = Some(slot),
                    _ => {}
                }
            }
            if self.take(free?, hash)? {
                return free.inspect(|slot| self.name(*slot, route));
            }
        }
        None
    }

    fn hash(&self, route: &[u8]) -> u64 {
        let mut hasher = KeyHasher::new(self.key);
        hasher.write(route);
        hasher.finish_with(u8::MAX).max(BURIED + 1)
    }

    /// Whether a free slot is now that of a hash; none if no route may have one more.
    fn take(&self, slot: usize, hash: u64) -> Option<bool> {
        let used = self.memory.as_ref().get(AT_USED)?;
        if used.fetch_add(1, Ordering::Relaxed) >= self.most {
            used.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let taken = self.hash_of(slot)?.compare_exchange(FREE, hash, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if !taken {
            used.fetch_sub(1, Ordering::Relaxed);
        }
        Some(taken)
    }

    /// Writes the name of a slot, if it does not stand there: whoever does writes the same.
    fn name(&self, slot: usize, route: &[u8]) {
        if self.load(slot, AT_NAME_BYTES) != 0 {
            return;
        }
        for (index, chunk) in route.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            if let Some(at) = self.word(slot, AT_NAME + index) {
                at.store(u64::from_le_bytes(word), Ordering::Relaxed);
            }
        }
        if let Some(at) = self.word(slot, AT_NAME_BYTES) {
            at.store(route.len() as u64, Ordering::Release);
        }
    }

    fn name_of(&self, slot: usize) -> String {
        let bytes = self.word(slot, AT_NAME_BYTES).map_or(0, |word| word.load(Ordering::Acquire));
        let len = usize::try_from(bytes).unwrap_or(0).min(MOST_NAME_BYTES);
        let words = (0..len.div_ceil(8)).flat_map(|index| self.load(slot, AT_NAME + index).to_le_bytes());
        String::from_utf8(words.take(len).collect()).unwrap_or_default()
    }

    fn totals(&self, slot: usize, route: String) -> RouteTotals {
        let count = |index: usize| self.load(slot, AT_COUNTS + index);
        RouteTotals {
            route,
            by_class: std::array::from_fn(count),
            aborted: count(ABORTED),
            sent_bytes: count(SENT),
            received_bytes: count(RECEIVED),
            retries: count(RETRIES),
            duration_ms: count(MILLISECONDS),
            by_bucket: std::array::from_fn(|bucket| count(FIRST_BUCKET + bucket)),
        }
    }

    /// The slots that routes have.
    pub(crate) fn used(&self) -> Vec<UsedSlot> {
        let hash = |index: usize| self.hash_of(index).map_or(FREE, |word| word.load(Ordering::Relaxed));
        let slots = (RESERVED.len()..).take(self.slots).map(|index| (index, hash(index)));
        let used = slots.filter(|(_, hash)| *hash > BURIED);
        used.map(|(index, hash)| UsedSlot { index, hash, name: self.name_of(index) }).collect()
    }

    /// Takes a slot from its route. Whether it was still its.
    pub(crate) fn bury(&self, slot: &UsedSlot) -> bool {
        let word = self.hash_of(slot.index);
        word.is_some_and(|word| word.compare_exchange(slot.hash, BURIED, Ordering::AcqRel, Ordering::Relaxed).is_ok())
    }

    /// Lets another route have a slot that was buried.
    pub(crate) fn free(&self, index: usize) {
        for at in (0..SLOT_WORDS).filter_map(|at| self.word(index, at)) {
            at.store(0, Ordering::Relaxed);
        }
        if let Some(word) = self.hash_of(index) {
            word.store(FREE, Ordering::Release);
        }
    }

    /// Says how many routes have a slot: a worker that ended while it took one may have counted it for nothing.
    pub(crate) fn set_used(&self, used: usize) {
        if let Some(word) = self.memory.as_ref().get(AT_USED) {
            word.store(used as u64, Ordering::Relaxed);
        }
    }
}

fn slots_for(most: u32) -> usize {
    most.min(MOST_COUNTED_ROUTES) as usize * SLOTS_A_ROUTE
}

/// Where the slots begin: with a cache line.
fn first_slot(slots: usize) -> usize {
    (AT_HASHES + slots + RESERVED.len()).next_multiple_of(8)
}

/// Words of a memory with so many slots.
fn words_for(slots: usize) -> usize {
    first_slot(slots) + (slots + RESERVED.len()) * SLOT_WORDS
}

fn checksum(header: [u64; AT_CHECKSUM]) -> u64 {
    let bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    u64::from(crc32fast::hash(&bytes))
}

/// Whether a name is one that a route can have: whoever runs nginx can write anything.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -_./".contains(&byte))
}
