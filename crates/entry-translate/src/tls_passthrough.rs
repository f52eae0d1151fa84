//! Which hosts' TLS connections go to a backend as they come.

use entry_model::{Action, Destination, HostName, Match, PathMatch, Reason, Rule, TlsPassthrough};

use crate::attach::AttachedObject;
use crate::attached_claims::AttachedClaim;
use crate::verdict_draft::{object_name, quoted};

/// Which of the claims that stand at a host gets its TLS connections; none if TLS is ended here. The oldest object with a say on the
/// host decides, for its own path `/`; the others are told.
pub fn select_passthrough(
    name: &HostName,
    won: &[AttachedClaim<'_>],
    attached: &mut [AttachedObject<'_>],
) -> Option<usize> {
    if won.iter().all(|won| won.claim.tls_passthrough.is_none()) {
        return None;
    }
    // Solvers of ACME challenges come and go, and decide nothing.
    let has_say = |won: &&AttachedClaim<'_>| !won.claim.matches.path.is_acme_challenge();
    let first = won.iter().filter(has_say).min_by_key(|won| won.owner)?;
    let target = last_of_root(won, first);
    let others_ask = |won: &&AttachedClaim<'_>| won.owner != first.owner || target.is_none();
    let mut told = Vec::new();
    for won in won.iter().filter(others_ask) {
        let Some(site) = won.claim.tls_passthrough.filter(|_| !told.contains(&won.owner)) else { continue };
        told.push(won.owner);
        let first = (won.owner != first.owner).then(|| object_name(&attached[first.owner.1].object));
        if target.is_none() || first.is_none() {
            let (reason, message) = describe_refusal(name, first);
            attached[won.owner.1].draft.report_loss(&site, reason, message);
        }
    }
    report_unreached(name, won, target?, attached);
    target
}

/// The claim for all paths that asks for TLS passthrough, of the same object as another: the last, since exact paths come before
/// prefixes.
fn last_of_root(won: &[AttachedClaim<'_>], of: &AttachedClaim<'_>) -> Option<usize> {
    let asks = |won: &AttachedClaim<'_>| won.claim.tls_passthrough.is_some() && won.claim.host != HostName::Any;
    won.iter().rposition(|won| won.owner == of.owner && asks(won) && is_root(&won.claim.matches))
}

/// Whether it is for the path `/`.
pub fn is_root(matches: &Match) -> bool {
    matches.path.text() == "/" && !matches!(matches.path, PathMatch::Regex(_)) && matches.is_path_only()
}

/// Why TLS connections are not passed through to an object, of which another one, if it is named, decides.
fn describe_refusal(name: &HostName, first: Option<String>) -> (Reason, String) {
    let host = quoted(&name.to_string());
    match first {
        Some(first) => {
            let message = format!(
                "TLS connections for the host {host} are not passed through: {first}, which was first, does not ask for it; use \
                 another host"
            );
            (Reason::Conflicted, message)
        }
        None if *name == HostName::Any => {
            let message = "TLS connections are passed through by the name of their host, and a rule here has none, so it is without \
                           effect there; add a host";
            (Reason::Invalid, message.to_owned())
        }
        None => {
            let message = format!(
                "TLS connections are passed through to the backend of the path `/`, and no such rule of this object is in force at \
                 the host {host}, so they are not; add one"
            );
            (Reason::Invalid, message)
        }
    }
}

/// Tells objects of paths that nobody reaches over TLS: all of the host's connections go to one backend.
fn report_unreached(name: &HostName, won: &[AttachedClaim<'_>], target: usize, attached: &mut [AttachedObject<'_>]) {
    let target = won[target];
    let first = object_name(&attached[target.owner.1].object);
    let is_unreached = |won: &&AttachedClaim<'_>| {
        won.claim.action != target.claim.action && !won.claim.matches.path.is_acme_challenge()
    };
    for won in won.iter().filter(is_unreached) {
        let message = format!(
            "The path {} is not reached over TLS: {first} has TLS connections for the host {} passed through to the backend of its \
             path `/`; use another host",
            quoted(won.claim.matches.path.text()),
            quoted(&name.to_string())
        );
        attached[won.owner.1].draft.report_loss(&won.claim.site, Reason::Conflicted, message);
    }
}

/// Where TLS connections go that are passed through by a rule.
pub fn passthrough_of(rule: &Rule) -> TlsPassthrough {
    let backend = match &rule.action {
        Action::Forward(forward) => forward.backends.iter().find_map(|share| match &share.destination {
            Destination::Backend(backend) => Some(backend.address.clone()),
            Destination::Status(_) => None,
        }),
        Action::Redirect(_) | Action::Respond(_) | Action::Answer(_) => None,
    };
    TlsPassthrough { backend, origin: rule.origin.clone() }
}
