//! Which certificates objects bring.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::BuildSettings;
use super::attach::{Attached, Source};
use super::certificate::{Loaded, load};
use super::claim::TlsClaim;
use super::draft::{Place, TlsPart, named, words};
use super::offers::{Certificates, Offer};
use crate::{Key, Kind, ObjectRef, Reason, Secret, Snapshot};

/// What a Secret gives.
struct Found {
    loaded: Rc<Loaded>,
    /// The Secret as it was when it gave this.
    secret: Arc<Secret>,
    /// What is wrong with it now.
    broken: Option<String>,
}

/// Reads the certificates that objects bring, the oldest object's first.
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
    for TlsClaim { owner: (created, owner), entry, hosts, secret } in claims {
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
        let offer = |place, host| Offer {
            owner: (*created, *owner),
            place,
            host,
            loaded: Rc::clone(loaded),
            heard: false,
            used: false,
        };
        match hosts {
            Some(hosts) => hosts.iter().for_each(|(place, host)| given.add(offer(*place, Some(host.clone())))),
            None => given.add(offer(Place::TlsEntry(*entry, TlsPart::Hosts), None)),
        }
    }
    let good = secrets.into_iter().filter_map(|(key, found)| Some((key.clone(), found.ok()?.secret)));
    given.good = good.collect();
    given
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
        Ok(loaded) => return Ok(Found { loaded: Rc::new(loaded), secret: Arc::clone(secret), broken: None }),
        Err(words) => words,
    };
    // A renewal that went wrong is no reason to take HTTPS away. A Secret that is gone is: its owner takes it back.
    let before = settings.last_good.get(key).and_then(|secret| Some((load(secret).ok()?, secret)));
    match before {
        Some((loaded, secret)) => {
            Ok(Found { loaded: Rc::new(loaded), secret: Arc::clone(secret), broken: Some(said(&words)) })
        }
        None => invalid(&words),
    }
}
