//! Annotations.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use entry_model::{FieldPath, Kind, Policy, Protocol, Reason, Timeouts};

use crate::draft::{Draft, quoted};
use crate::resolve;
use crate::theirs::{self, Context, Effect, effect};

/// All annotations that are ours begin with it.
const OURS: &str = "sparrow/";
/// Longest time.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What annotations ask for.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// `sparrow/path`, of Services only.
    pub path: Option<&'a str>,
    /// `sparrow/host`, of Services only.
    pub host: Option<&'a str>,
    /// `sparrow/port`, of Services only.
    pub port: Option<&'a str>,
    /// `sparrow/strip-prefix`.
    pub strip_prefix: Option<bool>,
    /// `sparrow/connect-timeout`, `sparrow/read-timeout`, `sparrow/send-timeout`.
    pub timeouts: Timeouts,
    /// `sparrow/max-body-size`, in bytes; 0 is without limit.
    pub max_body_bytes: Option<u64>,
    /// `sparrow/backend-protocol`: rather than the port's `appProtocol`.
    pub protocol: Option<Protocol>,
    /// `sparrow/keep-alive`: whether connections to the backend are kept.
    pub keep_alive: Option<bool>,
    /// `sparrow/ssl-redirect`.
    pub ssl_redirect: Option<bool>,
}

impl Options<'_> {
    /// How requests are to be treated, but for redirects to HTTPS.
    pub fn policy(&self) -> Policy {
        Policy { timeouts: self.timeouts, max_body_bytes: self.max_body_bytes, redirect_to_https: false }
    }
}

/// Those whose names begin so.
fn beginning<'a>(
    annotations: &'a BTreeMap<String, String>,
    prefix: &'static str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let all = annotations.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
    all.map(|(name, value)| (name.as_str(), value.as_str())).take_while(move |(name, _)| name.starts_with(prefix))
}

/// Reads annotations. One that cannot be used is as if it were not there, and a finding says so.
pub fn options<'a>(
    kind: Kind,
    annotations: &'a BTreeMap<String, String>,
    context: &Context<'_>,
    draft: &mut Draft,
) -> Options<'a> {
    let mut options = Options::default();
    let metadata = FieldPath::root("metadata");
    let annotations_field = metadata.field("annotations");
    for (name, value) in beginning(annotations, theirs::PREFIX) {
        let field = annotations_field.key(name);
        match effect(&name[theirs::PREFIX.len()..], value, context, &mut options) {
            Effect::Same => {}
            Effect::Unknown => {
                let message = "The annotation has no effect: neither ingress-nginx nor this entry knows one of this name; \
                               correct or remove it";
                draft.note(&field, Reason::Unsupported, message.to_owned());
            }
            Effect::Lost(hint) => {
                let message =
                    format!("The annotation is one of ingress-nginx and has no effect: {hint}. Replace or remove it");
                draft.lose(&field, Reason::Unsupported, message);
            }
        }
    }
    for (name, value) in beginning(annotations, OURS) {
        let wrong = match (&name[OURS.len()..], kind) {
            ("path", Kind::Service) => set(&mut options.path, Ok(value)),
            ("host", Kind::Service) => set(&mut options.host, Ok(value)),
            ("port", Kind::Service) => set(&mut options.port, Ok(value)),
            ("strip-prefix", _) => set(&mut options.strip_prefix, boolean(value)),
            ("connect-timeout", _) => set(&mut options.timeouts.connect, duration(value)),
            ("read-timeout", _) => set(&mut options.timeouts.read, duration(value)),
            ("send-timeout", _) => set(&mut options.timeouts.send, duration(value)),
            ("max-body-size", _) => set(&mut options.max_body_bytes, size(value)),
            ("backend-protocol", _) => set(&mut options.protocol, protocol(value)),
            ("keep-alive", _) => set(&mut options.keep_alive, boolean(value)),
            ("ssl-redirect", _) => set(&mut options.ssl_redirect, boolean(value)),
            (other, _) => {
                let hint = match other {
                    "path" | "host" | "port" => "it is for Services; an Ingress has fields for that. Remove it",
                    _ => "there is none of this name; correct or remove it",
                };
                let message = format!("The annotation has no effect: {hint}");
                draft.lose(&annotations_field.key(name), Reason::Unsupported, message);
                None
            }
        };
        if let Some(hint) = wrong {
            let message = format!("The value {} cannot be used, the default stays in force: {hint}", quoted(value));
            draft.lose(&annotations_field.key(name), Reason::Invalid, message);
        }
    }
    options
}

/// Keeps a value, or returns what is wrong with it.
fn set<T>(option: &mut Option<T>, value: Result<T, &'static str>) -> Option<&'static str> {
    match value {
        Ok(value) => {
            *option = Some(value);
            None
        }
        Err(hint) => Some(hint),
    }
}

fn boolean(text: &str) -> Result<bool, &'static str> {
    text.parse().map_err(|_| "write `true` or `false`")
}

/// A whole number with a unit.
fn duration(text: &str) -> Result<Duration, &'static str> {
    const HINT: &str = "write a whole number with `ms`, `s`, `m` or `h`, from `1ms` to `24h`, such as `30s`";
    let (number, unit) = number(text).ok_or(HINT)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(HINT),
    };
    let duration = number.checked_mul(milliseconds).map(Duration::from_millis).ok_or(HINT)?;
    if duration.is_zero() || duration > LONGEST { Err(HINT) } else { Ok(duration) }
}

/// A size in bytes. `k`, `m` and `g` are powers of 1024.
pub fn size(text: &str) -> Result<u64, &'static str> {
    const HINT: &str =
        "write a whole number of bytes, or one with `k`, `m` or `g`, such as `10m`; `0` is without limit";
    let (number, unit) = number(text).ok_or(HINT)?;
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
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn protocol(text: &str) -> Result<Protocol, &'static str> {
    resolve::protocol(&text.to_ascii_lowercase()).ok_or("write `http`, `https`, `h2c`, `grpc` or `grpcs`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let ms = |text: &str| duration(text).map(|time| time.as_millis());
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
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        assert_eq!(size(&largest), Ok(i64::MAX.unsigned_abs()));
        for text in
            ["", "m", "-1", "1.5m", "1t", "1 m", "1mb", "9223372036854775808", "9007199254740992k", "17179869184g"]
        {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
