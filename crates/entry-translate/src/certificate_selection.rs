//! Which certificate each host gets.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use entry_model::{Certificate, CertificateId, HostName, ObjectRef, Reason, SortedMap};

use crate::Bound;
use crate::attach::{AttachedObject, Seniority};
use crate::attached_claims::AttachedClaim;
use crate::bounds::check_room;
use crate::certificate::LoadedCertificate;
use crate::claim_site::ClaimSite;
use crate::verdict_draft::{object_name, quoted};

/// What becomes of the hosts of a certificate that the entry has no room for.
pub const WITHOUT_ROOM: &str = "No TLS connection is made for the hosts that it is for, and requests over HTTP are redirected as with it, rather \
                                than served in the clear";

/// The certificates that objects bring.
#[derive(Debug, Default)]
pub struct CertificateSelection {
    offers: Vec<OfferedCertificate>,
    /// Offers by the host that they name.
    named: HashMap<HostName, Vec<usize>>,
    /// Offers for whatever hosts their object has, by object.
    unnamed: HashMap<usize, Vec<usize>>,
    /// The objects that name a certificate which is not served, by the host that it is for; none for all that the object has.
    lacking: HashMap<Option<HostName>, HashMap<usize, Lack>>,
    /// What each object has offered for which host.
    known: HashSet<(usize, Option<HostName>, CertificateId)>,
}

/// A certificate that an object brings for one host, or for all that it has.
#[derive(Debug)]
pub struct OfferedCertificate {
    pub owner: Seniority,
    pub site: ClaimSite,
    /// The host; none for all that the object has.
    pub host: Option<HostName>,
    pub loaded: Arc<LoadedCertificate>,
    /// Whether there is a host that it names or could be for; what became of it is told then.
    pub is_matched: bool,
    /// Whether it was told that another is served; of one host is enough.
    pub is_reported: bool,
    pub is_used: bool,
}

/// Why a certificate that an object names is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// It is not there, or something is wrong with it.
    Unusable,
    /// The entry has no room for it.
    WithoutRoom,
}

/// The certificate that a host gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedCertificate {
    pub id: CertificateId,
    /// It, with the Secret that its owner names: others may hold the same.
    pub certificate: Arc<Certificate>,
    /// Whether clients accept it for the host.
    pub is_for: bool,
}

/// Who has a say on a host: those whose rules stand there. A default backend has one only among its own namespace's rules, since
/// it can be claimed for any host.
struct HostRuleOwners<'a> {
    owners: HashSet<usize>,
    namespaces: HashSet<&'a str>,
}

