//! Whose a host is. A namespace that has a host has all of it: its paths, what no path matches, its certificate. So it is with a
//! first segment on hosts that no rule names.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use entry_model::{HOSTS_ANNOTATION, HostName, HostOwners, Kind, ObjectRef, Reason, Snapshot, Verdict};

use crate::attach::{AttachedObject, Seniority, namespace_of};
use crate::attached_claims::{AttachedClaim, AttachedClaims};
use crate::bounds::claim_weight;
use crate::claim_site::ClaimSite;
use crate::host::parse_host;
use crate::host_or_segment::HostOrSegment;
use crate::verdict_draft::{VerdictDraft, quoted};

/// What operators have written on Namespaces: which hosts are whose.
#[derive(Debug, Default)]
pub struct HostLists<'a> {
    /// The namespaces that list a host.
    by_host: HashMap<HostName, Vec<&'a str>>,
    /// The namespaces that list hosts, and may claim no others; and whether they may claim paths of hosts that no rule names.
    limited: HashMap<&'a str, bool>,
}

impl<'a> HostLists<'a> {
    /// Reads the annotations of all Namespaces. What of one cannot be read is told.
    pub fn read(snapshot: &'a Snapshot) -> (Self, Vec<(ObjectRef, Verdict)>) {
        let (mut listed, mut verdicts) = (Self::default(), Vec::new());
        for namespace in snapshot.namespaces.values() {
            let Some(text) = &namespace.hosts else { continue };
            let (name, mut draft) = (namespace.meta.name.as_str(), VerdictDraft::default());
            // The annotation holds, whatever is in it: a mistyped host opens nothing.
            draft.mark_served();
            let mut any = false;
            for text in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|text| !text.is_empty()) {
                match parse_host(text) {
                    _ if text == "*" => any = true,
                    Ok(host) => {
                        let names = listed.by_host.entry(host).or_default();
                        if !names.contains(&name) {
                            names.push(name);
                        }
                    }
                    Err(message) => {
                        let message = format!("{message}. The other hosts of the list are this namespace's");
                        draft.report_loss(&ClaimSite::Annotation(HOSTS_ANNOTATION), Reason::Invalid, message);
                    }
                }
            }
            listed.limited.insert(name, any);
            let verdict = draft.into_verdict(namespace.meta.generation);
            if !verdict.findings().is_empty() {
                verdicts.push((namespace.meta.object(Kind::Namespace), verdict));
            }
        }
        (listed, verdicts)
    }

    /// The namespaces that list a host; if none does, those that list the wildcard above it.
    fn of(&self, host: &HostName) -> Option<&[&'a str]> {
        if self.by_host.is_empty() {
            return None;
        }
        let above = || self.by_host.get(&host.wildcard_above()?);
        self.by_host.get(host).or_else(above).map(Vec::as_slice)
    }

    /// Whether several namespaces list a host, or the wildcard above it: each of them may have paths there.
    pub fn shares(&self, host: &HostName) -> bool {
        self.of(host).is_some_and(|namespaces| namespaces.len() > 1)
    }

    /// Whether a namespace may claim this, as far as lists say.
    pub fn allows(&self, namespace: &str, unit: HostOrSegment<'_>) -> bool {
        match unit {
            HostOrSegment::Segment(_) => self.limited.get(namespace).is_none_or(|any| *any),
            HostOrSegment::Host(host) => match self.of(host) {
                Some(namespaces) => namespaces.contains(&namespace),
                None => !self.limited.contains_key(namespace),
            },
        }
    }

    /// Whether what no rule of a host matches is not found, though the objects of this namespace have a default.
    pub fn withholds_default(&self, host: &HostName, first: Option<&str>, default: &str) -> bool {
        let own = || first == Some(default);
        *host != HostName::Any && !self.of(host).map_or_else(own, |namespaces| namespaces.contains(&default))
    }

    /// Whether a host is listed.
    pub fn has(&self, host: &HostName) -> bool {
        self.by_host.contains_key(host)
    }

    /// The hosts that are listed.
    pub fn hosts(&self) -> impl Iterator<Item = &HostName> {
        self.by_host.keys()
    }
}

