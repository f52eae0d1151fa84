//! Names of hosts.

use std::net::IpAddr;

use entry_model::HostName;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use crate::verdict_draft::quoted;

/// Longest name in DNS, in bytes.
const MAX_HOST_BYTES: usize = 253;

/// Reads a host, `a.example.com` or `*.example.com`. Capitals and Unicode become lower-case A-labels, a final dot goes.
///
/// # Errors
/// What is wrong with it and what to write, in a sentence.
pub fn parse_host(text: &str) -> Result<HostName, String> {
    let wrong = |hint: &str| Err(format!("The host {} cannot be used: {hint}", quoted(text)));
    let (name, wildcard) = text.strip_prefix("*.").map_or((text, false), |parent| (parent, true));
    if text == "*" {
        return wrong("leave it out for all hosts");
    }
    if name.contains('*') {
        return wrong("`*` stands for the whole first label only, as in `*.example.com`");
    }
    if name.parse::<IpAddr>().is_ok() || name.starts_with('[') {
        return wrong("it is an address; write a name, or leave it out for all hosts");
    }
    if name.contains(':') {
        return wrong("write it without a port");
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    // Checks the lengths, too, but with Unicode only after work that grows with the text.
    if name.len() > 4 * MAX_HOST_BYTES {
        return wrong("a name has at most 253 characters");
    }
    let ascii = Uts46::new().to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    let Ok(ascii) = ascii else {
        return wrong(
            "a name has labels of 1 to 63 letters, digits and inner hyphens between dots, and at most 253 characters",
        );
    };
    if wildcard && ascii.len() + 2 > MAX_HOST_BYTES {
        return wrong("a name has at most 253 characters");
    }
    if ends_in_number(&ascii) {
        return wrong("it ends in a number, as an address does; write a name");
    }
    let name = ascii.into_owned();
    Ok(if wildcard { HostName::OneLabel(name) } else { HostName::Exact(name) })
}

/// Whether a name without a final dot ends in a number, decimal or hexadecimal: clients take it for an IPv4 address.
pub fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())) || hex.is_some_and(is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_normalised() {
        let label = "x".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "x".repeat(61));
        for (text, expected) in [
            ("a.example.com", "a.example.com"),
            ("A.Example.COM.", "a.example.com"),
            ("localhost", "localhost"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("例子。中国", "xn--fsqu00a.xn--fiqs8s"),
            ("*.Example.com", "*.example.com"),
            ("*.例子.中国", "*.xn--fsqu00a.xn--fiqs8s"),
            ("*.com", "*.com"),
            ("1.2.3.4a", "1.2.3.4a"),
            (&label, &label),
            (&longest, &longest),
        ] {
            assert_eq!(parse_host(text).map(|host| host.to_string()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn invalid_host_names_are_rejected() {
        let too_long_label = format!("{}.example", "x".repeat(64));
        let label = "x".repeat(63);
        let too_long = format!("{label}.{label}.{label}.{}", "x".repeat(62));
        let too_long_wildcard = format!("*.{label}.{label}.{label}.{}", "x".repeat(60));
        for (text, hint) in [
            ("", "labels of 1 to 63"),
            (".", "labels of 1 to 63"),
            ("..", "labels of 1 to 63"),
            ("a..example", "labels of 1 to 63"),
            (".example", "labels of 1 to 63"),
            ("*", "leave it out for all hosts"),
            ("*.", "labels of 1 to 63"),
            ("a.*.example", "whole first label only"),
            ("*.*.example", "whole first label only"),
            ("w*.example", "whole first label only"),
            ("10.0.0.1", "it is an address"),
            ("*.10.0.0.1", "it is an address"),
            ("fd00::1", "it is an address"),
            ("[fd00::1]", "it is an address"),
            ("999.999.999.999", "ends in a number"),
            ("１０.０.０.１", "ends in a number"),
            ("127.0.0.0x1", "ends in a number"),
            ("0x7F000001", "ends in a number"),
            ("a.example:80", "without a port"),
            ("a_b.example", "labels of 1 to 63"),
            ("-a.example", "labels of 1 to 63"),
            ("a b.example", "labels of 1 to 63"),
            ("a;b.example", "labels of 1 to 63"),
            ("a.example/x", "labels of 1 to 63"),
            ("$host.example", "labels of 1 to 63"),
            ("a\0.example", "labels of 1 to 63"),
            ("xn--\u{e9}.example", "labels of 1 to 63"),
            (&too_long_label, "labels of 1 to 63"),
            (&too_long, "at most 253"),
            (&too_long_wildcard, "at most 253"),
            (&"x".repeat(100_000), "at most 253"),
        ] {
            let message = parse_host(text).unwrap_err();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }
}
