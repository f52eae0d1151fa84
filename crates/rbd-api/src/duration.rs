//! Times in queries, bodies and flags.

use std::time::Duration;

/// A time such as `30s`, `2m`, `500ms`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    // A day is 24 hours here: retentions are spans of time, not of the calendar.
    let span: jiff::Span = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let signed = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
    Duration::try_from(signed).map_err(|_| "must not be negative".to_owned())
}
