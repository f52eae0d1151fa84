//! Which certificate each host has.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::BuildSettings;
use super::attach::{Attached, Source};
use super::certificate::{Loaded, load};
use super::claim::TlsClaim;
use super::draft::{Place, TlsPart, named, quoted, words};
use crate::{Certificate, CertificateId, HostName, Key, Kind, ObjectRef, Reason, Secret, Snapshot};

/// The certificates that hosts get.
#[derive(Debug, Default)]
pub struct Certificates<'a> {
    by_host: HashMap<HostName, Assigned<'a>>,
    by_id: BTreeMap<CertificateId, Certificate>,
    /// As [`super::Built::good`].
    pub good: BTreeMap<Key, Arc<Secret>>,
}

/// What a Secret gives.
struct Found {
    loaded: Loaded,
    /// The Secret as it was when it gave this.
    secret: Arc<Secret>,
    /// What is wrong with it now.
    broken: Option<String>,
}

/// A certificate that a host gets.
#[derive(Debug)]
pub struct Assigned<'a> {
    id: CertificateId,
    pub owner: usize,
    pub place: Place<'a>,
    used: bool,
}

impl<'a> Certificates<'a> {
    /// The certificate of a host that is served: its own before one with a wildcard.
    pub fn of(&mut self, host: &HostName) -> Option<CertificateId> {
        if self.by_host.is_empty() {
            return None;
        }
        let wildcard = match host {
            HostName::Exact(name) => name.split_once('.').map(|(_, parent)| HostName::Wildcard(parent.to_owned())),
            _ => None,
        };
        let found = if self.by_host.contains_key(host) { Some(host) } else { wildcard.as_ref() };
        let assigned = self.by_host.get_mut(found?)?;
        assigned.used = true;
        Some(assigned.id.clone())
    }

    /// The certificates that hosts got, and what no host got.
    pub fn finish(self) -> (BTreeMap<CertificateId, Certificate>, Vec<(HostName, Assigned<'a>)>) {
        let Self { by_host, by_id: mut certificates, .. } = self;
        let used: std::collections::HashSet<_> =
            by_host.values().filter(|assigned| assigned.used).map(|assigned| &assigned.id).collect();
        certificates.retain(|id, _| used.contains(id));
        let mut unused: Vec<_> = by_host.into_iter().filter(|(_, assigned)| !assigned.used).collect();
        unused.sort_by(|(a, _), (b, _)| a.cmp(b));
        (certificates, unused)
    }
}

/// Gives certificates to hosts. Of several that are asked for, a host gets the oldest object's.
pub fn certificates<'a>(
    snapshot: &Snapshot,
    settings: &BuildSettings,
    claims: &mut [TlsClaim<'a>],
    attached: &mut [Attached<'a>],
) -> Certificates<'a> {
    let mut given = Certificates::default();
    if !settings.https {
        for Attached { source, draft, .. } in attached {
            if matches!(source, Source::Ingress(ingress) if !ingress.tls.is_empty()) {
                let message = "There is no HTTPS listener here; the hosts are served over HTTP, without redirect";
                draft.lose(Place::Tls, Reason::Unsupported, message.to_owned());
            }
        }
        return given;
    }
    let mut secrets: HashMap<&Key, Result<Found, (Reason, String)>> = HashMap::new();
    claims.sort_by_key(|claim| claim.owner);
    for TlsClaim { owner: (_, owner), entry, hosts, secret } in claims {
        let place = Place::TlsEntry(*entry, TlsPart::Secret);
        let found = match secret {
            Some(key) => secrets.entry(key).or_insert_with(|| read(snapshot, settings, key)).as_ref(),
            None => Err(&(
                Reason::Unsupported,
                "No Secret is named, and there is no certificate for all; name one".to_owned(),
            )),
        };
        let Found { loaded, broken, .. } = match found {
            Ok(found) => found,
            Err((reason, message)) => {
                let message = format!("{message}. Until then, the hosts are served over HTTP only, without redirect");
                attached[*owner].draft.lose(place, *reason, message);
                continue;
            }
        };
        if let Some(words) = broken {
            let message = format!(
                "{words}. Until it can, the certificate that it held before is served, which a restart of the entry forgets"
            );
            attached[*owner].draft.lose(place, Reason::InvalidRef, message);
        }
        let (from, to) = loaded.valid;
        let age = match settings.now {
            now if now > to => Some("has expired; renew it"),
            now if now < from => Some("is not valid yet; check the clock"),
            _ => None,
        };
        if let Some(hint) = age {
            let message = format!("The certificate is served, and clients refuse it, since it {hint}");
            attached[*owner].draft.note(place, Reason::InvalidRef, message);
        }
        given.by_id.entry(loaded.id.clone()).or_insert_with(|| loaded.certificate.clone());
        for (place, host) in hosts {
            give(&mut given.by_host, *owner, *place, host, loaded, attached);
        }
    }
    let good = secrets.into_iter().filter_map(|(key, found)| Some((key.clone(), found.ok()?.secret)));
    given.good = good.collect();
    given
}

fn give<'a>(
    by_host: &mut HashMap<HostName, Assigned<'a>>,
    owner: usize,
    place: Place<'a>,
    host: &HostName,
    loaded: &Loaded,
    attached: &mut [Attached<'a>],
) {
    match by_host.entry(host.clone()) {
        Entry::Vacant(free) => {
            free.insert(Assigned { id: loaded.id.clone(), owner, place, used: false });
            if !loaded.is_for(host) {
                let host = quoted(&host.to_string());
                let message =
                    format!("The certificate is served, and clients refuse it, since it is not for {host}; renew it");
                attached[owner].draft.note(place, Reason::InvalidRef, message);
            }
        }
        Entry::Occupied(taken) if taken.get().id != loaded.id => {
            let first = named(&attached[taken.get().owner].object);
            let host = quoted(&host.to_string());
            let message = format!(
                "{first} has another certificate for {host}, which stays in force; name the host in one of them"
            );
            attached[owner].draft.lose(place, Reason::Conflicted, message);
        }
        Entry::Occupied(_) => {}
    }
}

fn read(snapshot: &Snapshot, settings: &BuildSettings, key: &Key) -> Result<Found, (Reason, String)> {
    let object = ObjectRef::new(Kind::Secret, key.clone());
    let said = |words: &str| format!("{} cannot be used: {words}", named(&object));
    let invalid = |words: &str| Err((Reason::InvalidRef, said(words)));
    if let Some((_, text)) = settings.quarantine.get(&object) {
        return invalid(&words(text));
    }
    if let Some(text) = snapshot.unreadable.get(&object) {
        return invalid(&words(text));
    }
    let Some(secret) = snapshot.secrets.get(key) else {
        let message = format!("There is no {} of the type kubernetes.io/tls; make it", named(&object));
        return Err((Reason::RefNotFound, message));
    };
    let words = match load(secret) {
        Ok(loaded) => return Ok(Found { loaded, secret: Arc::clone(secret), broken: None }),
        Err(words) => words,
    };
    // A renewal that went wrong is no reason to take HTTPS away. A Secret that is gone is: its owner takes it back.
    let before = settings.last_good.get(key).and_then(|secret| Some((load(secret).ok()?, secret)));
    match before {
        Some((loaded, secret)) => Ok(Found { loaded, secret: Arc::clone(secret), broken: Some(said(&words)) }),
        None => invalid(&words),
    }
}
