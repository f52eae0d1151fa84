//! Paths that nobody may ask for, at each host of an object.

use std::collections::BTreeSet;
use std::sync::Arc;

use entry_model::{Action, HostName, Match, Policy};

use super::{Claim, Claims};
use crate::policy::annotations::Annotations;

/// Adds a rule for each of them to each host that the object has rules for.
pub fn add_denied_paths(asked: &mut Claims, annotations: &Annotations<'_>) {
    let mut seen: BTreeSet<HostName> = BTreeSet::new();
    let hosts: Vec<_> = asked.rules.iter().filter(|rule| seen.insert(rule.host.clone())).collect();
    let policy = Arc::new(Policy::default());
    let policy = &policy;
    let denied = hosts.iter().flat_map(|rule| {
        annotations.denied_paths.iter().map(move |(path, status)| Claim {
            host: rule.host.clone(),
            matches: Match::path(path.clone()),
            action: Action::Respond(*status),
            policy: Arc::clone(policy),
            redirect: rule.redirect,
            site: rule.site,
            tls_passthrough: None,
            weak: false,
            yields: false,
        })
    });
    let denied: Vec<_> = denied.collect();
    asked.rules.extend(denied);
}
