//! Words of the trie: what stands at a place in a node.
//!
//! ```text
//! 63 62   61 … 36   35 … 16   15 … 0
//! kind    place     tag       check
//! ```
//!
//! A node has no checksum of its own, since it would cost each look-up several: its words have, so that one that is damaged is
//! an error, not another route or none.

use crate::layout::Place;

/// What a word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// No key begins like this.
    Empty,
    /// Several do, the next four bits tell them apart.
    Node(Place),
    /// One does: its blob is there. The tag is of its hash, so that most other keys need no look at the blob.
    Leaf(Place, u32),
}

const NODE: u64 = 1;
const LEAF: u64 = 2;
const EMPTY: u64 = 3;
const PLACE_BITS: u32 = 26;
const TAG_BITS: u32 = 20;
/// Odd, and without a long run of equal bits: no single bit of what is checked leaves the check as it is.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

fn check(payload: u64) -> u64 {
    payload.wrapping_mul(MIX) >> 48
}

impl Word {
    /// The word in the memory.
    pub fn encode(self) -> u64 {
        let (kind, place, tag) = match self {
            Self::Empty => (EMPTY, 0, 0),
            Self::Node(place) => (NODE, place.0, 0),
            Self::Leaf(place, tag) => (LEAF, place.0, tag),
        };
        let payload = kind << (PLACE_BITS + TAG_BITS) | u64::from(place) << TAG_BITS | u64::from(tag);
        payload << 16 | check(payload)
    }

    /// What a word of the memory says; none if it is damaged. Zero is: nothing is empty by chance.
    pub fn decode(word: u64) -> Option<Self> {
        let payload = word >> 16;
        if check(payload) != word & 0xffff {
            return None;
        }
        let low = |value: u64, bits: u32| u32::try_from(value & ((1 << bits) - 1)).ok();
        let (place, tag) = (Place(low(payload >> TAG_BITS, PLACE_BITS)?), low(payload, TAG_BITS)?);
        match payload >> (PLACE_BITS + TAG_BITS) {
            NODE => Some(Self::Node(place)),
            LEAF => Some(Self::Leaf(place, tag)),
            EMPTY => Some(Self::Empty),
            _ => None,
        }
    }
}

/// The tag of a hash.
pub fn tag(hash: u64) -> u32 {
    u32::try_from(hash >> (64 - TAG_BITS)).unwrap_or(u32::MAX)
}

/// The bits of a hash that choose a child at a level: the lowest four at level 0.
pub fn nibble(hash: u64, level: u32) -> usize {
    usize::try_from(hash >> (level * 4) & 0xf).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_word() -> impl Strategy<Value = Word> {
        let place = || (0..1_u32 << PLACE_BITS).prop_map(Place);
        prop_oneof![
            Just(Word::Empty),
            place().prop_map(Word::Node),
            (place(), 0..1_u32 << TAG_BITS).prop_map(|(place, tag)| Word::Leaf(place, tag)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn word_is_read_as_it_was_written_and_not_with_one_bit_flipped(word in any_word()) {
            let encoded = word.encode();
            prop_assert_eq!(Word::decode(encoded), Some(word));
            for bit in 0..64 {
                prop_assert_eq!(Word::decode(encoded ^ 1 << bit), None, "bit {}", bit);
            }
        }
    }

    #[test]
    fn memory_of_one_byte_repeated_is_damaged() {
        for byte in 0..=u8::MAX {
            assert_eq!(Word::decode(u64::from_le_bytes([byte; 8])), None, "{byte}");
        }
    }
}
