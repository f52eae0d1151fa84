//! The policies that a part of a configuration carries out.

use std::collections::{BTreeMap, BTreeSet};

use entry_model::{Balancing, Policy};

use crate::frame_needs::FrameNeeds;
use crate::policy::headers;
use crate::policy_class::PolicyClass;

/// Policies, one of each class: those that need more than the directives of a location.
#[derive(Debug, Default)]
pub struct PolicySet<'a>(BTreeMap<PolicyClass, &'a Policy>);

impl<'a> PolicySet<'a> {
    /// Those of what a table needs.
    pub fn of(needs: &'a FrameNeeds) -> Self {
        let all = needs.locations.iter().map(|location| &location.policy);
        Self(all.filter(|policy| needs_more(policy)).map(|policy| (PolicyClass::of(policy), policy)).collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a Policy> + use<'a, '_> {
        self.0.values().copied()
    }

    /// Those of some classes.
    pub fn of_classes(&self, classes: &BTreeSet<PolicyClass>) -> impl Iterator<Item = &'a Policy> {
        self.0.iter().filter(|(class, _)| classes.contains(class)).map(|(_, policy)| *policy)
    }
}

/// Whether something of a policy is outside of the location that forwards. Most have nothing, and are not looked at again.
fn needs_more(policy: &Policy) -> bool {
    policy.cors.is_some()
        || policy.access.basic_auth.is_some()
        || policy.client_certificates.is_some()
        || policy.limits.counts_clients()
        || policy.backend_tls.origin.is_some()
        || policy.backend_tls.verification.is_some()
        || policy.backend_tls.certificate.is_some()
        || policy.answer_headers.added.iter().any(|header| header.always)
        || headers::have_variables(policy)
        || policy.external_auth.is_some()
        || policy.mirror.is_some()
        || policy.error_pages.is_some()
        || matches!(policy.balancing, Balancing::Session(_))
}
