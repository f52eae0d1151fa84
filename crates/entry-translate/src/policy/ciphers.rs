//! Lists of ciphers for clients, in the words of OpenSSL (openssl-ciphers(1)), which become the names of ciphers that have no known weakness
//! and that every OpenSSL has. So a list never keeps nginx from starting.

use entry_model::{Cipher, Encryption};

/// Longest list, in bytes.
const LONGEST: usize = 2000;

/// What becomes of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct CipherList<'a> {
    /// Its ciphers, in its order; maybe none.
    pub ciphers: Vec<Cipher>,
    /// Words that add none: they are not known, or stand for weak ones alone.
    pub without_effect: Vec<&'a str>,
}

/// Reads a list.
///
/// # Errors
/// It is none.
pub fn parse_cipher_list(text: &str) -> Result<CipherList<'_>, &'static str> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:+!@=.".contains(&byte);
    let text = text.trim();
    if !(1..=LONGEST).contains(&text.len()) || !text.bytes().all(is_legal) {
        return Err("it is a list of ciphers with `:` between them, in the words of OpenSSL");
    }
    let mut list = CipherList { ciphers: Vec::new(), without_effect: Vec::new() };
    let mut excluded = Vec::new();
    for word in text.split(':').filter(|word| !word.is_empty()) {
        list.apply(word, &mut excluded);
    }
    Ok(list)
}

impl<'a> CipherList<'a> {
    fn apply(&mut self, word: &'a str, excluded: &mut Vec<Cipher>) {
        if let Some(name) = word.strip_prefix('!') {
            excluded.extend(matching(name));
            self.ciphers.retain(|cipher| !is_meant(*cipher, name));
        } else if let Some(name) = word.strip_prefix('-') {
            self.ciphers.retain(|cipher| !is_meant(*cipher, name));
        } else if let Some(name) = word.strip_prefix('+') {
            self.ciphers.sort_by_key(|cipher| is_meant(*cipher, name));
        } else if word == "@STRENGTH" {
            self.ciphers.sort_by_key(|cipher| matches!(cipher.encryption(), Encryption::Aes { bits: 128, .. }));
        } else if matching(word).next().is_none() {
            // Those of TLS 1.3 are in no such list, and always there.
            self.without_effect.extend(Some(word).filter(|word| !word.starts_with("TLS_")));
        } else {
            for cipher in matching(word) {
                if !excluded.contains(&cipher) && !self.ciphers.contains(&cipher) {
                    self.ciphers.push(cipher);
                }
            }
        }
    }
}

/// The ciphers that a word stands for.
fn matching(word: &str) -> impl Iterator<Item = Cipher> {
    Cipher::ALL.into_iter().filter(move |cipher| is_meant(*cipher, word))
}

/// Whether a word stands for a cipher: its name, or properties with `+` between them, all of which it has.
fn is_meant(cipher: Cipher, word: &str) -> bool {
    cipher.name() == word || word.split('+').all(|property| has_property(cipher, property))
}

fn has_property(cipher: Cipher, property: &str) -> bool {
    match property {
        "ALL" | "DEFAULT" | "HIGH" => true,
        "ECDHE" | "EECDH" | "kECDHE" | "kEECDH" | "ECDH" => cipher.key_exchange() == "ECDHE",
        "DHE" | "EDH" | "kDHE" | "kEDH" | "DH" => cipher.key_exchange() == "DHE",
        "RSA" | "kRSA" => cipher.key_exchange() == "RSA",
        "aRSA" => cipher.authentication() == "RSA",
        "ECDSA" | "aECDSA" => cipher.authentication() == "ECDSA",
        "AES" => matches!(cipher.encryption(), Encryption::Aes { .. }),
        "AES128" => matches!(cipher.encryption(), Encryption::Aes { bits: 128, .. }),
        "AES256" => matches!(cipher.encryption(), Encryption::Aes { bits: 256, .. }),
        "AESGCM" => matches!(cipher.encryption(), Encryption::Aes { gcm: true, .. }),
        "CHACHA20" => cipher.encryption() == Encryption::ChaCha20,
        "SHA" | "SHA1" => cipher.sum() == Some("SHA1"),
        "SHA256" => cipher.sum() == Some("SHA256"),
        "SHA384" => cipher.sum() == Some("SHA384"),
        "TLSv1.2" => cipher.sum() != Some("SHA1"),
        "SSLv3" | "TLSv1" | "TLSv1.0" => cipher.sum() == Some("SHA1"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> String {
        let list = parse_cipher_list(text).unwrap();
        list.ciphers.iter().map(|cipher| cipher.name()).collect::<Vec<_>>().join(":")
    }

    #[test]
    fn list_becomes_names_of_ciphers_in_its_order() {
        for (text, expected) in [
            ("AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256", "AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256"),
            ("ECDHE+AESGCM:!ECDSA", "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"),
            ("!ECDSA:EECDH+CHACHA20", "ECDHE-RSA-CHACHA20-POLY1305"),
            ("EECDH+AESGCM+aRSA:+AES256", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"),
            ("AES128-SHA:AES256-SHA:@STRENGTH", "AES256-SHA:AES128-SHA"),
            ("RSA+SHA1:-AES256:AES256-SHA", "AES128-SHA:AES256-SHA"),
            ("ALL:!TLSv1.2:!kRSA:!DHE:!ECDSA", "ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES128-SHA"),
            ("AES128-SHA::AES128-SHA", "AES128-SHA"),
            ("RC4:!aNULL", ""),
            ("ALL:!ALL", ""),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
        assert_eq!(parse_cipher_list("HIGH").unwrap().ciphers, Cipher::ALL);
    }

    #[test]
    fn words_without_effect_are_known() {
        let list =
            parse_cipher_list("TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES256-GCM-SHA512:HIGH:RC4+RSA:!EXPORT:@SECLEVEL=0");
        assert_eq!(list.unwrap().without_effect, ["ECDHE-RSA-AES256-GCM-SHA512", "RC4+RSA", "@SECLEVEL=0"]);
    }

    #[test]
    fn what_is_no_list_is_rejected() {
        for text in ["", " ", "HIGH; ssl_verify_client off", "HIGH\n", "$host", "\"", &"A:".repeat(1001)] {
            assert_eq!(parse_cipher_list(text).is_ok(), text == "HIGH\n", "{text:?}");
        }
    }
}
