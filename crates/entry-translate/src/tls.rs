//! Which certificates objects bring.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use entry_model::{FieldPath, HostName, Key, Kind, ObjectRef, Reason, Secret, Snapshot};

use crate::attach::{AttachedObject, RouteObject, Seniority};
use crate::certificate::{LoadedCertificate, load_certificate};
use crate::certificate_selection::{CertificateSelection, Lack, OfferedCertificate, WITHOUT_ROOM};
use crate::claim::TlsClaim;
use crate::claim_site::ClaimSite;
use crate::verdict_draft::{VerdictDraft, abridged_output, object_name};
use crate::{Quarantine, TranslateSettings};

/// A Secret that gave a whole certificate, and what was read of it: it is read once, not with every change of something else.
#[derive(Debug, Clone)]
pub struct LastGoodSecret {
    secret: Arc<Secret>,
    loaded: Arc<LoadedCertificate>,
}

impl LastGoodSecret {
    /// The Secret as it was then.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl PartialEq for LastGoodSecret {
    /// What was read of it follows from it.
    fn eq(&self, other: &Self) -> bool {
        self.secret == other.secret
    }
}

impl Eq for LastGoodSecret {}

/// What a Secret gives.
struct SecretCertificate {
    loaded: Arc<LoadedCertificate>,
    /// To be kept for when it is broken.
    good: Option<LastGoodSecret>,
    /// What is wrong with it, if this is what it gave before.
    broken: Option<String>,
}

/// The certificates that objects bring.
#[derive(Default)]
pub struct ReadCertificates {
    pub selection: CertificateSelection,
    /// The Secrets that gave them.
    pub last_good: BTreeMap<Key, LastGoodSecret>,
    /// When something else is to be said of them, in seconds since 1970: one runs out, or becomes valid; none if that never comes.
    pub changes_at: Option<i64>,
}

/// Why a Secret gives nothing.
type SecretError = (Reason, String);

