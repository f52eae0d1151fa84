//! How much a client may ask for.

use entry_model::{AddressRange, Limits, Reason, RequestLimit};

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic};
use super::value::{parse_go_number, parse_ranges, parse_size};

pub const TOPIC: Topic = Topic {
    title: "Limits",
    own: &[
        own("limit-rps", "a number: how many requests a client may send in a second", "without limit", "20"),
        own("limit-rpm", "a number: how many requests a client may send in a minute", "without limit", "300"),
        own(
            "limit-connections",
            "a number: how many requests of a client are served at the same time",
            "without limit",
            "10",
        ),
        own(
            "limit-burst-multiplier",
            "a number: so many times the requests of a second, or of a minute, may come at once beside those that are in the limit",
            "`5`",
            "2",
        ),
        own(
            "limit-exempt-ranges",
            "addresses and ranges with commas between them, at most 1000: clients whose requests are not counted",
            "none",
            "10.0.0.0/8",
        ),
        own("limit-status", "a status from 400 to 599: what is answered to requests over the limit", "`503`", "429"),
        own(
            "limit-rate",
            "a size: how many bytes of an answer are sent in a second, where answers are buffered; `0` is without limit",
            "without limit",
            "100k",
        ),
        own("limit-rate-after", "a size: how many bytes of an answer are sent before `limit-rate` counts", "`0`", "1m"),
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::same(
            "limit-connections",
            Scope::Rule,
            "How many requests of a client are served at the same time; others are answered 503",
        ),
        IngressNginxAnnotation::differs("limit-rps", Scope::Rule, ROUNDED),
        IngressNginxAnnotation::differs("limit-rpm", Scope::Rule, ROUNDED),
        IngressNginxAnnotation::same(
            "limit-burst-multiplier",
            Scope::Rule,
            "How many times the rate may come at once, without delay; 5 without it",
        ),
        IngressNginxAnnotation::differs("limit-allowlist", Scope::Rule, EXEMPT),
        IngressNginxAnnotation::differs(
            "limit-whitelist",
            Scope::Rule,
            "The older name of `limit-allowlist`, which counts if both are there",
        ),
        IngressNginxAnnotation::same(
            "limit-rate",
            Scope::Rule,
            "How many KiB of an answer are sent in a second, where answers are buffered (`proxy-buffering: on`), as there",
        ),
        IngressNginxAnnotation::same(
            "limit-rate-after",
            Scope::Rule,
            "How many KiB of an answer are sent before `limit-rate` counts",
        ),
    ],
};

const ROUNDED: &str = "For each client's address and each Ingress, at each replica; others are answered 503, or what `sparrow/limit-status` \
                       says. Of numbers over 100 two digits count: 125 is 120";
const EXEMPT: &str = "Clients that are not counted. With a list that cannot be used all are counted; there, none are";

/// The largest rate.
const MAX_RATE: u32 = 1_000_000;

/// The largest number of requests at once, and at the same time: nginx keeps it in 16 bits.
const MAX_CONNECTIONS: i64 = 65_535;

const fn own(name: &'static str, value: &'static str, default: &'static str, example: &'static str) -> OwnAnnotation {
    OwnAnnotation::new(name, Objects::ServicesAndIngresses, value, default, example)
}

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    const MULTIPLIER: &str = "limit-burst-multiplier";
    let multiplier = reader.either_of((MULTIPLIER, parse_number), (MULTIPLIER, parse_go_number)).unwrap_or(5).max(0);
    let requests_per_second = request_limit(reader, "limit-rps", multiplier);
    let requests_per_minute = request_limit(reader, "limit-rpm", multiplier);
    let connections = number(reader, "limit-connections").filter(|number| *number > 0);
    let connections = connections.map(|number| u32::try_from(number.min(MAX_CONNECTIONS)).unwrap_or(u32::MAX));
    let mut size = |name| reader.either_usable((name, parse_size), (name, parse_kibibytes)).filter(|bytes| *bytes > 0);
    let (bytes_per_second, bytes_before) = (size("limit-rate"), size("limit-rate-after"));
    let status = reader.own("limit-status", parse_status);
    let exempt = read_exempt(reader).unwrap_or_default();
    let limits = Limits {
        requests_per_second,
        requests_per_minute,
        connections,
        counted_for: None,
        exempt: exempt.into(),
        status,
        bytes_per_second,
        bytes_before,
    };
    annotations.policy.limits =
        if limits.counts_clients() { limits } else { Limits { bytes_per_second, bytes_before, ..Limits::default() } };
}

