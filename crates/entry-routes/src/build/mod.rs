//! From a snapshot to routes, in passes that each have a file:
//!
//! 1. `attach`: which objects are this controller's.
//! 2. `claim`: what each of them asks for, with `options` (annotations), `host`, `path` and `resolve` (Services and ports).
//! 3. `owners`: what of it belongs to other namespaces; `bounds`: what of it is too much.
//! 4. `tls`: which certificates objects bring, with `certificate` (Secrets), and for that `pem`, `chain` and `private_key`.
//! 5. `merge`: who gets what several ask for, in the order in which rules are tried, with `offers` (whose certificate a host
//!    gets); `solver`: hosts for proofs only.
//!
//! All along, `draft` keeps what the owner of each object is told.

mod addresses;
mod attach;
mod bounds;
mod certificate;
mod chain;
mod claim;
mod draft;
mod host;
mod merge;
mod offers;
mod options;
mod owners;
mod path;
mod pattern;
mod pem;
mod private_key;
mod resolve;
mod solver;
mod theirs;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Bounds, Holdings, Key, ObjectRef, Reason, Routes, Snapshot, Timeouts, Verdicts};

use owners::Listed;

pub use addresses::{addresses, balanced, reached};
pub use tls::GoodSecret;

/// Who may have what of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// All of it belongs to one namespace.
    Namespace,
    /// Each path to whoever claims it first.
    None,
}

/// What listeners do where no annotation says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Times.
    pub timeouts: Timeouts,
    /// Largest request body, in bytes; 0 is without limit.
    pub max_body_bytes: u64,
}

/// What [`build`] needs to know beside the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSettings {
    /// `spec.controller` of the `IngressClasses` that are served here.
    pub controller: String,
    /// The label, name and value, of the Services that are served without an Ingress.
    pub service_selector: (String, String),
    /// The label, name and value, of the Nodes that clients reach.
    pub node_selector: (String, String),
    /// The Service whose load balancer clients reach instead of the Nodes.
    pub publish_service: Option<Key>,
    /// Whether there is an HTTPS listener. Without it no certificate is used and nothing is redirected.
    pub https: bool,
    /// The time, in seconds since 1970. Only what is said of certificates depends on it.
    pub now: i64,
    /// Who may have what of a host.
    pub ownership: Ownership,
    /// How much is served.
    pub bounds: Bounds,
    /// Which namespace holds what since earlier, as [`Built::held`] has it, the record that counts more first. It comes after
    /// what the snapshot has.
    pub held: Vec<Arc<Holdings>>,
    /// What listeners do where no annotation says otherwise. Only what is said of foreign annotations depends on it.
    pub defaults: Defaults,
    /// Objects that are put aside: why, and in words what is wrong with each, to which is added what becomes of it. They
    /// contribute nothing.
    pub quarantine: BTreeMap<ObjectRef, (Reason, String)>,
    /// Secrets as they were when they last gave a whole certificate, as [`Built::good`] has them: one that is broken now goes
    /// on giving it.
    pub last_good: BTreeMap<Key, GoodSecret>,
    /// The Secret for entries of `spec.tls` that name none.
    pub default_certificate: Option<Key>,
}

impl Default for BuildSettings {
    /// As the flags have it, but for bounds, of which there are none.
    fn default() -> Self {
        Self {
            controller: "sparrow/entry".to_owned(),
            service_selector: ("sparrow/expose".to_owned(), "true".to_owned()),
            node_selector: ("role".to_owned(), "entry".to_owned()),
            publish_service: None,
            https: true,
            now: 0,
            ownership: Ownership::Namespace,
            bounds: Bounds::NONE,
            held: Vec::new(),
            defaults: Defaults::default(),
            quarantine: BTreeMap::new(),
            last_good: BTreeMap::new(),
            default_certificate: None,
        }
    }
}

