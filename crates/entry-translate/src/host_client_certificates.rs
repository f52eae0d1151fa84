//! Which certificates the clients of a host are asked for. It is asked when a connection is made, before it is known for which path: so all
//! rules of a host have the same, and the oldest object says what.

use std::collections::BTreeSet;

use entry_model::{Action, ClientCertificates, HostName, Reason};

use crate::attach::AttachedObject;
use crate::attached_claims::AttachedClaim;
use crate::claim_site::ClaimSite;
use crate::verdict_draft::{object_name, quoted};

/// What the clients of a host are asked for; none if no object asks for any. Objects whose wish is not followed are told.
pub fn select_client_certificates(
    host: &HostName,
    rules: &[AttachedClaim<'_>],
    attached: &mut [AttachedObject<'_>],
) -> Option<ClientCertificates> {
    let asking: Vec<_> = rules.iter().filter(|rule| rule.claim.policy.client_certificates.is_some()).collect();
    let first = asking.iter().min_by_key(|rule| rule.owner)?;
    let chosen = first.claim.policy.client_certificates.clone()?;
    let mut told = BTreeSet::new();
    for rule in &asking {
        let owner = rule.owner.1;
        let own = rule.claim.policy.client_certificates.as_ref().and_then(ClientCertificates::verification);
        let message = match own {
            Some(_) if *host == HostName::Any => {
                "Certificates of clients can be asked for where a host is named only. Until one is, requests are answered 503".to_owned()
            }
            Some(own) if Some(own) != chosen.verification() => {
                let first = object_name(&attached[first.owner.1].object);
                format!(
                    "{first} was first to say which certificates clients of the host {} need, and says something else, which stays in force; \
                     say the same, or use another host. Until then, nobody may ask: requests are answered 503",
                    quoted(&host.to_string())
                )
            }
            _ => continue,
        };
        if told.insert(owner) {
            let site = annotation(&attached[owner]);
            attached[owner].draft.report_loss(&site, Reason::Conflicted, message);
        }
    }
    Some(if *host == HostName::Any { ClientCertificates::Unusable } else { chosen })
}

fn annotation(object: &AttachedObject<'_>) -> ClaimSite {
    const OWN: &str = "sparrow/client-certificate-secret";
    let is_own = object.source.meta().annotations.contains_key(OWN);
    ClaimSite::Annotation(if is_own { OWN } else { "nginx.ingress.kubernetes.io/auth-tls-secret" })
}

/// What the clients of a rule are asked for, of a host that asks for something. Where an object asks for something else, nobody may: what it
/// closes must not be opened by another.
pub fn of_rule(own: Option<&ClientCertificates>, host: &ClientCertificates) -> ClientCertificates {
    match own {
        None => host.clone(),
        Some(own) if own.verification() == host.verification() => own.clone(),
        Some(_) => ClientCertificates::Unusable,
    }
}

/// What is done with the requests of a rule whose clients are asked for this. Texts and redirects are told before a location asks for anything,
/// so that where nobody may ask there must be none.
pub fn action_of(action: &Action, asked: Option<&ClientCertificates>) -> Action {
    match (action, asked) {
        (Action::Answer(_) | Action::Redirect(_), Some(ClientCertificates::Unusable)) => Action::UNAVAILABLE,
        _ => action.clone(),
    }
}
