//! How much is asked for, in numbers that are kept while objects come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use entry_model::{HostName, SortedMap};

use crate::bounds::{Bound, Bounds, claim_weight};
use crate::claim::Claims;
use crate::rule_weight::{Rate, rates_of};

/// How much all objects ask for, at most: what several ask for counts for each of them. As long as it is within the bounds, nothing
/// is left out because of them, in whichever order it is counted; of namespaces that ask for more than their own bounds, only what is
/// theirs. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AskedAmounts {
    of: SortedMap<String, Amount>,
    all: Amount,
    /// How often each rate is asked for, by namespace: they are few. And by all, whose name is empty.
    rates: SortedMap<String, Arc<BTreeMap<Rate, usize>>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    hosts: usize,
    patterns: usize,
    rules: usize,
    certificates: usize,
    /// Different rates. Those of all are no sum, and not in it.
    rates: usize,
    /// Objects that declare TLS.
    with_tls: usize,
}

impl Amount {
    fn of(claims: &Claims, brings_certificate: bool) -> Self {
        let (mut amount, mut last) = (Self::default(), None);
        for rule in &claims.rules {
            amount.rules += claim_weight(rule);
            // The rules of a host stand together.
            if rule.host != HostName::Any && last.replace(&rule.host) != Some(&rule.host) {
                amount.hosts += 1;
                amount.patterns += usize::from(rule.host.is_wildcard());
            }
        }
        Self { certificates: claims.tls.len(), with_tls: brings_certificate.into(), ..amount }
    }

    fn add(&mut self, more: Self) {
        let Self { hosts, patterns, rules, certificates, rates, with_tls } = self;
        *rates += more.rates;
        *hosts += more.hosts;
        *patterns += more.patterns;
        *rules += more.rules;
        *certificates += more.certificates;
        *with_tls += more.with_tls;
    }

    fn take(&mut self, less: Self) {
        let Self { hosts, patterns, rules, certificates, rates, with_tls } = self;
        *rates -= less.rates;
        *hosts -= less.hosts;
        *patterns -= less.patterns;
        *rules -= less.rules;
        *certificates -= less.certificates;
        *with_tls -= less.with_tls;
    }

    /// What of it is beyond what is served of a namespace.
    fn beyond(self, bounds: &Bounds) -> Self {
        let beyond = |asked: usize, bound: &Bound| asked.saturating_sub(bound.namespace);
        Self {
            hosts: beyond(self.hosts, &bounds.hosts),
            patterns: beyond(self.patterns, &bounds.patterns),
            rules: beyond(self.rules, &bounds.rules),
            certificates: beyond(self.certificates, &bounds.certificates),
            rates: 0,
            with_tls: 0,
        }
    }

    fn fits(self, bounds: &Bounds, most: fn(&Bound) -> usize) -> bool {
        self.hosts <= most(&bounds.hosts)
            && self.patterns <= most(&bounds.patterns)
            && self.rules <= most(&bounds.rules)
            && self.certificates <= most(&bounds.certificates)
            && self.rates <= most(&bounds.rates)
    }
}

impl AskedAmounts {
    /// Adds what an object asks for.
    pub fn add(&mut self, namespace: &str, claims: &Claims, brings_certificate: bool) {
        let mut more = Amount::of(claims, brings_certificate);
        self.all.add(more);
        more.rates = self.count_rates(namespace, claims, 1);
        match self.of.get_mut(namespace) {
            Some(own) => own.add(more),
            None => drop(self.of.insert(namespace.to_owned(), more)),
        }
    }

    /// Counts the rates that an object asks for, or asks for no more. How many of them no other of the namespace asks for.
    fn count_rates(&mut self, namespace: &str, claims: &Claims, by: isize) -> usize {
        let asked: Vec<Rate> = claims.rules.iter().flat_map(|rule| rates_of(&rule.policy.limits)).collect();
        self.count_rates_of("", &asked, by);
        self.count_rates_of(namespace, &asked, by)
    }

    fn count_rates_of(&mut self, namespace: &str, asked: &[Rate], by: isize) -> usize {
        if asked.is_empty() {
            return 0;
        }
        let mut known = self.rates.get(namespace).cloned().unwrap_or_default();
        let rates = Arc::make_mut(&mut known);
        let before = rates.len();
        for rate in asked {
            let count = rates.entry(*rate).or_default();
            *count = count.saturating_add_signed(by);
            if *count == 0 {
                rates.remove(rate);
            }
        }
        let differing = rates.len().abs_diff(before);
        if rates.is_empty() {
            self.rates.remove(namespace);
        } else {
            self.rates.insert(namespace.to_owned(), known);
        }
        differing
    }

    /// Takes out what an object asked for.
    pub fn take(&mut self, namespace: &str, claims: &Claims, brings_certificate: bool) {
        let mut less = Amount::of(claims, brings_certificate);
        self.all.take(less);
        less.rates = self.count_rates(namespace, claims, -1);
        if let Some(own) = self.of.get_mut(namespace) {
            own.take(less);
            if *own == Amount::default() {
                self.of.remove(namespace);
            }
        }
    }

    /// The namespaces that ask for more than is served of one.
    pub fn over(&self, bounds: &Bounds) -> BTreeSet<String> {
        let is_over = |own: &Amount| !own.fits(bounds, |bound| bound.namespace);
        self.of.iter().filter(|(_, own)| is_over(own)).map(|(namespace, _)| namespace.clone()).collect()
    }

    /// Whether all of it is within the bounds, without what the namespaces in `over` ask for beyond their own, if it was so before some were
    /// `changed`. Of one in `over` that is changed it is not known.
    pub fn fit_but_for(&self, over: &BTreeSet<String>, bounds: &Bounds, changed: &[&str]) -> bool {
        let fits_alone = |namespace: &&str| {
            let own = self.of.get(*namespace);
            !over.contains(*namespace) && own.is_none_or(|own| own.fits(bounds, |bound| bound.namespace))
        };
        let mut all = self.all;
        for asked in over.iter().filter_map(|namespace| self.of.get(namespace)) {
            all.take(asked.beyond(bounds));
        }
        changed.iter().all(fits_alone) && all.fits(bounds, |bound| bound.all) && self.rates_fit(&bounds.rates)
    }

    /// Whether the rates of all are within their bound, of each namespace as many as are served of one.
    fn rates_fit(&self, bound: &Bound) -> bool {
        let served =
            || self.rates.iter().filter(|(name, _)| !name.is_empty()).map(|(_, of)| of.len().min(bound.namespace));
        self.rates.get("").is_none_or(|all| all.len() <= bound.all) || served().sum::<usize>() <= bound.all
    }

    /// Whether an object of a namespace declares TLS.
    pub fn has_tls(&self, namespace: &str) -> bool {
        self.of.get(namespace).is_some_and(|own| own.with_tls > 0)
    }

    /// Whether any object does.
    pub fn has_any_tls(&self) -> bool {
        self.all.with_tls > 0
    }
}
