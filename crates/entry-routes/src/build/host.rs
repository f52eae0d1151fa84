//! Names of hosts.

use std::net::IpAddr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::draft::quoted;
use crate::HostName;

/// Longest name in DNS, in bytes.
const LONGEST: usize = 253;

/// Reads a host, `a.example.com` or `*.example.com`. Capitals and Unicode become lower-case A-labels, a final dot goes.
///
/// # Errors
/// What is wrong with it and what to write, in a sentence.
pub fn host(text: &str) -> Result<HostName, String> {
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
    if name.len() > 4 * LONGEST {
        return wrong("a name has at most 253 characters");
    }
    let ascii = Uts46::new().to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    let Ok(ascii) = ascii else {
        return wrong(
            "a name has labels of 1 to 63 letters, digits and inner hyphens between dots, and at most 253 characters",
        );
    };
    if wildcard && ascii.len() + 2 > LONGEST {
        return wrong("a name has at most 253 characters");
    }
    // Clients take a name that ends in a number for an IPv4 address.
    if ascii.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return wrong("it ends in a number, as an address does; write a name");
    }
    let name = ascii.into_owned();
    Ok(if wildcard { HostName::Wildcard(name) } else { HostName::Exact(name) })
}
