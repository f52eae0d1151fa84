//! Policies that nginx treats alike, by the content of what its directives say of them.

use std::fmt;

use entry_model::{Policy, Timeouts};
use sha2::{Digest, Sha256};

/// Names policies that the same directives of a location carry out. Of equal content it is always the same, so neither the frame nor
/// whoever writes routes has to know what the other has numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyClass(pub u64);

impl PolicyClass {
    /// The class of a policy. Every field is named here, so that a new one does not compile until it is said who carries it out.
    pub fn of(policy: &Policy) -> Self {
        // Whoever finds the route sends clients to HTTPS.
        let Policy { timeouts: Timeouts { connect, read, send }, max_body_bytes, redirect_to_https: _ } = policy;
        let mut hasher = Sha256::new();
        for time in [connect, read, send] {
            hasher.update([u8::from(time.is_some())]);
            hasher.update(time.unwrap_or_default().as_nanos().to_le_bytes());
        }
        hasher.update([u8::from(max_body_bytes.is_some())]);
        hasher.update(max_body_bytes.unwrap_or_default().to_le_bytes());
        let digest = hasher.finalize();
        Self(digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

impl fmt::Display for PolicyClass {
    /// 16 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn policies_are_of_one_class_only_if_their_directives_are_the_same() {
        let plain = Policy::default();
        let redirected = Policy { redirect_to_https: true, ..Policy::default() };
        assert_eq!(PolicyClass::of(&plain), PolicyClass::of(&redirected));
        let second = Some(Duration::from_secs(1));
        let others = [
            Policy { timeouts: Timeouts { connect: second, ..Timeouts::default() }, ..Policy::default() },
            Policy { timeouts: Timeouts { read: second, ..Timeouts::default() }, ..Policy::default() },
            Policy { timeouts: Timeouts { send: second, ..Timeouts::default() }, ..Policy::default() },
            Policy { max_body_bytes: Some(0), ..Policy::default() },
            Policy { max_body_bytes: Some(1), ..Policy::default() },
        ];
        let mut classes: Vec<_> = others.iter().chain([&plain]).map(PolicyClass::of).collect();
        classes.sort_unstable();
        classes.dedup();
        assert_eq!(classes.len(), 6);
        assert_eq!(PolicyClass(0x1f).to_string(), "000000000000001f");
    }
}
