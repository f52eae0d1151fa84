//! The hash of keys: SipHash-1-3 with 64 bits (Aumasson and Bernstein, 2012), as the standard library's tables have it, whose
//! own is not said to stay the same. The key is secret, so that nobody can choose hosts and paths that collide.

/// Takes bytes; a clone goes on from where it was cloned, so that the prefixes of a path are hashed in one pass.
#[derive(Debug, Clone)]
pub struct KeyHasher {
    state: [u64; 4],
    /// Bytes that are not eight yet, and how many.
    tail: u64,
    tail_len: u32,
    /// Bytes in all.
    len: u64,
}

fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(13) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(16) ^ *c;
    *a = a.wrapping_add(*d);
    *d = d.rotate_left(21) ^ *a;
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *c = c.rotate_left(32);
}

/// At most eight bytes as a number, the first one lowest.
fn little_endian(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // They may overlap, and say the same there.
        let [first, last] = [first, last].map(|half: &[u8; 4]| u64::from(u32::from_le_bytes(*half)));
        return first | last << (8 * (bytes.len() - 4));
    }
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

impl KeyHasher {
    /// Starts with a secret key.
    pub fn new([k0, k1]: [u64; 2]) -> Self {
        let state = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { state, tail: 0, tail_len: 0, len: 0 }
    }

    /// Takes bytes.
    pub fn write(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if self.tail_len > 0 {
            let wanted = (8 - self.tail_len as usize).min(bytes.len());
            self.tail |= little_endian(&bytes[..wanted]) << (8 * self.tail_len);
            self.tail_len += u32::try_from(wanted).unwrap_or(0);
            bytes = &bytes[wanted..];
            if self.tail_len < 8 {
                return;
            }
            self.take(self.tail);
        }
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.take(u64::from_le_bytes(*word));
        }
        self.tail = little_endian(rest);
        self.tail_len = u32::try_from(rest.len()).unwrap_or(0);
    }

    fn take(&mut self, word: u64) {
        self.state[3] ^= word;
        round(&mut self.state);
        self.state[0] ^= word;
    }

    /// The hash of what it took, and a byte more.
    pub fn finish_with(&self, byte: u8) -> u64 {
        let mut all = self.clone();
        let (mut tail, len) = (self.tail | u64::from(byte) << (8 * self.tail_len), self.len + 1);
        if self.tail_len == 7 {
            all.take(tail);
            tail = 0;
        }
        all.take(tail | len << 56);
        all.state[2] ^= 0xff;
        for _ in 0..3 {
            round(&mut all.state);
        }
        all.state.iter().fold(0, |hash, word| hash ^ word)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher as _;

    use super::*;

    #[test]
    fn hash_is_that_of_the_standard_library_however_bytes_come() {
        let bytes: Vec<u8> = (0..=255).collect();
        for len in 1..bytes.len() {
            // The standard library's has these rounds too, with a key of zero.
            let mut expected = std::hash::DefaultHasher::new();
            expected.write(&bytes[..len]);
            for cut in [0, 1.min(len - 1), len / 3, len / 2, len - 1] {
                let mut hasher = KeyHasher::new([0, 0]);
                hasher.write(&bytes[..cut]);
                hasher.write(&bytes[cut..len - 1]);
                assert_eq!(hasher.finish_with(bytes[len - 1]), expected.finish(), "{cut} of {len}");
            }
        }
    }

    #[test]
    fn hash_depends_on_the_key() {
        let hash = |key| KeyHasher::new(key).finish_with(1);
        assert_ne!(hash([0, 1]), hash([1, 0]));
    }
}
