//! Hashes of passwords, as nginx's `auth_basic` reads them.

/// Most rounds of a hash: a worker of nginx does nothing else while it computes one, at each request.
const MAX_BCRYPT_COST: u32 = 12;
const MAX_SHA_CRYPT_ROUNDS: u32 = 100_000;

/// Longest hash, in bytes.
const MAX_LENGTH: usize = 256;

/// Why a text is not taken for the hash of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordHashError {
    /// It is none of the forms that are known.
    Unknown,
    /// To compute it takes too long.
    TooExpensive,
}

/// Looks whether a text is the hash of a password: bcrypt, apr1, MD5, SHA-256, SHA-512 and DES of `crypt`, `{SHA}`, `{SSHA}`, or, behind
/// `{PLAIN}`, the password itself.
///
/// # Errors
/// It is none, or takes too long.
pub fn check_password_hash(text: &str) -> Result<(), PasswordHashError> {
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if text.len() > MAX_LENGTH || !is_plain(text) {
        return Err(PasswordHashError::Unknown);
    }
    if let Some(rest) = ["$2a$", "$2b$", "$2y$"].iter().find_map(|form| text.strip_prefix(form)) {
        return check_bcrypt(rest);
    }
    if let Some(rest) = text.strip_prefix("$5$").or_else(|| text.strip_prefix("$6$")) {
        return check_sha_crypt(rest);
    }
    let is_salted = |rest: &str| matches!(rest.split_once('$'), Some((salt, hash)) if salt.len() <= 8 && hash.len() == 22 && is_crypt64(hash));
    let is_known = if let Some(rest) = text.strip_prefix("$apr1$").or_else(|| text.strip_prefix("$1$")) {
        is_salted(rest)
    } else if let Some(rest) = text.strip_prefix("{SHA}") {
        rest.len() == 28
    } else if let Some(rest) = text.strip_prefix("{SSHA}") {
        rest.len() >= 28
    } else if let Some(rest) = text.strip_prefix("{PLAIN}") {
        !rest.is_empty()
    } else {
        text.len() == 13 && is_crypt64(text)
    };
    if is_known { Ok(()) } else { Err(PasswordHashError::Unknown) }
}

/// Behind `$2b$`: the cost, then the salt and the hash.
fn check_bcrypt(rest: &str) -> Result<(), PasswordHashError> {
    let (cost, hash) = rest.split_once('$').ok_or(PasswordHashError::Unknown)?;
    let cost: u32 = cost.parse().ok().filter(|_| cost.len() == 2).ok_or(PasswordHashError::Unknown)?;
    match hash.len() == 53 && is_crypt64(hash) && cost >= 4 {
        true if cost > MAX_BCRYPT_COST => Err(PasswordHashError::TooExpensive),
        true => Ok(()),
        false => Err(PasswordHashError::Unknown),
    }
}

/// Behind `$6$`: the rounds, if they are not 5000, the salt, the hash.
fn check_sha_crypt(rest: &str) -> Result<(), PasswordHashError> {
    let (rounds, rest) = match rest.strip_prefix("rounds=") {
        Some(rest) => rest.split_once('$').ok_or(PasswordHashError::Unknown)?,
        None => ("5000", rest),
    };
    let rounds: u32 = rounds.parse().map_err(|_| PasswordHashError::Unknown)?;
    match rest.split_once('$') {
        Some((salt, hash)) if salt.len() <= 16 && (hash.len() == 43 || hash.len() == 86) && is_crypt64(hash) => {
            if rounds > MAX_SHA_CRYPT_ROUNDS {
                Err(PasswordHashError::TooExpensive)
            } else {
                Ok(())
            }
        }
        _ => Err(PasswordHashError::Unknown),
    }
}

/// The digits of `crypt`.
fn is_crypt64(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_nginx_reads_are_known() {
        for text in [
            "$2y$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
            "$apr1$salt$abcdefghijklmnopqrstuv",
            "$1$salt$abcdefghijklmnopqrstuv",
            "$5$salt$abcdefghijklmnopqrstuvabcdefghijklmnopqrstu",
            "$5$rounds=100000$salt$abcdefghijklmnopqrstuvabcdefghijklmnopqrstu",
            "abJnggxhB/yWI",
            "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9gxxxxxxx=",
            "{PLAIN}secret",
        ] {
            assert_eq!(check_password_hash(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_takes_long_or_is_not_known_is_rejected() {
        let expensive = PasswordHashError::TooExpensive;
        for (text, expected) in [
            ("$2y$13$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234", expensive),
            ("$2y$31$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234", expensive),
            ("$5$rounds=999999999$salt$abcdefghijklmnopqrstuvabcdefghijklmnopqrstu", expensive),
            ("secret", PasswordHashError::Unknown),
            ("", PasswordHashError::Unknown),
            ("{PLAIN}", PasswordHashError::Unknown),
            ("{PLAIN}a b", PasswordHashError::Unknown),
            ("$y$j9T$abc$def", PasswordHashError::Unknown),
            ("$2y$10$short", PasswordHashError::Unknown),
            ("abJnggxhB/yWI\n", PasswordHashError::Unknown),
        ] {
            assert_eq!(check_password_hash(text), Err(expected), "{text}");
        }
    }
}
