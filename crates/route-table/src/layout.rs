//! Where things are in the memory, in words of eight bytes.
//!
//! ```text
//! 0 MAGIC   1 version   2 words in all   3, 4 key of the hash   5 checksum of 0 to 4
//! 8 root: publications so far (32 bits), place of the root's blob (32 bits)   9 draining: 1 if nginx is about to end
//! 16… units of eight words: nodes of the trie (two units), blobs (a power of two)
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

/// `SPARROWT`.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SPARROWT");
/// The version of all that is in the memory and in records. Readers take no other.
pub const VERSION: u32 = 16;
/// So many publications later what was replaced is written over, at the earliest.
pub const REUSE_AFTER: u32 = 64;

/// The words of the header that do not change.
pub const AT_MAGIC: usize = 0;
pub const AT_VERSION: usize = 1;
pub const AT_WORDS: usize = 2;
pub const AT_HASH_KEY: usize = 3;
pub const AT_CHECKSUM: usize = 5;
/// The words that change, in a cache line of their own.
pub const AT_ROOT: usize = 8;
/// Whether nginx is about to end: 1, or 0 as long as it is not. No route depends on it.
pub const AT_DRAINING: usize = 9;
/// Where the units begin.
pub const AT_UNITS: usize = 16;

/// Words of a unit: a cache line.
pub const UNIT_WORDS: usize = 8;
/// Words of a node of the trie.
pub const NODE_WORDS: usize = 16;
/// The memory has at least so many words.
pub const LEAST_WORDS: usize = AT_UNITS + 64 * UNIT_WORDS;
/// Units that a word of the trie can tell apart: 4 GiB.
pub const MOST_UNITS: usize = 1 << 26;
/// Bytes of the largest blob, of a key and its value.
pub const MOST_BLOB_BYTES: usize = 1 << 22;
/// Bytes of the longest certificate with its key.
pub const MOST_CERTIFICATE_BYTES: usize = 1 << 18;
/// Bytes of the longest order of a host's patterns: there is room for what a blob has beside. By its default bounds, an entry has no
/// more patterns.
pub const MOST_ORDER_BYTES: usize = MOST_BLOB_BYTES - 1024;
/// Bytes of the longest rules of a path: no length or number in them is larger than 16 bits can say.
pub const MOST_RULES_BYTES: usize = u16::MAX as usize;

/// The number of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u32);

impl Place {
    /// Its first word in the memory.
    pub fn first_word(self) -> usize {
        AT_UNITS + self.0 as usize * UNIT_WORDS
    }
}

/// Units in a memory of so many words.
pub fn units(words: usize) -> usize {
    (words.saturating_sub(AT_UNITS) / UNIT_WORDS).min(MOST_UNITS)
}

/// The word at an index; none beyond the end.
pub fn load(words: &[AtomicU64], index: usize) -> Option<u64> {
    // Relaxed, with fences where the order counts: of loads, these alone are sound on memory that is mapped read-only.
    Some(words.get(index)?.load(Ordering::Relaxed))
}

/// The checksum of what the header says.
pub fn header_checksum(header: [u64; AT_CHECKSUM]) -> u64 {
    let bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    u64::from(crc32fast::hash(&bytes))
}
