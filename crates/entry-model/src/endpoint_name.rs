//! What cookies of sessions call an endpoint.

use std::fmt::Write as _;
use std::net::SocketAddr;

use sha2::{Digest as _, Sha256};

/// What a cookie calls an endpoint: 16 hexadecimal digits of a hash of its address, which say nothing of that. It is always the same, whoever
/// writes it, so that sessions stay where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointName(String);

impl EndpointName {
    /// How many characters it has.
    pub const LEN: usize = 16;

    /// The name of an endpoint.
    pub fn of(address: SocketAddr) -> Self {
        let hash = Sha256::digest(SocketAddr::new(address.ip(), address.port()).to_string());
        let mut name = String::with_capacity(Self::LEN);
        // Writing to a String does not fail.
        let _ = write!(name, "{:016x}", u64::from_be_bytes(hash.first_chunk().copied().unwrap_or_default()));
        Self(name)
    }

    /// Its characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its characters, which are of ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    #[test]
    fn name_is_the_same_in_every_build_and_depends_on_address_and_port_alone() {
        let name = |text: &str| EndpointName::of(text.parse().expect("an address"));
        assert_eq!(name("10.1.0.1:80").as_str(), "19ef3e08212becc5");
        assert_ne!(name("10.1.0.1:80"), name("10.1.0.1:81"));
        let scoped = SocketAddrV6::new("fe80::1".parse().expect("an address"), 80, 1, 2);
        assert_eq!(EndpointName::of(scoped.into()), name("[fe80::1]:80"));
    }
}