/// A claim, of the oldest object of a namespace.
#[derive(Debug, Clone, Copy)]
struct OldestClaim<'a> {
    namespace: &'a str,
    age: Seniority,
    /// Whether the namespace holds it since earlier.
    held: bool,
    /// Whether it asks for a rule there. Who only names a host, for what cannot be served, is never recorded.
    asks: bool,
}

/// All claims, by what is claimed.
struct ClaimIndex<'a, 'b> {
    listed: &'b HostLists<'a>,
    host_owners: &'b [Arc<HostOwners>],
    /// The namespaces that claim it, each with its oldest object.
    by_unit: HashMap<HostOrSegment<'b>, Claimants<'a>>,
    wildcards: bool,
}

/// The namespaces that claim something: nearly always it is one.
struct Claimants<'a> {
    first: Claimant<'a>,
    others: Vec<Claimant<'a>>,
}

/// A namespace that claims something, with its oldest object, and whether any asks for a rule there.
#[derive(Clone, Copy)]
struct Claimant<'a> {
    namespace: &'a str,
    age: Seniority,
    asks: bool,
}

impl<'a> Claimants<'a> {
    fn add(&mut self, claimant: Claimant<'a>) {
        let mut known = std::iter::once(&mut self.first).chain(&mut self.others);
        match known.find(|known| known.namespace == claimant.namespace) {
            Some(known) => {
                known.age = claimant.age.min(known.age);
                known.asks |= claimant.asks;
            }
            None => self.others.push(claimant),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Claimant<'a>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// Why a namespace does not get what it claims.
enum OwnershipDenial<'a, 'b> {
    /// Others list it.
    Listed(&'b [&'a str]),
    /// It lists hosts, and not this one.
    NotListed,
    /// Another namespace has it.
    Owned(&'a str),
    /// Another namespace has the wildcard above it.
    Below(&'a str),
}

impl<'a, 'b> ClaimIndex<'a, 'b> {
    fn add(&mut self, unit: HostOrSegment<'b>, claimant: Claimant<'a>) {
        self.wildcards |= matches!(unit, HostOrSegment::Host(HostName::OneLabel(_)));
        let new = || Claimants { first: claimant, others: Vec::new() };
        self.by_unit.entry(unit).or_insert_with(new).add(claimant);
    }

    /// Who is first of those that may claim it.
    fn first(&self, unit: HostOrSegment<'_>) -> Option<OldestClaim<'a>> {
        let claims = self.by_unit.get(&unit)?;
        let allowed = || claims.iter().filter(|claimant| self.listed.allows(claimant.namespace, unit));
        if self.host_owners.iter().any(|owners| !owners.is_empty()) {
            let key = unit.key();
            let of = |namespace: &str| allowed().find(|claimant| claimant.namespace == namespace);
            // The first record whose holder still claims it.
            let holder = self.host_owners.iter().find_map(|owners| of(owners.owner_of(&key)?));
            if let Some(&Claimant { namespace, age, asks }) = holder {
                return Some(OldestClaim { namespace, age, held: true, asks });
            }
        }
        let &Claimant { namespace, age, asks } = allowed().min_by_key(|claimant| claimant.age)?;
        Some(OldestClaim { namespace, age, held: false, asks })
    }

    /// Why this namespace does not get it; none if it does.
    fn denial(&self, unit: HostOrSegment<'b>, namespace: &str) -> Option<OwnershipDenial<'a, 'b>> {
        if let HostOrSegment::Host(host) = unit
            && let Some(namespaces) = self.listed.of(host)
        {
            return (!namespaces.contains(&namespace)).then_some(OwnershipDenial::Listed(namespaces));
        }
        if !self.listed.allows(namespace, unit) {
            return Some(OwnershipDenial::NotListed);
        }
        let first = self.first(unit)?;
        if let HostOrSegment::Host(host) = unit
            && self.wildcards
            && !first.held
            && let Some(wildcard) = host.wildcard_above()
            && let Some(above) = self.first(HostOrSegment::Host(&wildcard))
            // Once the wildcard is recorded, who only names the host below it does not have it: so at once.
            && (above.held || !first.asks || above.age < first.age)
        {
            // Who claims the host too has that, whichever of both was first: so the same is told when it holds both since earlier.
            let owner = above.namespace;
            let has_claim =
                self.by_unit.get(&unit).is_some_and(|claims| claims.iter().any(|other| other.namespace == owner));
            let denial = if has_claim { OwnershipDenial::Owned(owner) } else { OwnershipDenial::Below(owner) };
            return (owner != namespace).then_some(denial);
        }
        (first.namespace != namespace).then_some(OwnershipDenial::Owned(first.namespace))
    }
}

/// A default backend is for the rest of the hosts that no rule names.
const REST: HostOrSegment<'static> = HostOrSegment::Segment("");

/// Takes from what is asked for whatever belongs to other namespaces, and tells who asked.
///
/// A host belongs to the namespaces that list it. Of one that none lists, to the namespace that holds it, or the wildcard above
/// it, since earlier; else to that of the oldest object that claims one of them. `quarantined` are claims of objects that are put
/// aside: they are not served, and what their namespace has stays with it.
pub fn enforce_owners<'a>(
    listed: &HostLists<'a>,
    host_owners: &[Arc<HostOwners>],
    asked: &mut AttachedClaims<'_>,
    attached: &mut [AttachedObject<'a>],
    quarantined: (&AttachedClaims<'_>, &[AttachedObject<'a>]),
) {
    let mut interests =
        ClaimIndex { listed, host_owners, by_unit: HashMap::with_capacity(asked.rules.len()), wildcards: false };
    for (asked, attached) in [(&*asked, &*attached), quarantined] {
        for AttachedClaim { claim, owner, .. } in &asked.rules {
            let claimant = Claimant { namespace: namespace_of(attached, *owner), age: *owner, asks: true };
            interests.add(HostOrSegment::of(&claim.host, &claim.matches.path), claimant);
        }
        for (_, owner) in &asked.defaults {
            interests.add(REST, Claimant { namespace: namespace_of(attached, *owner), age: *owner, asks: true });
        }
        for (host, (_, owner)) in &asked.held_hosts {
            let claimant = Claimant { namespace: namespace_of(attached, *owner), age: *owner, asks: false };
            interests.add(HostOrSegment::Host(host), claimant);
        }
    }
    let mut told: HashSet<(usize, ClaimSite)> = HashSet::new();
    let mut decide = |unit, owner: Seniority, site: ClaimSite| {
        let Some(denial) = interests.denial(unit, namespace_of(attached, owner)) else { return true };
        // Of one host it is told once, however many paths there are.
        if told.insert((owner.1, site)) {
            let message = denial_message(unit, &denial, namespace_of(attached, owner));
            attached[owner.1].draft.report_loss(&site, Reason::Conflicted, message);
        }
        false
    };
    let rules = asked.rules.iter().map(|AttachedClaim { claim, owner, .. }| {
        let site = if claim.host == HostName::Any { claim.site } else { claim.site.host() };
        decide(HostOrSegment::of(&claim.host, &claim.matches.path), *owner, site)
    });
    let rules: Vec<bool> = rules.collect();
    let defaults: Vec<bool> = asked.defaults.iter().map(|(claim, owner)| decide(REST, *owner, claim.site)).collect();
    asked.keep_rules(&rules, attached);
    let mut defaults = defaults.into_iter();
    asked.defaults.retain(|_| defaults.next().unwrap_or(true));
}

fn denial_message(unit: HostOrSegment<'_>, denial: &OwnershipDenial<'_, '_>, namespace: &str) -> String {
    let what = match unit {
        HostOrSegment::Host(host) => format!("The host {}", quoted(&host.to_string())),
        HostOrSegment::Segment("") => "What no rule matches on hosts that no rule names".to_owned(),
        HostOrSegment::Segment(segment) => {
            format!("The path {} on hosts that no rule names", quoted(&format!("/{segment}")))
        }
    };
    let use_another = match unit {
        HostOrSegment::Host(_) => "use another host",
        HostOrSegment::Segment("") => "use a host of your own",
        HostOrSegment::Segment(_) => "use another path, or a host of your own",
    };
    match denial {
        OwnershipDenial::Listed(namespaces) => {
            let namespaces = match namespaces {
                [one] => format!("the namespace {one}"),
                [one, ..] => format!("the namespace {one} and {} more", namespaces.len() - 1),
                [] => "nobody".to_owned(),
            };
            format!(
                "{what} is kept for {namespaces} by the annotation {HOSTS_ANNOTATION}, and nothing of this object is served there; {use_another}"
            )
        }
        OwnershipDenial::NotListed => format!(
            "{what} is not in the annotation {HOSTS_ANNOTATION} of the namespace {namespace}, which names all that its objects may claim, so \
             nothing of this object is served there; use a host that is named, or have it named there"
        ),
        OwnershipDenial::Owned(owner) => format!(
            "{what} belongs to the namespace {owner}, which had it first and keeps it, so nothing of this object is served there; \
             {use_another}"
        ),
        OwnershipDenial::Below(owner) => format!(
            "{what} is below a wildcard that belongs to the namespace {owner}, which had it first and keeps it, so nothing of this \
             object is served there; {use_another}"
        ),
    }
}

/// Who owns what from now on: the namespaces that are served, and those that owned what an object of theirs in quarantine still
/// claims.
pub fn next_host_owners<'a>(
    host_owners: &[Arc<HostOwners>],
    asked: &AttachedClaims<'_>,
    attached: &[AttachedObject<'a>],
    quarantined: (&AttachedClaims<'_>, &[AttachedObject<'a>]),
) -> HostOwners {
    let (mut owners, mut seen) = (HostOwners::default(), HashSet::with_capacity(asked.rules.len()));
    // Objects stand by their namespaces, so one look at the namespace is enough for many rules.
    for run in asked.rules.chunk_by(|a, b| namespace_of(attached, a.owner) == namespace_of(attached, b.owner)) {
        let namespace = namespace_of(attached, run[0].owner);
        owners.add_all(
            run.iter().map(|AttachedClaim { claim, .. }| HostOrSegment::of(&claim.host, &claim.matches.path).key()),
            namespace,
        );
        // As bounds count: else who asks for the same often would have room for more than is served.
        let new =
            run.iter().filter(|AttachedClaim { claim, .. }| seen.insert((namespace, &claim.host, &claim.matches)));
        owners.count_rule(namespace, new.map(|AttachedClaim { claim, .. }| claim_weight(claim)).sum());
    }
    for (_, owner) in &asked.defaults {
        owners.add(REST.key(), namespace_of(attached, *owner));
    }
    let held = |claims: &AttachedClaims<'_>, attached: &[AttachedObject<'_>], owners: &mut HostOwners| {
        for (host, (_, owner)) in &claims.held_hosts {
            keep_owner(HostOrSegment::Host(host), namespace_of(attached, *owner), host_owners, owners);
        }
    };
    held(asked, attached, &mut owners);
    let (asked, attached) = quarantined;
    held(asked, attached, &mut owners);
    for AttachedClaim { claim, owner, .. } in &asked.rules {
        let unit = HostOrSegment::of(&claim.host, &claim.matches.path);
        keep_owner(unit, namespace_of(attached, *owner), host_owners, &mut owners);
    }
    for (_, owner) in &asked.defaults {
        keep_owner(REST, namespace_of(attached, *owner), host_owners, &mut owners);
    }
    owners
}

/// Keeps for a namespace what it owned, of what is not served.
fn keep_owner(unit: HostOrSegment<'_>, namespace: &str, before: &[Arc<HostOwners>], owners: &mut HostOwners) {
    let key = unit.key();
    if before.iter().any(|before| before.owner_of(&key) == Some(namespace)) {
        owners.add(key, namespace);
    }
}
