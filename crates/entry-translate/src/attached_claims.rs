//! What all objects ask for, side by side.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use entry_model::HostName;

use crate::attach::{AttachedObject, Seniority};
use crate::claim::{CanaryClaim, Claim, Claims, DefaultClaim, TlsClaim};
use crate::claim_site::ClaimSite;

/// What all objects ask for. Passes take out what is not served.
#[derive(Debug, Default)]
pub struct AttachedClaims<'c> {
    pub rules: Vec<AttachedClaim<'c>>,
    pub defaults: Vec<(&'c DefaultClaim, Seniority)>,
    pub tls: Vec<(&'c TlsClaim, Seniority)>,
    pub canaries: Vec<AttachedCanary<'c>>,
    /// Hosts for which nothing is asked, and that nobody else gets.
    pub held_hosts: Vec<(&'c HostName, HostClaimant<'c>)>,
    /// Rules that were taken out.
    pub left_out: Vec<AttachedClaim<'c>>,
}

/// An object that names a host, and all that it asks for.
pub type HostClaimant<'c> = (&'c Arc<Claims>, Seniority);

/// A rule that an object asks for, among those of others.
#[derive(Debug, Clone, Copy)]
pub struct AttachedClaim<'c> {
    pub claim: &'c Claim,
    pub owner: Seniority,
    /// All that the object asks for.
    pub claims: &'c Arc<Claims>,
    /// The place of the claim among them.
    pub index: usize,
}

/// A path that a canary is for, among those of others.
#[derive(Debug, Clone, Copy)]
pub struct AttachedCanary<'c> {
    pub claim: &'c CanaryClaim,
    pub owner: Seniority,
    /// All that the object asks for.
    pub claims: &'c Arc<Claims>,
    /// The place of the claim among them.
    pub index: usize,
}

impl<'c> AttachedClaims<'c> {
    /// What these objects ask for, each with its claims.
    pub fn new(attached: &mut [AttachedObject<'_>], claims: &'c [Arc<Claims>]) -> Self {
        let mut all = Self::default();
        for (index, (AttachedObject { source, draft, .. }, claims)) in attached.iter_mut().zip(claims).enumerate() {
            let owner = (source.meta().created, index);
            draft.clone_from(&claims.draft);
            let rules = claims.rules.iter().enumerate();
            all.rules.extend(rules.map(|(index, claim)| AttachedClaim { claim, owner, claims, index }));
            all.defaults.extend(claims.default.iter().map(|claim| (&**claim, owner)));
            all.tls.extend(claims.tls.iter().map(|claim| (claim, owner)));
            let canaries = claims.canaries.iter().enumerate();
            all.held_hosts.extend(claims.held_hosts.iter().map(|host| (host, (claims, owner))));
            all.canaries.extend(canaries.map(|(index, claim)| AttachedCanary { claim, owner, claims, index }));
        }
        all
    }

    /// Keeps what is for these hosts; certificates stay, since they are given to hosts.
    pub fn keep_hosts(&mut self, names: &BTreeSet<HostName>) {
        self.rules.retain(|rule| names.contains(&rule.claim.host));
        self.canaries.retain(|canary| names.contains(&canary.claim.host));
        self.held_hosts.retain(|(host, _)| names.contains(host));
    }

    /// The namespace of the object that gets what no rule matches.
    pub fn default_namespace<'a>(&self, attached: &'a [AttachedObject<'_>]) -> Option<&'a str> {
        let first = self.defaults.iter().min_by_key(|(_, owner)| *owner);
        first.map(|(_, (_, owner))| attached[*owner].object.key.namespace.as_str())
    }

    /// Keeps those rules for which it is said. Of the others nothing is said any more but that.
    pub fn keep_rules(&mut self, keep: &[bool], attached: &mut [AttachedObject<'_>]) {
        let mut left_out: HashMap<usize, HashSet<ClaimSite>> = HashMap::new();
        let mut keep = keep.iter();
        let taken_out = &mut self.left_out;
        self.rules.retain(|rule| {
            let keeps = keep.next().copied().unwrap_or(true);
            if !keeps {
                left_out.entry(rule.owner.1).or_default().insert(rule.claim.site);
                taken_out.push(*rule);
            }
            keeps
        });
        if left_out.is_empty() {
            return;
        }
        // The default backend of several hosts may still lead somewhere.
        for AttachedClaim { claim, owner, .. } in self.rules.iter().filter(|rule| rule.claim.weak) {
            if let Some(sites) = left_out.get_mut(&owner.1) {
                sites.remove(&claim.site);
            }
        }
        for (owner, sites) in left_out {
            attached[owner].draft.forget_backends(&sites);
        }
    }
}
