//! Hosts that are there for ACME HTTP-01 challenges only, such as those of cert-manager's solvers. They come and go, and take
//! nothing else away.

use std::collections::HashMap;
use std::sync::Arc;

use entry_model::{FieldPath, Host, HostName, Reason, Routes, Rule};

use crate::Bound;
use crate::attach::AttachedObject;
use crate::bounds::exceeded_message;
use crate::merge::without_redirect;
use crate::rule_weight::{PolicySize, rule_weight};
use crate::verdict_draft::quoted;

/// Gives a host of which nothing else is asked for what it would have without: the rules of the wildcard above it, or of all
/// hosts, as far as `may` says that they are its owner's. They are served once more, so they count once more: where there is
/// no room, the host stays without, and its owner is told.
pub fn inherit_rules(
    routes: &mut Routes,
    bound: &Bound,
    attached: &mut [AttachedObject<'_>],
    may: impl Fn(&Rule, &Host) -> bool,
) {
    let solvers = routes.hosts.iter().filter(|(name, host)| **name != HostName::Any && is_only_for_challenges(host));
    let names: Vec<HostName> = solvers.map(|(name, _)| name.clone()).collect();
    let mut room = (!names.is_empty()).then(|| RuleBudget::of(routes, *bound));
    for name in names {
        let Some(room) = &mut room else { return };
        let wildcard = name.wildcard_above().filter(|wildcard| routes.hosts.contains_key(wildcard));
        let from_name = wildcard.unwrap_or(HostName::Any);
        let from = routes.hosts.get(&from_name);
        let (Some(from), Some(host)) = (from, routes.hosts.get(&name)) else { continue };
        let more = from.rules.iter().filter(|rule| host.rules.iter().all(|own| own.matches != rule.matches));
        let more: Vec<&Rule> = more.filter(|rule| may(rule, host)).collect();
        let Some(first) = host.rules.first().map(|rule| &rule.origin) else { continue };
        let weights =
            more.iter().map(|rule| rule_weight(&rule.matches, &rule.action, PolicySize::of(routes.policy(rule))));
        if let Err(message) = room.take(&first.key.namespace, weights.sum()) {
            if let Some(owner) = attached.iter_mut().find(|attached| attached.object == *first) {
                let message = format!("The host {} serves ACME challenges only. {message}", quoted(&name.to_string()));
                owner.draft.report_loss(&FieldPath::root("spec"), Reason::BoundExceeded, message);
            }
            continue;
        }
        let certificate = from.certificate.clone().filter(|_| more.len() == from.rules.len());
        let mut more: Vec<Rule> = more.into_iter().cloned().collect();
        let passthrough = routes.tls_passthrough.get(&from_name).cloned();
        if let Some(passthrough) =
            passthrough.filter(|passthrough| more.iter().any(|rule| rule.origin == passthrough.origin))
        {
            routes.tls_passthrough.insert(name.clone(), passthrough);
        }
        let Some(host) = routes.hosts.get_mut(&name).map(Arc::make_mut) else { continue };
        host.certificate = host.certificate.take().or(certificate);
        if host.certificate.is_none() && !routes.tls_passthrough.contains_key(&name) {
            for rule in &mut more {
                rule.policy = without_redirect(&mut routes.policies, rule.policy);
            }
        }
        host.rules.extend(more);
    }
}

/// Whether a host is there for challenges, and for nothing else.
pub fn is_only_for_challenges(host: &Host) -> bool {
    !host.rules.is_empty() && host.rules.iter().all(|rule| rule.matches.path.is_acme_challenge())
}

/// How many rules there are, and how many there may be.
struct RuleBudget {
    bound: Bound,
    of: HashMap<String, usize>,
    all: usize,
}

impl RuleBudget {
    fn of(routes: &Routes, bound: Bound) -> Self {
        let mut room = Self { bound, of: HashMap::new(), all: 0 };
        for rule in routes.hosts.values().flat_map(|host| &host.rules) {
            room.add(
                &rule.origin.key.namespace,
                rule_weight(&rule.matches, &rule.action, PolicySize::of(routes.policy(rule))),
            );
        }
        room
    }

    fn add(&mut self, namespace: &str, more: usize) {
        self.all += more;
        *self.of.entry(namespace.to_owned()).or_default() += more;
    }

    /// Counts rules if there is room for them.
    ///
    /// # Errors
    /// There is none: the sentence.
    fn take(&mut self, namespace: &str, more: usize) -> Result<(), String> {
        let what = "with those that a host for ACME challenges has from the wildcard above it or from all hosts,";
        if self.of.get(namespace).copied().unwrap_or(0) + more > self.bound.namespace {
            let what = format!("the rules of one namespace, {what}");
            return Err(exceeded_message(&what, self.bound.namespace, "--max-rules-per-namespace"));
        }
        if self.all + more > self.bound.all {
            return Err(exceeded_message(
                &format!("the rules of all namespaces, {what}"),
                self.bound.all,
                "--max-rules",
            ));
        }
        self.add(namespace, more);
        Ok(())
    }
}
