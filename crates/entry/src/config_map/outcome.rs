//! What became of a key of a `ConfigMap` of settings.

use std::collections::BTreeSet;

use entry_model::{AbridgedText, Acceptance, FieldPath, Finding, Reason, Verdict};

/// How many findings are told of one `ConfigMap`.
const MAX_FINDINGS: usize = 40;

/// What became of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOutcome {
    /// The key.
    pub name: String,
    /// Its value, without blanks around it.
    pub value: String,
    /// What became of it.
    pub state: KeyState,
}

/// What became of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// It is in force.
    InForce,
    /// It is, and there is something to know.
    Noted(String),
    /// Not all of it is.
    Partial(String),
    /// It cannot be used.
    Rejected {
        /// What to write instead.
        hint: String,
        /// The value that was good before, and stays in force.
        stays: Option<String>,
    },
    /// What it asks for is what happens anyway.
    Unchanged,
    /// What it asks for does not happen, for this reason.
    NotFollowed(&'static str),
    /// It is not followed, and these of its lines may keep someone out, so that no settings are taken that have it.
    KeepsOut(BTreeSet<String>),
    /// Nobody knows such a key.
    Unknown,
}

impl KeyOutcome {
    /// Whether what the key asks for does not happen, or not all of it.
    pub fn is_loss(&self) -> bool {
        matches!(
            self.state,
            KeyState::Partial(_) | KeyState::Rejected { .. } | KeyState::NotFollowed(_) | KeyState::KeepsOut(_)
        )
    }

    /// Whether everybody would get what not everybody got, were the settings taken.
    pub fn keeps_out(&self) -> bool {
        matches!(self.state, KeyState::KeepsOut(_))
    }

    /// Whether its value is in force as it is, so that it can stay so.
    pub fn is_good(&self) -> bool {
        matches!(self.state, KeyState::InForce | KeyState::Noted(_) | KeyState::Partial(_))
    }

    /// What of it is in force, in a word or a few.
    pub fn in_force(&self) -> String {
        match &self.state {
            KeyState::InForce | KeyState::Noted(_) => "in force".to_owned(),
            KeyState::Partial(_) => "in force in part".to_owned(),
            KeyState::Rejected { stays: Some(value), .. } => format!("before: {value}"),
            KeyState::Rejected { stays: None, .. } => "not: what the flags say".to_owned(),
            KeyState::Unchanged => "changes nothing here".to_owned(),
            KeyState::NotFollowed(_) | KeyState::KeepsOut(_) => "not followed".to_owned(),
            KeyState::Unknown => "not known".to_owned(),
        }
    }

    /// What is told of it.
    pub fn message(&self) -> Option<(Reason, String)> {
        Some(match &self.state {
            KeyState::InForce | KeyState::Unchanged => return None,
            KeyState::Noted(message) | KeyState::Partial(message) => (Reason::Unsupported, message.clone()),
            KeyState::Rejected { hint, stays } => {
                let stays = match stays {
                    Some(value) => format!("the value \"{}\", which was there before, stays", AbridgedText(value)),
                    None => "what the flags say stays".to_owned(),
                };
                let value = AbridgedText(&self.value);
                (Reason::Invalid, format!("The value \"{value}\" cannot be used, {stays} in force: {hint}"))
            }
            KeyState::NotFollowed(why) => {
                (Reason::Unsupported, format!("The key is one of ingress-nginx and has no effect: {why}"))
            }
            KeyState::KeepsOut(lines) => {
                let shown: Vec<_> = lines.iter().take(5).map(String::as_str).collect();
                let more = if lines.len() > shown.len() { " and others" } else { "" };
                let message = format!(
                    "Lines of the snippet may keep someone out, and no snippet is followed: {}{more}. No settings are taken that have it: those \
                     that nginx took last stay in force, and at a start nothing is served. Write what these lines do with settings \
                     (`whitelist-source-range`, `denylist-source-range`, `block-user-agents`, `global-auth-url`) or annotations, and remove \
                     them",
                    shown.join(", ")
                );
                (Reason::Unsupported, message)
            }
            KeyState::Unknown => {
                let message = "The key has no effect: neither ingress-nginx nor this entry knows one of this name; correct or remove it";
                (Reason::Unsupported, message.to_owned())
            }
        })
    }
}

/// The verdict on a `ConfigMap` by what became of its keys.
pub fn verdict(generation: i64, outcomes: &[KeyOutcome]) -> Verdict {
    let data = FieldPath::root("data");
    let finding = |outcome: &KeyOutcome| {
        let (reason, message) = outcome.message()?;
        Some(Finding { field: data.key(&outcome.name).to_string(), reason, message, is_loss: outcome.is_loss() })
    };
    let mut findings: Vec<Finding> = outcomes.iter().filter_map(finding).collect();
    let more = findings.len().saturating_sub(MAX_FINDINGS);
    if more > 0 {
        findings.truncate(MAX_FINDINGS);
        let message = format!("And {more} more findings, which are told when there are fewer; correct these first");
        findings.push(Finding { field: String::new(), reason: Reason::Invalid, message, is_loss: true });
    }
    let acceptance = if outcomes.iter().any(KeyOutcome::keeps_out) {
        Acceptance::Rejected
    } else if outcomes.iter().any(KeyOutcome::is_loss) {
        Acceptance::Partial
    } else {
        Acceptance::Accepted
    };
    Verdict::new(generation, acceptance, findings)
}
