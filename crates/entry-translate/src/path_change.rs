//! The short way from a snapshot to routes, where paths of hosts come and go for which nobody else asks: nothing is looked at but these.
//!
//! A host may have very many paths, and most objects have a few of them. As long as each path is its object's alone, and nothing of what
//! the object says is for the whole host, no other path depends on it. Whatever else changes has its hosts translated
//! (`host_change.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use entry_model::{EndpointsId, HostName, HostOwners, ObjectRef, PathMatch, Snapshot};

use crate::attach::AttachedObject;
use crate::bounds::claim_weight;
use crate::caches::{CachedClaims, Caches};
use crate::claim::{Claim, Claims};
use crate::endpoints::endpoints_of;
use crate::host_bonds::HostBonds;
use crate::host_change::{AskedChange, AskingObject, ObjectChange};
use crate::host_or_segment::HostOrSegment;
use crate::merge::HostMerger;
use crate::merge::paths::{PathChange, PathEdit};
use crate::owners::HostLists;
use crate::retarget::{LastTranslation, host_records, route_object};
use crate::{HostOwnership, TranslateSettings};

/// Most rules that are looked at of objects that do not get all that they ask for on all hosts.
const MOST_CONTESTED: usize = 4096;

impl LastTranslation {
    /// Puts the paths in that objects ask for, and takes those out for which they do not ask any more. None if more may come of it: then
    /// nothing has changed.
    pub fn change_paths(
        &mut self,
        AskedChange { changes, amounts }: &AskedChange,
        snapshot: &Snapshot,
        settings: &TranslateSettings,
        caches: &mut Caches,
    ) -> Option<()> {
        let Caches { claims, merger, endpoints, .. } = caches;
        let bonds = self.bonds.as_ref()?;
        let same_secrets = snapshot.secrets.changed_keys(&self.snapshot.secrets, Arc::ptr_eq).is_empty();
        if !same_secrets || !self.changed_records(snapshot, settings)?.is_empty() {
            return None;
        }
        let mut by_host: BTreeMap<&HostName, Vec<PathChange<'_>>> = BTreeMap::new();
        for change in changes {
            let [before, now] = sides(change)?;
            if !self.keeps_certificates(change) {
                return None;
            }
            let hosts = [before, now].into_iter().flatten().flat_map(|claims| claims.hosts());
            for host in hosts {
                let of_host = by_host.entry(host).or_default();
                if of_host.last().is_none_or(|last| *last.object != change.reference) {
                    of_host.push(PathChange { object: &change.reference, before, now });
                }
            }
        }
        let owned = settings.ownership == HostOwnership::Namespace;
        let (listed, _) = if owned { HostLists::read(snapshot) } else { <_>::default() };
        let mut edits = Vec::with_capacity(by_host.len());
        for (name, changes) in by_host {
            let is_shared = owned && *name == HostName::Any;
            let edit = merger.plan_paths(name, &changes, is_shared)?;
            // Who names the host for a certificate, and has no rule of a name there, is told who is first.
            let names_certificate = |object: &ObjectRef| {
                let object = route_object(&self.snapshot, object);
                let known = object.and_then(|object| claims.get(&object.memory_address()));
                known.is_none_or(|known| !known.claims.tls.is_empty())
            };
            let mut beside = bonds.beside.get(name).into_iter().flatten();
            let is_bound =
                edit.has_other_first && (!owned || beside.any(names_certificate)) || owned && listed.shares(name);
            if is_bound {
                return None;
            }
            edits.push((name, edit, changes));
        }
        let host_owners = if owned {
            self.owners_of_paths(changes, &edits, &listed, (snapshot, settings), (bonds, claims, merger))?
        } else {
            Arc::clone(&self.translation.host_owners)
        };

        // From here on the change is followed.
        let asking = |ObjectChange { reference, now, .. }: &ObjectChange| {
            let claims = &now.as_ref()?.claims;
            let mut draft = claims.draft.clone();
            if !claims.rules.is_empty() {
                draft.mark_served();
            }
            Some(AttachedObject { object: reference.clone(), source: route_object(snapshot, reference)?, draft })
        };
        let mut attached: Vec<_> = changes.iter().filter_map(asking).collect();
        let edited: Vec<_> = edits
            .into_iter()
            .filter_map(|(name, edit, changes)| Some((name, merger.edit_paths(name, edit, &changes)?)))
            .collect();
        endpoints.find_more(snapshot, edited.iter().flat_map(|(_, edited)| &edited.asked), &mut attached);
        let went = edited.iter().flat_map(|(_, edited)| {
            let [went, _] = edited.before.rules.unshared(&edited.now.rules);
            went.into_iter().flat_map(|rule| endpoints_of(&rule.action)).cloned().collect::<Vec<EndpointsId>>()
        });
        let led_to = went.collect();
        for (name, edited) in &edited {
            if !Arc::ptr_eq(&edited.before, &edited.now) {
                self.put_host((*name).clone(), Some(&edited.now));
            }
        }
        self.drop_unused_policies(merger);
        self.drop_unused_endpoints(led_to, endpoints);
        for AttachedObject { object, source, draft } in attached {
            self.translation.verdicts.insert(object, draft.into_verdict(source.meta().generation));
        }
        self.translation.host_owners = host_owners;
        if let Some(bonds) = &mut self.bonds {
            bonds.amounts = amounts.clone();
        }
        self.remember(changes, snapshot, settings, claims);
        Some(())
    }

