//! Values of a `ConfigMap` of settings: each is read, or what to write instead is returned.

use std::time::Duration;

use ipnet::IpNet;
use std::net::IpAddr;

/// Most items of a list.
const MAX_ITEMS: usize = 500;
/// Longest time.
const MAX_TIME: Duration = Duration::from_hours(24 * 30);

/// A switch, in all the words that ingress-nginx reads as one.
pub fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" | "on" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" | "off" => Ok(false),
        _ => Err("write `true` or `false`".to_owned()),
    }
}

/// A whole number from `least` to `most`.
pub fn number(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("write a whole number from {least} to {most}"))
}

/// The same, where it is known to fit.
pub fn small_number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = number(text, least.into(), most.into())?;
    u32::try_from(number).map_err(|error| error.to_string())
}

/// Whole seconds, at least one.
pub fn seconds(text: &str) -> Result<Duration, String> {
    number(text, 1, MAX_TIME.as_secs())
        .map(Duration::from_secs)
        .map_err(|hint| format!("{hint}: seconds, without a unit"))
}

/// A time with a unit, as nginx writes it; seconds without one.
pub fn time(text: &str) -> Result<Duration, String> {
    let hint = || "write a time such as `30s`, `10m` or `1h`, up to 720h".to_owned();
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().map_err(|_| hint())?;
    let milliseconds: u64 = match &text[end..] {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(hint()),
    };
    let time = number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(hint)?;
    if time.is_zero() || time > MAX_TIME { Err(hint()) } else { Ok(time) }
}

/// A size from `least` to `most` bytes.
pub fn size(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let bytes = entry_translate::parse_size(text).map_err(str::to_owned)?;
    if (least..=most).contains(&bytes) {
        return Ok(bytes);
    }
    Err(format!("write a size from {least} to {most} bytes, such as `16k`"))
}

/// The items of a list with commas, without blanks around them and without empty ones.
pub fn items(text: &str) -> Result<Vec<&str>, String> {
    let all: Vec<_> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    if all.len() > MAX_ITEMS { Err(format!("write at most {MAX_ITEMS} items")) } else { Ok(all) }
}

/// Ranges of addresses, or single addresses, with commas; and the items that are none.
pub fn ranges(text: &str) -> Result<(Vec<IpNet>, Vec<&str>), String> {
    let (mut ranges, mut wrong) = (Vec::new(), Vec::new());
    for item in items(text)? {
        let range = item.parse::<IpNet>().ok().or_else(|| item.parse::<IpAddr>().ok().map(IpNet::from));
        match range {
            Some(range) => ranges.push(range.trunc()),
            None => wrong.push(item),
        }
    }
    Ok((ranges, wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_ingress_nginx_reads_them() {
        assert_eq!((switch("True"), switch("0")), (Ok(true), Ok(false)));
        assert!(switch("yes").is_err());
        assert_eq!(seconds("60"), Ok(Duration::from_secs(60)));
        for text in ["", "0", "60s", "-1", "1.5", "9999999999"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        for (text, expected) in [("240s", 240_000), ("10m", 600_000), ("5", 5000), ("250ms", 250), ("1d", 86_400_000)] {
            assert_eq!(time(text).map(|time| time.as_millis()), Ok(expected), "{text}");
        }
        for text in ["", "s", "0s", "31d", "1w", "1 s"] {
            assert!(time(text).is_err(), "{text}");
        }
        assert_eq!(size("16k", 1024, 1 << 20), Ok(16 << 10));
        assert!(size("2m", 1024, 1 << 20).is_err() && size("16kb", 1, 1 << 20).is_err());
        let (ranges, wrong) = ranges(" 10.0.0.1/8, 192.0.2.1,,fd00::/8, x").unwrap();
        assert_eq!(
            ranges.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]
        );
        assert_eq!(wrong, ["x"]);
    }
}
