//! What all objects ask for, side by side.

use std::sync::Arc;

use crate::attach::{Age, Attached};
use crate::claim::{Claim, Claims, DefaultClaim, TlsClaim};

/// What all objects ask for. Passes take out what is not served.
#[derive(Debug, Default)]
pub struct Contest<'c> {
    pub rules: Vec<Contender<'c>>,
    pub defaults: Vec<(&'c DefaultClaim, Age)>,
    pub tls: Vec<(&'c TlsClaim, Age)>,
}

/// A rule that an object asks for, among those of others.
#[derive(Debug, Clone, Copy)]
pub struct Contender<'c> {
    pub claim: &'c Claim,
    pub owner: Age,
    /// All that the object asks for.
    pub claims: &'c Arc<Claims>,
    /// The place of the claim among them.
    pub index: usize,
}

impl<'c> Contest<'c> {
    /// What these objects ask for, each with its claims.
    pub fn new(attached: &mut [Attached<'_>], claims: &'c [Arc<Claims>]) -> Self {
        let mut contest = Self::default();
        for (index, (Attached { source, draft, .. }, claims)) in attached.iter_mut().zip(claims).enumerate() {
            let owner = (source.meta().created, index);
            draft.clone_from(&claims.draft);
            let rules = claims.rules.iter().enumerate();
            contest.rules.extend(rules.map(|(index, claim)| Contender { claim, owner, claims, index }));
            contest.defaults.extend(claims.default.iter().map(|claim| (claim, owner)));
            contest.tls.extend(claims.tls.iter().map(|claim| (claim, owner)));
        }
        contest
    }
}
