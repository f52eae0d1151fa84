//! Values of annotations: each is read, or what to write instead is returned.

use std::collections::BTreeSet;
use std::time::Duration;

use entry_model::{AddressRange, Protocol};

use crate::resolve;
use crate::verdict_draft::quoted;

/// Longest time.
pub const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// A switch.
pub fn parse_boolean(text: &str) -> Result<bool, &'static str> {
    text.parse().map_err(|_| "write `true` or `false`")
}

/// A switch as ingress-nginx reads it, which is written in Go: without blanks around it.
pub fn parse_go_boolean(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it is `true` or `false`"),
    }
}

/// A switch of nginx.
pub fn parse_on_off(text: &str) -> Result<bool, &'static str> {
    match text.trim() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("it is `on` or `off`"),
    }
}

/// A whole number that is not negative.
pub fn parse_integer(text: &str) -> Result<u64, &'static str> {
    text.trim().parse().map_err(|_| "it is a whole number")
}

/// A whole number with a unit.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    const HINT: &str = "write a whole number with `ms`, `s`, `m` or `h`, from `1ms` to `24h`, such as `30s`";
    let (number, unit) = split_number(text).ok_or(HINT)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(HINT),
    };
    let duration = number.checked_mul(milliseconds).map(Duration::from_millis).ok_or(HINT)?;
    if duration.is_zero() || duration > MAX_DURATION { Err(HINT) } else { Ok(duration) }
}

/// Most ranges of addresses in a list.
const MAX_RANGES: usize = 1000;

/// A list of ranges of addresses with commas between them, sorted, each once.
///
/// # Errors
/// What is wrong, in words that stand behind a subject.
pub fn parse_ranges(text: &str) -> Result<Vec<AddressRange>, String> {
    let items = || text.split(',').map(str::trim);
    if items().count() > MAX_RANGES {
        return Err(format!("has more than {MAX_RANGES} ranges"));
    }
    let parse =
        |item: &str| item.parse().map_err(|_| format!("has {}, which is no address and no range", quoted(item)));
    let ranges: BTreeSet<AddressRange> = items().map(parse).collect::<Result<_, String>>()?;
    Ok(ranges.into_iter().collect())
}

/// A number of Go, without blanks around it.
pub fn parse_go_number(text: &str) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "it is a whole number")
}

/// A size in bytes. `k`, `m` and `g` are powers of 1024.
///
/// # Errors
/// What to write instead.
pub fn parse_size(text: &str) -> Result<u64, &'static str> {
    const HINT: &str =
        "write a whole number of bytes, or one with `k`, `m` or `g`, such as `10m`; `0` is without limit";
    let (number, unit) = split_number(text).ok_or(HINT)?;
    let bytes: u64 = match unit {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return Err(HINT),
    };
    // What holds sizes of files is signed.
    number.checked_mul(bytes).filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or(HINT)
}

/// Splits a number from its unit.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// What a backend speaks.
pub fn parse_protocol(text: &str) -> Result<Protocol, &'static str> {
    resolve::parse_protocol(&text.to_ascii_lowercase()).ok_or("write `http`, `https`, `h2c`, `grpc` or `grpcs`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        let ms = |text: &str| parse_duration(text).map(|time| time.as_millis());
        for (text, expected) in [("1ms", 1), ("500ms", 500), ("5s", 5_000), ("2m", 120_000), ("24h", 86_400_000)] {
            assert_eq!(ms(text), Ok(expected), "{text}");
        }
        let huge = format!("{}h", u64::MAX);
        for text in
            ["", "5", "s", "0s", "-1s", "+1s", "1.5s", "5 s", " 5s", "5S", "1d", "86400001ms", "25h", &huge, "٥s"]
        {
            assert!(ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_may_have_units() {
        let largest = i64::MAX.to_string();
        for (text, expected) in [("0", 0), ("512", 512), ("1k", 1 << 10), ("10M", 10 << 20), ("1g", 1 << 30)] {
            assert_eq!(parse_size(text), Ok(expected), "{text}");
        }
        assert_eq!(parse_size(&largest), Ok(i64::MAX.unsigned_abs()));
        for text in
            ["", "m", "-1", "1.5m", "1t", "1 m", "1mb", "9223372036854775808", "9007199254740992k", "17179869184g"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