    /// Whether an object asks for no certificate, or for the same ones for hosts on which it has a rule before and now, and nothing is told of
    /// them.
    fn keeps_certificates(&self, ObjectChange { reference, before, now }: &ObjectChange) -> bool {
        let brings = |object: &Option<AskingObject>| object.as_ref().is_some_and(AskingObject::names_certificates);
        if !brings(before) && !brings(now) {
            return true;
        }
        let (Some(before), Some(now)) = (before, now) else { return false };
        let hosts = |object: &AskingObject| object.claims.hosts().cloned().collect::<BTreeSet<_>>();
        let (Some(meta), Some(now_meta)) = (before.meta(), now.meta()) else { return false };
        let told = || {
            let mut draft = before.claims.draft.clone();
            draft.mark_served();
            self.translation.verdicts.get(reference) == Some(&draft.into_verdict(meta.generation))
        };
        let hosts_before = hosts(before);
        let has_rule = |host: &HostName| hosts_before.contains(host);
        before.brings_certificate == now.brings_certificate
            && before.claims.tls == now.claims.tls
            && meta.created == now_meta.created
            && hosts_before == hosts(now)
            && before.claims.hosts_beside_rules().all(has_rule)
            && told()
    }

    /// Who owns what when these paths come and go. None if it is for others to say, too.
    fn owners_of_paths(
        &self,
        changes: &[ObjectChange],
        edits: &[(&HostName, PathEdit, Vec<PathChange<'_>>)],
        listed: &HostLists<'_>,
        (snapshot, settings): (&Snapshot, &TranslateSettings),
        (bonds, claims, merger): (&HostBonds, &HashMap<usize, CachedClaims>, &HostMerger),
    ) -> Option<Arc<HostOwners>> {
        let mut owners = HostOwners::clone(&self.translation.host_owners);
        let mut counts: HashMap<&str, [usize; 2]> = HashMap::new();
        // Those that objects of a namespace ask for, before and now.
        let mut units: HashMap<HostOrSegment<'_>, (&str, [bool; 2])> = HashMap::new();
        for change in changes {
            let namespace = change.reference.key.namespace.as_str();
            for (side, claims) in sides(change)?.into_iter().enumerate() {
                for claim in claims.into_iter().flat_map(|claims| &claims.rules) {
                    counts.entry(namespace).or_default()[side] += claim_weight(claim);
                    let unit = HostOrSegment::of(&claim.host, &claim.matches.path);
                    let (of, asks) = units.entry(unit).or_insert((namespace, [false; 2]));
                    if *of != namespace {
                        return None;
                    }
                    asks[side] = true;
                }
            }
        }
        let contested = contested_segments(bonds, &self.snapshot, claims)?;
        let mut going = HashMap::new();
        for (unit, (namespace, [_, asks_now])) in units {
            let key = unit.key();
            let mut holders = host_records(snapshot, settings).filter_map(|record| record.owner_of(&key)).peekable();
            let is_held = holders.peek().is_some();
            // What no rule matches is for all hosts, too.
            let is_for_rest = unit == HostOrSegment::Segment("") && bonds.has_defaults;
            if is_for_rest || holders.any(|holder| holder != namespace) {
                return None;
            }
            match (owners.owner_of(&key), unit) {
                (Some(owner), _) if owner != namespace || !is_held => return None,
                // The namespace has a rule there before and after.
                (Some(_), HostOrSegment::Host(_)) => {}
                (Some(_), HostOrSegment::Segment(_)) => {
                    if !asks_now {
                        going.insert(unit, key);
                    }
                }
                (None, HostOrSegment::Segment(_)) if !contested.contains(&unit) && listed.allows(namespace, unit) => {
                    owners.set_owner(&key, Some(namespace));
                }
                (None, _) => return None,
            }
        }
        if !going.is_empty() {
            let of_any = edits.iter().filter(|(name, ..)| **name == HostName::Any);
            for claim in of_any.flat_map(|(name, edit, _)| merger.kept_claims(name, edit)) {
                going.remove(&HostOrSegment::of(&claim.host, &claim.matches.path));
            }
        }
        for (unit, key) in going {
            if contested.contains(&unit) {
                return None;
            }
            owners.set_owner(&key, None);
        }
        for (namespace, [less, more]) in counts {
            owners.set_rule_count(namespace, (owners.rule_count(namespace) + more).checked_sub(less)?);
            // Whether it has something else is not known.
            if owners.rule_count(namespace) == 0 {
                return None;
            }
        }
        let before = &self.translation.host_owners;
        Some(if owners == **before { Arc::clone(before) } else { Arc::new(owners) })
    }
}

/// The first segments for which objects ask without getting them all; none if these are too many to look at.
fn contested_segments<'c>(
    bonds: &HostBonds,
    snapshot: &Snapshot,
    claims: &'c HashMap<usize, CachedClaims>,
) -> Option<HashSet<HostOrSegment<'c>>> {
    let mut segments = HashSet::new();
    let beside = bonds.beside.get(&HostName::Any).map_or(&[][..], Vec::as_slice);
    let mut left = MOST_CONTESTED;
    for object in beside {
        let asked = &claims.get(&route_object(snapshot, object)?.memory_address())?.claims.rules;
        left = left.checked_sub(asked.len())?;
        let of_any = asked.iter().filter(|claim| claim.host == HostName::Any);
        segments.extend(of_any.map(|claim| HostOrSegment::of(&claim.host, &claim.matches.path)));
    }
    Some(segments)
}

