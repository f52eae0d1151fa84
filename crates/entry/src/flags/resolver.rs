//! Which DNS servers nginx asks.

use std::fs;
use std::net::{IpAddr, SocketAddr};

/// Where the system says which it asks.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// As many as the system itself asks.
const MOST: usize = 3;

/// An address with or without a port.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
    address.or_else(|_| text.parse()).map_err(|_| "it is no address".to_owned())
}

/// Those that the system asks; none if it does not say.
pub fn of_system() -> Vec<SocketAddr> {
    of_file(&fs::read_to_string(RESOLV_CONF).unwrap_or_default())
}

fn of_file(text: &str) -> Vec<SocketAddr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == "nameserver")?;
        parse_address(words.next()?).ok()
    });
    addresses.take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_the_system_are_those_of_its_file() {
        let text = "# x\nsearch a.example\nnameserver 10.96.0.10\nnameserver fe80::1%eth0\n nameserver fd00::10 \nnameserver\n";
        assert_eq!(of_file(text), ["10.96.0.10:53", "[fd00::10]:53"].map(|address| address.parse().unwrap()));
        assert_eq!(parse_address("[::1]:5353"), Ok("[::1]:5353".parse().unwrap()));
        assert!(parse_address("dns.example").is_err());
    }
}
