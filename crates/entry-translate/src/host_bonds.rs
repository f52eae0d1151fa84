//! What binds hosts together, as it was when all were translated last, so that a few can be translated by themselves.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use entry_model::{Certificate, CertificateId, Host, HostName, Key, Kind, ObjectRef, Routes, Snapshot};

use crate::TranslateSettings;
use crate::acme_http01::is_only_for_challenges;
use crate::amounts::AskedAmounts;
use crate::attach::AttachedObject;
use crate::attached_claims::AttachedClaims;
use crate::certificate_selection::SelectedCertificate;
use crate::claim::{Claims, TlsClaim};
use crate::merge::HostMerger;

/// What binds hosts together.
#[derive(Debug)]
pub struct HostBonds {
    /// How much is asked for.
    pub amounts: AskedAmounts,
    /// The namespaces that ask for more than is served of one: which of their claims are left out is known when all are looked at.
    pub over: BTreeSet<String>,
    /// The objects that name a host, and of none of whose rules it was merged.
    pub beside: HashMap<HostName, Vec<ObjectRef>>,
    /// The namespace of the object that gets what no rule matches.
    pub default: Option<String>,
    /// Whether any object asks for what no rule matches, also one that does not get it: on hosts that no rule names it is a rival of rules.
    pub has_defaults: bool,
    /// Which certificates hosts have.
    pub certificate_uses: CertificateUses,
    /// How many entries of `spec.tls` name a Secret.
    pub secret_uses: HashMap<Key, usize>,
}

impl HostBonds {
    /// What binds all hosts together; none if that is more than can be followed: all together are over a bound, an object is put aside, or
    /// a host is there for challenges only.
    pub fn new(
        snapshot: &Snapshot,
        settings: &TranslateSettings,
        (attached, claims): (&[AttachedObject<'_>], &[Arc<Claims>]),
        asked: &AttachedClaims<'_>,
        (routes, merger): (&Routes, &HostMerger),
    ) -> Option<Self> {
        let asks = |object: &ObjectRef| matches!(object.kind, Kind::Service | Kind::Ingress);
        if settings.quarantine.keys().chain(snapshot.unreadable.keys()).any(asks) {
            return None;
        }
        // They have the rules of others as soon as there is room for them.
        let is_for_challenges =
            |(name, host): (&HostName, &Arc<Host>)| *name != HostName::Any && is_only_for_challenges(host);
        if routes.hosts.iter().any(is_for_challenges) {
            return None;
        }
        let (mut amounts, mut secret_uses) = (AskedAmounts::default(), HashMap::new());
        let mut beside: HashMap<HostName, Vec<ObjectRef>> = HashMap::new();
        let mut note = |host: &HostName, object: &ObjectRef| {
            let objects = beside.entry(host.clone()).or_default();
            if objects.last() != Some(object) {
                objects.push(object.clone());
            }
        };
        for (AttachedObject { object, source, .. }, claims) in attached.iter().zip(claims) {
            amounts.add(&object.key.namespace, claims, source.brings_certificate());
            for key in claims.tls.iter().filter_map(|tls| secret_of(tls, settings)) {
                *secret_uses.entry(key.clone()).or_default() += 1;
            }
            if claims.hosts_beside_rules().next().is_some() {
                let with_rule: HashSet<&HostName> = claims.hosts().collect();
                let others = claims.hosts_beside_rules().filter(|host| !with_rule.contains(host));
                others.for_each(|host| note(host, object));
            }
        }
        let over = amounts.over(&settings.bounds);
        if !amounts.fit_but_for(&over, &settings.bounds, &[]) {
            return None;
        }
        for rule in &asked.left_out {
            note(&rule.claim.host, &attached[rule.owner.1].object);
        }
        let mut certificate_uses = CertificateUses::default();
        routes
            .hosts
            .keys()
            .filter_map(|name| merger.certificate(name))
            .for_each(|selected| certificate_uses.add(selected));
        let default = asked.default_namespace(attached).map(str::to_owned);
        let has_defaults = claims.iter().any(|claims| claims.default.is_some());
        Some(Self { amounts, over, beside, default, has_defaults, certificate_uses, secret_uses })
    }
}

/// Which certificates hosts have: by its id, each with the Secrets that it is from, in their order, and for how many hosts it is from these.
#[derive(Debug, Default)]
pub struct CertificateUses(HashMap<CertificateId, Vec<(Arc<Certificate>, usize)>>);

impl CertificateUses {
    /// A host more has it.
    pub fn add(&mut self, SelectedCertificate { id, certificate, .. }: &SelectedCertificate) {
        let uses = self.0.entry(id.clone()).or_default();
        match uses.binary_search_by_key(&&certificate.origin, |(known, _)| &known.origin) {
            Ok(at) => uses[at].1 += 1,
            Err(at) => uses.insert(at, (Arc::clone(certificate), 1)),
        }
    }

    /// A host less has it.
    pub fn take(&mut self, SelectedCertificate { id, certificate, .. }: &SelectedCertificate) {
        let Some(uses) = self.0.get_mut(id) else { return };
        if let Ok(at) = uses.binary_search_by_key(&&certificate.origin, |(known, _)| &known.origin) {
            uses[at].1 -= 1;
            if uses[at].1 == 0 {
                uses.remove(at);
            }
        }
        if uses.is_empty() {
            self.0.remove(id);
        }
    }

    /// A certificate that hosts have, with the first of its Secrets.
    pub fn first(&self, id: &CertificateId) -> Option<&Arc<Certificate>> {
        self.0.get(id)?.first().map(|(certificate, _)| certificate)
    }
}

/// The Secret of an entry of `spec.tls`.
pub fn secret_of<'a>(tls: &'a TlsClaim, settings: &'a TranslateSettings) -> Option<&'a Key> {
    tls.secret.as_ref().or(settings.default_certificate.as_ref())
}

/// All hosts that an object names.
pub fn named_hosts(claims: &Claims) -> BTreeSet<&HostName> {
    claims.hosts().chain(claims.hosts_beside_rules()).collect()
}