/// A number of either dialect. Without any, there is no limit.
fn number(reader: &mut AnnotationReader<'_, '_>, name: &str) -> Option<i64> {
    reader.either_usable((name, parse_number), (name, parse_go_number))
}

/// How many requests there may be; 0 is without limit.
fn request_limit(reader: &mut AnnotationReader<'_, '_>, name: &'static str, multiplier: i64) -> Option<RequestLimit> {
    let asked = u32::try_from(number(reader, name)?.clamp(0, u32::MAX.into())).unwrap_or(u32::MAX);
    let rate = round_rate(asked);
    if rate != asked
        && let Some(found) = reader.first_text(name, &[name])
    {
        let message = format!(
            "The limit is {rate}: of numbers over 100 two digits count, up to {MAX_RATE}, so that few different ones are counted for"
        );
        reader.report_text_note(&found, Reason::Unsupported, message);
    }
    let burst = i64::from(asked).saturating_mul(multiplier).clamp(0, 1_000_000_000);
    (rate > 0).then(|| RequestLimit { rate, burst: u32::try_from(burst).unwrap_or(u32::MAX) })
}

/// A rate of which there are few: each has memory of its own.
fn round_rate(rate: u32) -> u32 {
    let rate = rate.min(MAX_RATE);
    let step = 10_u32.pow(rate.checked_ilog10().unwrap_or(0).saturating_sub(1));
    if rate > 100 { rate - rate % step } else { rate }
}

/// The clients that are not counted.
fn read_exempt(reader: &mut AnnotationReader<'_, '_>) -> Option<Vec<AddressRange>> {
    let found = reader.first_text("limit-exempt-ranges", &["limit-allowlist", "limit-whitelist"])?;
    // There, this is no list.
    if found.text.is_empty() && !found.is_own() {
        return None;
    }
    match parse_ranges(found.text) {
        Ok(ranges) => Some(ranges),
        Err(fault) => {
            let message = format!(
                "The list {fault}, so all clients are counted; write addresses or ranges with commas between them"
            );
            reader.report_text_loss(&found, Reason::Invalid, message);
            None
        }
    }
}

fn parse_kibibytes(text: &str) -> Result<u64, &'static str> {
    let kibibytes = parse_go_number(text)?;
    Ok(u64::try_from(kibibytes).unwrap_or(0).saturating_mul(1024))
}

fn parse_number(text: &str) -> Result<i64, &'static str> {
    let number = text.parse::<u32>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    number.map(i64::from).ok_or("write a whole number")
}

fn parse_status(text: &str) -> Result<u16, &'static str> {
    let status = text.parse().ok().filter(|status| (400..=599).contains(status));
    status.ok_or("write a status from 400 to 599, such as `429`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri takes hours for it")]
    fn few_rates_are_counted_for() {
        for (asked, expected) in [
            (0, 0),
            (1, 1),
            (99, 99),
            (100, 100),
            (125, 120),
            (999, 990),
            (1000, 1000),
            (1999, 1900),
            (u32::MAX, MAX_RATE),
        ] {
            assert_eq!(round_rate(asked), expected, "{asked}");
        }
        let all: std::collections::BTreeSet<_> = (0..=MAX_RATE).map(round_rate).collect();
        assert!(all.len() < 500, "{}", all.len());
    }
}
