//! Who gets what several ask for, and the order in which rules are tried: host by host.

pub mod paths;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use entry_model::{
    Action, Balancing, Certificate, CertificateId, ClientCertificates, ClientTls, Host, HostName, ListenerSet, Match,
    ObjectRef, PathMatch, Policies, Policy, PolicyId, Reason, Routes, Rule, SessionCookie, SortedMap, TlsPassthrough,
};

use crate::Bound;
use crate::attach::AttachedObject;
use crate::attached_claims::{AttachedCanary, AttachedClaim, AttachedClaims, HostClaimant};
use crate::canary;
use crate::certificate_selection::{CertificateSelection, Lack, SelectedCertificate};
use crate::claim::{CanaryClaim, Claim, Claims, DefaultClaim};
use crate::claim_site::ClaimSite;
use crate::host_actions::HostActions;
use crate::host_client_certificates::{action_of, of_rule, select_client_certificates};
use crate::host_client_tls::select_client_tls;
use crate::left_out::{LeftOutPaths, LeftOutPathsByHost};
use crate::owners::HostLists;
use crate::policy::client_redirects::HttpsRedirect;
use crate::tls_passthrough::{is_root, passthrough_of, select_passthrough};
use crate::verdict_draft::{object_name, quoted};

/// What was made of hosts last time. A host for which the same claims of the same objects stand, and that gets the same
/// certificate, is as it was.
#[derive(Debug, Default)]
pub struct HostMerger {
    hosts: HashMap<HostName, Box<MergedHost>>,
    /// Whether nothing is to be remembered, since no other snapshot follows.
    for_one_snapshot: bool,
    policies: Policies,
    /// The policy that a rule got last, of those that are there.
    last: Option<(Arc<Policy>, PolicyId)>,
    /// All hosts.
    published: SortedMap<HostName, Arc<Host>>,
}

/// All that an object asks for, and the place of a claim among that.
type ClaimPlace = (Arc<Claims>, usize);

/// A host, and what it was made of.
#[derive(Debug)]
struct MergedHost {
    /// What objects asked for, in their order: all that an object asks for, and which of that.
    candidates: Vec<ClaimPlace>,
    /// The canaries for its paths, likewise.
    canaries: Vec<ClaimPlace>,
    /// The candidates that stand, in the order in which they are tried.
    won: Vec<usize>,
    /// Whether one of them is for a pattern.
    has_patterns: bool,
    /// Whether a candidate asks for TLS passthrough.
    asks_passthrough: bool,
    /// Whether one is from a default backend.
    has_weak: bool,
    /// The candidates that do not, each with the one that was first.
    lost: Vec<(usize, usize)>,
    tls: HostTls,
    connections: HostConnections,
    closing: HostClosing,
    host: Arc<Host>,
}

/// What is done with requests of a host, whatever its rules say.
#[derive(Debug, Default, PartialEq, Eq)]
struct HostClosing {
    actions: HostActions,
    /// The rules, of those that stand, that would get requests for which not everybody may ask.
    closed_rules: Vec<usize>,
}

impl HostClosing {
    fn select<'c>(
        host: &HostName,
        (candidates, holding): (&[AttachedClaim<'c>], &[HostClaimant<'c>]),
        won: &[AttachedClaim<'c>],
        left_out: &LeftOutPathsByHost<'_>,
        attached: &mut [AttachedObject<'_>],
    ) -> Self {
        Self {
            actions: HostActions::select(host, candidates, holding, won, attached),
            closed_rules: left_out.closed_rules(host, won, attached),
        }
    }

    fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.closed_rules.is_empty()
    }
}

/// What is so for all connections to a host, whichever path they turn out to be for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct HostConnections {
    /// What clients are asked for.
    asked: Option<ClientCertificates>,
    /// How TLS is spoken with them.
    tls: ClientTls,
}

