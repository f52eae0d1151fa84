//! Users and the hashes of their passwords, as Secrets have them.

use std::fmt::Write as _;
use std::str::FromStr;

use entry_model::{PasswordHashError, Secret, check_password_hash};

/// Most users: nginx reads all of them at each request.
const MAX_USERS: usize = 10_000;

/// How a Secret has users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordFormat {
    /// All in one key, as htpasswd writes them.
    File,
    /// Each in a key of its own.
    Map,
}

impl FromStr for PasswordFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.trim() {
            "auth-file" => Ok(Self::File),
            "auth-map" => Ok(Self::Map),
            _ => Err(()),
        }
    }
}

/// The users of a Secret, as htpasswd writes them; and what is said of those that are left out. Nothing of the Secret is in these texts.
///
/// # Errors
/// There is no user.
pub fn parse_passwords(secret: &Secret, format: PasswordFormat) -> Result<(String, Option<String>), String> {
    let of_file;
    let pairs: Vec<Option<(&str, &str)>> = match format {
        PasswordFormat::File => {
            of_file = String::from_utf8_lossy(&secret.passwords);
            let lines = of_file.lines().map(|line| line.trim_end_matches('\r'));
            let lines = lines.filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
            // Behind a second colon is a remark.
            lines
                .map(|line| line.split_once(':').map(|(user, hash)| (user, hash.split(':').next().unwrap_or_default())))
                .collect()
        }
        PasswordFormat::Map => secret.password_hashes.iter().map(|(user, hash)| Some((&**user, &**hash))).collect(),
    };
    if pairs.len() > MAX_USERS {
        return Err(format!("The Secret has more than {MAX_USERS} users; keep fewer in it"));
    }
    let (mut text, mut expensive, mut unknown) = (String::new(), 0, 0);
    for pair in pairs {
        match pair.filter(|(user, _)| is_user(user)).ok_or(PasswordHashError::Unknown).and_then(|(user, hash)| {
            check_password_hash(hash)?;
            Ok((user, hash))
        }) {
            // Writing to a String does not fail.
            Ok((user, hash)) => drop(writeln!(text, "{user}:{hash}")),
            Err(PasswordHashError::Unknown) => unknown += 1,
            Err(PasswordHashError::TooExpensive) => expensive += 1,
        }
    }
    let mut rejected = Vec::new();
    if unknown > 0 {
        rejected.push(format!(
            "{unknown} of its users have no hash of a password that is known; write them with `htpasswd`"
        ));
    }
    if expensive > 0 {
        rejected.push(format!(
            "{expensive} of its users have a hash whose computation takes too long; use bcrypt with a cost of at most 12, or SHA-crypt with \
             at most 100000 rounds"
        ));
    }
    let rejected = (!rejected.is_empty()).then(|| format!("Of the Secret, {}", rejected.join(", and ")));
    match (text.is_empty(), rejected) {
        (true, Some(rejected)) => Err(format!("{rejected}, and there is no other")),
        (true, None) => Err(match format {
            PasswordFormat::File => {
                "The Secret has no users: its key `auth` is not there, or empty; write it with `htpasswd`".to_owned()
            }
            PasswordFormat::Map => {
                "The Secret has no users: none of its keys has the hash of a password; write them with `htpasswd`"
                    .to_owned()
            }
        }),
        (false, rejected) => {
            Ok((text, rejected.map(|rejected| format!("{rejected}. They may not ask, the others may"))))
        }
    }
}

fn is_user(user: &str) -> bool {
    (1..=255).contains(&user.len()) && !user.starts_with('#') && !user.contains(|c: char| c.is_control() || c == ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Secret {
        Secret { passwords: text.into(), ..Secret::default() }
    }

    #[test]
    fn users_are_read_of_files_of_htpasswd() {
        let text = "# all\n\na:k9JIR3HkfoeYQ\r\nb:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=:a remark\n";
        let (users, rejected) = parse_passwords(&file(text), PasswordFormat::File).unwrap();
        assert_eq!((users.as_str(), rejected), ("a:k9JIR3HkfoeYQ\nb:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n", None));
    }

    #[test]
    fn users_without_a_usable_hash_are_left_out() {
        let cost = "$2y$31$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u";
        let text = format!("a:k9JIR3HkfoeYQ\nb:secret\nc:{cost}\nd\n:k9JIR3HkfoeYQ\n");
        let (users, rejected) = parse_passwords(&file(&text), PasswordFormat::File).unwrap();
        let rejected = rejected.unwrap();
        assert_eq!(users, "a:k9JIR3HkfoeYQ\n");
        assert!(rejected.contains("3 of its users") && rejected.contains("1 of its users"), "{rejected}");
        assert!(!rejected.contains("secret") && !rejected.contains("abcdef"), "{rejected}");
    }

    #[test]
    fn secret_without_users_is_an_error() {
        for text in ["", "\n# none\n", "a:secret", "\u{0}\u{ff}"] {
            assert!(parse_passwords(&file(text), PasswordFormat::File).is_err(), "{text:?}");
        }
        assert!(parse_passwords(&file("a:k9JIR3HkfoeYQ"), PasswordFormat::Map).is_err());
    }
}