/// What an object asked for, and asks for now; none if any of that is not for paths of its own only.
fn sides(change: &ObjectChange) -> Option<[Option<&Arc<Claims>>; 2]> {
    let both = [&change.before, &change.now].map(Option::as_ref);
    let is_plain = both.into_iter().flatten().all(|object| asks_for_paths(&object.claims));
    is_plain.then_some(both.map(|object| object.map(|object| &object.claims)))
}

/// Whether an object asks for nothing but paths, and for certificates.
fn asks_for_paths(claims: &Claims) -> bool {
    claims.default.is_none()
        && !claims.has_host_actions()
        && claims.canaries.is_empty()
        && claims.held_hosts.is_empty()
        && claims.rules.iter().all(is_for_path_alone)
}

/// Whether a rule is for a path, and says nothing of its host.
fn is_for_path_alone(claim: &Claim) -> bool {
    let Claim { host, matches, policy, tls_passthrough, weak, yields, denies, .. } = claim;
    matches!(host, HostName::Exact(_) | HostName::Any)
        && matches.is_path_only()
        && !matches!(matches.path, PathMatch::Regex(_))
        && !matches.path.is_acme_challenge()
        && policy.client_certificates.is_none()
        && policy.client_tls == <_>::default()
        && tls_passthrough.is_none()
        && !(*weak || *yields || *denies)
}
