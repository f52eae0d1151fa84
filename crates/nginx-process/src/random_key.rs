//! Keys of hash tables in memory that others read.

use rustix::rand::{GetRandomFlags, getrandom};

/// A key of the system's randomness, so that nobody can choose hosts and paths that fall together.
pub(crate) fn random_key() -> Result<[u64; 2], String> {
    let mut bytes = [0; 16];
    let length = getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|error| format!("no random bytes: {error}"))?;
    if length != bytes.len() {
        return Err(format!("only {length} random bytes"));
    }
    let word = |half: usize| std::array::from_fn(|at| bytes[half * 8 + at]);
    Ok([u64::from_le_bytes(word(0)), u64::from_le_bytes(word(1))])
}
