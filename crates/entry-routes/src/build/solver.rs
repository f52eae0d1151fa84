//! Hosts that are there for a proof to a certificate authority only, such as those of cert-manager's solvers. They come and go,
//! and take nothing else away.

use super::owners::above;
use crate::{CHALLENGE, Host, HostName, PathMatch, Routes, Rule};

/// Whether a rule is for proofs to a certificate authority only.
pub fn is_challenge(path: &PathMatch) -> bool {
    path.path().starts_with(CHALLENGE)
        || matches!(path, PathMatch::Prefix(path) if *path == CHALLENGE[..CHALLENGE.len() - 1])
}

/// Gives a host of which nothing else is asked for what it would have without: the rules of the wildcard above it, or of all
/// hosts, as far as `may` says that they are its owner's.
pub fn inherit(routes: &mut Routes, may: impl Fn(&Rule, &Host) -> bool) {
    let only = |host: &Host| !host.rules.is_empty() && host.rules.iter().all(|rule| is_challenge(&rule.path));
    let solvers = routes.hosts.iter().filter(|(name, host)| **name != HostName::Any && only(host));
    let names: Vec<HostName> = solvers.map(|(name, _)| name.clone()).collect();
    for name in names {
        let wildcard = above(&name).filter(|wildcard| routes.hosts.contains_key(wildcard));
        let Some(from) = routes.hosts.get(&wildcard.unwrap_or(HostName::Any)).cloned() else { continue };
        let Some(host) = routes.hosts.get_mut(&name) else { continue };
        let more = from.rules.iter().filter(|rule| host.rules.iter().all(|own| own.path != rule.path));
        let more: Vec<Rule> = more.filter(|rule| may(rule, host)).cloned().collect();
        if host.certificate.is_none() && more.len() == from.rules.len() {
            host.certificate = from.certificate;
        }
        let tls = host.certificate.is_some();
        host.rules
            .extend(more.into_iter().map(|rule| Rule { redirect_to_https: rule.redirect_to_https && tls, ..rule }));
        host.rules.sort_by(|a, b| super::merge::tried(&a.path, &b.path));
    }
}
