//! `check`: what is wrong with objects, before they are applied.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use entry_model::{Acceptance, Key, Kind, ObjectRef, Snapshot, Verdicts};

use crate::flags::CheckFlags;
use crate::source;

/// How many Ingresses are named of those that are not served here.
const NAMED: usize = 10;

/// Prints the verdicts; 1 if an object is not served as it was asked for.
pub async fn check(flags: &CheckFlags) -> anyhow::Result<ExitCode> {
    let mut generator = super::generator(&flags.configuration).await?;
    let snapshot = source::read(&flags.configuration.objects).await?;
    let rendered = generator.render(&snapshot)?;
    let foreign = foreign(&snapshot, &rendered.verdicts);
    let mut text = String::new();
    if flags.json {
        let verdicts: BTreeMap<_, _> =
            rendered.verdicts.iter().map(|(object, verdict)| (object.to_string(), verdict)).collect();
        writeln!(text, "{}", serde_json::to_string_pretty(&verdicts)?)?;
        std::io::stderr().write_all(foreign.as_bytes())?;
    } else {
        write_findings(&mut text, &rendered.verdicts);
        text.push_str(&foreign);
        let wrong = rendered.verdicts.values().filter(|verdict| verdict.acceptance() != Acceptance::Accepted).count();
        let all = rendered.verdicts.len();
        writeln!(text, "{all} object{}, {wrong} not served as asked for", if all == 1 { "" } else { "s" })?;
    }
    std::io::stdout().write_all(text.as_bytes())?;
    let as_asked_for = rendered.verdicts.values().all(|verdict| verdict.acceptance() == Acceptance::Accepted);
    let nothing_to_say = foreign.is_empty() && rendered.verdicts.values().all(|verdict| verdict.findings().is_empty());
    let fine = as_asked_for && (nothing_to_say || !flags.strict);
    Ok(ExitCode::from(u8::from(!fine)))
}

/// A line that names the Ingresses of which nothing is said, since they are not this entry's; empty if there is none.
fn foreign(snapshot: &Snapshot, verdicts: &Verdicts) -> String {
    let of = |key: &Key| ObjectRef::new(Kind::Ingress, key.clone());
    let foreign: Vec<_> = snapshot.ingresses.keys().filter(|key| !verdicts.contains_key(&of(key))).collect();
    let named: Vec<_> = foreign.iter().take(NAMED).map(|key| format!("{}/{}", key.namespace, key.name)).collect();
    let more = foreign.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = named.join(", ");
    match foreign.len() {
        0 => String::new(),
        1 => format!("1 Ingress has no class that this entry serves: {named}\n"),
        n => format!("{n} Ingresses have no class that this entry serves: {named}{more}\n"),
    }
}

/// A line for each finding.
pub fn write_findings(text: &mut String, verdicts: &Verdicts) {
    for (object, verdict) in verdicts {
        for finding in verdict.findings() {
            let (acceptance, reason) = (verdict.acceptance(), finding.reason);
            // What cannot be read has no fields.
            let field = if finding.field.is_empty() { String::new() } else { format!("{}: ", finding.field) };
            let _ = writeln!(text, "{object}: {acceptance:?}: {field}{reason}: {}", finding.message);
        }
    }
}
