//! How TLS is spoken with clients.

/// How TLS is spoken with the clients of a host, where it is not as for all. It is decided when a connection is made, so that it is the same
/// for all rules of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientTls {
    /// The ciphers of TLS 1.2, in the order of the server; those for all if there are none. TLS 1.3 has ciphers of its own.
    pub ciphers: Vec<Cipher>,
    /// Whether that order counts, rather than the client's.
    pub prefers_own_order: Option<bool>,
}

impl ClientTls {
    /// Whether nothing is other than for all.
    pub fn is_default(&self) -> bool {
        self.ciphers.is_empty() && self.prefers_own_order.is_none()
    }
}

/// A cipher suite of TLS 1.2, as OpenSSL calls it: each OpenSSL of today has all of them, whichever way it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cipher(&'static str);

/// What a cipher encrypts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// AES with this many bits.
    Aes {
        /// How many bits the key has.
        bits: u16,
        /// Whether it is of Galois/Counter Mode, which needs no further sum.
        gcm: bool,
    },
    /// The stream cipher `ChaCha20`, with Poly1305.
    ChaCha20,
}

impl Cipher {
    /// All of them, the strongest first.
    pub const ALL: [Self; 27] = [
        Self("ECDHE-ECDSA-AES256-GCM-SHA384"),
        Self("ECDHE-RSA-AES256-GCM-SHA384"),
        Self("DHE-RSA-AES256-GCM-SHA384"),
        Self("ECDHE-ECDSA-CHACHA20-POLY1305"),
        Self("ECDHE-RSA-CHACHA20-POLY1305"),
        Self("DHE-RSA-CHACHA20-POLY1305"),
        Self("ECDHE-ECDSA-AES128-GCM-SHA256"),
        Self("ECDHE-RSA-AES128-GCM-SHA256"),
        Self("DHE-RSA-AES128-GCM-SHA256"),
        Self("ECDHE-ECDSA-AES256-SHA384"),
        Self("ECDHE-RSA-AES256-SHA384"),
        Self("DHE-RSA-AES256-SHA256"),
        Self("ECDHE-ECDSA-AES128-SHA256"),
        Self("ECDHE-RSA-AES128-SHA256"),
        Self("DHE-RSA-AES128-SHA256"),
        Self("ECDHE-ECDSA-AES256-SHA"),
        Self("ECDHE-RSA-AES256-SHA"),
        Self("DHE-RSA-AES256-SHA"),
        Self("ECDHE-ECDSA-AES128-SHA"),
        Self("ECDHE-RSA-AES128-SHA"),
        Self("DHE-RSA-AES128-SHA"),
        Self("AES256-GCM-SHA384"),
        Self("AES128-GCM-SHA256"),
        Self("AES256-SHA256"),
        Self("AES128-SHA256"),
        Self("AES256-SHA"),
        Self("AES128-SHA"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// How keys are agreed on: `ECDHE`, `DHE` or `RSA`.
    pub fn key_exchange(self) -> &'static str {
        ["ECDHE", "DHE"].into_iter().find(|exchange| self.0.starts_with(exchange)).unwrap_or("RSA")
    }

    /// With which key of a certificate it goes: `ECDSA` or `RSA`.
    pub fn authentication(self) -> &'static str {
        if self.0.contains("ECDSA") { "ECDSA" } else { "RSA" }
    }

    /// What it encrypts with.
    pub fn encryption(self) -> Encryption {
        if self.0.contains("CHACHA20") {
            return Encryption::ChaCha20;
        }
        let bits = if self.0.contains("AES256") { 256 } else { 128 };
        Encryption::Aes { bits, gcm: self.0.contains("GCM") }
    }

    /// The sum by which each part of a message is known to be whole: `SHA1`, `SHA256` or `SHA384`; none if the encryption does that.
    pub fn sum(self) -> Option<&'static str> {
        match self.encryption() {
            Encryption::ChaCha20 | Encryption::Aes { gcm: true, .. } => None,
            Encryption::Aes { .. } if self.0.ends_with("SHA256") => Some("SHA256"),
            Encryption::Aes { .. } if self.0.ends_with("SHA384") => Some("SHA384"),
            Encryption::Aes { .. } => Some("SHA1"),
        }
    }
}
