//! Policies that nginx treats alike, by their content.

use std::fmt;
use std::hash::{Hash, Hasher};

use entry_model::{ClientCertificates, ClientTls, FixedAnswer, Policy};
use sha2::{Digest, Sha256};

/// Names policies that the same directives of a location carry out. Of equal content it is always the same, so neither the frame nor
/// whoever writes routes has to know what the other has numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyClass(pub u128);

impl PolicyClass {
    /// The class of a policy.
    pub fn of(policy: &Policy) -> Self {
        Self(content_hash(&carried_out_by_location(policy)))
    }

    /// The class of texts that are told with the headers of a policy, or of one alone in which something of a request stands; none if neither
    /// is there.
    pub fn of_text(answer: &FixedAnswer, policy: &Policy) -> Option<Self> {
        let added = &policy.answer_headers.added;
        match answer.fixed_text() {
            Some(_) if added.is_empty() => None,
            Some(_) => Some(Self(content_hash(added))),
            None => Some(Self(content_hash(&(answer, added)))),
        }
    }
}

/// What a location carries out of a policy. Whoever finds the route sends clients to HTTPS, and the server speaks TLS, and verifies clients.
pub fn carried_out_by_location(policy: &Policy) -> Policy {
    let client_certificates = policy.client_certificates.as_ref().map(ClientCertificates::of_verified_clients);
    Policy { redirect_to_https: false, client_certificates, client_tls: ClientTls::default(), ..policy.clone() }
}

/// What a value is called by its content: 32 lower-case hexadecimal digits, the same in every process of one build.
pub fn content_name(value: &impl Hash) -> String {
    digits(content_hash(value))
}

/// A number for a value, by its content. It has so many bits that nobody finds two values with the same: names would be twice in one
/// configuration then, which nginx refuses.
pub fn content_hash(value: &impl Hash) -> u128 {
    struct Sha256Hasher(Sha256);

    impl Hasher for Sha256Hasher {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            u64::from_be_bytes(first_bytes(&self.0.clone().finalize()))
        }
    }

    let mut hasher = Sha256Hasher(Sha256::new());
    value.hash(&mut hasher);
    u128::from_be_bytes(first_bytes(&hasher.0.finalize()))
}

/// The first bytes of a hash.
fn first_bytes<const N: usize>(hash: &[u8]) -> [u8; N] {
    hash.first_chunk().copied().unwrap_or([0; N])
}

fn digits(number: u128) -> String {
    format!("{number:032x}")
}

impl fmt::Display for PolicyClass {
    /// 32 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&digits(self.0))
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
        assert_eq!(PolicyClass(0x1f).to_string(), format!("{}1f", "0".repeat(30)));
        assert!(classes.iter().all(|class| class.0 >> 64 != 0), "no half of it is empty: {classes:?}");
    }
}
