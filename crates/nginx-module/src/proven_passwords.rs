//! Passwords that nginx has found right, so that it does not compute their hashes at each request.
//!
//! - A password is right for a user of a file. The file is named by its content, so that what was right for another content is not found.
//! - No password is kept. An entry is the SHA-256 of file, user and password behind a random key: whole, so that nobody finds other ones
//!   that are taken for these, and with a key, so that nobody knows which entries give way to which.
//! - There are so many entries and no more: of the few among which an entry may be, the oldest gives way.
//! - An entry ends a while after the hash was computed, however often the password comes until then.

use std::fmt;

use sha2::{Digest, Sha256};

/// How long a password is remembered after its hash was computed, in milliseconds.
const LIFETIME_MS: u64 = 5 * 60 * 1000;

/// How many entries there are: sets, and those of a set, of which an entry is in the one that its first bytes say.
const SETS: usize = 512;
const SET: usize = 8;

/// Longest name of a user and longest password that are remembered, in bytes: what is longer costs its hash each time.
const MAX_LENGTH: usize = 1024;

/// How many bytes a key has: a block of the hash.
pub const KEY_LENGTH: usize = 64;

/// A password, whose it is, and the file of passwords for which it may be right.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The name of the file.
    pub file: &'a [u8],
    /// The name of the user.
    pub user: &'a [u8],
    /// The password as it was sent.
    pub password: &'a [u8],
}

/// The passwords that one worker of nginx remembers.
pub struct ProvenPasswords {
    /// What is hashed behind the key.
    keyed: Sha256,
    sets: Box<[[Entry; SET]]>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    digest: [u8; 32],
    /// 0 for one that was never used.
    end_ms: u64,
}

impl fmt::Debug for Credentials<'_> {
    /// Shows no password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl fmt::Debug for ProvenPasswords {
    /// Shows nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvenPasswords").finish_non_exhaustive()
    }
}

impl ProvenPasswords {
    /// None yet, with a key that nobody else has.
    pub fn new(key: &[u8; KEY_LENGTH]) -> Self {
        Self { keyed: Sha256::new_with_prefix(key), sets: vec![[Entry::default(); SET]; SETS].into() }
    }

    /// Whether a password was found right, at this time of a clock that only goes forward.
    pub fn contain(&self, credentials: Credentials<'_>, now_ms: u64) -> bool {
        let Some(digest) = self.digest(credentials) else { return false };
        self.sets[set_of(&digest)].iter().any(|entry| entry.digest == digest && now_ms < entry.end_ms)
    }

    /// Remembers a password that was just found right.
    pub fn add(&mut self, credentials: Credentials<'_>, now_ms: u64) {
        let Some(digest) = self.digest(credentials) else { return };
        let oldest = self.sets[set_of(&digest)].iter_mut().min_by_key(|entry| entry.end_ms);
        if let Some(oldest) = oldest {
            *oldest = Entry { digest, end_ms: now_ms.saturating_add(LIFETIME_MS) };
        }
    }

    /// What is remembered of a password; `None` if nothing is.
    fn digest(&self, Credentials { file, user, password }: Credentials<'_>) -> Option<[u8; 32]> {
        // The hashes of `crypt` end at the first 0: with more behind it, one user could have any number of passwords.
        if user.len() > MAX_LENGTH || password.len() > MAX_LENGTH || password.contains(&0) {
            return None;
        }
        let mut hash = self.keyed.clone();
        for part in [file, user, password] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Some(hash.finalize().into())
    }
}

/// The set in which an entry is.
fn set_of(digest: &[u8; 32]) -> usize {
    usize::from(u16::from_le_bytes([digest[0], digest[1]])) % SETS
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn credentials<'a>(file: &'a str, user: &'a str, password: &'a str) -> Credentials<'a> {
        Credentials { file: file.as_bytes(), user: user.as_bytes(), password: password.as_bytes() }
    }

    fn none() -> ProvenPasswords {
        ProvenPasswords::new(&[7; KEY_LENGTH])
    }

    #[test]
    fn a_password_is_remembered_for_its_user_and_its_file_alone() {
        let mut proven = none();
        let right = credentials("file", "user", "password");
        assert!(!proven.contain(right, NOW));
        proven.add(right, NOW);
        assert!(proven.contain(right, NOW));
        for other in [
            credentials("other", "user", "password"),
            credentials("file", "other", "password"),
            credentials("file", "user", "Password"),
            credentials("file", "user", ""),
            credentials("file", "user", "password "),
            credentials("fileuser", "", "password"),
            credentials("file", "userpass", "word"),
            credentials("filu", "eser", "password"),
            credentials("", "", ""),
        ] {
            assert!(!proven.contain(other, NOW), "{:?}", String::from_utf8_lossy(other.password));
        }
    }

    #[test]
    fn a_password_is_forgotten_after_a_while_though_it_was_asked_for() {
        let mut proven = none();
        let right = credentials("file", "user", "password");
        proven.add(right, NOW);
        for passed in [0, LIFETIME_MS / 2, LIFETIME_MS - 1] {
            assert!(proven.contain(right, NOW + passed), "{passed}");
        }
        assert!(!proven.contain(right, NOW + LIFETIME_MS));
        proven.add(right, NOW + LIFETIME_MS);
        assert!(proven.contain(right, NOW + LIFETIME_MS));
    }

    #[test]
    fn the_newest_is_remembered_and_an_old_one_gives_way() {
        let (mut proven, users): (_, Vec<_>) = (none(), (0..20_000).map(|user| user.to_string()).collect());
        for (user, now) in users.iter().zip(NOW..) {
            proven.add(credentials("file", user, "password"), now);
            assert!(proven.contain(credentials("file", user, "password"), now));
        }
        let remembered = |user: &&String| proven.contain(credentials("file", user, "password"), NOW);
        let (old, new) = users.split_at(10_000);
        assert_eq!(old.iter().filter(remembered).count(), 0, "each set had more than it holds since");
        assert_eq!(new.iter().filter(remembered).count(), SETS * SET);
    }

    #[test]
    fn what_is_long_or_ends_within_is_not_remembered() {
        let long = "x".repeat(MAX_LENGTH + 1);
        for given in [
            credentials("file", "user", &long),
            credentials("file", &long, "password"),
            credentials("file", "user", "password\0"),
            credentials("file", "user", "\0"),
        ] {
            let mut proven = none();
            proven.add(given, NOW);
            assert!(!proven.contain(given, NOW));
        }
        let mut proven = none();
        proven.add(credentials("file", &long[1..], &long[1..]), NOW);
        assert!(proven.contain(credentials("file", &long[1..], &long[1..]), NOW));
    }

    #[test]
    fn entries_of_another_key_are_elsewhere() {
        let right = credentials("file", "user", "password");
        let other = ProvenPasswords::new(&[8; KEY_LENGTH]);
        assert_ne!(none().digest(right), other.digest(right));
    }
}
