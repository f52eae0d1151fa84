//! How much of what is asked for is served. The newest claims beyond a bound are left out, so that nobody else pays for them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use entry_model::{HostName, HostOwners, Match, Reason};

use crate::attach::{AttachedObject, Seniority, namespace_of};
use crate::attached_claims::{AttachedClaim, AttachedClaims};
use crate::claim::Claim;
use crate::claim_site::ClaimSite;
use crate::host_or_segment::HostOrSegment;
use crate::rule_weight::{Rate, rates_of};

/// How much of one thing is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Of the objects of one namespace.
    pub namespace: usize,
    /// Of all objects together.
    pub all: usize,
}

impl Bound {
    /// No bound.
    pub const NONE: Self = Self { namespace: usize::MAX, all: usize::MAX };
}

/// How much is served. What is asked for beyond a bound is left out, the newest claims first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Hosts with a name, wildcards among them.
    pub hosts: Bound,
    /// Rules. One with a long path counts once more for each 256 bytes; one whose annotations ask for much, such as long lists of
    /// addresses, for each KiB of that, and for each 4 KiB of users and certificates.
    pub rules: Bound,
    /// Hosts that are wildcards: each is a pattern, and patterns are tried in turn.
    pub patterns: Bound,
    /// Certificates that are served, by their content.
    pub certificates: Bound,
    /// Different rates of requests: each has 10 MiB of memory that all workers share.
    pub rates: Bound,
}

impl Bounds {
    /// No bounds.
    pub const NONE: Self = Self {
        hosts: Bound::NONE,
        rules: Bound::NONE,
        patterns: Bound::NONE,
        certificates: Bound::NONE,
        rates: Bound::NONE,
    };

    /// The same for each namespace, and none for all.
    #[must_use]
    pub fn of_namespaces(&self) -> Self {
        let alone = |bound: Bound| Bound { all: usize::MAX, ..bound };
        Self {
            hosts: alone(self.hosts),
            rules: alone(self.rules),
            patterns: alone(self.patterns),
            certificates: alone(self.certificates),
            rates: alone(self.rates),
        }
    }
}

/// What a claim counts among rules.
pub fn claim_weight(claim: &Claim) -> usize {
    usize::try_from(claim.weight).unwrap_or(usize::MAX)
}

/// What is over a bound, in a sentence, and what becomes of it.
pub fn exceeded_message(what: &str, most: usize, flag: &str) -> String {
    format!(
        "Of {what} at most {most} are served ({flag}), and others were first, so this is not served and they are; remove some, or \
         ask the operator of the entry for more"
    )
}

/// Takes from what is asked for whatever is over a bound, and tells who asked.
pub fn enforce_bounds(
    bounds: &Bounds,
    host_owners: &[Arc<HostOwners>],
    asked: &mut AttachedClaims<'_>,
    attached: &mut [AttachedObject<'_>],
) {
    if all_fit(bounds, &asked.rules, attached) {
        return;
    }
    let mut keep = vec![true; asked.rules.len()];
    let mut counts = ClaimCounts {
        bounds,
        of: HashMap::new(),
        all: ClaimCount::default(),
        seen: HashSet::new(),
        rates: HashSet::new(),
    };
    for index in rules_by_age(host_owners, &asked.rules, attached) {
        let AttachedClaim { claim, owner, .. } = asked.rules[index];
        if let Err((site, message)) = counts.take(claim, namespace_of(attached, owner)) {
            keep[index] = false;
            attached[owner.1].draft.report_loss(&site, Reason::BoundExceeded, message);
        }
    }
    leave_out_open_rules(&asked.rules, &mut keep, attached);
    asked.keep_rules(&keep, attached);
}

/// Leaves out rules that are open to all where one that is not was left out: they would get its requests.
fn leave_out_open_rules(rules: &[AttachedClaim<'_>], keep: &mut [bool], attached: &mut [AttachedObject<'_>]) {
    let host = |rule: &AttachedClaim<'_>, attached: &[AttachedObject<'_>]| {
        (rule.claim.host.clone(), namespace_of(attached, rule.owner).to_owned())
    };
    let left_out = rules.iter().zip(&*keep).filter(|(rule, keeps)| !**keeps && rule.claim.is_closed());
    let closed: HashSet<_> = left_out.map(|(rule, _)| host(rule, attached)).collect();
    if closed.is_empty() {
        return;
    }
    for (rule, keeps) in rules.iter().zip(keep) {
        if !*keeps || rule.claim.is_closed() || !closed.contains(&host(rule, attached)) {
            continue;
        }
        *keeps = false;
        let message = "Not everybody may ask for another path of this host, which is over a bound, so what is open to all there is not served \
                       either: it would get its requests; remove rules, or ask the operator of the entry for more";
        attached[rule.owner.1].draft.report_loss(&rule.claim.site, Reason::BoundExceeded, message.to_owned());
    }
}

