//! What is done with all requests of a host, because a `server-snippet` says so: it is for all paths of the host, of whichever object.

use std::collections::BTreeSet;

use entry_model::{Action, HostName, Reason, Rule};

use crate::attach::{AttachedObject, namespace_of};
use crate::attached_claims::AttachedClaim;
use crate::verdict_draft::{object_name, quoted};

/// What is done with all requests of a host that rules of a namespace are for.
#[derive(Debug)]
pub struct HostAction {
    action: Action,
    namespace: String,
}

/// What one of these objects says of the host; what closes it counts first, then the oldest. Others are told.
pub fn select_host_action(
    host: &HostName,
    candidates: &[AttachedClaim<'_>],
    won: &[AttachedClaim<'_>],
    attached: &mut [AttachedObject<'_>],
) -> Option<HostAction> {
    let asking = candidates.iter().filter(|candidate| !candidate.claim.yields);
    let asking = asking.filter_map(|candidate| Some((candidate.claims.host_action.as_ref()?, candidate.owner)));
    let (action, first) = asking.min_by_key(|(action, owner)| (**action != Action::UNAVAILABLE, *owner))?;
    let namespace = namespace_of(attached, first).to_owned();
    let name = object_name(&attached[first.1].object);
    let mut told = BTreeSet::from([first.1]);
    for rule in won {
        let owner = rule.owner.1;
        let is_other = namespace_of(attached, rule.owner) != namespace;
        if is_other || rule.claims.host_action.as_ref() == Some(action) || !told.insert(owner) {
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
    Some(HostAction { action: action.clone(), namespace })
}

/// Has it done with the requests of these rules, if there is such a thing; challenges of certificate authorities are served.
pub fn apply_host_action(host_action: Option<&HostAction>, rules: &mut [Rule]) {
    let Some(HostAction { action, namespace }) = host_action else { return };
    for rule in rules {
        let is_refused = matches!(rule.action, Action::Respond(400..));
        let is_other = *rule.origin.key.namespace != **namespace;
        if !(is_refused || is_other || rule.matches.path.is_acme_challenge()) {
            rule.action = action.clone();
        }
    }
}
