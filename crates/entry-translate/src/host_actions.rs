//! What is done with all requests of a host, because a `server-snippet` says so: it is for all paths of the host, of whichever object of its
//! namespace.

use std::collections::{BTreeMap, BTreeSet};

use entry_model::{Action, HostName, Reason, Rule};

use crate::attach::{AttachedObject, Seniority, namespace_of};
use crate::attached_claims::{AttachedClaim, HostClaimant};
use crate::verdict_draft::{object_name, quoted};

/// What is done with all requests of a host, by the namespace whose rules they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostActions(BTreeMap<String, Action>);

impl HostActions {
    /// What objects say of the host, those among them of which nothing can be served there; of one namespace, what closes it counts first, then
    /// the oldest. Others are told.
    pub fn select<'c>(
        host: &HostName,
        candidates: &[AttachedClaim<'c>],
        holding: &[HostClaimant<'c>],
        won: &[AttachedClaim<'c>],
        attached: &mut [AttachedObject<'_>],
    ) -> Self {
        let named = candidates.iter().filter(|candidate| !candidate.claim.yields);
        let claimants = named.map(|candidate| (candidate.claims, candidate.owner)).chain(holding.iter().copied());
        let mut asking: Vec<_> =
            claimants.filter_map(|(claims, owner)| Some((claims.action_for(host)?, owner))).collect();
        asking.sort_by_key(|(action, owner)| (*action != Action::UNAVAILABLE, *owner));
        let mut actions = Self::default();
        for (action, owner) in asking {
            let namespace = namespace_of(attached, owner);
            let has_rules = || won.iter().any(|rule| namespace_of(attached, rule.owner) == namespace);
            if !actions.0.contains_key(namespace) && has_rules() {
                actions.0.insert(namespace.to_owned(), action.clone());
                report_others(host, (&action, owner), won, attached);
            }
        }
        actions
    }

    /// Whether nothing is said of the host.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Has it done with the requests of these rules; challenges of certificate authorities are served.
    pub fn apply(&self, rules: &mut [Rule]) {
        for rule in rules {
            if let Some(action) = self.0.get(&rule.origin.key.namespace)
                && !rule.action.refuses()
                && !rule.matches.path.is_acme_challenge()
            {
                rule.action = action.clone();
            }
        }
    }
}

/// Tells others of the same namespace what is done with requests for their paths.
fn report_others(
    host: &HostName,
    (action, first): (&Action, Seniority),
    won: &[AttachedClaim<'_>],
    attached: &mut [AttachedObject<'_>],
) {
    let namespace = namespace_of(attached, first);
    let name = object_name(&attached[first.1].object);
    let mut told = BTreeSet::from([first.1]);
    for rule in won {
        let owner = rule.owner.1;
        let is_other = namespace_of(attached, rule.owner) != namespace;
        if is_other || rule.claims.action_for(host).as_ref() == Some(action) || !told.insert(owner) {
            continue;
        }
        let of_host = match host {
            HostName::Any => "all hosts".to_owned(),
            host => format!("the host {}", quoted(&host.to_string())),
        };
        let draft = &mut attached[owner].draft;
        if *action == Action::UNAVAILABLE {
            let message = format!(
                "The server-snippet of {name} is for all paths of {of_host}, and would keep someone out in a way that is not followed, so \
                 requests are answered 503; correct it there"
            );
            draft.report_loss(&rule.claim.site, Reason::Conflicted, message);
        } else {
            let message = format!(
                "The server-snippet of {name} says what is done with all requests for {of_host}, as in ingress-nginx, so nothing is served \
                 by this Ingress there; correct it there"
            );
            draft.report_note(&rule.claim.site, Reason::Conflicted, message);
        }
    }
}
