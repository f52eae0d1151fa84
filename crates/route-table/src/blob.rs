//! Blobs: bytes with their checksum.
//!
//! ```text
//! word 0: serial (32 bits), checksum (32 bits)   word 1: kind (32 bits), bytes (32 bits)   word 2…: the bytes
//! ```
//!
//! The checksum is the CRC-32 of the serial, of word 1 and of the bytes. No two blobs that a writer makes in a row have the same
//! serial, so that place and word 0 name one: what was decoded of it is known by these.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::fault::Fault;
use crate::layout::{MOST_BLOB_BYTES, Place, UNIT_WORDS, load};

/// What is in a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobKind {
    /// A root.
    Root,
    /// A key and its value.
    Entry,
}

impl BlobKind {
    fn magic(self) -> u32 {
        u32::from_le_bytes(match self {
            Self::Root => *b"root",
            Self::Entry => *b"blob",
        })
    }
}

const HEADER_WORDS: usize = 2;

/// Units that a blob of so many bytes takes.
pub fn units(bytes: usize) -> usize {
    (HEADER_WORDS + bytes.div_ceil(8)).div_ceil(UNIT_WORDS)
}

fn checksum(serial: u32, word1: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&serial.to_le_bytes());
    hasher.update(&word1.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// Writes a blob where there is room for it.
pub fn write(words: &[AtomicU64], place: Place, kind: BlobKind, serial: u32, bytes: &[u8]) {
    let word1 = u64::from(kind.magic()) << 32 | bytes.len() as u64;
    let word0 = u64::from(serial) << 32 | u64::from(checksum(serial, word1, bytes));
    let content = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    let all = [word0, word1].into_iter().chain(content);
    for (word, value) in words[place.first_word()..].iter().zip(all) {
        word.store(value, Ordering::Relaxed);
    }
}

/// Word 0 of a blob.
pub fn head(words: &[AtomicU64], place: Place) -> Option<u64> {
    load(words, place.first_word())
}

/// Copies a blob's bytes into a buffer, and compares them with its checksum; its word 0.
pub fn read(words: &[AtomicU64], place: Place, kind: BlobKind, buffer: &mut Vec<u8>) -> Result<u64, Fault> {
    let at = place.first_word();
    let bad = Fault::BadBlob { at };
    let (word0, word1) = (load(words, at).ok_or(bad)?, load(words, at + 1).ok_or(bad)?);
    let len = usize::try_from(word1 & 0xffff_ffff).map_err(|_| bad)?;
    if word1 >> 32 != u64::from(kind.magic()) || len > MOST_BLOB_BYTES {
        return Err(bad);
    }
    let content = words.get(at + HEADER_WORDS..at + HEADER_WORDS + len.div_ceil(8)).ok_or(bad)?;
    buffer.clear();
    buffer.extend(content.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()));
    buffer.truncate(len);
    let [serial, expected] = [word0 >> 32, word0 & 0xffff_ffff].map(u32::try_from);
    let fits = serial.is_ok_and(|serial| expected == Ok(checksum(serial, word1, buffer)));
    if fits { Ok(word0) } else { Err(bad) }
}
