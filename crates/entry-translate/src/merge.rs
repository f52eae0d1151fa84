//! Who gets what several ask for, and the order in which rules are tried.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use entry_model::{Host, HostName, ListenerSet, Match, Policies, Policy, PolicyId, Reason, Routes, Rule};

use crate::Bound;
use crate::attach::Attached;
use crate::claim::{Claim, Claims, DefaultClaim};
use crate::draft::{Place, named, quoted};
use crate::offers::{Certificates, Given};
use crate::solver::is_challenge;

/// Makes routes of what is asked for, with at most so many certificates. Of several that ask for the same host and path the oldest
/// gets it.
pub fn merge<'a>(
    asked: Claims<'a>,
    mut certificates: Certificates<'a>,
    most: &Bound,
    attached: &mut [Attached<'a>],
) -> Routes {
    let mut by_host: HashMap<HostName, Vec<Claim<'a>>> = HashMap::new();
    for (host, claim) in asked.rules {
        by_host.entry(host).or_default().push(claim);
    }
    let mut hosts: Vec<_> = by_host.into_iter().collect();
    // Findings on one field are in this order.
    hosts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let mut unredirected = vec![false; attached.len()];
    let mut policies = Policies::default();
    let merged = hosts.into_iter().map(|(name, claims)| {
        let won = won(&name, claims, attached);
        let given = certificates.give(&name, &won, attached);
        let rules = won.into_iter().map(|claim| {
            let redirect = redirects(&name, claim.redirect, given.as_ref());
            let redirect_to_https = redirect && !is_challenge(&claim.matches.path);
            unredirected[claim.owner.1] |= !redirect && claim.redirect == Some(true);
            let origin = attached[claim.owner.1].object.clone();
            let policy = policies.intern(&Policy { redirect_to_https, ..claim.policy });
            Rule { listeners: ListenerSet::ALL, matches: claim.matches, action: claim.action, policy, origin }
        });
        let rules = rules.collect();
        (name, Host { certificate: given.map(|given| given.id), rules, closed: false })
    });
    let mut hosts: BTreeMap<_, _> = merged.collect();

    let over = certificates.over(most, attached);
    if !over.is_empty() {
        let without = |host: &&mut Host| host.certificate.as_ref().is_some_and(|id| over.contains(id));
        for host in hosts.values_mut().filter(without) {
            host.certificate = None;
            for rule in &mut host.rules {
                rule.policy = without_redirect(&mut policies, rule.policy);
            }
        }
    }
    for (Attached { draft, .. }, _) in attached.iter_mut().zip(unredirected).filter(|(_, unredirected)| *unredirected) {
        let message = "A host of this object has no certificate, or one that is not for it, so requests for it are not \
                       redirected; declare TLS for it";
        draft.lose(Place::Annotation("sparrow/ssl-redirect"), Reason::RefNotFound, message.to_owned());
    }
    let default = default(asked.defaults, &mut policies, attached);
    let certificates = certificates.finish(attached);
    let hosts = hosts.into_iter().map(|(name, host)| (name, Arc::new(host))).collect();
    Routes { listeners: Vec::new(), hosts, default, policies, certificates }
}

/// The same policy, but that nothing is sent to HTTPS.
pub fn without_redirect(policies: &mut Policies, id: PolicyId) -> PolicyId {
    match &policies[id] {
        policy if policy.redirect_to_https => policies.intern(&Policy { redirect_to_https: false, ..policy.clone() }),
        _ => id,
    }
}

/// Whether requests over HTTP are sent to HTTPS. Never to a certificate that is not for the host: clients refuse it, and what
/// was served would not be any more. None is for every host, so there an object has to ask for it.
fn redirects(host: &HostName, asked: Option<bool>, given: Option<&Given>) -> bool {
    match (host, given) {
        (HostName::Any, Some(_)) => asked == Some(true),
        (_, Some(given)) => given.is_for && asked.unwrap_or(true),
        (_, None) => false,
    }
}

/// The claims of a host that stand, in the order in which they are tried.
fn won<'a>(host: &HostName, claims: Vec<Claim<'a>>, attached: &mut [Attached<'a>]) -> Vec<Box<Claim<'a>>> {
    // In boxes, since a claim is large and sorting moves it often.
    let mut claims: Vec<_> = claims.into_iter().map(Box::new).collect();
    // Stable: of one object the first comes first.
    claims.sort_by(|a, b| a.matches.precedence(&b.matches).then((a.weak, a.owner).cmp(&(b.weak, b.owner))));
    let mut won: Vec<Box<Claim<'a>>> = Vec::with_capacity(claims.len());
    for claim in claims {
        // Those of one precedence stand together.
        let rivals = won.iter().rev().take_while(|first| first.matches.precedence(&claim.matches).is_eq());
        match rivals.into_iter().find(|first| first.matches == claim.matches) {
            Some(first) => conflict(host, &claim, first.owner.1, attached),
            None => {
                attached[claim.owner.1].draft.serve();
                won.push(claim);
            }
        }
    }
    won
}

/// Tells an object that another was first.
fn conflict<'a>(host: &HostName, claim: &Claim<'a>, winner: usize, attached: &mut [Attached<'a>]) {
    let own = winner == claim.owner.1;
    if own && claim.weak {
        // A default backend is for the rest, and there is none.
        return;
    }
    let what = match host {
        HostName::Any => format!("The path {}", quoted(claim.matches.path.text())),
        host => format!("The path {} of the host {}", quoted(claim.matches.path.text()), quoted(&host.to_string())),
    };
    let message = if own {
        format!("{what} is in this object already, and the first stays in force; remove one of them")
    } else {
        let first = named(&attached[winner].object);
        format!("{what} is taken by {first}, which was first and stays in force; use another path or host")
    };
    attached[claim.owner.1].draft.lose(claim.place, Reason::Conflicted, message);
}

/// What is done when no rule matches.
fn default<'a>(
    mut claims: Vec<DefaultClaim<'a>>,
    policies: &mut Policies,
    attached: &mut [Attached<'a>],
) -> Option<Rule> {
    claims.sort_by_key(|claim| claim.owner);
    let mut claims = claims.into_iter();
    let DefaultClaim { action, policy, owner: (_, winner), .. } = claims.next()?;
    attached[winner].draft.serve();
    let origin = attached[winner].object.clone();
    for DefaultClaim { owner: (_, owner), place, .. } in claims {
        let first = named(&origin);
        let message =
            format!("{first} was first to serve what no rule matches, and stays in force; add rules with hosts");
        attached[owner].draft.lose(place, Reason::Conflicted, message);
    }
    let policy = policies.intern(&policy);
    Some(Rule { listeners: ListenerSet::ALL, matches: Match::any(), action, policy, origin })
}