/// Whether it is so little that no bound can be reached: each rule may be a host.
fn all_fit(bounds: &Bounds, rules: &[AttachedClaim<'_>], attached: &[AttachedObject<'_>]) -> bool {
    let has_patterns = rules.iter().any(|rule| rule.claim.host.is_wildcard());
    let least = |of: fn(&Bound) -> usize| {
        let patterns = if has_patterns { of(&bounds.patterns) } else { usize::MAX };
        of(&bounds.hosts).min(of(&bounds.rules)).min(patterns)
    };
    let rates: HashSet<_> = rules.iter().flat_map(|rule| rates_of(&rule.claim.policy.limits)).collect();
    if rates.len() > bounds.rates.namespace.min(bounds.rates.all) {
        return false;
    }
    let all: usize = rules.iter().map(|rule| claim_weight(rule.claim)).sum();
    if all <= least(|bound| bound.namespace.min(bound.all)) {
        return true;
    }
    let most = least(|bound| bound.namespace);
    let mut each: HashMap<&str, usize> = HashMap::new();
    // Objects stand by their namespaces, so one look is enough for many rules.
    for run in rules.chunk_by(|a, b| namespace_of(attached, a.owner) == namespace_of(attached, b.owner)) {
        let weights = run.iter().map(|rule| claim_weight(rule.claim));
        *each.entry(namespace_of(attached, run[0].owner)).or_default() += weights.sum::<usize>();
    }
    all <= least(|bound| bound.all) && each.values().all(|count| *count <= most)
}

