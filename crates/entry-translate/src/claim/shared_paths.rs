//! Patterns on hosts that no rule names. Namespaces share these by the first segment of a path, so a pattern there has to say which.

use entry_model::{Action, HostName, Reason};

use super::Claims;
use crate::first_segment::bind_to_segment;
use crate::verdict_draft::quoted;

/// Binds each pattern on hosts that no rule names to a first segment, whose case counts. One that cannot be bound is not served; where it
/// would keep somebody out, nothing else of the object is served on these hosts.
pub fn bind_patterns(claims: &mut Claims) {
    let Claims { rules, canaries, draft, .. } = claims;
    let mut opens = false;
    rules.retain_mut(|claim| {
        if claim.host != HostName::Any {
            return true;
        }
        let Some(written) = bind_to_segment(&mut claim.matches.path) else { return true };
        opens |= matches!(claim.action, Action::Respond(_) | Action::Answer(_)) || claim.policy.is_restricted();
        draft.report_loss(&claim.site, Reason::Invalid, unbound_message(&written));
        false
    });
    if opens {
        rules
            .iter_mut()
            .filter(|claim| claim.host == HostName::Any)
            .for_each(|claim| claim.action = Action::UNAVAILABLE);
    }
    canaries.retain_mut(|canary| {
        let unbound = (canary.host == HostName::Any).then(|| bind_to_segment(&mut canary.path)).flatten();
        if let Some(written) = &unbound {
            draft.report_loss(&canary.site, Reason::Invalid, unbound_message(written));
        }
        unbound.is_none()
    });
}

fn unbound_message(written: &str) -> String {
    format!(
        "The path {} does not begin with a whole segment of plain text, as `/shop/` does, by which namespaces share the hosts that no rule \
         names, so it is not served; write one, or a host",
        quoted(written)
    )
}
