//! Frames as they are checked in.

use regex::Regex;
use similar::TextDiff;

/// The frame with the same revision as every other, modules where they would be on any machine, and hashes by their number, since a new
/// field of a policy makes another one of each.
pub fn without_revision(configuration: &str) -> String {
    let configuration = configuration.replace(
        &testbed::nginx::debian_program().stream_module().display().to_string(),
        "/usr/lib/nginx/modules/ngx_stream_module.so",
    );
    let revision = Regex::new("return 200 [0-9a-f]{32};").expect("a pattern");
    let configuration = revision.replace(&configuration, "return 200 REVISION;");
    let mut seen: Vec<String> = Vec::new();
    let hash = Regex::new("[0-9a-f]{32}").expect("a pattern");
    let numbered = hash.replace_all(&configuration, |found: &regex::Captures<'_>| {
        let number = seen.iter().position(|hash| *hash == found[0]).unwrap_or_else(|| {
            seen.push(found[0].to_owned());
            seen.len() - 1
        });
        format!("HASH{}", number + 1)
    });
    numbered.into_owned()
}

/// The lines in which the second differs from the first, each with the line before and the line after it. Where they are is left out: that
/// changes with all that stands before.
pub fn difference(first: &str, second: &str) -> Option<String> {
    let difference = TextDiff::from_lines(first, second).unified_diff().context_radius(1).to_string();
    let places = Regex::new("(?m)^@@ .* @@$").expect("a pattern");
    (first != second).then(|| places.replace_all(&difference, "@@").into_owned())
}
