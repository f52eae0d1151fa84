//! Policies that nginx treats alike, by their content.

use std::fmt;
use std::hash::{Hash, Hasher};

use entry_model::{ClientTls, Policy};
use sha2::{Digest, Sha256};

/// Names policies that the same directives of a location carry out. Of equal content it is always the same, so neither the frame nor
/// whoever writes routes has to know what the other has numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyClass(pub u64);

impl PolicyClass {
    /// The class of a policy.
    pub fn of(policy: &Policy) -> Self {
        Self(content_hash(&carried_out_by_location(policy)))
    }
}

/// What a location carries out of a policy. Whoever finds the route sends clients to HTTPS, and the server speaks TLS.
pub fn carried_out_by_location(policy: &Policy) -> Policy {
    Policy { redirect_to_https: false, client_tls: ClientTls::default(), ..policy.clone() }
}

/// A name for a value, by its content: the same in every process of one build.
pub fn content_hash(value: &impl Hash) -> u64 {
    struct Sha256Hasher(Sha256);

    impl Hasher for Sha256Hasher {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            self.0.clone().finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
        }
    }

    let mut hasher = Sha256Hasher(Sha256::new());
    value.hash(&mut hasher);
    hasher.finish()
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

    use entry_model::Timeouts;

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
