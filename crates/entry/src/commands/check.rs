//! `check`: what is wrong with objects, before they are applied.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use entry_routes::{Outcome, Verdicts};

use crate::settings::{Check, Settings};
use crate::source;

/// Prints the verdicts; 1 if an object is not served as it was asked for.
pub async fn check(settings: &Settings, arguments: &Check) -> anyhow::Result<ExitCode> {
    let mut maker = super::maker(settings).await?;
    let made = maker.make(&source::read(settings).await?)?;
    let mut text = String::new();
    if arguments.json {
        let verdicts: BTreeMap<_, _> =
            made.verdicts.iter().map(|(object, verdict)| (object.to_string(), verdict)).collect();
        writeln!(text, "{}", serde_json::to_string_pretty(&verdicts)?)?;
    } else {
        write(&mut text, &made.verdicts);
        let wrong = made.verdicts.values().filter(|verdict| verdict.outcome != Outcome::Accepted).count();
        let all = made.verdicts.len();
        writeln!(text, "{all} object{}, {wrong} not served as asked for", if all == 1 { "" } else { "s" })?;
    }
    std::io::stdout().write_all(text.as_bytes())?;
    let fine =
        made.verdicts.values().all(|verdict| verdict.findings.is_empty() && verdict.outcome == Outcome::Accepted);
    Ok(ExitCode::from(u8::from(!fine)))
}

/// A line for each finding.
pub fn write(text: &mut String, verdicts: &Verdicts) {
    for (object, verdict) in verdicts {
        for finding in &verdict.findings {
            let (outcome, reason) = (verdict.outcome, finding.reason);
            // What cannot be read has no fields.
            let field = if finding.field.is_empty() { String::new() } else { format!("{}: ", finding.field) };
            let _ = writeln!(text, "{object}: {outcome:?}: {field}{reason}: {}", finding.message);
        }
    }
}