impl<'a> HostRuleOwners<'a> {
    fn of(won: &[AttachedClaim<'_>], attached: &'a [AttachedObject<'_>]) -> Self {
        let namespace = |won: &AttachedClaim<'_>| attached[won.owner.1].object.key.namespace.as_str();
        let alone = won.windows(2).all(|two| namespace(&two[0]) == namespace(&two[1]));
        let holding = || won.iter().filter(|won| alone || !won.claim.weak);
        Self { owners: holding().map(|won| won.owner.1).collect(), namespaces: holding().map(namespace).collect() }
    }
}

impl CertificateSelection {
    /// Adds an offer. The same of the same object is one: every host looks at all that there are.
    pub fn add(&mut self, offer: OfferedCertificate) {
        if !self.known.insert((offer.owner.1, offer.host.clone(), offer.loaded.id.clone())) {
            return;
        }
        let index = self.offers.len();
        match &offer.host {
            Some(host) => self.named.entry(host.clone()).or_default().push(index),
            None => self.unnamed.entry(offer.owner.1).or_default().push(index),
        }
        self.offers.push(offer);
    }

    /// Adds that an object names a certificate for a host, or for all that it has, which is not served.
    pub fn add_lacking(&mut self, owner: usize, host: Option<HostName>, lack: Lack) {
        let known = self.lacking.entry(host).or_default().entry(owner).or_insert(lack);
        *known = lack.max(*known);
    }

    /// Why a certificate is not served that an object names for a host on which it has a rule; none if none is named.
    pub fn lack(&self, host: &HostName, won: &[AttachedClaim<'_>], attached: &[AttachedObject<'_>]) -> Option<Lack> {
        if self.lacking.is_empty() {
            return None;
        }
        let owners = HostRuleOwners::of(won, attached).owners;
        let names = [Some(host.clone()), None].into_iter().chain(host.wildcard_above().map(Some));
        let lacking = names.filter_map(|name| self.lacking.get(&name));
        lacking.flatten().filter(|(owner, _)| owners.contains(owner)).map(|(_, lack)| *lack).max()
    }

    /// Gives a host the certificate of an object that has a rule there: first one that is for the host, then one that names
    /// it before one that names its wildcard, then the oldest object's. The certificate of a wildcard is for hosts of its own
    /// namespace only.
    pub fn select(
        &mut self,
        host: &HostName,
        won: &[AttachedClaim<'_>],
        attached: &mut [AttachedObject<'_>],
    ) -> Option<SelectedCertificate> {
        if self.offers.is_empty() {
            return None;
        }
        let mut candidates = self.candidates(host, &HostRuleOwners::of(won, attached), attached);
        self.report_hosts_without_rule(host, won, attached);
        candidates.sort_unstable();
        let &(stranger, _, _, first) = candidates.first()?;
        for &(.., index) in &candidates {
            self.offers[index].is_matched = true;
        }
        let LoadedCertificate { id, certificate, .. } = &*self.offers[first].loaded;
        let (id, certificate) = (id.clone(), Arc::clone(certificate));
        let given = SelectedCertificate { id, certificate, is_for: !stranger };
        self.offers[first].is_used = true;
        let OfferedCertificate { owner: (_, owner), site, .. } = self.offers[first];
        if stranger && *host != HostName::Any {
            let host = quoted(&host.to_string());
            let is_redirected = won.iter().any(|won| won.claim.redirect.needs_no_certificate());
            let redirects = if is_redirected {
                "are redirected to it where an annotation says so"
            } else {
                "are not redirected to it"
            };
            let message = format!(
                "The certificate is served, and clients reject it, since it is not for {host}; requests over HTTP {redirects}. Renew it"
            );
            attached[owner].draft.report_loss(&site, Reason::InvalidRef, message);
        }
        for &(_, distant, _, index) in &candidates[1..] {
            let offer = &mut self.offers[index];
            if !distant && offer.loaded.id != given.id && !std::mem::replace(&mut offer.is_reported, true) {
                self.report_conflict(host, index, &attached[owner].object.clone(), attached);
            }
        }
        Some(given)
    }

    /// The offers that a host could take: whether it is not for the host, whether it only names the wildcard, its owner.
    fn candidates(
        &self,
        host: &HostName,
        rule_owners: &HostRuleOwners<'_>,
        attached: &[AttachedObject<'_>],
    ) -> Vec<(bool, bool, Seniority, usize)> {
        let wildcard = host.wildcard_above();
        let rank = |index: usize, distant: bool| {
            let OfferedCertificate { owner, loaded, .. } = &self.offers[index];
            (!loaded.is_for(host), distant, *owner, index)
        };
        let offers = |name: &HostName| self.named.get(name).into_iter().flatten().copied();
        let holds = |index: usize| rule_owners.owners.contains(&self.offers[index].owner.1);
        let near = offers(host).filter(|index| holds(*index));
        let unnamed = rule_owners.owners.iter().filter_map(|owner| self.unnamed.get(owner)).flatten().copied();
        let related = |index: usize| {
            let OfferedCertificate { owner, loaded, .. } = &self.offers[index];
            let namespace = attached[owner.1].object.key.namespace.as_str();
            holds(index) || (rule_owners.namespaces.contains(namespace) && loaded.is_for(host))
        };
        let distant = wildcard.iter().flat_map(offers).filter(|index| related(*index));
        near.chain(unnamed).map(|index| rank(index, false)).chain(distant.map(|index| rank(index, true))).collect()
    }

    /// Tells those that name a host and have no rule there.
    fn report_hosts_without_rule(
        &mut self,
        host: &HostName,
        won: &[AttachedClaim<'_>],
        attached: &mut [AttachedObject<'_>],
    ) {
        let Some(first) = won.first().map(|won| object_name(&attached[won.owner.1].object)) else { return };
        let rule_owners = HostRuleOwners::of(won, attached).owners;
        for &index in self.named.get(host).into_iter().flatten() {
            let offer = &mut self.offers[index];
            if !std::mem::replace(&mut offer.is_matched, true) && !rule_owners.contains(&offer.owner.1) {
                let host = quoted(&host.to_string());
                let message = format!(
                    "The host {host} is served for {first}, and no rule of this object is in force there, so its certificate \
                     is not used; remove the host here"
                );
                attached[offer.owner.1].draft.report_loss(&offer.site, Reason::Conflicted, message);
            }
        }
    }

    fn report_conflict(&self, host: &HostName, index: usize, first: &ObjectRef, attached: &mut [AttachedObject<'_>]) {
        let (first, host) = (object_name(first), quoted(&host.to_string()));
        let message =
            format!("{first} has another certificate for {host}, which stays in force; name the host in one of them");
        let OfferedCertificate { owner: (_, owner), site, .. } = self.offers[index];
        attached[owner].draft.report_loss(&site, Reason::Conflicted, message);
    }

    /// The certificates that hosts got and that are over a bound, those of the newest objects. Their owners are told, and no host
    /// may have them. Only those that hosts got count: else one namespace could fill the bound of all with what is never served.
    pub fn drop_over_bound(&mut self, most: &Bound, attached: &mut [AttachedObject<'_>]) -> HashSet<CertificateId> {
        let mut used: Vec<usize> = (0..self.offers.len()).filter(|index| self.offers[*index].is_used).collect();
        used.sort_by_key(|index| self.offers[*index].owner);
        let (mut within, mut over) = (HashSet::new(), HashSet::new());
        let mut of: HashMap<String, usize> = HashMap::new();
        for index in used {
            let OfferedCertificate { owner: (_, owner), site, loaded, .. } = &self.offers[index];
            let AttachedObject { object, draft, .. } = &mut attached[*owner];
            if within.contains(&loaded.id) {
                continue;
            }
            let own = of.entry(object.key.namespace.clone()).or_default();
            match check_room("certificates", "certificates", most, (*own, within.len()), 1) {
                Ok(()) => {
                    *own += 1;
                    within.insert(loaded.id.clone());
                }
                Err(message) => {
                    let site = match *site {
                        ClaimSite::TlsHosts(entry) | ClaimSite::TlsHost(entry, _) => ClaimSite::TlsSecret(entry),
                        site => site,
                    };
                    let message = format!("{message}. {WITHOUT_ROOM}");
                    draft.report_loss(&site, Reason::BoundExceeded, message);
                    over.insert(loaded.id.clone());
                }
            }
        }
        // Of two namespaces with the same certificate one may have room for it.
        over.retain(|id| !within.contains(id));
        for offer in &mut self.offers {
            offer.is_used &= !over.contains(&offer.loaded.id);
        }
        over
    }

    /// The certificates that hosts got, each with the first of the Secrets that hold it and are named for a host. Owners are told of those that
    /// no host could take.
    pub fn into_served(self, attached: &mut [AttachedObject<'_>]) -> SortedMap<CertificateId, Arc<Certificate>> {
        for OfferedCertificate { owner: (_, owner), site, host, .. } in
            self.offers.iter().filter(|offer| !offer.is_matched)
        {
            let message = match host {
                Some(host) => {
                    let host = quoted(&host.to_string());
                    format!("No rule is for the host {host}, so its certificate is not used; add one")
                }
                None => {
                    "No rule of this object is in force on a host, so its certificate is not used; add rules with hosts"
                        .to_owned()
                }
            };
            attached[*owner].draft.report_note(site, Reason::RefNotFound, message);
        }
        let mut served = SortedMap::default();
        for OfferedCertificate { loaded, .. } in self.offers.iter().filter(|offer| offer.is_used) {
            let is_first = |known: &Arc<Certificate>| known.origin <= loaded.certificate.origin;
            if !served.get(&loaded.id).is_some_and(is_first) {
                served.insert(loaded.id.clone(), Arc::clone(&loaded.certificate));
            }
        }
        served
    }
}
