//! What became of an object, in the conditions of the Gateway API.

use crate::{Acceptance, Finding, ParentVerdict, Reason};

/// A condition of a route at one of its parents, as in `status.parents[].conditions[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it is about.
    pub kind: ConditionKind,
    /// Whether that is so; none while it is not known.
    pub status: Option<bool>,
    /// The `metadata.generation` that was looked at.
    pub observed_generation: i64,
    /// Why, in a word of the Gateway API where it has one.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

/// What a condition is about. The names are those of the Gateway API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionKind {
    /// At least a part of the object is served, or will be as soon as it is programmed.
    Accepted,
    /// All that the object refers to exists and can be used.
    ResolvedRefs,
    /// A part of the object is not served. It is there only if it is true.
    PartiallyInvalid,
    /// What serves has taken it over.
    Programmed,
}

/// What became of the revision in which an object was served last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevisionState {
    /// It is on its way.
    Pending,
    /// It is in force.
    InForce,
    /// It could not be put in force: why. What was in force before still is.
    Failed(String),
}

/// Most characters of a message, as the API has it.
const MAX_MESSAGE_CHARS: usize = 32_768;

impl ParentVerdict {
    /// The conditions of an object at this parent, in the order of their kinds.
    pub fn conditions(&self, observed_generation: i64, programmed: &RevisionState) -> Vec<Condition> {
        let condition = |kind: ConditionKind, status: Option<bool>, reason: &str, message: String| Condition {
            kind,
            status,
            observed_generation,
            reason: reason.to_owned(),
            message: message.chars().take(MAX_MESSAGE_CHARS).collect(),
        };
        let (references, others): (Vec<_>, Vec<_>) = self.findings.iter().partition(|finding| is_reference(finding));
        let is_accepted = self.acceptance != Acceptance::Rejected;
        let reason = if is_accepted { "Accepted" } else { &*first_reason(&self.findings) };
        let mut all = vec![condition(ConditionKind::Accepted, Some(is_accepted), reason, messages(&others))];
        all.push(match references.first() {
            None => condition(ConditionKind::ResolvedRefs, Some(true), "ResolvedRefs", String::new()),
            Some(finding) => {
                let reason = match finding.reason {
                    Reason::RefNotFound => "BackendNotFound",
                    _ => "InvalidKind",
                };
                condition(ConditionKind::ResolvedRefs, Some(false), reason, messages(&references))
            }
        });
        if self.acceptance == Acceptance::Partial {
            let findings: Vec<_> = self.findings.iter().collect();
            all.push(condition(ConditionKind::PartiallyInvalid, Some(true), "UnsupportedValue", messages(&findings)));
        }
        all.push(match programmed {
            _ if !is_accepted => condition(ConditionKind::Programmed, Some(false), "Invalid", String::new()),
            RevisionState::Pending => condition(ConditionKind::Programmed, None, "Pending", String::new()),
            RevisionState::InForce => condition(ConditionKind::Programmed, Some(true), "Programmed", String::new()),
            RevisionState::Failed(why) => condition(ConditionKind::Programmed, Some(false), "Invalid", why.clone()),
        });
        all
    }
}

fn is_reference(finding: &Finding) -> bool {
    matches!(finding.reason, Reason::RefNotFound | Reason::InvalidRef)
}

fn first_reason(findings: &[Finding]) -> String {
    findings.first().map_or_else(|| "Invalid".to_owned(), |finding| finding.reason.to_string())
}

fn messages(findings: &[&Finding]) -> String {
    let sentences = findings.iter().map(|Finding { field, message, .. }| match field.as_str() {
        "" => message.clone(),
        field => format!("{field}: {message}"),
    });
    sentences.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Parent;

    fn verdict(acceptance: Acceptance, findings: &[(&str, Reason)]) -> ParentVerdict {
        let finding = |&(field, reason): &(&str, Reason)| Finding {
            field: field.to_owned(),
            reason,
            message: "x".to_owned(),
            is_loss: true,
        };
        ParentVerdict { parent: Parent::default(), acceptance, findings: findings.iter().map(finding).collect() }
    }

    fn of(verdict: &ParentVerdict, programmed: &RevisionState) -> Vec<(ConditionKind, Option<bool>, String, String)> {
        let conditions = verdict.conditions(7, programmed).into_iter();
        conditions
            .map(|condition| {
                assert_eq!(condition.observed_generation, 7);
                (condition.kind, condition.status, condition.reason, condition.message)
            })
            .collect()
    }

    fn expected<const N: usize>(
        all: [(ConditionKind, Option<bool>, &str, &str); N],
    ) -> Vec<(ConditionKind, Option<bool>, String, String)> {
        all.map(|(kind, status, reason, message)| (kind, status, reason.to_owned(), message.to_owned())).into()
    }

    #[test]
    fn served_object_is_programmed_once_its_revision_is_in_force() {
        use ConditionKind::{Accepted, Programmed as IsProgrammed, ResolvedRefs};
        let verdict = verdict(Acceptance::Accepted, &[]);
        for (programmed, status, reason, message) in [
            (RevisionState::Pending, None, "Pending", ""),
            (RevisionState::InForce, Some(true), "Programmed", ""),
            (RevisionState::Failed("no room".to_owned()), Some(false), "Invalid", "no room"),
        ] {
            let conditions = expected([
                (Accepted, Some(true), "Accepted", ""),
                (ResolvedRefs, Some(true), "ResolvedRefs", ""),
                (IsProgrammed, status, reason, message),
            ]);
            assert_eq!(of(&verdict, &programmed), conditions);
        }
    }

    #[test]
    fn missing_reference_is_reported_beside_what_is_served() {
        use ConditionKind::{Accepted, PartiallyInvalid, Programmed as IsProgrammed, ResolvedRefs};
        let verdict = verdict(Acceptance::Partial, &[("spec.a", Reason::RefNotFound), ("spec.b", Reason::Unsupported)]);
        let conditions = expected([
            (Accepted, Some(true), "Accepted", "spec.b: x"),
            (ResolvedRefs, Some(false), "BackendNotFound", "spec.a: x"),
            (PartiallyInvalid, Some(true), "UnsupportedValue", "spec.a: x\nspec.b: x"),
            (IsProgrammed, Some(true), "Programmed", ""),
        ]);
        assert_eq!(of(&verdict, &RevisionState::InForce), conditions);
    }

    #[test]
    fn rejected_object_is_never_programmed() {
        use ConditionKind::{Accepted, Programmed as IsProgrammed, ResolvedRefs};
        let verdict = verdict(Acceptance::Rejected, &[("", Reason::Conflicted)]);
        let conditions = expected([
            (Accepted, Some(false), "Conflicted", "x"),
            (ResolvedRefs, Some(true), "ResolvedRefs", ""),
            (IsProgrammed, Some(false), "Invalid", ""),
        ]);
        assert_eq!(of(&verdict, &RevisionState::InForce), conditions);
    }
}