/// What [`build`] makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Built {
    /// What is served.
    pub routes: Routes,
    /// What is said of each object that concerns this controller.
    pub verdicts: Verdicts,
    /// The Secrets that gave a certificate, as they were when they were good.
    pub good: BTreeMap<Key, GoodSecret>,
    /// Which namespace holds what from now on; nothing without ownership.
    pub held: Arc<Holdings>,
}

/// Makes routes of a snapshot, and a verdict on each object of this controller.
///
/// Never fails: what cannot be served is left out or answered 503, its object's verdict says so, and nothing else changes.
///
/// - Services with the label: one prefix, `sparrow/path`, on `sparrow/host` (all hosts without it), to `sparrow/port`. Without
///   that: to the only TCP port; of several to the one that is called `http`, else to the first, and the owner is told.
/// - Ingresses of our classes. A path whose backend is not there, or not supported, stands and is answered 503: else a
///   shorter path, perhaps somebody else's, would get its requests.
/// - A default backend gets what no rule, of any object, names on the hosts of its Ingress; without rules, what no rule at
///   all matches. A host that only `spec.tls` names counts as one of them then.
/// - Paths are decoded once; so `/a%20b` and `/a b` are the same claim, as are `/a` and `/a/` as prefixes.
/// - A host belongs to one namespace, with all its paths, what no path matches, and the names below its wildcard: to those that
///   an annotation of theirs names, else to the one that holds it since earlier, else to that of the oldest object that claims
///   it. So does a first segment on hosts that no rule names. Claims of others are left out.
/// - What is over a bound is left out, the newest claims first; over that of its namespace, it keeps nothing from others.
/// - Of those who claim the same host and path the oldest has it; of one second, the first by kind (Services before
///   Ingresses), namespace and name.
/// - A certificate goes to hosts on which its object has a rule, and from a wildcard to the hosts below it of the same
///   namespace. Of several, a host gets one that is for it before another, then the oldest object's.
/// - All rules of a host with a certificate that is for it redirect to HTTPS unless their object says
///   `sparrow/ssl-redirect: "false"`, whichever object the certificate came with. No certificate is for every host, so rules
///   without a host redirect only if their object says `"true"`.
pub fn build(snapshot: &Snapshot, settings: &BuildSettings) -> Built {
    let mut attached = attach::attach(snapshot, settings);
    let mut asked = claim::claims(snapshot, settings, &mut attached);
    let owned = settings.ownership == Ownership::Namespace;
    let (listed, told) = if owned { Listed::read(snapshot) } else { <_>::default() };
    let mut held = Arc::default();
    let records: Vec<_> = std::iter::once(&snapshot.held).chain(&settings.held).filter(|_| owned).cloned().collect();
    let mut aside = attach::aside(snapshot, settings);
    let mut asked_aside = claim::claims(snapshot, settings, &mut aside);
    if owned {
        // What is over the bounds of a namespace claims nothing: else it would be kept from others and served to nobody.
        let bounds = settings.bounds.of_namespaces();
        bounds::apply(&bounds, &records, &mut asked, &mut attached);
        bounds::apply(&bounds, &records, &mut asked_aside, &mut aside);
        owners::settle(&listed, &records, &mut asked, &mut attached, (&asked_aside, &aside));
    }
    bounds::apply(&settings.bounds, &records, &mut asked, &mut attached);
    if owned {
        held = Arc::new(owners::holdings(&records, &asked, &attached, (&asked_aside, &aside)));
    }
    let mut certificates = tls::certificates(snapshot, settings, &mut asked.tls, &mut attached);
    let good = std::mem::take(&mut certificates.good);
    let mut routes = merge::merge(asked, certificates, &settings.bounds.certificates, &mut attached);
    solver::inherit(&mut routes, &settings.bounds.rules, &mut attached, |rule, host| {
        !owned || host.rules.iter().all(|own| own.origin.key.namespace == rule.origin.key.namespace)
    });
    listed.close(&mut routes, owned);
    let mut verdicts = attach::verdicts(attached, snapshot, settings);
    verdicts.extend(told);
    Built { routes, verdicts, good, held }
}