/// Reads the certificates that objects bring, the oldest object's first.
pub fn read_certificates(
    snapshot: &Snapshot,
    settings: &TranslateSettings,
    claims: &mut [(&TlsClaim, Seniority)],
    attached: &mut [AttachedObject<'_>],
) -> ReadCertificates {
    let mut given = CertificateSelection::default();
    let mut changes_at = None;
    if !settings.has_https() {
        for AttachedObject { source, draft, .. } in attached {
            if matches!(source, RouteObject::Ingress(ingress) if !ingress.tls.is_empty()) {
                let message = "There is no HTTPS listener here; the hosts are served over HTTP, without redirect";
                draft.report_loss(&FieldPath::root("spec").field("tls"), Reason::Unsupported, message.to_owned());
            }
        }
        return <_>::default();
    }
    let mut secrets: HashMap<Key, Result<SecretCertificate, SecretError>> = HashMap::new();
    claims.sort_by_key(|(_, owner)| *owner);
    for (TlsClaim { entry, hosts, further, secret, redirect }, (created, owner)) in claims {
        let site = ClaimSite::TlsSecret(*entry);
        let draft = &mut attached[*owner].draft;
        let found = match secret.as_ref().or(settings.default_certificate.as_ref()) {
            Some(key) => secrets.entry(key.clone()).or_insert_with(|| read_secret(snapshot, settings, key)).as_ref(),
            None => Err(&(
                Reason::Unsupported,
                "No Secret is named, and this entry has no default certificate (--default-certificate); name one"
                    .to_owned(),
            )),
        };
        let found = match found {
            Ok(found) => found,
            Err((reason, message)) => {
                let lack = if *reason == Reason::BoundExceeded { Lack::WithoutRoom } else { Lack::Unusable };
                let until = if lack == Lack::WithoutRoom {
                    WITHOUT_ROOM
                } else if redirect.needs_no_certificate() {
                    "Until then, no TLS connection is made for the hosts, to which requests over HTTP are redirected, as an annotation says"
                } else {
                    "Until then, the hosts are served over HTTP only, without redirect"
                };
                draft.report_loss(&site, *reason, format!("{message}. {until}"));
                let named = hosts.iter().flatten().map(|(_, host)| host).chain(further.iter());
                let unnamed = hosts.is_none().then_some(None);
                for host in named.cloned().map(Some).chain(unnamed) {
                    given.add_lacking(*owner, host, lack);
                }
                continue;
            }
        };
        report_certificate(found, settings.now, site, draft);
        let (from, to) = found.loaded.valid;
        let later = [from, to.saturating_add(1)].into_iter().filter(|moment| *moment > settings.now);
        changes_at = later.chain(changes_at).min();
        let offer = |site, host| OfferedCertificate {
            owner: (*created, *owner),
            site,
            host,
            loaded: Arc::clone(&found.loaded),
            is_matched: false,
            is_reported: false,
            is_used: false,
        };
        let is_for = |host: &&HostName| found.loaded.is_for(host);
        for host in further.iter().filter(is_for) {
            // The object did not ask for it by name, so nothing is said where it is not used.
            given.add(OfferedCertificate { is_matched: true, ..offer(site, Some(host.clone())) });
        }
        match hosts {
            Some(hosts) => hosts.iter().for_each(|(site, host)| given.add(offer(*site, Some(host.clone())))),
            None => given.add(offer(ClaimSite::TlsHosts(*entry), None)),
        }
    }
    let good = secrets.into_iter().filter_map(|(key, found)| Some((key, found.ok()?.good?)));
    ReadCertificates { selection: given, last_good: good.collect(), changes_at }
}

/// Tells an owner what there is to know of a certificate that is used.
fn report_certificate(found: &SecretCertificate, now: i64, site: ClaimSite, draft: &mut VerdictDraft) {
    let SecretCertificate { loaded, broken, .. } = found;
    if let Some(words) = broken {
        let message = format!(
            "{words}. Until it can, the certificate that it held before is served, which a restart of the entry forgets"
        );
        draft.report_loss(&site, Reason::InvalidRef, message);
    }
    for remark in &loaded.remarks {
        if remark.lost {
            let message =
                format!("{}. The rest is served, and clients may reject it; correct the Secret", remark.message);
            draft.report_loss(&site, Reason::InvalidRef, message);
        } else {
            draft.report_note(&site, Reason::InvalidRef, remark.message.clone());
        }
    }
    let (from, to) = loaded.valid;
    let age = match now {
        now if now > to => Some("has expired; renew it"),
        now if now < from => Some("is not valid yet; check the clock"),
        _ => None,
    };
    if let Some(hint) = age {
        let message = format!("The certificate is served, and clients reject it, since it {hint}");
        draft.report_note(&site, Reason::InvalidRef, message);
    }
}

fn read_secret(snapshot: &Snapshot, settings: &TranslateSettings, key: &Key) -> Result<SecretCertificate, SecretError> {
    let object = ObjectRef::new(Kind::Secret, key.clone());
    let said = |words: &str| format!("{} cannot be used: {words}", object_name(&object));
    let invalid = |words: &str| Err((Reason::InvalidRef, said(words)));
    let before = settings.last_good.get(key);
    // A renewal that went wrong is no reason to take HTTPS away. A Secret that is gone is: its owner takes it back.
    let as_before = |good: &LastGoodSecret, words: &str| {
        Ok(SecretCertificate { loaded: Arc::clone(&good.loaded), good: Some(good.clone()), broken: Some(said(words)) })
    };
    if let Some(Quarantine { reason, message: text, .. }) = settings.quarantine.get(&object) {
        let now = snapshot.secrets.get(key).filter(|secret| secret.is_tls);
        return match before.filter(|good| now.is_some_and(|now| good.secret != *now)) {
            Some(good) => as_before(good, &abridged_output(text)),
            None if *reason == Reason::BoundExceeded && now.is_some() => Err((*reason, said(&abridged_output(text)))),
            None => invalid(&abridged_output(text)),
        };
    }
    if let Some(text) = snapshot.unreadable.get(&object) {
        return invalid(&abridged_output(text));
    }
    let Some(secret) = snapshot.secrets.get(key).filter(|secret| secret.is_tls) else {
        let message = format!("There is no {} of the type kubernetes.io/tls; make it", object_name(&object));
        return Err((Reason::RefNotFound, message));
    };
    if let Some(good) = before.filter(|good| Arc::ptr_eq(&good.secret, secret)) {
        return Ok(SecretCertificate { loaded: Arc::clone(&good.loaded), good: Some(good.clone()), broken: None });
    }
    match (load_certificate(secret), before) {
        (Err(words), Some(good)) => as_before(good, &words),
        (Err(words), None) => invalid(&words),
        (Ok(loaded), before) => match (loaded.damage(), before) {
            (Some(damage), Some(good)) => as_before(good, damage),
            (damage, _) => {
                let whole = damage.is_none();
                let loaded = Arc::new(loaded);
                let good = LastGoodSecret { secret: Arc::clone(secret), loaded: Arc::clone(&loaded) };
                Ok(SecretCertificate { loaded, good: whole.then_some(good), broken: None })
            }
        },
    }
}
