//! The host as the client sent it: whether it is one, and its port.

/// The characters that a name or an IPv4 address may have (RFC 3986, 3.2.2), but for the apostrophe, which no host has.
const IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b'%' | b'-'
            );
        byte += 1;
    }
    table
};

/// The most digits of a port.
const MOST_DIGITS: usize = 5;

/// Whether this is a host as RFC 3986 has it, a name or an address, perhaps with a port; or nothing at all.
pub fn is_host(host: &[u8]) -> bool {
    let name_end = match host {
        [] => return true,
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| !is_in_ipv6(*byte)) else { return false };
            if end == 0 || rest[end] != b']' {
                return false;
            }
            end + 2
        }
        name => name.iter().position(|byte| !IN_NAME[usize::from(*byte)]).unwrap_or(name.len()),
    };
    match &host[name_end..] {
        [] => name_end > 0,
        [b':', port @ ..] => name_end > 0 && port.len() <= MOST_DIGITS && port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn is_in_ipv6(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
}

/// The port at the end of a host, from 1 to 65535 and without leading zeros; none if it names no such port.
pub fn port(host: &[u8]) -> Option<&[u8]> {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).take(MOST_DIGITS + 1).count();
    let (before, port) = host.split_at(host.len() - digits);
    let number = port.iter().fold(0, |number: u32, digit| number * 10 + u32::from(digit - b'0'));
    let is_port = before.last() == Some(&b':') && port.first() != Some(&b'0') && (1..=65_535).contains(&number);
    is_port.then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in
            ["", "a", "a.example", "a.example.:", "A_b~!$&()*+,;=%41-", "1.2.3.4:80", "[::1]", "[1:2::3.4.5.6]:65535"]
        {
            assert!(is_host(host.as_bytes()), "{host:?}");
        }
        for host in [
            ":80", "a:b", "a:123456", "a:1:2", "a/b", "a b", "a@b", "a#", "a?", "a'", "[", "[]", "[]:1", "[::1",
            "[::1]a", "[g]", "a[::1]", "\u{e4}", "a\0", "[::1]:x", "\"a\"",
        ] {
            assert!(!is_host(host.as_bytes()), "{host:?}");
        }
    }

    #[test]
    fn port_is_a_number_that_a_port_can_have() {
        for (host, expected) in [
            ("a:1", Some("1")),
            ("a:65535", Some("65535")),
            ("[::1]:8080", Some("8080")),
            (":80", Some("80")),
            ("a:65536", None),
            ("a:123456", None),
            ("a:0", None),
            ("a:080", None),
            ("a:", None),
            ("a80", None),
            ("80", None),
            ("[::1]", None),
            ("", None),
        ] {
            assert_eq!(port(host.as_bytes()), expected.map(str::as_bytes), "{host:?}");
        }
    }
}
