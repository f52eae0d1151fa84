//! What the owner of an object will be told, as it is gathered.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;

use entry_model::{AbridgedText, Acceptance, Finding, ObjectRef, Reason, Verdict};

use crate::claim_site::ClaimSite;

/// How many findings are told of one object: they go into Events, the log and metrics.
const MAX_FINDINGS: usize = 20;

/// A verdict in the making.
#[derive(Debug, Clone, Default)]
pub struct VerdictDraft {
    findings: Vec<DraftFinding>,
    lost: bool,
    served: bool,
}

/// A finding, before it is known whether it still matters.
#[derive(Debug, Clone)]
struct DraftFinding {
    finding: Finding,
    /// The claim whose backend it is about, if it is about one.
    backend_of: Option<ClaimSite>,
}

impl VerdictDraft {
    /// Something that was asked for is not served as it was asked for. The field is a [`ClaimSite`] or a path.
    pub fn report_loss(&mut self, field: &impl fmt::Display, reason: Reason, message: String) {
        self.lost = true;
        self.report(field, reason, message, true);
    }

    /// All is served, and there is something to know.
    pub fn report_note(&mut self, field: &impl fmt::Display, reason: Reason, message: String) {
        self.report(field, reason, message, false);
    }

    fn report(&mut self, field: &impl fmt::Display, reason: Reason, message: String, is_loss: bool) {
        let finding = Finding { field: field.to_string(), reason, message, is_loss };
        self.findings.push(DraftFinding { finding, backend_of: None });
    }

    /// Whether something is said of a field.
    pub fn has_finding(&self, field: &str) -> bool {
        self.findings.iter().any(|found| found.finding.field == field)
    }

    /// What was found last is about the backend of this claim.
    pub fn concerns_backend(&mut self, claim: ClaimSite) {
        if let Some(last) = self.findings.last_mut() {
            last.backend_of = Some(claim);
        }
    }

    /// Takes back what was said of the backends of these claims: nothing leads there.
    pub fn forget_backends(&mut self, claims: &HashSet<ClaimSite>) {
        self.findings.retain(|DraftFinding { backend_of, .. }| backend_of.is_none_or(|claim| !claims.contains(&claim)));
    }

    /// A rule of the object stands. One that is answered 503 counts too: nobody else gets its path.
    pub fn mark_served(&mut self) {
        self.served = true;
    }

    /// The verdict.
    pub fn into_verdict(mut self, generation: i64) -> Verdict {
        // Stable: what is said of the same field stays in the order in which it was found.
        self.findings.sort_by(|a, b| compare_fields(&a.finding.field, &b.finding.field));
        let mut findings: Vec<Finding> = self.findings.into_iter().map(|found| found.finding).collect();
        let more = findings.len().saturating_sub(MAX_FINDINGS);
        if let Some(&Finding { reason, .. }) = findings.get(MAX_FINDINGS) {
            findings.truncate(MAX_FINDINGS);
            let message = format!("And {more} more findings, which are told when there are fewer; correct these first");
            findings.push(Finding { field: String::new(), reason, message, is_loss: self.lost });
        }
        let acceptance = match (self.lost, self.served) {
            (false, _) => Acceptance::Accepted,
            (true, true) => Acceptance::Partial,
            (true, false) => Acceptance::Rejected,
        };
        Verdict::new(generation, acceptance, findings)
    }
}

/// The order of two fields: by their texts, with numbers by their value, so that a field comes before those in it. What a rule
/// leads to comes behind what it is for, as the API declares it.
fn compare_fields(one: &str, two: &str) -> Ordering {
    let (mut a, mut b) = (one, two);
    loop {
        let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b && !a.is_ascii_digit()).count();
        let same = (0..=same).rev().find(|at| a.is_char_boundary(*at)).unwrap_or(0);
        (a, b) = (&a[same..], &b[same..]);
        match (leading_number(a), leading_number(b)) {
            (Some((x, rest)), Some((y, other_rest))) if x == y => (a, b) = (rest, other_rest),
            (Some((x, _)), Some((y, _))) => return x.cmp(&y),
            _ => {
                let is_backend =
                    |all: &str, rest: &str| all[..all.len() - rest.len()].ends_with('.') && rest.starts_with("backend");
                return (is_backend(one, a), a).cmp(&(is_backend(two, b), b));
            }
        }
    }
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Text from an object, for a message: quoted, on one line, at most 100 characters of it.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", AbridgedText(text))
}

/// What a program said, for a message: on one line, at most 300 characters of it, so that its reason is in it.
pub fn abridged_output(text: &str) -> String {
    const MAX_OUTPUT_CHARS: usize = 300;
    let mut shown = String::new();
    for c in text.chars().take(MAX_OUTPUT_CHARS) {
        match c {
            '"' | '\'' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(MAX_OUTPUT_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// An object, for a message: `Ingress shop/web`.
pub fn object_name(object: &ObjectRef) -> String {
    match object.key.namespace.as_str() {
        "" => format!("{} {}", object.kind, AbridgedText(&object.key.name)),
        namespace => format!("{} {}/{}", object.kind, AbridgedText(namespace), AbridgedText(&object.key.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_in_the_order_of_their_numbers() {
        let sorted = [
            "",
            "metadata.annotations[sparrow/backend-protocol]",
            "metadata.annotations[sparrow/port]",
            "metadata.name",
            "spec",
            "spec.clusterIP",
            "spec.rules[2].host",
            "spec.rules[2].http.paths",
            "spec.rules[2].http.paths[0].path",
            "spec.rules[2].http.paths[0].pathType",
            "spec.rules[2].http.paths[0].backend.service.name",
            "spec.rules[2].http.paths[9].path",
            "spec.rules[2].http.paths[10].path",
            "spec.rules[10].host",
            "spec.tls[0].hosts",
            "spec.tls[0].hosts[0]",
            "spec.tls[0].secretName",
        ];
        for (n, a) in sorted.iter().enumerate() {
            for (m, b) in sorted.iter().enumerate() {
                assert_eq!(compare_fields(a, b), n.cmp(&m), "{a} {b}");
            }
        }
    }
}
