//! Times, as they are written in flags.

use std::time::Duration;

pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let time: jiff::SignedDuration =
        text.parse().map_err(|error| format!("{error}; expected a time such as 500ms, 5s or 2m"))?;
    Duration::try_from(time).map_err(|_| "must not be negative".to_owned())
}

/// A time for which nginx has no meaning of zero that would be the one here.
pub(super) fn parse_nonzero_time(text: &str) -> Result<Duration, String> {
    let allowed = Duration::from_millis(1)..=Duration::from_hours(30 * 24);
    parse_time(text).and_then(|time| {
        allowed.contains(&time).then_some(time).ok_or_else(|| "expected a time from 1ms to 720h".to_owned())
    })
}