/// The rules from the oldest claim to the newest. What is owned since earlier, as much of a namespace as was served then, is
/// older than all else, whatever its object's age.
fn rules_by_age(
    host_owners: &[Arc<HostOwners>],
    rules: &[AttachedClaim<'_>],
    attached: &[AttachedObject<'_>],
) -> Vec<usize> {
    let mut order: Vec<(bool, Seniority, usize)> =
        rules.iter().enumerate().map(|(index, rule)| (true, rule.owner, index)).collect();
    order.sort_unstable();
    if host_owners.iter().any(|owners| !owners.is_empty()) {
        let mut counted: HashMap<&str, usize> = HashMap::new();
        let mut seen = HashSet::new();
        for (new, owner, index) in &mut order {
            let claim = rules[*index].claim;
            let (key, namespace) =
                (HostOrSegment::of(&claim.host, &claim.matches.path).key(), namespace_of(attached, *owner));
            if !seen.insert((namespace, &claim.host, &claim.matches)) {
                // It counts once.
                continue;
            }
            let of = host_owners.iter().find(|owners| owners.owner_of(&key) == Some(namespace));
            let (count, weight) = (counted.entry(namespace).or_default(), claim_weight(claim));
            *new = of.is_none_or(|owners| *count + weight > owners.rule_count(namespace));
            *count += if *new { 0 } else { weight };
        }
        order.sort_unstable();
    }
    order.into_iter().map(|(.., index)| index).collect()
}

/// What is counted of a namespace, or of all.
#[derive(Debug, Default)]
struct ClaimCount {
    hosts: usize,
    patterns: usize,
    rules: usize,
    rates: usize,
}

struct ClaimCounts<'a, 'b> {
    bounds: &'b Bounds,
    of: HashMap<&'a str, ClaimCount>,
    all: ClaimCount,
    /// What was counted: hosts of a namespace, and with a path its rules.
    seen: HashSet<(&'a str, &'b HostName, Option<&'b Match>)>,
    /// Rates that were counted: of a namespace, and of all.
    rates: HashSet<(Option<&'a str>, Rate)>,
}

impl<'a, 'b> ClaimCounts<'a, 'b> {
    /// Counts a rule if there is room for it.
    ///
    /// # Errors
    /// There is none: for which field, and the sentence.
    fn take(&mut self, claim: &'b Claim, namespace: &'a str) -> Result<(), (ClaimSite, String)> {
        let host = &claim.host;
        let rule = (namespace, host, Some(&claim.matches));
        if self.seen.contains(&rule) {
            return Ok(());
        }
        let new = *host != HostName::Any && !self.seen.contains(&(namespace, host, None));
        let pattern = new && host.is_wildcard();
        let (hosts, patterns, rules) = (usize::from(new), usize::from(pattern), claim_weight(claim));
        let rates: Vec<_> = rates_of(&claim.policy.limits).collect();
        let unseen = |of| rates.iter().filter(|rate| !self.rates.contains(&(of, **rate))).count();
        let (own_rates, all_rates) = (unseen(Some(namespace)), unseen(None));
        let (Bounds { hosts: most_hosts, patterns: most_patterns, rules: most_rules, rates: most_rates, .. }, all) =
            (self.bounds, &mut self.all);
        let own = self.of.entry(namespace).or_default();
        let of_host = if *host == HostName::Any { claim.site } else { claim.site.host() };
        check_room("hosts", "hosts", most_hosts, (own.hosts, all.hosts), hosts)
            .map_err(|message| (of_host, message))?;
        check_room("hosts with `*`", "patterns", most_patterns, (own.patterns, all.patterns), patterns)
            .map_err(|message| (of_host, message))?;
        check_room("rules", "rules", most_rules, (own.rules, all.rules), rules)
            .map_err(|message| (claim.site, message))?;
        let what = "different rates of requests";
        let own_bound = Bound { all: usize::MAX, ..*most_rates };
        check_room(what, "rates", &own_bound, (own.rates, 0), own_rates).map_err(|message| (claim.site, message))?;
        let all_bound = Bound { namespace: usize::MAX, ..*most_rates };
        check_room(what, "rates", &all_bound, (0, all.rates), all_rates).map_err(|message| (claim.site, message))?;
        own.rates += own_rates;
        all.rates += all_rates;
        self.rates.extend(rates.into_iter().flat_map(|rate| [(Some(namespace), rate), (None, rate)]));
        for count in [own, all] {
            count.hosts += hosts;
            count.patterns += patterns;
            count.rules += rules;
        }
        self.seen.extend([(namespace, host, None), rule]);
        Ok(())
    }
}

/// Whether there is room for more, beside what there is of the namespace and of all.
pub fn check_room(
    what: &str,
    flag: &str,
    bound: &Bound,
    (own, all): (usize, usize),
    more: usize,
) -> Result<(), String> {
    if more == 0 {
        return Ok(());
    }
    if own + more > bound.namespace {
        return Err(exceeded_message(
            &format!("the {what} of one namespace"),
            bound.namespace,
            &format!("--max-{flag}-per-namespace"),
        ));
    }
    if all + more > bound.all {
        return Err(exceeded_message(&format!("the {what} of all namespaces"), bound.all, &format!("--max-{flag}")));
    }
    Ok(())
}
