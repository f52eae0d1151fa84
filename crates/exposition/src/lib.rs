//! The two forms in which metrics are given: `OpenMetrics`, and the older text format that every reader knows.
//!
//! See <https://prometheus.io/docs/instrumenting/exposition_formats/> and <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::collections::HashSet;
use std::fmt::Write as _;

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
    /// The Prometheus text format 0.0.4.
    Text,
}

impl Form {
    /// What a reader prefers, by the values of its headers `Accept`: `OpenMetrics` only where it is named and weighs no less than
    /// the text format.
    pub fn of<'a>(accepted: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut open, mut text) = (0.0, 0.0);
        for item in accepted.into_iter().flat_map(|value| value.split(',')) {
            let mut parts = item.split(';').map(str::trim);
            let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
            match essence.as_str() {
                "application/openmetrics-text" => open = weight.max(open),
                "text/plain" | "text/*" | "*/*" => text = weight.max(text),
                _ => {}
            }
        }
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }

    /// A page of `OpenMetrics` in this form.
    pub fn render(self, open: String) -> String {
        match self {
            Self::OpenMetrics => open,
            Self::Text => text_format(&open),
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The text format, from `OpenMetrics`: there a counter's family is named without the `_total` of its samples, and here with it;
/// and units and the mark at the end are not known here.
fn text_format(open: &str) -> String {
    let counters: HashSet<&str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(open.len());
    for line in open.lines() {
        let described = ["# HELP ", "# TYPE "].into_iter().find_map(|mark| Some((mark, line.strip_prefix(mark)?)));
        match described {
            Some((mark, rest)) => {
                let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let total = if counters.contains(name) { "_total" } else { "" };
                // Writing to a string does not fail.
                let _ = writeln!(text, "{mark}{name}{total} {rest}");
            }
            None if line.starts_with('#') => {}
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_is_the_one_that_the_reader_prefers() {
        for accept in [
            None,
            Some("*/*"),
            Some("text/plain"),
            Some("application/openmetrics-text;q=0"),
            Some("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;version=0.0.4;q=0.3"),
            Some("application/json"),
        ] {
            assert_eq!(Form::of(accept), Form::Text, "{accept:?}");
        }
        assert_eq!(Form::of(["text/plain;q=0.1", "application/openmetrics-text"]), Form::OpenMetrics);
        // As Prometheus 2 and 3 send it.
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ] {
            assert_eq!(Form::of([accept]), Form::OpenMetrics, "{accept:?}");
        }
    }

    #[test]
    fn every_family_of_the_text_format_is_described_by_its_own_name() {
        let open = "# HELP a_requests Requests.\n# TYPE a_requests counter\n# UNIT a_requests x\n\
                    a_requests_total{m=\"# HELP\"} 1\n# HELP a_up Up.\n# TYPE a_up gauge\na_up 1\n# EOF\n";
        let text = "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\n\
                    a_requests_total{m=\"# HELP\"} 1\n# HELP a_up Up.\n# TYPE a_up gauge\na_up 1\n";
        assert_eq!(text_format(open), text);
    }
}
