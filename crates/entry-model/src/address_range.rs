//! Ranges of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses, as CIDR (RFC 4632) writes it; a single address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    first: IpAddr,
    prefix_bits: u8,
}

/// The text is no address and no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseAddressRangeError;

impl AddressRange {
    /// All IPv4 addresses.
    pub const ALL_V4: Self = Self { first: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix_bits: 0 };
    /// All IPv6 addresses.
    pub const ALL_V6: Self = Self { first: IpAddr::V6(Ipv6Addr::UNSPECIFIED), prefix_bits: 0 };

    /// The range of the addresses whose first bits are the same; those behind them are taken for zero. An IPv4 address that is written
    /// as one of IPv6 (RFC 4291, 2.5.5.2) is one of IPv4, as servers take it. None if an address has fewer bits.
    pub fn new(address: IpAddr, prefix_bits: u8) -> Option<Self> {
        match address {
            IpAddr::V4(address) => {
                let mask = mask(prefix_bits.into(), 32)?;
                let first = Ipv4Addr::from_bits(address.to_bits() & u32::try_from(mask).ok()?);
                Some(Self { first: first.into(), prefix_bits })
            }
            IpAddr::V6(address) => match address.to_ipv4_mapped().zip(prefix_bits.checked_sub(96)) {
                Some((address, prefix_bits)) => Self::new(address.into(), prefix_bits),
                None => {
                    let first = Ipv6Addr::from_bits(address.to_bits() & mask(prefix_bits.into(), 128)?);
                    Some(Self { first: first.into(), prefix_bits })
                }
            },
        }
    }

    /// Whether an address is of it.
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::new(address.to_canonical(), self.prefix_bits) == Some(*self)
    }

    /// Whether it is all addresses of its family.
    pub fn is_whole_family(&self) -> bool {
        self.prefix_bits == 0
    }

    /// Both halves of it; none of a single address.
    pub fn halves(&self) -> Option<[Self; 2]> {
        let prefix_bits = self.prefix_bits + 1;
        let second = match self.first {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() | 1 << 32_u8.checked_sub(prefix_bits)?).into(),
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() | 1 << 128_u8.checked_sub(prefix_bits)?).into(),
        };
        Some([self.first, second].map(|first| Self { first, prefix_bits }))
    }
}

/// So many ones, then zeros, of so many bits in all; none if there are not that many.
fn mask(ones: u32, bits: u32) -> Option<u128> {
    let zeros = bits.checked_sub(ones)?;
    let all = u128::MAX >> (128 - bits);
    Some(all.checked_shr(zeros).map_or(0, |head| head << zeros))
}

impl FromStr for AddressRange {
    type Err = ParseAddressRangeError;

    /// `10.0.0.0/8`, `10.0.0.1`, `2001:db8::/32`. Of numbers with leading zeros nobody knows whether they are octal, so they are none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ParseAddressRangeError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let is_number =
            |bits: &&str| bits.bytes().all(|b| b.is_ascii_digit()) && (*bits == "0" || !bits.starts_with('0'));
        let bits = match bits {
            None => most,
            Some(bits) => {
                Some(bits).filter(is_number).and_then(|bits| bits.parse().ok()).ok_or(ParseAddressRangeError)?
            }
        };
        Self::new(address, bits).ok_or(ParseAddressRangeError)
    }
}

impl fmt::Display for AddressRange {
    /// `10.0.0.0/8`; a single address without its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.prefix_bits) {
            (IpAddr::V4(first), 32) => first.fmt(f),
            (IpAddr::V6(first), 128) => first.fmt(f),
            (first, bits) => write!(f, "{first}/{bits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written() {
        for (text, expected) in [
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("203.0.113.2/24", "203.0.113.0/24"),
            ("10.255.0.0/9", "10.128.0.0/9"),
            ("1.2.3.4/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:DB8:0:1::1/48", "2001:db8::/48"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
        ] {
            assert_eq!(text.parse::<AddressRange>().map(|range| range.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_range_is_rejected() {
        for text in [
            "",
            " ",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "010.0.0.1",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "a",
            "fe80::1%eth0",
            "/8",
        ] {
            assert!(text.parse::<AddressRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn halves_are_all_of_a_range() {
        let halves =
            |text: &str| text.parse::<AddressRange>().unwrap().halves().map(|both| both.map(|half| half.to_string()));
        assert_eq!(halves("0.0.0.0/0"), Some(["0.0.0.0/1", "128.0.0.0/1"].map(str::to_owned)));
        assert_eq!(halves("::/0"), Some(["::/1", "8000::/1"].map(str::to_owned)));
        assert_eq!(halves("10.0.0.2/31"), Some(["10.0.0.2", "10.0.0.3"].map(str::to_owned)));
        assert_eq!((halves("10.0.0.2"), halves("::1")), (None, None));
    }

    #[test]
    fn range_has_the_addresses_of_its_first_bits() {
        for (range, address, is_of_it) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("192.0.2.1", "192.0.2.1", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "192.0.2.1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/96", "10.0.0.1", false),
        ] {
            let (range, address): (AddressRange, IpAddr) = (range.parse().unwrap(), address.parse().unwrap());
            assert_eq!(range.contains(address), is_of_it, "{range} {address}");
        }
    }
}
