//! Who gets what several ask for, and the order in which rules are tried.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use super::attach::Attached;
use super::claim::{Asked, Claim, Default as DefaultClaim};
use super::draft::{Place, named, quoted};
use super::tls::Certificates;
use crate::{Host, HostName, PathMatch, Reason, Routes, Rule};

/// Makes routes of what is asked for. Of several that ask for the same host and path the oldest gets it.
pub fn merge<'a>(asked: Asked<'a>, mut certificates: Certificates<'a>, attached: &mut [Attached<'a>]) -> Routes {
    let Asked { rules: mut claims, defaults, .. } = asked;
    // Stable: of one object the first comes first.
    claims.sort_by(|a, b| {
        let same_path = || tried(&a.path, &b.path);
        a.host.cmp(&b.host).then_with(same_path).then(a.weak.cmp(&b.weak)).then(a.owner.cmp(&b.owner))
    });

    let mut hosts: Vec<(HostName, Host)> = Vec::new();
    // The object that has the last rule.
    let mut last: Option<usize> = None;
    let mut without_tls = vec![false; attached.len()];
    for claim in claims {
        if hosts.last().is_none_or(|(host, _)| *host != claim.host) {
            let certificate = certificates.of(&claim.host);
            hosts.push((claim.host.clone(), Host { certificate, rules: Vec::new() }));
            last = None;
        }
        let Some((_, host)) = hosts.last_mut() else { continue };
        let first = last.filter(|_| host.rules.last().is_some_and(|rule| rule.path == claim.path));
        if let Some(winner) = first {
            conflict(&claim, winner, attached);
            continue;
        }
        last = Some(claim.owner);
        attached[claim.owner].draft.serve();
        let redirect_to_https = host.certificate.is_some() && claim.redirect.unwrap_or(true);
        without_tls[claim.owner] |= host.certificate.is_none() && claim.redirect == Some(true);
        let origin = attached[claim.owner].object.clone();
        host.rules.push(Rule { path: claim.path, action: claim.action, redirect_to_https, origin });
    }

    for (Attached { draft, .. }, _) in attached.iter_mut().zip(without_tls).filter(|(_, without_tls)| *without_tls) {
        let message =
            "A host of this object has no certificate, so requests for it are not redirected; declare TLS for it";
        draft.lose(Place::Annotation("sparrow/ssl-redirect"), Reason::RefNotFound, message.to_owned());
    }
    let default = default(defaults, attached);
    let (certificates, unused) = certificates.finish();
    for (host, assigned) in unused {
        let message =
            format!("No rule is for the host {}, so its certificate is not used; add one", quoted(&host.to_string()));
        attached[assigned.owner].draft.lose(assigned.place, Reason::RefNotFound, message);
    }
    Routes { hosts: BTreeMap::from_iter(hosts), default, certificates }
}

/// The order in which paths are tried.
fn tried(a: &PathMatch, b: &PathMatch) -> Ordering {
    match (a, b) {
        (PathMatch::Exact(a), PathMatch::Exact(b)) => a.cmp(b),
        (PathMatch::Exact(_), PathMatch::Prefix(_)) => Ordering::Less,
        (PathMatch::Prefix(_), PathMatch::Exact(_)) => Ordering::Greater,
        (PathMatch::Prefix(a), PathMatch::Prefix(b)) => Reverse(a.len()).cmp(&Reverse(b.len())).then_with(|| a.cmp(b)),
    }
}

/// Tells an object that another was first.
fn conflict<'a>(claim: &Claim<'a>, winner: usize, attached: &mut [Attached<'a>]) {
    let own = winner == claim.owner;
    if own && claim.weak {
        // A default backend is for the rest, and there is none.
        return;
    }
    let what = match claim.host {
        HostName::Any => format!("The path {}", quoted(claim.path.path())),
        ref host => format!("The path {} of the host {}", quoted(claim.path.path()), quoted(&host.to_string())),
    };
    let message = if own {
        format!("{what} is in this object already, and the first stays in force; remove one of them")
    } else {
        let first = named(&attached[winner].object);
        format!("{what} is taken by {first}, which was first and stays in force; use another path or host")
    };
    attached[claim.owner].draft.lose(claim.place, Reason::Conflicted, message);
}

/// What is done when no rule matches.
fn default<'a>(claims: Vec<DefaultClaim<'a>>, attached: &mut [Attached<'a>]) -> Option<Rule> {
    let mut claims = claims.into_iter();
    let DefaultClaim { action, owner: winner, .. } = claims.next()?;
    attached[winner].draft.serve();
    let origin = attached[winner].object.clone();
    for DefaultClaim { owner, place, .. } in claims {
        let first = named(&origin);
        let message =
            format!("{first} was first to serve what no rule matches, and stays in force; add rules with hosts");
        attached[owner].draft.lose(place, Reason::Conflicted, message);
    }
    Some(Rule { path: PathMatch::Prefix("/".to_owned()), action, redirect_to_https: false, origin })
}
