//! What binds hosts together, as it was when all were translated last, so that a few can be translated by themselves.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use entry_model::{CertificateId, Host, HostName, Key, Kind, ObjectRef, Routes, Snapshot};

use crate::TranslateSettings;
use crate::acme_http01::is_only_for_challenges;
use crate::amounts::AskedAmounts;
use crate::attach::AttachedObject;
use crate::attached_claims::AttachedClaims;
use crate::claim::{Claims, TlsClaim};

/// What binds hosts together.
#[derive(Debug)]
pub struct HostBonds {
    /// How much is asked for.
    pub amounts: AskedAmounts,
    /// The objects that name a host, and of none of whose rules it was merged.
    pub beside: HashMap<HostName, Vec<ObjectRef>>,
    /// The namespace of the object that gets what no rule matches.
    pub default: Option<String>,
    /// Whether any object asks for what no rule matches, also one that does not get it: on hosts that no rule names it is a rival of rules.
    pub has_defaults: bool,
    /// How many hosts have a certificate.
    pub certificate_uses: HashMap<CertificateId, usize>,
    /// Certificates that several Secrets have: of which of them one is depends on all hosts.
    pub twins: HashSet<CertificateId>,
    /// How many entries of `spec.tls` name a Secret.
    pub secret_uses: HashMap<Key, usize>,
}

impl HostBonds {
    /// What binds all hosts together; none if that is more than can be followed: something is over a bound, an object is put aside, or
    /// a host is there for challenges only.
    pub fn new(
        snapshot: &Snapshot,
        settings: &TranslateSettings,
        (attached, claims): (&[AttachedObject<'_>], &[Arc<Claims>]),
        asked: &AttachedClaims<'_>,
        (routes, twins): (&Routes, HashSet<CertificateId>),
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
        if !amounts.fit(&settings.bounds) {
            return None;
        }
        for rule in &asked.left_out {
            note(&rule.claim.host, &attached[rule.owner.1].object);
        }
        let mut certificate_uses = HashMap::new();
        for id in routes.hosts.values().filter_map(|host| host.certificate.as_ref()) {
            *certificate_uses.entry(id.clone()).or_default() += 1;
        }
        let default = asked.default_namespace(attached).map(str::to_owned);
        let has_defaults = claims.iter().any(|claims| claims.default.is_some());
        Some(Self { amounts, beside, default, has_defaults, certificate_uses, twins, secret_uses })
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