impl HostConnections {
    /// Whoever asks says so for the host, also where another object has the path.
    fn select<'c>(
        host: &HostName,
        won: &[AttachedClaim<'c>],
        lost: impl Iterator<Item = AttachedClaim<'c>>,
        attached: &mut [AttachedObject<'_>],
    ) -> Self {
        let asking: Vec<_> = won.iter().copied().chain(lost.filter(|lost| !lost.claim.yields)).collect();
        Self {
            asked: select_client_certificates(host, &asking, attached),
            tls: select_client_tls(host, &asking, attached),
        }
    }
}

/// What becomes of TLS connections for a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum HostTls {
    /// The handshake is rejected.
    #[default]
    Rejected,
    /// So it is, since the certificate that is declared for it is not served.
    Lacking(Lack),
    /// TLS is ended with this certificate.
    Ended(SelectedCertificate),
    /// They go to the backend of the path `/` of this object as they come.
    PassedThrough(ObjectRef),
}

/// What there is to know of everything, to merge a host.
pub struct MergeContext<'a> {
    /// What operators say of hosts; none without ownership.
    pub listed: Option<&'a HostLists<'a>>,
    /// Most certificates.
    pub most: &'a Bound,
    /// What must stay closed.
    pub left_out: &'a LeftOutPaths<'a>,
    /// The namespace of the object that gets what no rule matches.
    pub default: Option<String>,
}

/// What was made of hosts.
struct MergedHosts {
    hosts: Vec<(HostName, Arc<Host>)>,
    tls_passthrough: Vec<(HostName, TlsPassthrough)>,
    /// The certificates that they got.
    certificates: SortedMap<CertificateId, Arc<Certificate>>,
}

/// Takes these certificates from hosts. Requests over HTTP go on being redirected, to where no connection is made: they were to be served over
/// TLS only.
fn take_certificates(over: &HashSet<CertificateId>, hosts: &mut [(HostName, Arc<Host>)]) {
    let is_over = |host: &Host| host.certificate.as_ref().is_some_and(|id| over.contains(id));
    for (_, host) in hosts.iter_mut().filter(|(_, host)| is_over(host)) {
        Arc::make_mut(host).certificate = None;
    }
}

/// The objects that say something of all requests of a host of which nothing of theirs can be served.
fn holding_by_host<'c>(claims: &AttachedClaims<'c>) -> HashMap<&'c HostName, Vec<HostClaimant<'c>>> {
    let mut holding: HashMap<_, Vec<_>> = HashMap::new();
    for (host, claimant) in claims.held_hosts.iter().filter(|(_, (claims, _))| claims.has_host_actions()) {
        holding.entry(*host).or_default().push(*claimant);
    }
    holding
}

impl HostMerger {
    /// One for a single snapshot.
    pub fn for_one_snapshot() -> Self {
        Self { for_one_snapshot: true, ..Default::default() }
    }

    /// Whether it is for a single snapshot.
    pub fn is_for_one_snapshot(&self) -> bool {
        self.for_one_snapshot
    }

    /// Makes routes of what is asked for. Of several that ask for the same host and match the oldest gets it.
    pub fn merge(
        &mut self,
        claims: &AttachedClaims<'_>,
        certificates: CertificateSelection,
        context: &MergeContext<'_>,
        attached: &mut [AttachedObject<'_>],
    ) -> Routes {
        let before = std::mem::take(&mut self.hosts);
        let MergedHosts { hosts, tls_passthrough, certificates } =
            self.merge_hosts(before, claims, certificates, context, attached);
        let default = self.default_rule(claims, attached);
        let hosts = if self.for_one_snapshot { hosts.into_iter().collect() } else { self.publish_hosts(&hosts) };
        let (policies, tls_passthrough) = (self.policies.clone(), tls_passthrough.into_iter().collect());
        Routes { hosts, default, tls_passthrough, policies, certificates, ..Routes::default() }
    }

    /// Merges these hosts again, and no others. `claims`: all that is asked for there.
    pub fn merge_again(
        &mut self,
        names: &BTreeSet<HostName>,
        claims: &AttachedClaims<'_>,
        certificates: CertificateSelection,
        context: &MergeContext<'_>,
        attached: &mut [AttachedObject<'_>],
    ) {
        let before = names.iter().filter_map(|name| self.hosts.remove_entry(name)).collect();
        self.merge_hosts(before, claims, certificates, context, attached);
        for name in names {
            match self.hosts.get(name).map(|merged| &merged.host) {
                Some(host) if self.published.get(name).is_some_and(|published| Arc::ptr_eq(published, host)) => {}
                Some(host) => drop(self.published.insert(name.clone(), Arc::clone(host))),
                None => drop(self.published.remove(name)),
            }
        }
    }

    /// Merges the hosts that are asked for. `before`: what was made of them last.
    fn merge_hosts(
        &mut self,
        mut before: HashMap<HostName, Box<MergedHost>>,
        claims: &AttachedClaims<'_>,
        mut certificates: CertificateSelection,
        context: &MergeContext<'_>,
        attached: &mut [AttachedObject<'_>],
    ) -> MergedHosts {
        let mut by_host: HashMap<&HostName, Vec<AttachedClaim<'_>>> = HashMap::with_capacity(claims.rules.len());
        for candidate in &claims.rules {
            by_host.entry(&candidate.claim.host).or_default().push(*candidate);
        }
        let mut canaries_by_host: HashMap<_, Vec<_>> = HashMap::new();
        for canary in &claims.canaries {
            canaries_by_host.entry(&canary.claim.host).or_default().push(*canary);
        }
        let holding = holding_by_host(claims);
        let left_out = context.left_out.by_host(|host| by_host.contains_key(host));
        let mut by_host: Vec<_> = by_host.into_iter().collect();
        // Findings on one field are in this order.
        by_host.sort_unstable_by_key(|(host, _)| *host);
        let is_closed = |name: &HostName, first: &str| match (context.listed, &context.default) {
            (Some(listed), Some(default)) => listed.withholds_default(name, Some(first), default),
            _ => false,
        };
        let mut unredirected = vec![false; attached.len()];
        self.last = None;
        let mut hosts = Vec::with_capacity(by_host.len());
        if !self.for_one_snapshot {
            self.hosts.reserve(by_host.len());
        }
        let mut tls_passthrough = Vec::new();
        for (name, candidates) in by_host {
            let canaries = canaries_by_host.remove(name).unwrap_or_default();
            let merged = match before.remove_entry(name) {
                Some((name, merged)) if merged.is_made_of(&candidates, &canaries) => (name, merged),
                _ => (name.clone(), Box::new(MergedHost::new(&candidates, &canaries, self.for_one_snapshot))),
            };
            let (name, mut merged) = merged;
            let won: Vec<_> = merged.won.iter().map(|index| candidates[*index]).collect();
            for won in &won {
                attached[won.owner.1].draft.mark_served();
            }
            for (loser, winner) in &merged.lost {
                report_conflict(&candidates[*loser], &candidates[*winner], attached);
            }
            let canaries = canary::assign(&won, &canaries, attached);
            let tls = match select_passthrough(&name, &won, attached) {
                Some(index) => HostTls::PassedThrough(attached[won[index].owner.1].object.clone()),
                None => HostTls::with_certificate(&name, &won, &mut certificates, attached),
            };
            let lost = merged.lost.iter().map(|(loser, _)| candidates[*loser]);
            let connections = HostConnections::select(&name, &won, lost, attached);
            let closed = won.first().is_some_and(|won| is_closed(&name, &attached[won.owner.1].object.key.namespace));
            let holding = holding.get(&name).map_or(&[][..], Vec::as_slice);
            let closing = HostClosing::select(&name, (&candidates, holding), &won, &left_out, attached);
            // The default asks for none of both.
            let closed = closed || connections.asked.is_some() || !closing.actions.is_empty();
            for won in &won {
                let redirect = redirects_to_https(&name, won.claim.redirect, &tls);
                unredirected[won.owner.1] |= !redirect && won.claim.redirect == HttpsRedirect::Wanted;
            }
            let is_same = (&merged.tls, &merged.connections, &merged.closing) == (&tls, &connections, &closing)
                && merged.host.closed == closed;
            if !is_same || merged.host.rules.is_empty() {
                let mut rules = Vec::with_capacity(won.len());
                for (index, (won, canary)) in won.iter().zip(&canaries).enumerate() {
                    let origin = &attached[won.owner.1].object;
                    let mut rule = self.rule(&name, won.claim, &tls, &connections, origin);
                    rule.matches = placed(won.claim, merged.has_patterns).into_owned();
                    if closing.closed_rules.contains(&index) {
                        rule.action = Action::UNAVAILABLE;
                    }
                    match canary {
                        Some(canary) => {
                            let policies = [self.policy_of_canary(&rule), self.policy_of_both(&rule, canary.claim)];
                            let origin = &attached[canary.owner.1].object;
                            rules.extend(canary::share_rule(rule, canary.claim, origin, policies));
                        }
                        None => rules.push(rule),
                    }
                }
                closing.actions.apply(&mut rules);
                let certificate = tls.selected().map(|selected| selected.id.clone());
                merged.host = Arc::new(Host { certificate, rules: rules.into(), closed });
                (merged.tls, merged.connections, merged.closing) = (tls, connections, closing);
            }
            tls_passthrough.extend(merged.tls_passthrough().map(|passthrough| (name.clone(), passthrough)));
            if self.for_one_snapshot {
                hosts.push((name, merged.host));
            } else {
                hosts.push((name.clone(), Arc::clone(&merged.host)));
                self.hosts.insert(name, merged);
            }
        }
        let mut alone: Vec<_> = canaries_by_host.into_values().flatten().collect();
        alone.sort_by_key(|canary| (canary.owner, canary.index));
        for canary in &alone {
            canary::report_without_main(canary, attached);
        }
        take_certificates(&certificates.drop_over_bound(context.most, attached), &mut hosts);
        report_unredirected(&unredirected, attached);
        MergedHosts { hosts, tls_passthrough, certificates: certificates.into_served(attached) }
    }

    /// How requests of a canary are treated: as those of its main, with which they are counted.
    fn policy_of_canary(&mut self, main: &Rule) -> PolicyId {
        let policy = &self.policies[main.policy];
        if !policy.limits.counts_clients() {
            return main.policy;
        }
        let mut policy = Policy::clone(policy);
        policy.limits.counted_for = Some(main.origin.clone());
        self.policies.intern(&policy)
    }

    /// How requests are treated of which a canary gets a share.
    fn policy_of_both(&mut self, main: &Rule, canary: &CanaryClaim) -> PolicyId {
        let policy = &self.policies[main.policy];
        let Balancing::Session(cookie) = &policy.balancing else { return main.policy };
        if !canary.canary.draws_requests {
            return main.policy;
        }
        let cookie = SessionCookie { changes_share: true, ..SessionCookie::clone(cookie) };
        let policy = Policy { balancing: Balancing::Session(Box::new(cookie)), ..policy.clone() };
        self.policies.intern(&policy)
    }

    /// All hosts, as they were made last.
    pub fn published(&self) -> &SortedMap<HostName, Arc<Host>> {
        &self.published
    }

    /// What was made of a host.
    pub fn made(&self, name: &HostName) -> Option<&Arc<Host>> {
        self.hosts.get(name).map(|merged| &merged.host)
    }

    /// How many claims a host was merged from.
    pub fn claim_count(&self, name: &HostName) -> usize {
        self.hosts.get(name).map_or(0, |merged| merged.candidates.len() + merged.canaries.len())
    }

    /// The rules from which a host was merged, each with all that its object asks for.
    pub fn rules_of(&self, name: &HostName) -> impl Iterator<Item = (&Arc<Claims>, &Claim)> {
        let rules = self.hosts.get(name).into_iter().flat_map(|merged| &merged.candidates);
        rules.map(|(claims, index)| (claims, &claims.rules[*index]))
    }

    /// The certificate that a host got.
    pub fn certificate(&self, name: &HostName) -> Option<&SelectedCertificate> {
        self.hosts.get(name)?.tls.selected()
    }

    /// Takes out a policy that no rule has any more.
    pub fn remove_policy(&mut self, id: PolicyId) {
        self.policies.remove(id);
        self.last = None;
    }

    /// Where TLS connections for a host go as they come, if they do.
    pub fn tls_passthrough(&self, name: &HostName) -> Option<TlsPassthrough> {
        self.hosts.get(name)?.tls_passthrough()
    }

    /// The policies of rules.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Whether these claims stand at a host; none if the host was not made of them, or if some of them do not stand: what is said of
    /// that depends on where others lead.
    pub fn serves(&self, name: &HostName, claims: &Arc<Claims>) -> Option<bool> {
        let merged = self.hosts.get(name).filter(|merged| merged.canaries.is_empty())?;
        let candidates = merged.candidates_of(claims);
        let is_lost = || merged.lost.iter().any(|(lost, _)| candidates.contains(lost));
        // Where connections are passed through, others are told that they lead elsewhere than these.
        let is_passed = matches!(merged.tls, HostTls::PassedThrough(_));
        let is_of_all = is_passed || !merged.closing.is_empty() || merged.connections != HostConnections::default();
        if is_of_all || is_lost() {
            return None;
        }
        (!candidates.is_empty()).then(|| merged.won.iter().any(|won| candidates.contains(won)))
    }

    /// Makes a host again of which an object asks for the same as before, and leads elsewhere.
    pub fn retarget(
        &mut self,
        name: &HostName,
        old: &Arc<Claims>,
        new: &Arc<Claims>,
        origin: &ObjectRef,
    ) -> Option<Arc<Host>> {
        let mut merged = self.hosts.remove(name)?;
        let candidates = merged.candidates_of(old);
        for (claims, _) in &mut merged.candidates[candidates.clone()] {
            *claims = Arc::clone(new);
        }
        let mut host = Host::clone(&merged.host);
        let places = merged.won.iter().enumerate().take(host.rules.len());
        for (place, won) in places.filter(|(_, won)| candidates.contains(won)) {
            let (_, index) = merged.candidates[*won];
            let mut rule = self.rule(name, &new.rules[index], &merged.tls, &merged.connections, origin);
            rule.matches = placed(&new.rules[index], merged.has_patterns).into_owned();
            host.rules[place] = rule;
        }
        merged.host = Arc::new(host);
        let host = Arc::clone(&merged.host);
        self.published.insert(name.clone(), Arc::clone(&host));
        self.hosts.insert(name.clone(), merged);
        Some(host)
    }

    /// Forgets policies that neither these routes have nor what they were made of.
    pub fn forget_unused_policies(&mut self, routes: &mut Routes) {
        // Rules that were made after hosts were merged may have policies of their own.
        self.policies = std::mem::take(&mut routes.policies);
        let mut used = vec![false; self.policies.id_count()];
        let merged = self.hosts.values().flat_map(|merged| &merged.host.rules);
        for rule in routes.rules().chain(merged) {
            used[rule.policy.0 as usize] = true;
        }
        self.policies.retain(|id| used[id.0 as usize]);
        self.last = None;
        routes.policies.clone_from(&self.policies);
    }

    fn rule(
        &mut self,
        name: &HostName,
        claim: &Claim,
        tls: &HostTls,
        connections: &HostConnections,
        origin: &ObjectRef,
    ) -> Rule {
        let redirect_to_https =
            redirects_to_https(name, claim.redirect, tls) && !claim.matches.path.is_acme_challenge();
        let own = claim.policy.client_certificates.as_ref();
        let asked = connections.asked.as_ref().filter(|_| !claim.matches.path.is_acme_challenge());
        let client_certificates = asked.map(|asked| of_rule(own, asked));
        let action = action_of(&claim.action, client_certificates.as_ref());
        let is_as_asked = (redirect_to_https, &client_certificates, &connections.tls)
            == (claim.policy.redirect_to_https, &claim.policy.client_certificates, &claim.policy.client_tls);
        let policy = if is_as_asked {
            Arc::clone(&claim.policy)
        } else {
            let client_tls = connections.tls.clone();
            Arc::new(Policy { redirect_to_https, client_certificates, client_tls, ..Policy::clone(&claim.policy) })
        };
        // Most are the same as the one before.
        let id = match &self.last {
            Some((last, id)) if *last == policy => *id,
            _ => self.policies.intern(&policy),
        };
        self.last = Some((policy, id));
        Rule { listeners: ListenerSet::ALL, matches: claim.matches.clone(), action, policy: id, origin: origin.clone() }
    }

    /// The hosts, which are sorted, as a map that shares with that of last time what did not change.
    fn publish_hosts(&mut self, hosts: &[(HostName, Arc<Host>)]) -> SortedMap<HostName, Arc<Host>> {
        for (name, host) in hosts {
            if !self.published.get(name).is_some_and(|published| Arc::ptr_eq(published, host)) {
                self.published.insert(name.clone(), Arc::clone(host));
            }
        }
        if self.published.len() > hosts.len() {
            self.published.retain(|name, _| hosts.binary_search_by(|(other, _)| other.cmp(name)).is_ok());
        }
        self.published.clone()
    }

    /// What is done when no rule matches.
    fn default_rule(&mut self, claims: &AttachedClaims<'_>, attached: &mut [AttachedObject<'_>]) -> Option<Rule> {
        let mut claims = claims.defaults.clone();
        claims.sort_by_key(|(_, owner)| *owner);
        let mut claims = claims.into_iter();
        let (claim, (_, winner)) = claims.next()?;
        let DefaultClaim { action, policy, .. } = claim;
        attached[winner].draft.mark_served();
        let origin = attached[winner].object.clone();
        for (other, (_, owner)) in claims {
            let first = object_name(&origin);
            let message =
                format!("{first} was first to serve what no rule matches, and stays in force; add rules with hosts");
            attached[owner].draft.report_loss(&other.site, Reason::Conflicted, message);
        }
        let mut policy = Policy { client_tls: ClientTls::default(), ..Policy::clone(policy) };
        if let Some(asked) = &mut policy.client_certificates {
            // No connection is made for it alone.
            *asked = ClientCertificates::Unusable;
            let message = "Certificates of clients can be asked for where a host is named only. Until one is, what no rule matches is answered 503";
            attached[winner].draft.report_loss(&claim.site, Reason::Unsupported, message.to_owned());
        }
        let action = action_of(action, policy.client_certificates.as_ref());
        let policy = self.policies.intern(&policy);
        Some(Rule { listeners: ListenerSet::ALL, matches: Match::any(), action, policy, origin })
    }
}

impl HostTls {
    /// What becomes of connections that are not passed through.
    fn with_certificate(
        name: &HostName,
        won: &[AttachedClaim<'_>],
        certificates: &mut CertificateSelection,
        attached: &mut [AttachedObject<'_>],
    ) -> Self {
        match (certificates.select(name, won, attached), certificates.lack(name, won, attached)) {
            (Some(selected), _) => Self::Ended(selected),
            (None, Some(lack)) => Self::Lacking(lack),
            (None, None) => Self::Rejected,
        }
    }

    /// The certificate with which TLS is ended.
    fn selected(&self) -> Option<&SelectedCertificate> {
        match self {
            Self::Ended(selected) => Some(selected),
            Self::Rejected | Self::Lacking(_) | Self::PassedThrough(_) => None,
        }
    }
}

impl MergedHost {
    /// Decides which claims of a host stand.
    fn new(candidates: &[AttachedClaim<'_>], canaries: &[AttachedCanary<'_>], for_one_snapshot: bool) -> Self {
        let named = candidates.iter().position(|candidate| !candidate.claim.yields);
        let yields = |index: &usize| named.is_some() && candidates[*index].claim.yields;
        let (yielding, mut order): (Vec<usize>, Vec<usize>) = (0..candidates.len()).partition(yields);
        let has_patterns =
            candidates.iter().any(|candidate| is_pattern(&candidate.claim.matches) && !candidate.claim.denies);
        let asks_passthrough = candidates.iter().any(|candidate| candidate.claim.tls_passthrough.is_some());
        let has_weak = candidates.iter().any(|candidate| candidate.claim.weak);
        // As they are tried, and as rules stand.
        let matches: Vec<Cow<'_, Match>> =
            candidates.iter().map(|candidate| placed(candidate.claim, has_patterns)).collect();
        let rank = |one: &AttachedClaim<'_>| (!one.claim.keeps_out(), one.claim.weak, one.owner);
        // Stable: of one object the first comes first.
        order.sort_by(|a, b| {
            let by_path = matches[*a].precedence(&matches[*b]);
            by_path.then_with(|| rank(&candidates[*a]).cmp(&rank(&candidates[*b])))
        });
        let (mut won, mut lost): (Vec<usize>, Vec<_>) = (Vec::with_capacity(order.len()), Vec::new());
        // Of one length there may be very many, that are tried alike.
        let mut patterns: HashMap<&Match, usize> = HashMap::new();
        for index in order {
            let own = &*matches[index];
            // Those of one precedence stand together.
            let mut rivals = won.iter().rev().take_while(|first| matches[**first].precedence(own).is_eq());
            let first = match &own.path {
                PathMatch::Regex(_) => Some(*patterns.entry(own).or_insert(index)).filter(|first| *first != index),
                _ => rivals.find(|first| *matches[**first] == *own).copied(),
            };
            match first {
                Some(first) => lost.push((index, first)),
                None => won.push(index),
            }
        }
        lost.extend(yielding.into_iter().zip(named.into_iter().cycle()));
        let candidates = if for_one_snapshot { &[] } else { candidates };
        let canaries = if for_one_snapshot { &[] } else { canaries };
        let canaries = canaries.iter().map(|canary| (Arc::clone(canary.claims), canary.index)).collect();
        let candidates = candidates.iter().map(|candidate| (Arc::clone(candidate.claims), candidate.index)).collect();
        Self {
            candidates,
            canaries,
            won,
            has_patterns,
            asks_passthrough,
            has_weak,
            lost,
            tls: HostTls::default(),
            connections: HostConnections::default(),
            closing: HostClosing::default(),
            host: Arc::default(),
        }
    }

    /// The candidates that are among these claims. Those of an object stand together, and objects in their order.
    fn candidates_of(&self, claims: &Arc<Claims>) -> Range<usize> {
        let start = self.place_of_object(claims.object.as_ref());
        let own = self.candidates[start..].iter().take_while(|(of, _)| Arc::ptr_eq(of, claims));
        start..start + own.count()
    }

    /// Where the candidates of an object begin, or would.
    fn place_of_object(&self, object: Option<&ObjectRef>) -> usize {
        self.candidates.partition_point(|(claims, _)| claims.object.as_ref() < object)
    }

    /// Where its TLS connections go as they come, if they do.
    fn tls_passthrough(&self) -> Option<TlsPassthrough> {
        let HostTls::PassedThrough(object) = &self.tls else { return None };
        let rules = self.host.rules.iter().rev();
        rules.filter(|rule| rule.origin == *object).find(|rule| is_root(&rule.matches)).map(passthrough_of)
    }

    /// Whether it was made of these.
    fn is_made_of(&self, candidates: &[AttachedClaim<'_>], canaries: &[AttachedCanary<'_>]) -> bool {
        let is_same =
            |(claims, index): &ClaimPlace, now: &Arc<Claims>, at: usize| Arc::ptr_eq(claims, now) && *index == at;
        let same_claims = self.candidates.iter().zip(candidates);
        let same_canaries = self.canaries.iter().zip(canaries);
        (self.candidates.len(), self.canaries.len()) == (candidates.len(), canaries.len())
            && same_claims.into_iter().all(|(known, now)| is_same(known, now.claims, now.index))
            && same_canaries.into_iter().all(|(known, now)| is_same(known, now.claims, now.index))
    }
}

fn is_pattern(matches: &Match) -> bool {
    matches!(matches.path, PathMatch::Regex(_))
}

/// What a claim matches, with its place among the paths of a host.
fn placed(claim: &Claim, has_patterns: bool) -> Cow<'_, Match> {
    match &claim.matches.path {
        PathMatch::Regex(pattern) if has_patterns && stands_before_patterns(claim) => {
            let path = PathMatch::Regex(pattern.clone().placed_first());
            Cow::Owned(Match { path, ..claim.matches.clone() })
        }
        _ => Cow::Borrowed(&claim.matches),
    }
}

/// Whether a claim comes before all others where one of them is for a pattern, as what is denied does. Where hosts have no name, others may
/// have the paths that it matches too.
fn stands_before_patterns(claim: &Claim) -> bool {
    claim.denies && is_pattern(&claim.matches) && claim.host != HostName::Any
}

/// The same policy, but that nothing is sent to HTTPS.
pub fn without_redirect(policies: &mut Policies, id: PolicyId) -> PolicyId {
    match &policies[id] {
        policy if policy.redirect_to_https => policies.intern(&Policy { redirect_to_https: false, ..policy.clone() }),
        _ => id,
    }
}

/// Whether requests over HTTP are sent to HTTPS. Never to a certificate that is not for the host: clients reject it, and what
/// was served would not be any more. None is for every host, so there an object has to ask for it.
fn redirects_to_https(host: &HostName, asked: HttpsRedirect, tls: &HostTls) -> bool {
    match (asked, host, tls) {
        (HttpsRedirect::Always, ..) => true,
        (HttpsRedirect::Never, ..) | (_, _, HostTls::Rejected) => false,
        (_, HostName::Any, HostTls::Lacking(_)) | (_, _, HostTls::Lacking(Lack::Unusable)) => {
            asked.needs_no_certificate()
        }
        // It is there, and what it is for was to be served over TLS only.
        (_, _, HostTls::Lacking(Lack::WithoutRoom)) => true,
        // Which certificate its backend has is the backend's affair.
        (_, _, HostTls::PassedThrough(_)) => true,
        (_, HostName::Any, HostTls::Ended(_)) => asked.needs_no_certificate(),
        (_, _, HostTls::Ended(given)) => given.is_for || asked.needs_no_certificate(),
    }
}

/// Tells objects that want requests to be redirected to HTTPS of hosts where that leads nowhere.
fn report_unredirected(unredirected: &[bool], attached: &mut [AttachedObject<'_>]) {
    for (AttachedObject { draft, .. }, _) in attached.iter_mut().zip(unredirected).filter(|(_, is_one)| **is_one) {
        let message = "A host of this object has no certificate, or one that is not for it, so requests for it are not \
                       redirected; declare TLS for it";
        draft.report_loss(&ClaimSite::Annotation("sparrow/ssl-redirect"), Reason::RefNotFound, message.to_owned());
    }
}

/// Tells an object that another was first.
fn report_conflict(loser: &AttachedClaim<'_>, first: &AttachedClaim<'_>, attached: &mut [AttachedObject<'_>]) {
    let AttachedClaim { claim, owner: (_, owner), .. } = *loser;
    let (_, winner) = first.owner;
    let own = winner == owner;
    // Whose role is not known, who does not ask for what others have.
    if claim.weak && !own && claim.site != ClaimSite::DefaultBackend && claim.action == Action::UNAVAILABLE {
        return;
    }
    // Of its own paths an object is told where they are denied.
    let is_told = own && (claim.yields || !matches!(claim.site, ClaimSite::Annotation(_)));
    if first.claim.denies && (claim.denies || is_told) {
        return;
    }
    // A default backend is for the rest, and there is none. Who says the same twice loses nothing.
    if own
        && (claim.weak || claim.yields || (&claim.action, &claim.policy) == (&first.claim.action, &first.claim.policy))
    {
        return;
    }
    let what = match &claim.host {
        HostName::Any => format!("The path {}", quoted(claim.matches.path.text())),
        host => format!("The path {} of the host {}", quoted(claim.matches.path.text()), quoted(&host.to_string())),
    };
    let message = if first.claim.denies {
        let first = object_name(&attached[winner].object);
        format!("{what} is answered by a snippet of {first}, which stays in force; remove one of them")
    } else if own {
        format!("{what} is in this object already, and the first stays in force; remove one of them")
    } else {
        let first = object_name(&attached[winner].object);
        format!("{what} is taken by {first}, which was first and stays in force; use another path or host")
    };
    attached[owner].draft.report_loss(&claim.site, Reason::Conflicted, message);
}
